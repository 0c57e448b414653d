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
"""The recipes: TRL's own parser takes them, and every module they name exists in the miniature."""

import re

import pytest
from transformers import AutoModelForImageTextToText
from trl import DatasetMixtureConfig, ModelConfig, ScriptArguments, SFTConfig, TrlParser

from ftfv.demo import ASSETS
from ftfv.training.stages import RECIPES, read_recipe, recipe_path


NAMES = sorted(str(path.relative_to(RECIPES).with_suffix("")) for path in RECIPES.rglob("*.yaml"))
LANGUAGE_LINEARS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def parse(name, monkeypatch):
    monkeypatch.delenv("FTFV_TOKENS_PER_FRAME_RANGE", raising=False)
    parser = TrlParser((ScriptArguments, SFTConfig, ModelConfig, DatasetMixtureConfig))
    arguments = ["--config", str(recipe_path(name)), "--model_name_or_path", "model", "--dataset_name", "data"]
    # Unknown keys fail here; `trl sft` itself would hand them to accelerate.
    return parser.parse_args_and_config([*arguments, "--output_dir", "out"])


def test_the_four_stages_and_the_joint_one_are_there():
    assert NAMES == [f"miniature/{name}" for name in ("align", "instruct", "pretrain", "s3iv", "s4v")]


@pytest.mark.parametrize("name", NAMES)
def test_trl_parses_the_recipe(name, monkeypatch):
    _, training, model, _ = parse(name, monkeypatch)
    assert training.assistant_only_loss and training.max_length is None
    assert training.trust_remote_code
    assert model.use_peft
    assert not training.bf16 and training.use_cpu


@pytest.mark.parametrize("name", NAMES)
def test_every_module_that_a_recipe_names_exists(name, monkeypatch):
    _, _, options, _ = parse(name, monkeypatch)
    model = AutoModelForImageTextToText.from_pretrained(ASSETS)
    names = [module for module, _ in model.named_modules()]
    for entry in options.lora_modules_to_save:
        # PEFT matches by the end of the name and silently skips an entry that matches nothing.
        assert sum(module.endswith(entry) for module in names) == 1, entry
    if name == "miniature/align":
        assert options.lora_modules_to_save == ["model.multi_modal_projector"]
        return
    [pattern] = (
        [options.lora_target_modules] if isinstance(options.lora_target_modules, str) else options.lora_target_modules
    )
    targeted = [module for module in names if re.fullmatch(pattern, module)]
    assert len(targeted) == 7 * model.config.text_config.num_hidden_layers
    assert {module.rpartition(".")[2] for module in targeted} == set(LANGUAGE_LINEARS)
    assert all("language_model" in module for module in targeted)
    num_layers = model.config.vision_config.num_hidden_layers
    layers = [f"vision_tower.encoder.layers.{layer}" for layer in range(num_layers - 3, num_layers)]
    assert [entry for entry in options.lora_modules_to_save if "vision_tower" in entry] == layers
    trains_on_video = name in ("miniature/s4v", "miniature/s3iv")
    assert ("model.temporal_encoding" in options.lora_modules_to_save) == trains_on_video


@pytest.mark.parametrize("name", ["miniature/s4v", "miniature/s3iv"])
def test_video_recipes_draw_the_number_of_tokens(name):
    assert read_recipe(name)["env"] == {"FTFV_TOKENS_PER_FRAME_RANGE": "2-16"}


def test_an_unknown_recipe_names_the_known_ones():
    with pytest.raises(FileNotFoundError, match="No recipe 's5'; expected one of miniature/align, miniature/instruct"):
        recipe_path("s5")
