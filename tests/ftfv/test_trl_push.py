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
"""What TRL and transformers push by themselves loads for strangers as what `ftfv push` does."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import yaml
from peft import LoraConfig, get_peft_model

from ftfv import FTFVForConditionalGeneration
from ftfv.training.data.moving_shapes import write_dataset
from ftfv.training.merge import merge
from tests.hub_stub import HubStub, Repository
from tests.strangers import (
    GENERATE,
    QUESTION,
    ask_as_stranger,
    package_answer,
    run_python,
    stranger_environment,
)
from tests.tiny import build_processor


TOKEN = "hf_" + "q" * 34

# PEFT is there, as whoever loads an adapter needs it.
WITH_ADAPTER = """
import json, sys

for name in ("ftfv", "trl", "datasets"):
    sys.modules[name] = None
from transformers import pipeline

repo_id, clip, question, generate = sys.argv[1:]
pipe = pipeline("video-text-to-text", model=repo_id, trust_remote_code=True)
(answer,) = pipe(
    videos=clip, text=question, tokens_per_frame=7, num_frames=3, generate_kwargs=json.loads(generate),
    return_tensors=True,
)
print(json.dumps([int(token) for token in answer["generated_token_ids"]]))
"""

PUSH_TO_HUB = """
import json, sys

sys.path[:0] = json.loads(sys.argv[1])
import ftfv
from transformers import AutoModelForImageTextToText, AutoProcessor

AutoModelForImageTextToText.from_pretrained(sys.argv[2]).push_to_hub("org/pushed")
AutoProcessor.from_pretrained(sys.argv[2]).push_to_hub("org/pushed")
"""


@pytest.fixture(scope="module")
def hub() -> Iterator[HubStub]:
    with HubStub() as hub:
        yield hub


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("elsewhere")


def put(hub: HubStub, repo_id: str, folder: Path) -> None:
    """A repository with the files of a folder, as they are."""
    repository = hub.repositories[repo_id] = Repository(repo_id, private=False)
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    repository.commit("main", files, "put")


def test_model_and_processor_pushed_by_themselves(hub, saved_folder, clip, elsewhere):
    path = json.dumps([str(Path(__file__).parents[2])])
    run_python(PUSH_TO_HUB, path, str(saved_folder), cwd=elsewhere, HF_ENDPOINT=hub.url, HF_TOKEN=TOKEN)
    pushed = hub.repositories["org/pushed"].files()
    assert {path.name for path in saved_folder.iterdir()} <= pushed.keys()
    found = ask_as_stranger("org/pushed", None, clip, elsewhere, HF_ENDPOINT=hub.url)
    assert found["ids"] == package_answer(saved_folder, clip)


def test_an_adapter_whose_base_is_on_the_hub(hub, saved_folder, clip, elsewhere, tmp_path):
    """What a stage with PEFT pushes: LoRA, modules trained in full and the processor, without config.json."""
    put(hub, "org/base", saved_folder)
    model = FTFVForConditionalGeneration.from_pretrained(saved_folder)
    config = LoraConfig(
        r=4,
        target_modules=r".*language_model.*\.(q_proj|down_proj)",
        modules_to_save=["model.multi_modal_projector", "model.temporal_encoding"],
        task_type="CAUSAL_LM",
    )
    peft_model = get_peft_model(model, config)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in peft_model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
    peft_model.peft_config["default"].base_model_name_or_path = "org/base"
    peft_model.save_pretrained(tmp_path / "stage")
    build_processor().save_pretrained(tmp_path / "stage")
    put(hub, "org/adapter", tmp_path / "stage")
    merge(tmp_path / "stage", tmp_path / "merged", base_folder=saved_folder)

    printed = run_python(
        WITH_ADAPTER, "org/adapter", clip, QUESTION, json.dumps(GENERATE), cwd=elsewhere, HF_ENDPOINT=hub.url
    )
    expected = package_answer(tmp_path / "merged", clip)
    assert json.loads(printed) == expected != package_answer(saved_folder, clip)


@pytest.mark.slow
def test_every_push_of_a_training_is_complete(hub, saved_folder, clip, elsewhere, tmp_path):
    """Training in full by plain `trl sft`, which pushes after every step; strangers load each of the commits."""
    put(hub, "org/start", saved_folder)
    write_dataset(tmp_path / "clips", num_clips=4, seed=3, progress=False)
    recipe = {
        "model_name_or_path": "org/start",
        "trust_remote_code": True,
        "dataset_name": str(tmp_path / "clips"),
        "output_dir": str(tmp_path / "trained"),
        "max_steps": 2,
        "save_steps": 1,
        "per_device_train_batch_size": 2,
        "max_length": None,
        "use_cpu": True,
        "bf16": False,
        "report_to": "none",
        "push_to_hub": True,
        "hub_model_id": "org/trained",
        "hub_always_push": True,
    }
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    finished = subprocess.run(
        [str(Path(sys.executable).with_name("trl")), "sft", "--config", str(tmp_path / "recipe.yaml")],
        capture_output=True,
        text=True,
        cwd=elsewhere,
        env=stranger_environment(
            elsewhere,
            HF_ENDPOINT=hub.url,
            HF_TOKEN=TOKEN,
            PATH=os.environ["PATH"],
            FTFV_MEDIA_ROOT=str(tmp_path / "clips"),
        ),
    )
    assert finished.returncode == 0, finished.stderr
    assert TOKEN not in finished.stdout + finished.stderr
    commits = list(hub.repositories["org/trained"].commits.values())[1:]
    assert any(commit["message"].startswith("Training in progress, step 1") for commit in commits)
    expected = {path.name for path in saved_folder.iterdir()}
    for number, commit in enumerate(commits):
        assert expected <= commit["files"].keys(), commit["message"]
        assert all(TOKEN.encode() not in content for content in commit["files"].values())
        repo_id = f"org/trained-{number}"
        hub.repositories[repo_id] = Repository(repo_id, private=False)
        hub.repositories[repo_id].commit("main", commit["files"], "copy")
        assert ask_as_stranger(repo_id, None, clip, elsewhere, HF_ENDPOINT=hub.url)["pipeline"] == (
            "VideoTextToTextPipeline"
        )
    found = ask_as_stranger("org/trained", None, clip, elsewhere, HF_ENDPOINT=hub.url)
    assert found["ids"] == package_answer(tmp_path / "trained", clip)
