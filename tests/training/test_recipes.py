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
The recipes: TRL's own parser takes them, they train on the paper's data what the paper trains, and every module they
name exists.
"""

import re
from pathlib import Path

import pytest
import yaml
from accelerate.commands.config.config_args import ClusterConfig
from trl import DatasetMixtureConfig, ModelConfig, ScriptArguments, SFTConfig, TrlParser

from ftfv import FTFVConfig, FTFVForConditionalGeneration, FTFVVideoProcessor
from ftfv.demo import ASSETS
from ftfv.training.preflight import check_recipe
from ftfv.training.stages import RECIPES, read_recipe, recipe_path


NAMES = sorted(str(path.relative_to(RECIPES).with_suffix("")) for path in RECIPES.rglob("*.yaml"))
FULL_SIZE = [name for name in NAMES if "/" not in name]
ACCELERATE = RECIPES.parent / "accelerate"
LANGUAGE_LINEARS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
VIDEO = {"s4v", "s4v_single_gpu", "s4v_qlora", "s4v_replay", "s3iv", "s2s3iv_pretrain", "s2s3iv_instruct"}

# Tables 1 and 2 of the paper. The folder of a tenth of a set's videos ends in _10.
PRETRAIN = ["grit", "visual_genome", "vqav2", "gqa", "laion", "sharegpt4v_captions"]
INSTRUCT = ["sharegpt4v", "m3it"]
DATASETS = {
    "align": ["laion"],
    "pretrain": PRETRAIN,
    "instruct": INSTRUCT,
    "s4v": ["video_instruct_10"],
    "s4v_single_gpu": ["video_instruct_10"],
    "s4v_qlora": ["video_instruct_10"],
    "s4v_replay": ["video_instruct_10", "sharegpt4v_replay", "m3it_replay"],
    "s3iv": [*INSTRUCT, "video_instruct_10"],
    "s2s3iv_pretrain": [*PRETRAIN, "valley_10"],
    "s2s3iv_instruct": [*INSTRUCT, "video_instruct_10"],
}
LEARNING_RATES = {"align": 2e-4, "pretrain": 5e-5, "s2s3iv_pretrain": 5e-5}
NUM_GPUS = {
    "align": 64,
    **dict.fromkeys(("pretrain", "instruct", "s3iv", "s2s3iv_pretrain", "s2s3iv_instruct"), 16),
    **dict.fromkeys(("s4v", "s4v_replay"), 2),
    **dict.fromkeys(("s4v_single_gpu", "s4v_qlora"), 1),
}


def parse(name, monkeypatch, *arguments):
    monkeypatch.delenv("FTFV_TOKENS_PER_FRAME_RANGE", raising=False)
    parser = TrlParser((ScriptArguments, SFTConfig, ModelConfig, DatasetMixtureConfig))
    words = ["--config", str(recipe_path(name)), *arguments]
    # What TRL does not know it would hand to accelerate.
    *parsed, launch, _ = parser.parse_args_and_config(
        words, return_remaining_strings=True, separate_remaining_strings=True
    )
    return *parsed, launch


@pytest.fixture(scope="module")
def paper_model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("paper")
    FTFVConfig().save_pretrained(folder)
    return folder


def test_the_recipes_of_the_paper_and_their_miniatures_are_there():
    assert set(FULL_SIZE) == set(DATASETS)
    assert [name for name in NAMES if "/" in name] == [
        f"miniature/{name}" for name in ("align", "instruct", "pretrain", "s3iv", "s4v")
    ]


@pytest.mark.parametrize("name", [name for name in NAMES if "/" in name])
def test_trl_parses_a_miniature_recipe(name, monkeypatch):
    _, training, model, _, launch = parse(
        name, monkeypatch, "--model_name_or_path", "model", "--dataset_name", "data", "--output_dir", "out"
    )
    assert training.assistant_only_loss and training.max_length is None
    assert training.trust_remote_code
    assert model.use_peft
    assert not training.bf16 and training.use_cpu
    assert launch == []


@pytest.mark.parametrize("name", FULL_SIZE)
def test_trl_parses_a_recipe_of_the_paper(name, monkeypatch):
    # The tests run where bf16 has no GPU.
    _, training, model, mixture, launch = parse(name, monkeypatch, "--use_cpu", "true")
    assert [Path(dataset.path) for dataset in mixture.datasets] == [Path("data", path) for path in DATASETS[name]]
    assert {dataset.split for dataset in mixture.datasets} == {"train"}
    fractions = [dataset.fraction for dataset in mixture.datasets]
    assert fractions == ([0.9, 0.05, 0.05] if name == "s4v_replay" else [None] * len(fractions))
    assert training.learning_rate == LEARNING_RATES.get(name, 2e-5)
    assert training.num_train_epochs == 1 and training.max_steps == -1
    assert training.assistant_only_loss and training.max_length is None
    assert training.trust_remote_code and training.bf16
    assert model.use_peft and not model.load_in_4bit
    if name == "s4v_qlora":
        assert launch == ["--accelerate_config", "zero2", "--num_processes", "1"]
    else:
        assert launch == [] and model.dtype == "float32"
    if name != "align":
        assert model.lora_r == 128


@pytest.mark.parametrize("name", FULL_SIZE)
def test_a_recipe_says_how_its_data_are_made_and_how_it_is_run(name):
    text = recipe_path(name).read_text()
    header, options = text.partition("\n\n")[0].replace(" \\\n#    ", ""), read_recipe(name)
    assert all(line.startswith("#") for line in header.splitlines())
    made = re.findall(r"^#   ftfv data .* --output (\S+)$", header, flags=re.MULTILINE)
    assert made == [dataset["path"] for dataset in options["datasets"]]
    for path in made:
        if path.endswith("_10"):
            assert re.search(rf"--fraction 0.1 --by video --seed 0 --output {path}$", header, flags=re.MULTILINE)
    (launch,) = re.findall(r"^#   (trl sft .*)$", header, flags=re.MULTILINE)
    assert f"--config training/recipes/{name}.yaml" in launch
    processes = re.search(r"--num_processes (\d+)", launch)
    num_gpus = int(processes.group(1)) if processes else 1
    assert num_gpus == NUM_GPUS[name]
    for config in re.findall(r"--accelerate_config training/accelerate/(\S+)", launch):
        assert (ACCELERATE / config).is_file()
    batch, accumulation = options["per_device_train_batch_size"], options["gradient_accumulation_steps"]
    total = num_gpus * batch * accumulation
    assert f"{num_gpus} GPU{'s' * (num_gpus > 1)} x {batch} x {accumulation} = {total}" in text
    assert total == {64: 256, 16: 128}.get(num_gpus, 64)
    folder = options["output_dir"].removesuffix("/training")
    assert folder == f"runs/{name}" and f"ftfv merge {folder}/training --output {folder}/model" in header


def test_every_stage_starts_from_the_one_before():
    starts = {name: read_recipe(name)["model_name_or_path"] for name in FULL_SIZE}
    assert starts == {
        "align": "models/start",
        "pretrain": "runs/align/model",
        "instruct": "runs/pretrain/model",
        "s3iv": "runs/pretrain/model",
        "s2s3iv_pretrain": "runs/align/model",
        "s2s3iv_instruct": "runs/s2s3iv_pretrain/model",
        **dict.fromkeys(("s4v", "s4v_single_gpu", "s4v_qlora", "s4v_replay"), "runs/instruct/model"),
    }


def test_frames_and_tokens_are_the_papers_by_default():
    config, processor = FTFVConfig(), FTFVVideoProcessor()
    assert (config.num_frames, config.tokens_per_frame) == (8, 128)
    assert (processor.max_num_frames, processor.tokens_per_frame) == (8, 128)


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_trains_what_the_paper_trains(name, paper_model):
    options = read_recipe(name)
    folder = ASSETS if "/" in name else paper_model
    trained = {module.name: module for module in check_recipe(options, folder).trained}
    if name.endswith("align"):
        assert list(trained) == ["model.multi_modal_projector"]
        return
    num_layers = FTFVConfig.from_pretrained(folder).vision_config.num_hidden_layers
    in_full = {f"model.vision_tower.encoder.layers.{layer}" for layer in range(num_layers - 3, num_layers)}
    in_full.add("model.multi_modal_projector")
    if name.removeprefix("miniature/") in VIDEO:
        in_full.add("model.temporal_encoding")
    assert {module for module, part in trained.items() if part.how == "in full"} == in_full
    lora = set(trained) - in_full
    assert {module.rpartition(".")[2] for module in lora} == set(LANGUAGE_LINEARS)
    assert len(lora) == 7 and all(module.startswith("model.language_model.layers.*.") for module in lora)


@pytest.mark.parametrize("name", [name for name in NAMES if "/" in name])
def test_a_miniature_recipe_trains_the_modules_of_the_full_one(name, paper_model):
    small, full = (
        {
            re.sub(r"layers\.\d+", "layers.N", module.name)
            for module in check_recipe(read_recipe(recipe), folder).trained
        }
        for recipe, folder in ((name, ASSETS), (name.removeprefix("miniature/"), paper_model))
    )
    assert small == full


@pytest.mark.parametrize("name", ["miniature/s4v", "miniature/s3iv"])
def test_the_miniature_video_recipes_draw_the_number_of_tokens(name):
    assert read_recipe(name)["env"] == {"FTFV_TOKENS_PER_FRAME_RANGE": "2-16"}


def test_the_variants_of_s4v_differ_where_they_must():
    s4v = read_recipe("s4v")
    for name, differing in (
        ("s4v_replay", {"datasets", "output_dir", "train_sampling_strategy", "remove_unused_columns"}),
        ("s4v_single_gpu", {"gradient_accumulation_steps", "dataloader_prefetch_factor", "output_dir"}),
        (
            "s4v_qlora",
            {"gradient_accumulation_steps", "per_device_train_batch_size", "output_dir", "dtype", "model_init_kwargs"}
            | {"accelerate_config", "num_processes", "dataloader_prefetch_factor"},
        ),
    ):
        variant = read_recipe(name)
        assert {key for key in {*s4v, *variant} if s4v.get(key) != variant.get(key)} == differing, name


@pytest.mark.parametrize("name", ["fsdp2", "zero2", "zero3"])
def test_accelerate_takes_the_configs(name):
    path = ACCELERATE / f"{name}.yaml"
    config = ClusterConfig.from_yaml_file(yaml_file=str(path))
    assert config.mixed_precision == "bf16" and not config.use_cpu
    if name == "fsdp2":
        wrapped = config.fsdp_config["fsdp_transformer_layer_cls_to_wrap"].split(",")
        model = FTFVForConditionalGeneration.from_pretrained(ASSETS)
        assert set(wrapped) == set(model._no_split_modules)
        assert set(wrapped) <= {type(module).__name__ for module in model.modules()}
    else:
        assert config.deepspeed_config["zero_stage"] == int(name[-1])


def test_every_number_of_a_recipe_is_accounted_for():
    for name in FULL_SIZE:
        for line in recipe_path(name).read_text().splitlines():
            if re.match(r"(num_train_epochs|learning_rate|lora_r|lora_alpha|lora_dropout|per_device_)", line):
                assert "#" in line, (name, line)
        assert yaml.safe_load(recipe_path(name).read_text())


def test_an_unknown_recipe_names_the_known_ones():
    with pytest.raises(FileNotFoundError, match="No recipe 's5'; expected one of align, instruct, miniature/align"):
        recipe_path("s5")


@pytest.mark.parametrize("name", FULL_SIZE)
def test_recipes_with_several_sets_compose_batches_by_length(name, monkeypatch):
    _, training, _, mixture, _ = parse(name, monkeypatch, "--use_cpu", "true")
    assert training.length_column_name == "length"
    if len(mixture.datasets) > 1:
        assert (training.train_sampling_strategy, training.remove_unused_columns) == ("batch_rebalance", False)
    else:
        assert training.train_sampling_strategy == "random"


@pytest.mark.parametrize("name", FULL_SIZE)
def test_the_workers_prepare_all_batches_of_the_next_step(name):
    options = read_recipe(name)
    prepared = options["dataloader_num_workers"] * options.get("dataloader_prefetch_factor", 2)
    assert prepared >= options["gradient_accumulation_steps"]
