# Copyright 2026 The FTFV Authors. All rights reserved.
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.
"""A model folder or repository used by a process that knows nothing of this package."""

import functools
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from transformers import AutoModelForImageTextToText, AutoProcessor


QUESTION = "what moves ?"
GENERATE = {"max_new_tokens": 5, "min_new_tokens": 5, "do_sample": False, "suppress_tokens": list(range(6))}
# What is left is torch, torchvision, transformers, what they depend on and a decoder.
ABSENT = ("ftfv", "modeling_ftfv", "processing", "trl", "peft", "datasets", "accelerate", "decord", "torchcodec")

# Has imported what takes longest and every process needs, and forks one for each task. A child gets its environment
# before anything that reads it is imported, and does not stay to take all of that down again.
FORKS = """
import gc, json, os, signal, sys, traceback, types

import torch, torchvision

gc.freeze()
for line in iter(sys.stdin.readline, ""):
    task = json.loads(line)
    if os.fork() == 0:
        signal.alarm(280)
        for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
            os.dup2(os.open(task[name], os.O_RDWR), descriptor)
        sys.stdin = open(0)
        os.environ.clear()
        os.environ.update(task["environment"])
        os.chdir(task["cwd"])
        sys.argv = ["-c", *task["arguments"]]
        main = sys.modules["__main__"] = types.ModuleType("__main__")
        code = 0
        try:
            exec(compile(task["code"], "<string>", "exec"), vars(main))
        except BaseException:
            traceback.print_exc()
            code = 1
        sys.stdout.flush()
        os._exit(code)
    _, status = os.wait()
    print(os.waitstatus_to_exitcode(status), flush=True)
"""

STRANGER = """
import json, os, sys

for name in os.environ["ABSENT"].split():
    sys.modules[name] = None

import torch
from transformers import (
    AutoConfig, AutoImageProcessor, AutoModel, AutoModelForImageTextToText, AutoModelForMultimodalLM, AutoProcessor,
    AutoTokenizer, AutoVideoProcessor, pipeline,
)

folder, saved_again, clip, question, generate = sys.argv[1:]
classes = {}
for auto in (
    AutoConfig, AutoModel, AutoModelForImageTextToText, AutoModelForMultimodalLM, AutoProcessor, AutoVideoProcessor,
    AutoImageProcessor,
):
    loaded = auto.from_pretrained(folder, trust_remote_code=True)
    classes[auto.__name__] = [type(loaded).__module__.split(".")[0], type(loaded).__name__]

pipe = pipeline("video-text-to-text", model=folder, trust_remote_code=True)
(answer,) = pipe(
    videos=clip, text=question, tokens_per_frame=7, num_frames=3, generate_kwargs=json.loads(generate),
    return_tensors=True,
)
features = pipe.encode(clip, tokens_per_frame=7, num_frames=3)
(on_features,) = pipe(videos=features, text=question, generate_kwargs=json.loads(generate), return_tensors=True)
content = [{"type": "video", "path": clip}, {"type": "text", "text": question}]
others = {
    task: pipeline(task, model=folder, trust_remote_code=True)(
        text=[{"role": "user", "content": content}], processor_kwargs={"tokens_per_frame": 7, "max_num_frames": 3},
        generate_kwargs=json.loads(generate), return_tensors=True,
    )[0]["generated_token_ids"].tolist()
    for task in ("image-text-to-text", "any-to-any")
}
try:
    pipe(videos=clip + ".missing", text=question)
except FileNotFoundError as error:
    message = str(error)
if saved_again:
    pipe.save_pretrained(saved_again)
print(json.dumps({
    "classes": classes,
    "vocabulary": len(AutoTokenizer.from_pretrained(folder, trust_remote_code=True)),
    "pipeline": type(pipe).__name__,
    "ids": answer["generated_token_ids"].tolist(),
    "on_features": on_features["generated_token_ids"].tolist(),
    "others": others,
    "message": message,
    "imported": sorted(name for name in sys.modules if name.startswith("ftfv") and sys.modules[name] is not None),
}))
"""


def stranger_environment(cwd: Path, **settings: str) -> dict[str, str]:
    """Environment variables of a process with an empty cache and, unless `HF_ENDPOINT` is given, no network."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "FTFV", "HF_"))}
    environment |= {"HF_HOME": str(cwd / "hf_home"), "OMP_NUM_THREADS": "1", "ABSENT": " ".join(ABSENT)}
    if "HF_ENDPOINT" not in settings:
        environment["HF_HUB_OFFLINE"] = "1"
    return {**environment, "HF_HUB_DISABLE_XET": "1", **settings}


@functools.cache
def forks() -> subprocess.Popen:
    """The process that forks; it ends with this one, which holds the other end of its stdin."""
    return subprocess.Popen(
        [sys.executable, "-I", "-c", FORKS],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=stranger_environment(Path(tempfile.gettempdir())),
    )


def run_python(code: str, *arguments: str, cwd: Path, standard_input: str = "", **settings: str) -> str:
    """Runs code away from the checkout and returns what it printed on stdout; a failure fails the test."""
    with tempfile.TemporaryDirectory() as scratch:
        streams = {name: Path(scratch) / name for name in ("stdin", "stdout", "stderr")}
        for path in streams.values():
            path.write_text(standard_input if path.name == "stdin" else "")
        task = {
            "code": code,
            "arguments": arguments,
            "cwd": str(cwd),
            "environment": stranger_environment(cwd, **settings),
            **{name: str(path) for name, path in streams.items()},
        }
        forks().stdin.write(json.dumps(task) + "\n")
        forks().stdin.flush()
        code = forks().stdout.readline().strip()
        assert code == "0", f"exit code {code}\n{streams['stderr'].read_text()}"
        return streams["stdout"].read_text()


def ask_as_stranger(
    folder: Path | str, saved_again: Path | None, clip: str, cwd: Path, **settings: str
) -> dict[str, Any]:
    """Loads a folder or repository by every Auto class and answers a question."""
    arguments = (str(folder), str(saved_again or ""), clip, QUESTION, json.dumps(GENERATE))
    return json.loads(run_python(STRANGER, *arguments, cwd=cwd, **settings))


def package_answer(folder: Path, clip: str) -> list[int]:
    """The token ids of prompt and answer, by the package's own classes."""
    model, processor = AutoModelForImageTextToText.from_pretrained(folder), AutoProcessor.from_pretrained(folder)
    content = [{"type": "video", "video": clip}, {"type": "text", "text": QUESTION}]
    inputs = processor.apply_chat_template(
        [{"role": "user", "content": content}],
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
        add_generation_prompt=True,
        processor_kwargs={"tokens_per_frame": 7, "max_num_frames": 3},
    )
    return model.generate(**inputs, **GENERATE)[0].tolist()
