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
"""FLOPs of training: those that PyTorch counts in a real forward and backward pass."""

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch.utils.flop_counter import FlopCounterMode

from ftfv.training.compute import training_flops
from tests.tiny import build_config, build_model, random_pixels, video_prompt


RECIPE = {
    "use_peft": True,
    "lora_r": 8,
    "lora_target_modules": r".*language_model.*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)",
    "lora_modules_to_save": [
        "model.multi_modal_projector",
        "model.temporal_encoding",
        "vision_tower.encoder.layers.1",
    ],
    "gradient_checkpointing": False,
}


def test_a_pass_forward_and_back_costs_what_pytorch_counts():
    config = build_config()
    lora = LoraConfig(
        r=8,
        target_modules=RECIPE["lora_target_modules"],
        modules_to_save=RECIPE["lora_modules_to_save"],
        task_type="CAUSAL_LM",
    )
    model = get_peft_model(build_model(), lora).train()
    input_ids = torch.tensor([video_prompt(8 * 4)])
    backbone = model.get_base_model().model
    with FlopCounterMode(display=False) as counter:
        outputs = backbone(input_ids=input_ids, pixel_values_videos=random_pixels(1, 8), use_cache=False)
        outputs.last_hidden_state.sum().backward()
    counted = training_flops(RECIPE, config, num_text_tokens=input_ids.shape[1] - 8 * 4)
    # PyTorch counts an attention's forward pass once more within its backward pass, and the text of the first layer
    # needs no gradient.
    assert counted == pytest.approx(counter.get_total_flops(), rel=0.05)


def test_checkpointing_computes_the_language_model_and_the_trained_layers_twice():
    config = build_config()
    without = training_flops(RECIPE, config)
    with_checkpoints = training_flops({**RECIPE, "gradient_checkpointing": True}, config)
    assert 1.1 * without < with_checkpoints < 1.5 * without


def test_an_image_costs_less_than_a_video():
    config = build_config()
    image, video = (training_flops(RECIPE, config, num_frames=frames, num_text_tokens=4) for frames in (1, 8))
    assert 5 * image < video < 9 * image
