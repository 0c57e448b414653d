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
"""The grids: those of the paper ask for its data, TRL knows the options of all of them, and mistakes are named."""

import re

import pytest
import yaml
from trl import DatasetMixtureConfig, ModelConfig, ScriptArguments, SFTConfig, TrlParser

from ftfv.sweep_grid import GRIDS, Cell, grid_path, read_grid
from ftfv.training.stages import read_recipe
from tests.tiny import ROOT


NAMES = sorted(str(path.relative_to(GRIDS).with_suffix("")) for path in GRIDS.rglob("*.yaml"))
IMAGES = {"pretrain": ["grit", "visual_genome", "vqav2", "gqa", "laion", "sharegpt4v_captions"]}
IMAGES["instruct"] = ["sharegpt4v", "m3it"]


def datasets(stage):
    options = {**read_recipe(stage.recipe), **stage.options}
    return [entry["path"].removeprefix("data/") for entry in options["datasets"]]


def test_the_grids_of_the_paper_and_their_miniatures_are_there():
    assert set(NAMES) == {f"{size}{name}" for size in ("", "miniature/") for name in ("figure3", "table5", "table6")}


def test_figure_3_has_three_strategies_at_four_shares():
    cells = {cell.name: cell for cell in read_grid("figure3").cells}
    expected = {}
    for share in (10, 30, 60, 100):
        instruct = [*IMAGES["instruct"], f"video_instruct_{share}"]
        expected[f"S4-V {share} %"] = [[f"video_instruct_{share}"]]
        expected[f"S3-IV {share} %"] = [instruct]
        expected[f"S2-S3-IV {share} %-{share} %"] = [[*IMAGES["pretrain"], f"valley_{share}"], instruct]
    found = {name: [datasets(stage) for stage in cell.stages] for name, cell in cells.items()}
    assert found.pop("FTFV image") == []
    assert found.pop("S4-V with images") == [["video_instruct_10", "sharegpt4v_replay", "m3it_replay"]]
    assert found == expected


def test_table_5_has_one_model_for_each_k_and_one_for_all():
    grid = read_grid("table5")
    assert grid.tokens_per_frame == (4, 16, 32, 64, 128, 256)
    ranges = {cell.name: cell.stages[0].env["FTFV_TOKENS_PER_FRAME_RANGE"] for cell in grid.cells}
    assert ranges == {**{f"K = {count}": f"{count}-{count}" for count in grid.tokens_per_frame}, "any K": "4-256"}


@pytest.mark.parametrize(
    ("name", "all_types"), [("table6", "data/videochat2"), ("miniature/table6", "miniature/data")]
)
def test_table_6_has_the_six_types_all_and_vqa_with_reasoning(name, all_types):
    cells = [cell for cell in read_grid(name).cells if cell.stages]
    assert [cell.name for cell in cells] == [
        *("all", "classification", "simple caption", "detailed caption", "conversation", "vqa", "reasoning"),
        "vqa + reasoning",
    ]
    places = [str(cell.stages[0].data or cell.stages[0].options["datasets"][0]["path"]) for cell in cells]
    assert len(set(places)) == 8 and all(place.startswith(all_types) for place in places)


@pytest.mark.parametrize("name", NAMES)
def test_trl_parses_every_stage(name, tmp_path):
    grid = read_grid(name)
    assert set(grid.seeds) == ({0, 1, 2} if "/" in name else {0})
    for cell in grid.cells:
        for stage in cell.stages:
            options = {**read_recipe(stage.recipe), "output_dir": "out", "use_cpu": True, **stage.options}
            options["model_name_or_path"] = stage.model or "model"
            if stage.data is not None:
                options["dataset_name"] = stage.data
            options.pop("env", None)
            (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(options))
            words = ["--config", str(tmp_path / "recipe.yaml")]
            # a parser of its own each: it keeps the values of the file it read before as defaults
            parser = TrlParser((ScriptArguments, SFTConfig, ModelConfig, DatasetMixtureConfig))
            script, training, _, mixture, launch, rest = parser.parse_args_and_config(
                words, return_remaining_strings=True, separate_remaining_strings=True
            )
            assert launch == [] and rest == []
            assert training.assistant_only_loss
            assert bool(mixture.datasets) != (script.dataset_name is not None)


def write(tmp_path, **changes):
    content = {
        "title": "Mine",
        "cells": {"one": [{"recipe": "s4v"}]},
        "evaluation": {"questions": "test", "skills": ["direction"]},
        **changes,
    }
    path = tmp_path / "grid.yaml"
    path.write_text(yaml.safe_dump({name: value for name, value in content.items() if value is not None}))
    return path


def test_a_grid_of_ones_own(tmp_path):
    grid = read_grid(write(tmp_path, cells={"S4-V 10 %": [{"recipe": "s4v", "env": {"A": 1}}], "before": "model"}))
    assert grid.seeds == (0,) and grid.tokens_per_frame == ()
    assert grid.cells[0].folder == "s4_v_10" and grid.cells[0].stages[0].env == {"A": "1"}
    assert grid.cells[1] == Cell("before", (), "model")


def test_the_grid_of_the_documentation_is_one(tmp_path):
    [text] = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "training.md").read_text(), flags=re.DOTALL)
    (tmp_path / "grid.yaml").write_text(text)
    grid = read_grid(tmp_path / "grid.yaml")
    assert [len(cell.stages) for cell in grid.cells] == [0, 1, 1]
    assert grid.tokens_per_frame == (16, 128)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"title": None}, r"grid.yaml lacks title; expected title, cells, evaluation, text, seeds\."),
        ({"seed": 1}, r"has seed, which means nothing; expected"),
        ({"seeds": 3}, r"`seeds` is 3; expected a list of whole numbers"),
        ({"seeds": []}, r"`seeds` is \[\]; expected at least one"),
        ({"cells": []}, r"`cells` is \[\]; expected stages by the name of their cell"),
        ({"cells": {"a b": "m", "a_b": "m"}}, r"give the folders a_b, a_b; expected each once"),
        ({"cells": {"one": {"recipe": "s4v"}}}, r"Cell 'one' is .*; expected a list of stages, or a model"),
        ({"cells": {"one": [{"model": "m"}]}}, r"cell 'one' lacks recipe; expected recipe, model, data, options, env"),
        ({"cells": {"one": [{"recipe": "s4v", "data": 3}]}}, r"cell 'one': `data` is 3; expected a folder"),
        ({"cells": {"one": [{"recipe": "s4v", "options": 3}]}}, r"cell 'one': `options` is 3; expected names and"),
        ({"evaluation": {"questions": "test"}}, r"evaluation lacks skills"),
        ({"evaluation": {"questions": "t", "skills": "direction"}}, r"`skills` is 'direction'; expected a list"),
        (
            {"evaluation": {"questions": "t", "skills": ["direction"], "tokens_per_frame": ["4"]}},
            r"`tokens_per_frame` is \['4'\]; expected a list of whole numbers",
        ),
    ],
)
def test_a_mistake_is_named(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        read_grid(write(tmp_path, **changes))


def test_unknown_names_list_the_known_ones(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"No grid 'table7'; expected a YAML file or one of figure3, miniature/"
    ):
        grid_path("table7")
    with pytest.raises(FileNotFoundError, match=r"No recipe 's5v'; expected one of align"):
        read_grid(write(tmp_path, cells={"one": [{"recipe": "s5v"}]}))
