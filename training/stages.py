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
Runs one stage of training: the check of a recipe, the recipe by plain `trl sft` in its own process, then the merge. An
interrupted stage continues.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import yaml

from .data.media import write_text
from .merge import merge
from .preflight import check_recipe


RECIPES = Path(__file__).parent / "recipes"


def recipe_path(recipe: str | Path) -> Path:
    """
    Path of a recipe of ours, such as `"miniature/s4v"`, or of another one, given as a path that ends in `.yaml`.

    Raises:
        FileNotFoundError: there is no such recipe.
    """
    if str(recipe).endswith(".yaml"):
        path = Path(recipe)
        if not path.is_file():
            raise FileNotFoundError(f"No recipe {str(recipe)!r}; expected a YAML file of options of `trl sft`.")
        return path
    path = RECIPES / f"{recipe}.yaml"
    if not path.is_file():
        known = sorted(str(other.relative_to(RECIPES).with_suffix("")) for other in RECIPES.rglob("*.yaml"))
        raise FileNotFoundError(f"No recipe {recipe!r}; expected one of {', '.join(known)}.")
    return path


def read_recipe(recipe: str | Path) -> dict[str, Any]:
    """
    Options of a recipe, see [`recipe_path`].

    Raises:
        FileNotFoundError: there is no such recipe.
        ValueError: the file holds no options.
    """
    path = recipe_path(recipe)
    options = yaml.safe_load(path.read_text())
    if not isinstance(options, dict):
        raise ValueError(f"{str(path)!r} holds no options; expected a mapping of options of `trl sft`.")
    return options


def run_stage(
    recipe: str | Path,
    model_folder: str | Path,
    dataset_folder: str | Path | None,
    output_folder: str | Path,
    *,
    overrides: Mapping[str, object] | None = None,
    environment: Mapping[str, str] | None = None,
    dtype: str | torch.dtype = "auto",
) -> Path:
    """
    Prints what the recipe trains, trains with `trl sft --config RECIPE` from the last checkpoint there is, and merges
    the result.

    Args:
        recipe (`str` or `Path`): name of a recipe of ours or path of another, see [`recipe_path`].
        model_folder (`str` or `Path`): model to start from.
        dataset_folder (`str` or `Path`, *optional*): rows in TRL form with a dataset card; relative media paths start
            here. Not given where the recipe names its `datasets`.
        output_folder (`str` or `Path`): receives `recipe.yaml` (what ran), `training/` (what TRL
            writes) and `model/` (the merged model).
        overrides (`Mapping[str, object]`, *optional*): options of `trl sft` in place of the recipe's.
        environment (`Mapping[str, str]`, *optional*): further environment variables of the training process, in place
            of the recipe's `env`.
        dtype (`str` or `torch.dtype`, *optional*, defaults to `"auto"`): type of the merged weights, by default the
            base's.

    Returns:
        `Path` of the merged model. A stage that is complete already is not run again.

    Raises:
        ValueError: a name in the recipe matches nothing, see [`check_recipe`].
        RuntimeError: `trl sft` failed.
    """
    output_folder = Path(output_folder)
    training_folder, merged_folder = output_folder / "training", output_folder / "model"
    if merged_folder.exists():
        return merged_folder
    if not (output_folder / "duration.json").exists():
        # The cache of `datasets` knows a local data set by the name of its folder and its card alone: another set, or
        # the same one written anew, would silently train on the rows of the first.
        surroundings = {"HF_DATASETS_CACHE": str((output_folder / "datasets").resolve())}
        # The launcher behind `trl sft` gives a process without a GPU one thread unless it is told otherwise.
        surroundings["OMP_NUM_THREADS"] = os.environ.get("OMP_NUM_THREADS", str(torch.get_num_threads()))
        options = {**read_recipe(recipe), "model_name_or_path": str(Path(model_folder).resolve())}
        options["output_dir"] = str(training_folder.resolve())
        if dataset_folder is not None:
            # TRL would read `datasets` and leave the other out.
            options.pop("datasets", None)
            options["dataset_name"] = surroundings["FTFV_MEDIA_ROOT"] = str(Path(dataset_folder).resolve())
        options.update(overrides or {})
        surroundings.update(environment or {})
        options["env"] = {**(options.get("env") or {}), **surroundings}
        sys.stderr.write(check_recipe(options, model_folder).table() + "\n")
        checkpoint = last_checkpoint(training_folder)
        if checkpoint is not None:
            options["resume_from_checkpoint"] = str(checkpoint.resolve())
        write_text(output_folder / "recipe.yaml", yaml.safe_dump(options, sort_keys=False, allow_unicode=True))
        start = time.perf_counter()
        run_trl(output_folder / "recipe.yaml", surroundings)
        duration = {
            "seconds": round(time.perf_counter() - start, 1),
            "first_step": _step_of(checkpoint),
            "last_step": _step_of(last_checkpoint(training_folder)),
            "batch_size": options["per_device_train_batch_size"],
        }
        write_text(output_folder / "duration.json", json.dumps(duration) + "\n")
    merge(training_folder, merged_folder, dtype=dtype)
    return merged_folder


def read_duration(output_folder: str | Path) -> dict[str, float]:
    """
    Of a stage's last `trl sft` process: `seconds`, its start included, `first_step`, `last_step` and `batch_size`.
    """
    return json.loads((Path(output_folder) / "duration.json").read_text())


def last_checkpoint(training_folder: str | Path) -> Path | None:
    """The latest complete `checkpoint-N` folder, or None."""
    states = Path(training_folder).glob("checkpoint-*/trainer_state.json")
    return max((path.parent for path in states if _is_complete(path)), key=_step_of, default=None)


def _is_complete(state: Path) -> bool:
    # The trainer writes it last, and an interruption can leave half of it.
    try:
        json.loads(state.read_text())
    except ValueError:
        return False
    return True


def _step_of(checkpoint: Path | None) -> int:
    return 0 if checkpoint is None else int(checkpoint.name.rpartition("-")[2])


def run_trl(recipe: str | Path, environment: Mapping[str, str] | None = None) -> None:
    """
    Runs `trl sft --config RECIPE` in its own process.

    Raises:
        RuntimeError: it failed.
    """
    command = [str(Path(sys.executable).with_name("trl")), "sft", "--config", str(recipe)]
    process = subprocess.run(command, env={**os.environ, **(environment or {})}, check=False)  # noqa: S603
    if process.returncode != 0:
        raise RuntimeError(
            f"`{' '.join(command)}` ended with exit code {process.returncode}; its own message is above. Run the same "
            "command again to continue from the last checkpoint."
        )
