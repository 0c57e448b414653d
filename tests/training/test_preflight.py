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
"""What a recipe trains is told without weights, and a name that matches nothing, or too much, is refused."""

import pytest
import torch
from peft import LoraConfig, get_peft_model

from ftfv.training.data.dataset_folder import conversation_row, write_rows
from ftfv.training.preflight import check_recipe
from tests.tiny import build_model


RECIPE = {
    "use_peft": True,
    "lora_r": 4,
    "lora_target_modules": r".*language_model.*\.(q_proj|down_proj)",
    "lora_modules_to_save": [
        "model.multi_modal_projector",
        "model.temporal_encoding",
        "vision_tower.encoder.layers.1",
    ],
}
SKIPPED = ["model.vision_tower", "model.temporal_encoding", "model.multi_modal_projector", "lm_head"]


def quantized(*skipped, **settings):
    return {
        **RECIPE,
        "model_init_kwargs": {"quantization_config": {"llm_int8_skip_modules": list(skipped), **settings}},
    }


def test_counts_are_those_of_the_model_that_peft_makes(saved_folder):
    preflight = check_recipe(RECIPE, saved_folder)
    lora = LoraConfig(
        r=4,
        target_modules=RECIPE["lora_target_modules"],
        modules_to_save=RECIPE["lora_modules_to_save"],
        task_type="CAUSAL_LM",
    )
    model = build_model()
    num_parameters = model.num_parameters()
    trained = [parameter for parameter in get_peft_model(model, lora).parameters() if parameter.requires_grad]
    assert preflight.num_trained == sum(parameter.numel() for parameter in trained)
    assert sum(module.num_tensors for module in preflight.trained) == len(trained)
    assert preflight.num_parameters == num_parameters and preflight.num_quantized == 0


def test_the_table_names_every_module_with_its_count_and_share(saved_folder):
    preflight = check_recipe(RECIPE, saved_folder)
    by_name = {module.name: module for module in preflight.trained}
    assert set(by_name) == {
        "model.vision_tower.encoder.layers.1",
        "model.temporal_encoding",
        "model.multi_modal_projector",
        "model.language_model.layers.*.self_attn.q_proj",
        "model.language_model.layers.*.mlp.down_proj",
    }
    assert by_name["model.temporal_encoding"].num_parameters == 8 * 24
    # A and B of each of two layers.
    query = by_name["model.language_model.layers.*.self_attn.q_proj"]
    assert (query.how, query.num_tensors, query.num_parameters) == ("LoRA, rank 4", 4, 2 * 4 * (32 + 32))
    lines = preflight.table().splitlines()
    assert lines[0].split() == ["trains", "how", "tensors", "parameters", "share"]
    share = f"{8 * 24 / preflight.num_parameters:.3%}"
    assert any(line.split() == ["model.temporal_encoding", "in", "full", "1", "192", share] for line in lines)
    assert lines[-1].startswith(f"of {preflight.num_parameters:,}") and f"{preflight.num_trained:,}" in lines[-1]


def test_without_peft_the_whole_model_trains(saved_folder):
    (whole,) = check_recipe({}, saved_folder).trained
    assert whole.num_parameters == build_model().num_parameters()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"lora_modules_to_save": ["model.temporal_encodin"]},
            "names 'model.temporal_encodin', which matches no module",
        ),
        ({"lora_modules_to_save": ["layers.[01]"]}, r"names 'layers.\[01\]', which matches no module"),
        # Both the tower and the language model have such layers.
        ({"lora_modules_to_save": ["layers.1"]}, "names 'layers.1', which matches 2 modules, 'model.vision_tower"),
        ({"lora_target_modules": ".*query_proj"}, "is '.*query_proj', which matches no module"),
        ({"lora_target_modules": ["q_proj", "query_proj"]}, "names 'query_proj', which matches no module"),
        ({"lora_modules_to_save": ["model.multi_modal_projector.sampler"]}, "holds no parameter that can train"),
    ],
)
def test_a_name_that_does_not_mean_one_module_is_refused(changes, message, saved_folder):
    with pytest.raises(ValueError, match=message):
        check_recipe({**RECIPE, **changes}, saved_folder)


def test_the_adapter_trains_alone_under_the_name_that_peft_lets_match_nothing(saved_folder):
    options = {
        "use_peft": True,
        "lora_target_modules": "dummy-target-modules",
        "lora_modules_to_save": ["model.multi_modal_projector"],
    }
    (adapter,) = check_recipe(options, saved_folder).trained
    module = build_model().model.multi_modal_projector
    assert adapter.num_parameters == sum(parameter.numel() for parameter in module.parameters())


def test_quantisation_takes_what_is_not_skipped(saved_folder):
    preflight = check_recipe(quantized(*SKIPPED), saved_folder)
    language = build_model().model.language_model
    linears = [module.weight.numel() for module in language.modules() if isinstance(module, torch.nn.Linear)]
    assert preflight.num_quantized == sum(linears) > 0
    assert preflight.table().endswith(f"quantised: {sum(linears):,} weights, none of which train in full")


@pytest.mark.parametrize(
    ("options", "module"),
    [
        (quantized("model.vision_tower", "lm_head"), "model.multi_modal_projector"),
        (quantized("model.multi_modal_projector", "lm_head"), "model.vision_tower.encoder.layers.1"),
        # TRL's own switch has no way to skip a module.
        ({**RECIPE, "load_in_4bit": True}, "model.multi_modal_projector"),
    ],
)
def test_what_trains_in_full_is_never_quantised(options, module, saved_folder):
    with pytest.raises(
        ValueError, match=f"'{module}' trains in full but '{module}.* would be quantised; name '{module}'"
    ):
        check_recipe(options, saved_folder)


def test_a_quantised_model_does_not_train_whole(saved_folder):
    with pytest.raises(ValueError, match="expected `use_peft: true`"):
        check_recipe({"load_in_4bit": True}, saved_folder)


def test_drawn_k_and_an_evaluation_by_the_trainer_exclude_each_other(saved_folder):
    options = {**RECIPE, "env": {"FTFV_TOKENS_PER_FRAME_RANGE": "2-16"}}
    check_recipe(options, saved_folder)
    with pytest.raises(ValueError, match="draws K by .* and evaluates by `eval_strategy: steps`"):
        check_recipe({**options, "eval_strategy": "steps"}, saved_folder)


@pytest.mark.parametrize("strategy", ["group_by_length", "batch_rebalance"])
def test_batches_by_length_need_the_column(saved_folder, tmp_path, strategy):
    recipe = {**RECIPE, "train_sampling_strategy": strategy}
    with pytest.raises(ValueError, match="would drop the column 'length' .* expected `remove_unused_columns: false`"):
        check_recipe(recipe, saved_folder)
    recipe["remove_unused_columns"] = False
    for name in ("new", "old"):
        write_rows(tmp_path / name, "train", [conversation_row("a.mp4", [("which way ?", "left")])], "")
    card = tmp_path / "old/README.md"
    card.write_text(card.read_text().replace("  - name: length\n    dtype: int64\n", ""))
    check_recipe({**recipe, "datasets": [{"path": "of/somebody"}, {"path": str(tmp_path / "new")}]}, saved_folder)
    for data in (
        {"datasets": [{"path": str(tmp_path / "new")}, {"path": str(tmp_path / "old")}]},
        {"dataset_name": str(tmp_path / "old")},
    ):
        with pytest.raises(ValueError, match=f"rows of {tmp_path}/old have no column 'length'. Write them anew"):
            check_recipe({**recipe, **data}, saved_folder)
        check_recipe({**recipe, **data, "train_sampling_strategy": "random"}, saved_folder)
