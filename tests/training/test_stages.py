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
"""A stage run for real by `trl sft`: only the intended tensors change, and an interrupted one continues."""

import json
import shutil

import pytest
import torch

from ftfv import FTFVForConditionalGeneration
from ftfv.training.data.frame_cache import cache_frames
from ftfv.training.data.moving_shapes import write_dataset
from ftfv.training.stages import last_checkpoint, read_duration, run_stage


OVERRIDES = {"max_steps": 2, "save_steps": 1, "per_device_train_batch_size": 2, "dataloader_num_workers": 0}


@pytest.fixture(scope="module")
def image_model(tmp_path_factory):
    from ftfv.demo import _copy_image_model

    folder = tmp_path_factory.mktemp("stage")
    _copy_image_model(folder, {})
    return folder / "image_model"


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "clips"
    write_dataset(folder, num_clips=8, seed=3, progress=False)
    return cache_frames(folder, progress=False)


@pytest.fixture(scope="module")
def finished(image_model, dataset, tmp_path_factory):
    output = tmp_path_factory.mktemp("run") / "s4v"
    run_stage("miniature/s4v", image_model, dataset, output, overrides=OVERRIDES, dtype="float32")
    return output


def test_s4v_changes_the_intended_tensors_only(image_model, finished):
    before = FTFVForConditionalGeneration.from_pretrained(image_model).state_dict()
    after = FTFVForConditionalGeneration.from_pretrained(finished / "model").state_dict()
    assert before.keys() == after.keys()
    for name in before:
        trains = (
            "temporal_encoding" in name
            or ("multi_modal_projector" in name and not name.endswith("position_table"))
            or any(f"vision_tower.encoder.layers.{layer}." in name for layer in (1, 2, 3))
            or (".language_model.layers." in name and name.endswith("_proj.weight"))
        )
        assert torch.equal(before[name], after[name]) != trains, name


def test_the_duration_says_what_ran(finished):
    duration = read_duration(finished)
    assert (duration["first_step"], duration["last_step"], duration["batch_size"]) == (0, 2, 2)
    assert duration["seconds"] > 0


def test_a_stage_reads_its_data_into_a_cache_of_its_own(finished):
    """`datasets` takes a folder of the same name and card for the same data, whatever is in it."""
    assert list((finished / "datasets").rglob("*.arrow"))


def test_an_interrupted_stage_continues_to_the_same_weights(image_model, dataset, finished, tmp_path):
    output = tmp_path / "s4v"
    run_stage("miniature/s4v", image_model, dataset, output, overrides={**OVERRIDES, "save_total_limit": 2})
    # What an interruption after the first of two steps leaves behind.
    shutil.rmtree(output / "model")
    shutil.rmtree(output / "training" / "checkpoint-2")
    (output / "duration.json").unlink()
    assert last_checkpoint(output / "training").name == "checkpoint-1"
    run_stage("miniature/s4v", image_model, dataset, output, overrides=OVERRIDES, dtype="float32")
    assert read_duration(output)["first_step"] == 1
    expected = FTFVForConditionalGeneration.from_pretrained(finished / "model").state_dict()
    for name, tensor in FTFVForConditionalGeneration.from_pretrained(output / "model").state_dict().items():
        torch.testing.assert_close(tensor, expected[name], atol=1e-6, rtol=0)


def test_a_finished_stage_is_not_run_again(image_model, dataset, finished):
    duration = (finished / "duration.json").read_text()
    assert run_stage("miniature/s4v", image_model, dataset, finished) == finished / "model"
    assert (finished / "duration.json").read_text() == duration


def test_a_failing_stage_says_so(image_model, tmp_path):
    with pytest.raises(RuntimeError, match="trl sft .* ended with exit code 1; its own message is above"):
        run_stage("miniature/s4v", image_model, tmp_path / "nothing", tmp_path / "out", overrides=OVERRIDES)
    assert not (tmp_path / "out" / "model").exists()


def test_the_last_checkpoint_is_the_one_of_most_steps(tmp_path):
    assert last_checkpoint(tmp_path) is None
    for step in (100, 1000, 20):
        (tmp_path / f"checkpoint-{step}").mkdir()
        (tmp_path / f"checkpoint-{step}" / "trainer_state.json").write_text(json.dumps({}))
    # Saved last and interrupted before its state was written.
    (tmp_path / "checkpoint-2000").mkdir()
    (tmp_path / "checkpoint-3000").mkdir()
    (tmp_path / "checkpoint-3000" / "trainer_state.json").write_text('{"global_step": 30')
    assert last_checkpoint(tmp_path).name == "checkpoint-1000"
