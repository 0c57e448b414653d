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
"""Merging: LoRA and fully trained modules end in one plain folder whose outputs are those of the stage."""

import json
import shutil

import pytest
import torch
from peft import LoraConfig, get_peft_model

from ftfv import FTFVForConditionalGeneration, FTFVProcessor
from ftfv.training.merge import merge
from tests.tiny import build_processor


@pytest.fixture(scope="module")
def stage(saved_folder, tmp_path_factory):
    """The output of a stage: LoRA on the language model, adapter and temporal encoding in full, all of them moved."""
    folder = tmp_path_factory.mktemp("stage") / "training"
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
                parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    peft_model.save_pretrained(folder)
    build_processor().save_pretrained(folder)
    return folder


def test_the_merged_folder_differs_from_the_base_in_the_trained_tensors_only(stage, saved_folder, tmp_path):
    difference = merge(stage, tmp_path / "model")
    assert difference < 1e-4
    base = FTFVForConditionalGeneration.from_pretrained(saved_folder).state_dict()
    merged = FTFVForConditionalGeneration.from_pretrained(tmp_path / "model").state_dict()
    assert base.keys() == merged.keys()
    changed = {name for name in base if not torch.equal(base[name], merged[name])}
    expected = {
        name
        for name in base
        if "temporal_encoding" in name
        or ("multi_modal_projector" in name and not name.endswith("position_table"))
        or ("language_model" in name and ("q_proj" in name or "down_proj" in name))
    }
    assert changed == expected
    assert FTFVProcessor.from_pretrained(tmp_path / "model").num_query_tokens == 16
    assert not list(tmp_path.glob("*.unfinished"))


def test_an_existing_output_is_not_touched(stage, tmp_path):
    (tmp_path / "model").mkdir()
    with pytest.raises(FileExistsError, match="exists; choose another output folder or remove it"):
        merge(stage, tmp_path / "model")


def test_a_folder_that_is_no_stage_is_refused(saved_folder, tmp_path):
    with pytest.raises(
        FileNotFoundError, match="No adapter_config.json in .*; expected the output folder of a `trl sft` stage"
    ):
        merge(saved_folder, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_a_processor_of_another_model_is_refused(stage, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(stage, other)
    path = other / "processor_config.json"
    config = json.loads(path.read_text())
    config["video_processor"]["tokens_per_frame"] = 7
    path.write_text(json.dumps(config))
    with pytest.raises(ValueError, match="`tokens_per_frame` is 4 in config.json but 7 in processor_config.json"):
        merge(other, tmp_path / "model")
    assert not (tmp_path / "model").exists()
