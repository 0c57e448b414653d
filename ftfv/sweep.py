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
"""`ftfv sweep`: trains and measures every cell of a grid, then writes tables and a plot."""

import argparse
from pathlib import Path
from typing import Any


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `ftfv sweep`."""
    parser.add_argument(
        "grid", metavar="GRID", help="YAML file of cells, or the name of a grid of ours, such as miniature/table5"
    )
    parser.add_argument(
        "--output", required=True, help="folder for models, results, tables and plot; a rerun continues"
    )
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time, on a machine without GPU (default: 1)")
    parser.add_argument("--dry-run", action="store_true", help="list the runs and what is done, and stop")
    parser.add_argument("--json", action="store_true", help="print all results as one JSON document")


def run(args: argparse.Namespace) -> dict[str, Any] | None:
    """Runs what is not done yet; says where the report lies, or returns the results for `--json`."""
    from .sweep_cells import list_runs, read_results, run_cells
    from .sweep_grid import read_grid

    grid, output = read_grid(args.grid), Path(args.output)
    results = read_results(grid, output)
    if args.dry_run:
        runs = {run.name: (output / run.name / "result.json").is_file() for run in list_runs(grid)}
        if args.json:
            return runs
        for name, is_done in runs.items():
            print(f"{name}: {'done' if is_done else 'to do'}")
        return None
    _check_machine(args.jobs)
    _check_inputs(grid)
    run_cells(grid, output, args.jobs)
    results = read_results(grid, output)
    if args.json:
        return results
    from .sweep_report import write_sweep_report

    print(write_sweep_report(output, grid, results))
    return None


def _check_machine(jobs: int) -> None:
    import torch

    if jobs < 1:
        raise ValueError(f"--jobs is {jobs}; expected 1 or more.")
    if jobs > 1 and torch.cuda.is_available():
        raise ValueError(f"--jobs is {jobs}, but there is a GPU, and a run takes all GPUs; leave out --jobs.")


def _check_inputs(grid: Any) -> None:
    """All folders that are named, before the first run: the last cell must not fail after hours."""
    from .model_folder import check_model_folder
    from .training.data.dataset_folder import read_rows

    skills = {row["skill"] for row in read_rows(grid.questions)}
    if missing := [skill for skill in grid.skills if skill not in skills]:
        raise ValueError(f"{grid.questions} has no questions of the skill {missing[0]!r}, which the grid asks for.")
    for cell in grid.cells:
        for model in (cell.model, *(stage.model for stage in cell.stages)):
            if model is not None:
                check_model_folder(model)
        for stage in cell.stages:
            if stage.data is not None and not Path(stage.data).is_dir():
                raise FileNotFoundError(f"Cell {cell.name!r}: no data set folder {stage.data!r}.")
