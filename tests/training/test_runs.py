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
Whole runs by `trl sft`: the recipes of the paper one after the other, two processes against one, kills at random
steps, and rows that cannot be learned from.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest
import torch
import yaml
from safetensors.torch import load_file

from ftfv import FTFVForConditionalGeneration
from ftfv.training.data.dataset_folder import conversation_row, estimated_length
from ftfv.training.data.frame_cache import cache_frames
from ftfv.training.data.moving_shapes import write_dataset
from ftfv.training.stages import run_stage, run_trl


pytestmark = pytest.mark.slow

# What makes a recipe of the paper a run on two cores: sizes and paths, nothing else.
IN_SMALL = {
    "lora_r": 4,
    "max_steps": 2,
    "per_device_train_batch_size": 2,
    "gradient_accumulation_steps": 1,
    "bf16": False,
    "use_cpu": True,
    "dataloader_num_workers": 0,
    "dataloader_prefetch_factor": None,
    "save_steps": 1,
}
TOWER = [f"vision_tower.encoder.layers.{layer}" for layer in (1, 2, 3)]


@pytest.fixture(scope="module")
def image_model(tmp_path_factory):
    from ftfv.demo import _copy_image_model

    folder = tmp_path_factory.mktemp("start")
    _copy_image_model(folder, {})
    return folder / "image_model"


def add_text_rows(folder, number):
    turns = [("what shape is red ?", "a circle"), ("how many shapes are there ?", "two")]
    rows = [
        conversation_row(
            None, [turns[index % 2]], id=f"text{index}", source="test", type="vqa", video_id=None, skill=None
        )
        for index in range(number)
    ]
    path = folder / "train.jsonl"
    lines = [json.dumps({**row, "length": estimated_length(row)}) + "\n" for row in rows]
    path.write_text(path.read_text() + "".join(lines))
    return folder


@pytest.fixture(scope="module")
def mixture(tmp_path_factory):
    """Eight clips, eight pictures and eight rows of text."""
    folder = tmp_path_factory.mktemp("data") / "mixture"
    write_dataset(folder, num_clips=8, num_images=8, seed=3, progress=False)
    return add_text_rows(cache_frames(folder, progress=False), 8)


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "clips"
    write_dataset(folder, num_clips=12, seed=4, progress=False)
    return cache_frames(folder, progress=False)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "pictures"
    write_dataset(folder, num_images=12, seed=5, progress=False)
    return folder


@pytest.fixture(scope="module")
def sequence(image_model, clips, pictures, mixture, tmp_path_factory):
    """Folders of all stages, by recipe, and which they start from."""
    output = tmp_path_factory.mktemp("sequence")
    starts = {
        "align": (None, pictures),
        "pretrain": ("align", pictures),
        "instruct": ("pretrain", pictures),
        "s4v": ("instruct", clips),
        "s3iv": ("pretrain", mixture),
        "s2s3iv_pretrain": ("align", mixture),
        "s2s3iv_instruct": ("s2s3iv_pretrain", mixture),
        "s4v_replay": ("instruct", mixture),
        "s4v_single_gpu": ("instruct", clips),
    }
    folders = {}
    for recipe, (before, data) in starts.items():
        start = image_model if before is None else folders[before][1]
        overrides = dict(IN_SMALL)
        if data is mixture:
            # Sixteen rows of 24: four might be without a video, and leave the temporal encoding as it was.
            overrides["gradient_accumulation_steps"] = 4
        if recipe != "align":
            overrides["lora_modules_to_save"] = ["model.multi_modal_projector", *TOWER]
            if recipe not in ("pretrain", "instruct"):
                overrides["lora_modules_to_save"].append("model.temporal_encoding")
        model = run_stage(recipe, start, data, output / recipe, overrides=overrides, dtype="float32")
        folders[recipe] = (start, model)
    return folders


@pytest.mark.parametrize(
    "recipe",
    [
        *("align", "pretrain", "instruct", "s4v", "s3iv", "s2s3iv_pretrain", "s2s3iv_instruct", "s4v_replay"),
        "s4v_single_gpu",
    ],
)
def test_a_recipe_of_the_paper_changes_the_intended_tensors_only(recipe, sequence):
    before, after = (
        FTFVForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).state_dict()
        for folder in sequence[recipe]
    )
    assert before.keys() == after.keys()
    for name in before:
        trains = "multi_modal_projector" in name and not name.endswith("position_table")
        if recipe != "align":
            trains |= any(f"{layer}." in name for layer in TOWER)
            trains |= ".language_model.layers." in name and name.endswith("_proj.weight")
        if recipe not in ("align", "pretrain", "instruct"):
            trains |= "temporal_encoding" in name
        assert torch.equal(before[name], after[name]) != trains, name


def recipe_in_small(path, model, dataset, output, **options):
    """A recipe of S4-V without dropout, so that runs can be compared."""
    options = {
        **IN_SMALL,
        "model_name_or_path": str(model),
        "trust_remote_code": True,
        "use_peft": True,
        "lora_target_modules": r".*language_model.*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)",
        "lora_modules_to_save": ["model.multi_modal_projector", "model.temporal_encoding", *TOWER],
        "lora_dropout": 0.0,
        "dataset_name": None if dataset is None else str(dataset),
        "max_length": None,
        "assistant_only_loss": True,
        "learning_rate": 1e-3,
        "output_dir": str(output),
        "report_to": "none",
        "seed": 0,
        "env": {"FTFV_MEDIA_ROOT": str(dataset), "HF_DATASETS_CACHE": str(output) + "_cache", "OMP_NUM_THREADS": "1"},
        **options,
    }
    path.write_text(yaml.safe_dump(options))
    return path


def weights(folder):
    return load_file(folder / "adapter_model.safetensors")


def test_two_processes_equal_one_with_a_doubled_batch(image_model, mixture, tmp_path):
    """The batches of the two hold videos, pictures and text in all combinations that a shuffle makes of them."""
    options = {"max_steps": 4, "save_steps": 10, "dataloader_num_workers": 1}
    one = recipe_in_small(
        tmp_path / "one.yaml", image_model, mixture, tmp_path / "one", **options, per_device_train_batch_size=4
    )
    two = recipe_in_small(
        tmp_path / "two.yaml",
        image_model,
        mixture,
        tmp_path / "two",
        **options,
        accelerate_config="multi_gpu",
        num_processes=2,
        mixed_precision="no",
    )
    run_trl(one)
    run_trl(two)
    alone, together = weights(tmp_path / "one"), weights(tmp_path / "two")
    assert alone.keys() == together.keys()
    # AdamW divides by the size of a gradient: rounding shows where one is next to nothing.
    for name, tensor in alone.items():
        torch.testing.assert_close(together[name], tensor, atol=5e-4, rtol=0, msg=name)
    difference = torch.cat([(together[name] - tensor).flatten() for name, tensor in alone.items()])
    assert difference.abs().mean() < 1e-6


def test_batches_by_length_are_the_same_on_two_processes_and_after_an_interruption(
    image_model, clips, pictures, tmp_path
):
    """Videos and pictures in sets of their own, of which TRL makes one; the second epoch is interrupted."""
    options = {
        "datasets": [{"path": str(clips)}, {"path": str(pictures)}],
        "train_sampling_strategy": "batch_rebalance",
        "remove_unused_columns": False,
        "per_device_train_batch_size": 4,
        "max_steps": 6,
        "save_steps": 2,
    }
    media = tmp_path / "media"
    shutil.copytree(clips, media)
    shutil.copytree(pictures, media, dirs_exist_ok=True)
    environment = {"FTFV_MEDIA_ROOT": str(media), "HF_DATASETS_CACHE": str(tmp_path / "cache")}

    def train(name, **more):
        more = {**options, "env": environment, **more}
        run_trl(recipe_in_small(tmp_path / f"{name}.yaml", image_model, None, tmp_path / name, **more))
        return weights(tmp_path / name)

    whole = train("whole", gradient_accumulation_steps=2)
    resumed = train(
        "resumed", gradient_accumulation_steps=2, resume_from_checkpoint=str(tmp_path / "whole/checkpoint-4")
    )
    together = train("together", accelerate_config="multi_gpu", num_processes=2, mixed_precision="no")
    for name, tensor in whole.items():
        assert torch.equal(resumed[name], tensor), name
        torch.testing.assert_close(together[name], tensor, atol=5e-4, rtol=0, msg=name)


def test_kills_at_random_steps_end_in_the_same_weights(image_model, clips, tmp_path):
    drawn = {"FTFV_TOKENS_PER_FRAME_RANGE": "2-16"}
    options = {"max_steps": 12, "save_steps": 1, "save_total_limit": 2, "dataloader_num_workers": 2}
    overrides = {**options, "per_device_train_batch_size": 2, "gradient_checkpointing": True}

    def start(output):
        script = (
            "import sys, json; from ftfv.training.stages import run_stage; "
            "run_stage('miniature/s4v', *sys.argv[1:4], overrides=json.loads(sys.argv[4]), "
            "environment=json.loads(sys.argv[5]), dtype='float32')"
        )
        words = [str(image_model), str(clips), str(output), json.dumps(overrides), json.dumps(drawn)]
        return subprocess.Popen([sys.executable, "-c", script, *words], start_new_session=True)  # noqa: S603

    assert start(tmp_path / "whole").wait() == 0
    steps = sorted(random.Random(0).sample(range(1, 12), 5))
    for step in steps:
        process = start(tmp_path / "killed")
        # The folder appears before it is complete, so some checkpoints are torn.
        while not (tmp_path / "killed" / "training" / f"checkpoint-{step}").exists():
            assert process.poll() is None
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert not (tmp_path / "killed" / "model").exists()
    assert start(tmp_path / "killed").wait() == 0
    expected = weights(tmp_path / "whole" / "training")
    for name, tensor in weights(tmp_path / "killed" / "training").items():
        assert torch.equal(tensor, expected[name]), name


def test_a_broken_clip_stops_a_run_or_is_masked(image_model, tmp_path, capfd):
    folder = tmp_path / "data"
    write_dataset(folder, num_clips=4, seed=6, progress=False)
    broken = sorted((folder / "clips").iterdir())[0]
    broken.write_bytes(broken.read_bytes()[:300])
    recipe = recipe_in_small(tmp_path / "stop.yaml", image_model, folder, tmp_path / "stop", dataloader_num_workers=1)
    with pytest.raises(RuntimeError, match="ended with exit code 1"):
        run_trl(recipe)
    errors = capfd.readouterr().err
    assert f"{broken.name}' cannot be decoded" in errors and "of a batch of 2, with the question" in errors
    environment = {**yaml.safe_load(recipe.read_text())["env"], "FTFV_MASK_BROKEN_MEDIA": "1"}
    run_trl(recipe_in_small(tmp_path / "mask.yaml", image_model, folder, tmp_path / "mask", env=environment))
    assert "is left out of the loss, row 1 of" in capfd.readouterr().err
    assert weights(tmp_path / "mask")
