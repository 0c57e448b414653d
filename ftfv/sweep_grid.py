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
Reads a grid, the YAML file of a sweep: cells of training stages, how often each is repeated, and what they are asked.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from .training.stages import recipe_path


GRIDS = Path(recipe_path("s4v")).parent.parent / "grids"


@dataclass(frozen=True)
class Stage:
    """
    A stage of a cell, see [`ftfv.training.stages.run_stage`].

    Attributes:
        recipe (`str`): name of a recipe of ours or path of another.
        model (`str`, *optional*): model to start from; by default that of the stage before, and of the recipe in the
            first stage.
        data (`str`, *optional*): data set folder; by default the recipe's `datasets`.
        options (`Mapping`): options of `trl sft` in place of the recipe's.
        env (`Mapping[str, str]`): environment variables in place of the recipe's `env`.
    """

    recipe: str
    model: str | None
    data: str | None
    options: Mapping[str, Any]
    env: Mapping[str, str]


@dataclass(frozen=True)
class Cell:
    """
    One line of the tables: a way to train a model, or a model to compare with.

    Attributes:
        name (`str`): as the tables call it.
        stages (`tuple[Stage, ...]`): in order; none for a model that is only asked.
        model (`str`, *optional*): the model of a cell without stages.
    """

    name: str
    stages: tuple[Stage, ...]
    model: str | None = None

    @property
    def folder(self) -> str:
        """Name of the cell's folder."""
        return re.sub(r"[^a-z0-9]+", "_", self.name.lower()).strip("_")


@dataclass(frozen=True)
class Grid:
    """
    What a sweep runs.

    Attributes:
        title, text (`str`): heading and introduction of the report.
        seeds (`tuple[int, ...]`): every cell with stages is trained with each of them.
        cells (`tuple[Cell, ...]`): in the order of the tables.
        questions (`str`): folder of rows with one question and its answer each, with a `skill`.
        tokens_per_frame (`tuple[int, ...]`): every K that the clips are asked with; the model's own if there is none.
        skills (`tuple[str, ...]`): the skills about clips that the plot shows.
    """

    title: str
    text: str
    seeds: tuple[int, ...]
    cells: tuple[Cell, ...]
    questions: str
    tokens_per_frame: tuple[int, ...]
    skills: tuple[str, ...]


def grid_path(grid: str | Path) -> Path:
    """
    Path of a grid of ours, such as `"miniature/table5"`, or of another one, given as a path that ends in `.yaml`.

    Raises:
        FileNotFoundError: there is no such grid.
    """
    path = Path(grid) if str(grid).endswith(".yaml") else GRIDS / f"{grid}.yaml"
    if not path.is_file():
        known = sorted(str(other.relative_to(GRIDS).with_suffix("")) for other in GRIDS.rglob("*.yaml"))
        raise FileNotFoundError(f"No grid {str(grid)!r}; expected a YAML file or one of {', '.join(known)}.")
    return path


def read_grid(grid: str | Path) -> Grid:
    """
    Reads and checks a grid, see [`grid_path`].

    Raises:
        FileNotFoundError: there is no such grid, or a recipe that it names.
        ValueError: the grid lacks a key or has one that means nothing.
    """
    path = grid_path(grid)
    content = _mapping(
        yaml.safe_load(path.read_text()), str(path), ("title", "cells", "evaluation"), ("text", "seeds")
    )
    evaluation = _mapping(content["evaluation"], "evaluation", ("questions", "skills"), ("tokens_per_frame",))
    if not isinstance(content["cells"], Mapping) or not content["cells"]:
        raise ValueError(f"{path}: `cells` is {content['cells']!r}; expected stages by the name of their cell.")
    cells = tuple(_read_cell(str(name), cell) for name, cell in content["cells"].items())
    folders = [cell.folder for cell in cells]
    if len(set(folders)) < len(folders) or not all(folders):
        raise ValueError(f"{path}: the names of `cells` give the folders {', '.join(folders)}; expected each once.")
    seeds = _whole_numbers(content.get("seeds", [0]), "seeds")
    if not seeds:
        raise ValueError("`seeds` is []; expected at least one.")
    if not isinstance(evaluation["skills"], list):
        raise ValueError(f"`skills` is {evaluation['skills']!r}; expected a list.")
    return Grid(
        title=str(content["title"]),
        text=str(content.get("text", "")),
        seeds=seeds,
        cells=cells,
        questions=str(evaluation["questions"]),
        tokens_per_frame=_whole_numbers(evaluation.get("tokens_per_frame", []), "tokens_per_frame"),
        skills=tuple(evaluation["skills"]),
    )


def _read_cell(name: str, content: Any) -> Cell:
    if isinstance(content, str):
        return Cell(name, (), content)
    if not isinstance(content, Sequence) or not content:
        raise ValueError(f"Cell {name!r} is {content!r}; expected a list of stages, or a model to compare with.")
    return Cell(name, tuple(_read_stage(f"cell {name!r}", stage) for stage in content))


def _read_stage(place: str, content: Any) -> Stage:
    content = _mapping(content, place, ("recipe",), ("model", "data", "options", "env"))
    recipe_path(content["recipe"])
    for name in ("model", "data"):
        if not isinstance(content.get(name, ""), str):
            raise ValueError(f"{place}: `{name}` is {content[name]!r}; expected a folder.")
    for name in ("options", "env"):
        if not isinstance(content.get(name, {}), Mapping):
            raise ValueError(f"{place}: `{name}` is {content[name]!r}; expected names and values.")
    env = {name: str(value) for name, value in content.get("env", {}).items()}
    return Stage(content["recipe"], content.get("model"), content.get("data"), content.get("options", {}), env)


def _mapping(content: Any, place: str, required: Sequence[str], optional: Sequence[str]) -> Mapping[str, Any]:
    if not isinstance(content, Mapping):
        raise ValueError(f"{place} is {content!r}; expected {', '.join(required)}.")
    missing = [name for name in required if name not in content]
    unknown = [name for name in content if name not in (*required, *optional)]
    if missing or unknown:
        problems = [f"lacks {', '.join(missing)}"] if missing else []
        problems += [f"has {', '.join(map(str, unknown))}, which means nothing"] if unknown else []
        raise ValueError(f"{place} {' and '.join(problems)}; expected {', '.join((*required, *optional))}.")
    return content


def _whole_numbers(content: Any, name: str) -> tuple[int, ...]:
    if not isinstance(content, list) or not all(type(number) is int for number in content):
        raise ValueError(f"`{name}` is {content!r}; expected a list of whole numbers.")
    return tuple(content)
