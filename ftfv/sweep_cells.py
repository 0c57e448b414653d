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
"""Runs the cells of a sweep: its stages with one seed, then its questions. What is done is not done again."""

import contextlib
import json
import multiprocessing
import os
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .steps import write_json
from .sweep_grid import Cell, Grid


@dataclass(frozen=True)
class Run:
    """A cell with one seed; no seed for a model that is only asked."""

    cell: Cell
    seed: int | None

    @property
    def name(self) -> str:
        return self.cell.folder if self.seed is None else f"{self.cell.folder}/seed_{self.seed}"


def list_runs(grid: Grid) -> list[Run]:
    """All runs, the first seed of every cell before the second, so that an early look shows the whole table."""
    compared = [Run(cell, None) for cell in grid.cells if not cell.stages]
    return compared + [Run(cell, seed) for seed in grid.seeds for cell in grid.cells if cell.stages]


def read_results(grid: Grid, output: Path) -> dict[str, list[dict[str, Any]]]:
    """
    What is measured so far, by the name of the cell.

    Raises:
        ValueError: a run was made from other settings.
    """
    results: dict[str, list[dict[str, Any]]] = {}
    for run in list_runs(grid):
        path = output / run.name / "result.json"
        if path.is_file():
            result = json.loads(path.read_text())
            wanted = json.loads(json.dumps(_request(grid, run)))
            if result["request"] != wanted:
                differing = [name for name in wanted if result["request"].get(name) != wanted[name]]
                raise ValueError(
                    f"{path} was made with other {', '.join(differing)}; take another --output or delete "
                    f"{path.parent}."
                )
            results.setdefault(run.cell.name, []).append(result)
    return results


def run_cells(grid: Grid, output: Path, jobs: int) -> None:
    """
    Runs what has no result yet, `jobs` runs at a time in processes that share the cores.

    Raises:
        RuntimeError: runs failed; the others are done nevertheless.
    """
    runs = [run for run in list_runs(grid) if not (output / run.name / "result.json").is_file()]
    threads = max(1, (os.cpu_count() or 1) // jobs)
    failures = []
    # A process for each run even if they come one by one: what one leaves in memory does not reach the next.
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), max_tasks_per_child=1) as pool:
        futures = {pool.submit(_run, grid, run, output, threads, jobs > 1): run for run in runs}
        try:
            for number, future in enumerate(as_completed(futures), start=1):
                run, error = futures[future], future.exception()
                if error is not None:
                    failures.append(run.name)
                outcome = "done" if error is None else f"failed: {error}"
                print(f"[{number}/{len(runs)}] {run.name}: {outcome}", file=sys.stderr, flush=True)
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    if failures:
        raise RuntimeError(
            f"{len(failures)} of {len(runs)} runs failed: {', '.join(failures)}; their messages are above"
            + (f" and in {output / failures[0] / 'log.txt'} and its like" if jobs > 1 else "")
            + ". The same command runs them again and nothing else."
        )


def _run(grid: Grid, run: Run, output: Path, threads: int, is_logged: bool) -> None:
    import torch

    from .moving_shapes_figures import measure_model
    from .training.stages import run_stage

    torch.set_num_threads(threads)
    folder = output / run.name
    folder.mkdir(parents=True, exist_ok=True)
    with _output_to(folder / "log.txt") if is_logged else contextlib.nullcontext():
        model = run.cell.model
        for number, stage in enumerate(run.cell.stages):
            model = str(
                run_stage(
                    stage.recipe,
                    stage.model or model or _start_of(stage.recipe),
                    stage.data,
                    folder / f"stage_{number}",
                    overrides={"seed": run.seed, "data_seed": run.seed, **stage.options},
                    environment={"OMP_NUM_THREADS": str(threads), **stage.env},
                )
            )
        measured = measure_model(model, grid.questions, skills=grid.skills, tokens_per_frame=grid.tokens_per_frame)
    write_json(folder / "result.json", {"request": _request(grid, run), **measured})


def _request(grid: Grid, run: Run) -> Mapping[str, Any]:
    return {
        "cell": asdict(run.cell),
        "seed": run.seed,
        "questions": grid.questions,
        "skills": grid.skills,
        "tokens_per_frame": grid.tokens_per_frame,
    }


def _start_of(recipe: str) -> str:
    from .training.stages import read_recipe

    model = read_recipe(recipe).get("model_name_or_path")
    if model is None:
        raise ValueError(f"Recipe {recipe!r} does not say what model it starts from; give its stage a `model`.")
    return model


@contextlib.contextmanager
def _output_to(path: Path) -> Iterator[None]:
    """Sends what this process and its children print to a file: side by side, nobody could read them."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = os.dup(1), os.dup(2)
    with path.open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        try:
            yield
        except BaseException:
            import traceback

            traceback.print_exc()
            raise
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for number, descriptor in enumerate(kept, start=1):
                os.dup2(descriptor, number)
                os.close(descriptor)
