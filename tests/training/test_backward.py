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
"""How far the backward pass of each recipe goes into the vision tower, with every kind of gradient checkpointing."""

import pytest
import torch
from peft import get_peft_model
from trl import ModelConfig, get_peft_config

from ftfv.training.stages import RECIPES, read_recipe
from tests.backward import backward
from tests.tiny import build_config, build_model


RECIPES_OF_THE_PAPER = sorted(path.stem for path in RECIPES.glob("*.yaml"))


@pytest.mark.parametrize("use_reentrant", [None, False, True])
@pytest.mark.parametrize("recipe", RECIPES_OF_THE_PAPER)
def test_a_recipe_goes_back_through_the_layers_that_train_and_no_further(recipe, use_reentrant):
    """Of the 48 layers of the paper's tower, here of tiny width, so that the recipes' names match."""
    options = read_recipe(recipe)
    names = ("use_peft", "lora_r", "lora_alpha", "lora_dropout", "lora_target_modules", "lora_modules_to_save")
    config = get_peft_config(ModelConfig(**{name: options[name] for name in names if name in options}))
    config.r = 2
    torch.manual_seed(0)
    model = get_peft_model(build_model(build_config(vision_config={"num_hidden_layers": 48})).train(), config)
    if use_reentrant is not None:
        model.enable_input_require_grads()  # as TRL does
    is_video = "model.temporal_encoding" in options["lora_modules_to_save"]
    visited, gradients = backward(model, use_reentrant, is_video)
    assert visited == (set() if recipe == "align" else {45, 46, 47})
    assert any("multi_modal_projector" in name for name in gradients)
    assert any("temporal_encoding" in name for name in gradients) == is_video
    assert any("lora_A" in name for name in gradients) == (recipe != "align")
