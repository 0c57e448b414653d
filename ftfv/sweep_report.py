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
"""The report of a sweep: tables of its cells with all seeds, a plot, and everything as JSON."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from .evaluation.atomic_write import atomic_write
from .evaluation.formatting import MISSING, format_table
from .evaluation.plots.accuracy import plot_cells, plot_cells_by_tokens_per_frame
from .steps import write_json
from .sweep_grid import Grid


Results = Mapping[str, Sequence[Mapping[str, Any]]]


def write_sweep_report(output: Path, grid: Grid, results: Results) -> Path:
    """
    Writes `report.md`, `plot.png`, `results.json` and, where a grid asks at several K, `tokens_per_frame.png`.

    Args:
        output (`Path`): folder of the sweep.
        grid (`Grid`): what was run.
        results (`Mapping[str, Sequence[Mapping]]`): for each cell, one result a seed.

    Returns:
        `Path` of `report.md`.
    """
    write_json(output / "results.json", results)
    plot_cells(
        output / "plot.png",
        {cell: _by_skill(runs, grid.skills, "scores") for cell, runs in results.items()},
        floor={cell: _by_skill(runs, grid.skills, "floor") for cell, runs in results.items()},
        title=grid.title,
    )
    paragraphs = [f"# {grid.title}", *([grid.text.strip()] if grid.text else []), _reading(results)]
    paragraphs += ["## Clips", _clips_table(results), f"![{grid.title}](plot.png)"]
    if grid.tokens_per_frame:
        path = output / "tokens_per_frame.png"
        accuracy = {
            skill: {cell: _by_count(runs, grid.tokens_per_frame, skill) for cell, runs in results.items()}
            for skill in grid.skills
        }
        plot_cells_by_tokens_per_frame(path, accuracy, title=grid.title)
        paragraphs += ["## Clips, at each K"]
        for skill in grid.skills:
            paragraphs += [f"{skill}:", _tokens_per_frame_table(results, grid.tokens_per_frame, skill)]
        paragraphs += [f"![{grid.title}]({path.name})"]
    paragraphs += ["## Pictures", _pictures_table(results)]
    with atomic_write(output / "report.md") as temporary:
        temporary.write_text("\n\n".join(paragraphs) + "\n")
    return output / "report.md"


def _reading(results: Results) -> str:
    totals = {score["total"] for runs in results.values() for run in runs for score in run["scores"].values()}
    questions = " or ".join(str(total) for total in sorted(totals))
    return (
        "Accuracy in percent: the mean of the seeds and, in brackets, the lowest and the highest of them, where there "
        f"are several; each on the same {questions} questions a skill, at the model's own K where none is given. "
        "*Shuffled* is the same model shown the frames of each clip in a random order: what it still gets right "
        "there it does not owe to their order."
    )


def _clips_table(results: Results) -> str:
    skills = _first(results)["floor"]
    head = ["cell", "seeds", *(title for skill in skills for title in (skill, "shuffled"))]
    return _table(
        results, head, lambda runs: [_mean(runs, name, skill) for skill in skills for name in ("scores", "floor")]
    )


def _pictures_table(results: Results) -> str:
    first = _first(results)
    skills = [skill for skill in first["scores"] if skill not in first["floor"]]
    return _table(results, ["cell", "seeds", *skills], lambda runs: [_mean(runs, "scores", skill) for skill in skills])


def _tokens_per_frame_table(results: Results, counts: Sequence[int], skill: str) -> str:
    head = ["cell", "seeds", *(title for count in counts for title in (f"K = {count}", "shuffled"))]
    return _table(
        results,
        head,
        lambda runs: [
            _format([run["by_tokens_per_frame"][str(count)][name][skill]["accuracy"] for run in runs])
            for count in counts
            for name in ("scores", "floor")
        ],
    )


def _table(results: Results, head: list[str], line: Callable[[Sequence[Mapping[str, Any]]], list[str]]) -> str:
    return format_table(head, [[cell, str(len(runs)), *line(runs)] for cell, runs in results.items()])


def _first(results: Results) -> Mapping[str, Any]:
    return next(iter(results.values()))[0]


def _by_skill(runs: Sequence[Mapping[str, Any]], skills: Sequence[str], name: str) -> dict[str, list[float]]:
    return {skill: [run[name][skill]["accuracy"] for run in runs] for skill in skills}


def _by_count(runs: Sequence[Mapping[str, Any]], counts: Sequence[int], skill: str) -> dict[int, list[float]]:
    return {
        count: [run["by_tokens_per_frame"][str(count)]["scores"][skill]["accuracy"] for run in runs]
        for count in counts
    }


def _mean(runs: Sequence[Mapping[str, Any]], name: str, skill: str) -> str:
    return _format([run[name][skill]["accuracy"] for run in runs if skill in run[name]])


def _format(values: Sequence[float]) -> str:
    """`95.1 (94.2 to 96.3)`, in percent; a single value alone."""
    if not values:
        return MISSING
    mean = f"{100 * sum(values) / len(values):.1f}"
    return mean if len(values) == 1 else f"{mean} ({100 * min(values):.1f} to {100 * max(values):.1f})"
