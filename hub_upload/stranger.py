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
"""
Loads a model folder as a stranger does, by remote code and without `ftfv`, and answers two questions. Run by its path
in a process of its own: `python -I stranger.py FOLDER IMAGE VIDEO OUTPUT`.
"""

import json
import sys
from pathlib import Path
from typing import Any


QUESTION = "What is shown?"
# As many tokens however soon the model would stop, so that there is something to compare.
GENERATE = {"do_sample": False, "max_new_tokens": 8, "min_new_tokens": 8}


def answer_both(pipe: Any, image: str, video: str) -> dict[str, list[int]]:
    """Token ids of prompt and answer, for a question about an image and one about a video."""
    answers = {}
    for kind, path in (("image", image), ("video", video)):
        content = [{"type": kind, kind: path}, {"type": "text", "text": QUESTION}]
        (answer,) = pipe(text=[{"role": "user", "content": content}], generate_kwargs=GENERATE, return_tensors=True)
        answers[kind] = [int(token) for token in answer["generated_token_ids"]]
    return answers


def main(folder: str, image: str, video: str, output: str) -> None:
    sys.modules["ftfv"] = None  # importing it fails from here on
    from transformers import pipeline
    from transformers.dynamic_module_utils import get_class_from_dynamic_module

    for name in ("config.json", "processor_config.json"):
        for reference in json.loads((Path(folder) / name).read_text(encoding="utf-8"))["auto_map"].values():
            get_class_from_dynamic_module(reference, folder)
    pipe = pipeline("video-text-to-text", model=folder, trust_remote_code=True)
    Path(output).write_text(json.dumps(answer_both(pipe, image, video)), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
