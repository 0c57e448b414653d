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
"""The cost of a recipe: what PyTorch counts as a model with weights and PEFT's LoRA goes forward and back."""

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from ftfv.training.compute import recipe_cost, row_sizes
from ftfv.training.preflight import check_recipe
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
ADAPTER_ONLY = {
    "use_peft": True,
    "lora_target_modules": "dummy-target-modules",
    "lora_modules_to_save": ["model.multi_modal_projector"],
}


@pytest.mark.parametrize("num_layers", [2, 5])
@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("recipe", ["lora", "adapter", "whole"])
def test_a_row_costs_what_pytorch_counts(recipe, checkpointing, num_layers):
    config = build_config(vision_config={"num_hidden_layers": num_layers})
    options = {"lora": RECIPE, "adapter": ADAPTER_ONLY, "whole": {}}[recipe]
    options = {**options, "gradient_checkpointing": checkpointing}
    model = build_model(config).train()
    network = model
    if recipe != "whole":
        lora = LoraConfig(
            r=8,
            target_modules=options["lora_target_modules"],
            modules_to_save=options["lora_modules_to_save"],
            task_type="CAUSAL_LM",
        )
        network = get_peft_model(model, lora)
    if checkpointing:
        network.activation_checkpointing_enable({"use_reentrant": False})
        if recipe != "whole":
            network.enable_input_require_grads()
    input_ids = torch.tensor([video_prompt(8 * 4)])
    num_text_tokens = input_ids.shape[1] - 8 * 4
    # A fused attention would compute its scores once more on its way back.
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        outputs = model.model(input_ids=input_ids, pixel_values_videos=random_pixels(1, 8), use_cache=False)
        model.lm_head(outputs.last_hidden_state[:, -num_text_tokens:]).sum().backward()
    counted = recipe_cost(options, config, num_text_tokens=num_text_tokens)
    assert counted.total_flops == counter.get_total_flops()


def test_checkpointing_computes_the_language_model_and_the_trained_layers_again():
    config = build_config()
    without = recipe_cost(RECIPE, config)
    with_checkpoints = recipe_cost({**RECIPE, "gradient_checkpointing": True}, config)
    assert with_checkpoints.adapter_linear == without.adapter_linear
    assert with_checkpoints.lm_head == without.lm_head
    # Attention once more; linear layers but the last one of each layer, whose output nothing asks for.
    assert with_checkpoints.language_attention == without.language_attention * 4 // 3
    assert without.language_linear < with_checkpoints.language_linear < without.language_linear * 3 // 2
    assert without.tower_attention < with_checkpoints.tower_attention < without.tower_attention * 4 // 3


def test_an_image_costs_less_than_a_video():
    config = build_config()
    image, video = (recipe_cost(RECIPE, config, num_frames=frames, num_text_tokens=4).total_flops for frames in (1, 8))
    assert 5 * image < video < 9 * image


def test_recipes_without_the_temporal_encoding_are_for_images():
    config = build_config()
    assert row_sizes(check_recipe(RECIPE, config), config) == {}
    assert row_sizes(check_recipe({}, config), config) == {}
    assert row_sizes(check_recipe(ADAPTER_ONLY, config), config) == {"num_frames": 1, "tokens_per_frame": 16}
