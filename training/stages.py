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
Runs one stage of training: a recipe by plain `trl sft` in its own process, then the merge. An interrupted stage
continues.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
import yaml

from .data.media import write_text
from .merge import merge


RECIPES = Path(__file__).parent / "recipes"


def recipe_path(name: str) -> Path:
    """
    Path of a recipe of ours, such as `"miniature/s4v"`.

    Raises:
        FileNotFoundError: there is no such recipe.
    """
    path = RECIPES / f"{name}.yaml"
    if not path.is_file():
        known = sorted(str(other.relative_to(RECIPES).with_suffix("")) for other in RECIPES.rglob("*.yaml"))
        raise FileNotFoundError(f"No recipe {name!r}; expected one of {', '.join(known)}.")
    return path


def read_recipe(name: str) -> dict[str, object]:
    """Options of a recipe of ours, see [`recipe_path`]."""
    return yaml.safe_load(recipe_path(name).read_text())


def run_stage(
    recipe: str,
    model_folder: str | Path,
    dataset_folder: str | Path,
    output_folder: str | Path,
    *,
    overrides: Mapping[str, object] | None = None,
    environment: Mapping[str, str] | None = None,
    dtype: str | torch.dtype = "auto",
) -> Path:
    """
    Trains with `trl sft --config RECIPE` from the last checkpoint there is, and merges the result.

    Args:
        recipe (`str`): name of a recipe of ours, see [`recipe_path`].
        model_folder (`str` or `Path`): model to start from.
        dataset_folder (`str` or `Path`): rows in TRL form with a dataset card; relative media paths start here.
        output_folder (`str` or `Path`): receives `training/` (what TRL writes) and `model/` (the merged model).
        overrides (`Mapping[str, object]`, *optional*): options of `trl sft` in place of the recipe's.
        environment (`Mapping[str, str]`, *optional*): further environment variables of the training process.
        dtype (`str` or `torch.dtype`, *optional*, defaults to `"auto"`): type of the merged weights, by default the
            base's.

    Returns:
        `Path` of the merged model. A stage that is complete already is not run again.

    Raises:
        RuntimeError: `trl sft` failed.
    """
    output_folder = Path(output_folder)
    training_folder, merged_folder = output_folder / "training", output_folder / "model"
    if merged_folder.exists():
        return merged_folder
    if not (output_folder / "duration.json").exists():
        options: dict[str, object] = {
            "model_name_or_path": Path(model_folder).resolve(),
            "dataset_name": Path(dataset_folder).resolve(),
            "output_dir": training_folder.resolve(),
            **(overrides or {}),
        }
        checkpoint = last_checkpoint(training_folder)
        if checkpoint is not None:
            options["resume_from_checkpoint"] = checkpoint.resolve()
        surroundings = {
            "FTFV_MEDIA_ROOT": str(Path(dataset_folder).resolve()),
            # The cache of `datasets` knows a local data set by the name of its folder and its card alone: another set,
            # or the same one written anew, would silently train on the rows of the first.
            "HF_DATASETS_CACHE": str((output_folder / "datasets").resolve()),
            # The launcher behind `trl sft` gives a process without a GPU one thread unless it is told otherwise.
            "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(torch.get_num_threads())),
            **(environment or {}),
        }
        start = time.perf_counter()
        _run_trl(recipe_path(recipe), options, surroundings)
        duration = {
            "seconds": round(time.perf_counter() - start, 1),
            "first_step": _step_of(checkpoint),
            "last_step": _step_of(last_checkpoint(training_folder)),
            "batch_size": read_recipe(recipe)["per_device_train_batch_size"],
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
    checkpoints = [path.parent for path in Path(training_folder).glob("checkpoint-*/trainer_state.json")]
    return max(checkpoints, key=_step_of, default=None)


def _step_of(checkpoint: Path | None) -> int:
    return 0 if checkpoint is None else int(checkpoint.name.rpartition("-")[2])


def _run_trl(recipe: Path, options: Mapping[str, object], environment: Mapping[str, str]) -> None:
    command = [str(Path(sys.executable).with_name("trl")), "sft", "--config", str(recipe)]
    for name, value in options.items():
        values: Sequence[object] = value if isinstance(value, (list, tuple)) else [value]
        command += [f"--{name}", *map(str, values)]
    process = subprocess.run(command, env={**os.environ, **environment}, check=False)  # noqa: S603
    if process.returncode != 0:
        raise RuntimeError(
            f"`{' '.join(command)}` ended with exit code {process.returncode}; its own message is above. Run the same "
            "command again to continue from the last checkpoint."
        )
