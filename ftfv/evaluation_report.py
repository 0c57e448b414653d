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
"""Writes what `ftfv eval` found: results.json, the report with its plots, and the results in the form of a card."""

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml

from .evaluation.asking.setting import Setting
from .evaluation.atomic_write import atomic_write
from .evaluation.benchmark_run import BenchmarkRun
from .evaluation.benchmarks.benchmark import Benchmark
from .evaluation.benchmarks.registry import BENCHMARKS, find_benchmark
from .evaluation.plots.figure_1 import OwnPoint, plot_figure_1
from .evaluation.plots.sweep import Point, plot_sweep
from .evaluation.plots.token_budget import plot_token_budget
from .evaluation.reports.benchmark_report import (
    in_units,
    main_column,
    main_figure,
    paper_values,
    render_benchmark_report,
    settings_of,
    shortened,
)
from .evaluation.scores.benchmark_scores import number_media, unit_values
from .evaluation.scores.scoring import Score, scores_to_dict
from .evaluation.scores.token_budget import TokenBudget, token_budget
from .modeling_ftfv.configuration_ftfv import FTFVConfig
from .modeling_ftfv.cost import CostCounter
from .processing.processing_ftfv import FTFVProcessor


RESULTS = "results.json"
REPORT = "report.md"
CARD_RESULTS = "eval_results.yaml"
FIGURE_1 = "figure_1.png"
# Options that numbers or names of a plot's axis stand for.
AXES = {
    "tokens_per_frame": "tokens per frame (K)",
    "num_frames": "frames",
    "frame_size": "side of a frame in pixels",
    "token_sampler": "token sampler",
    "token_order": "order of tokens",
}
NUMBERS = ("tokens_per_frame", "num_frames", "frame_size")


def write_evaluation_report(
    folder: Path, model: str, about: Mapping[str, Any], runs: Mapping[str, BenchmarkRun]
) -> tuple[dict[str, Any], str]:
    """
    Writes results.json, report.md and plots into `folder` and, for `ftfv push --results`, eval_results.yaml with
    results on data sets of the Hub and NAME.json with those of each other benchmark.

    Args:
        folder (`Path`): Where to write.
        model (`str`): Model folder or Hub id, for its config.
        about (`Mapping[str, Any]`): `model` (name and digest), `run` and `judge`, in plain JSON types.
        runs (`Mapping[str, BenchmarkRun]`): By the names of the benchmarks.

    Returns:
        The document of results.json, and the text of report.md.
    """
    config = FTFVConfig.from_pretrained(model)
    video_processor = FTFVProcessor.from_pretrained(model).video_processor
    defaults = {
        "tokens_per_frame": config.tokens_per_frame,
        "num_frames": video_processor.max_num_frames,
        "frame_size": video_processor.size["height"],
        "token_sampler": config.token_sampler,
        "token_order": config.token_order,
    }
    documents = {name: run.document for name, run in runs.items()}
    results: dict[str, Any] = {
        **about,
        "model": {**about["model"], "num_query_tokens": config.adapter_config.num_query_tokens},
        "asked": _asked(runs, defaults, config),
        "benchmarks": documents,
        "token_budgets": {},
    }
    for name in _names_of_files() - {RESULTS, REPORT}:
        (folder / name).unlink(missing_ok=True)
    pictures = {}
    for name, run in runs.items():
        pictures |= _plot_sweeps(folder, name, run, defaults)
        budget = _token_budget(find_benchmark(name), run, config, about["run"]["tolerance"])
        if budget is not None:
            path = f"{name}_token_budget.png"
            title = run.document["title"]
            plot_token_budget(folder / path, budget, title=f"{title}: accuracy against cost")
            pictures[path] = f"{title}: accuracy against the cost of a question at each K"
            results["token_budgets"][name] = {
                "recommended": budget.recommended,
                "likely": budget.likely.tokens_per_frame,
                "tolerance": budget.tolerance,
                "answer": budget.answer(),
                "table": budget.table(),
            }
    pictures |= _plot_figure_1(folder, results)
    report = render_benchmark_report(results, pictures)
    _write(folder / RESULTS, json.dumps(results, indent=2, ensure_ascii=False) + "\n")
    _write(folder / REPORT, report)
    entries = card_entries(results)
    if entries:
        _write(folder / CARD_RESULTS, yaml.safe_dump(eval_result_entries_to_yaml(entries), sort_keys=False))
    for name, document in documents.items():
        if find_benchmark(name).hub_id is None:
            _write(
                folder / f"{name}.json", json.dumps({"scores": scores_to_dict(card_scores(document))}, indent=2) + "\n"
            )
    return results, report


def _asked(runs: Mapping[str, BenchmarkRun], defaults: Mapping[str, Any], config: FTFVConfig) -> dict[str, Any]:
    """What the first setting of the run comes to, which the others vary."""
    asked = dict(defaults)
    for run in runs.values():
        [(first, _), *_] = settings_of(run.document)
        asked |= {name: value for name, value in asdict(first).items() if name in defaults and value is not None}
    if asked["token_sampler"] == "none":
        asked["tokens_per_frame"] = config.adapter_config.num_query_tokens
    return asked


def _names_of_files() -> set[str]:
    """All files that a run may write beside its answers; those of an earlier one would be taken for this one's."""
    kinds = [f"_{option}.png" for option in AXES] + ["_token_budget.png", ".json"]
    return {RESULTS, REPORT, CARD_RESULTS, FIGURE_1, *(f"{name}{kind}" for name in BENCHMARKS for kind in kinds)}


def card_entries(results: Mapping[str, Any]) -> list[EvalResultEntry]:
    """Results of the first setting of each benchmark whose data set is on the Hub, one entry for each total."""
    entries = []
    for name, document in results["benchmarks"].items():
        benchmark = find_benchmark(name)
        [(_, columns), *_] = settings_of(document)
        if benchmark.hub_id is None:
            continue
        rule = main_column(document)
        for total, figure in columns[rule].totals.items():
            value = in_units(rule, figure)
            notes = [
                f"{rule}, 95 % {value.low:.1f} to {value.high:.1f}",
                f"K = {results['asked']['tokens_per_frame']}, {results['asked']['num_frames']} frames",
                f"{results['asked']['token_sampler']} sampler",
                f"{document['questions']:,} of {document['available']:,} questions",
            ]
            if figure.missing:
                notes.append(f"without {shortened(figure.missing)}")
            entries.append(
                EvalResultEntry(
                    dataset_id=benchmark.hub_id,
                    task_id=name if len(columns[rule].totals) == 1 else f"{name}_{total.lower()}",
                    value=round(value.value, 2),
                    notes="; ".join(notes),
                )
            )
    return entries


def card_scores(document: Mapping[str, Any]) -> dict[str, Score]:
    """Accuracy by task in the first setting of a benchmark that is no data set of the Hub."""
    [(_, columns), *_] = settings_of(document)
    return {
        task: Score.from_counts(round(figure.value * figure.count), figure.count)
        for task, figure in columns[main_column(document)].tasks.items()
    }


def _plot_sweeps(folder: Path, name: str, run: BenchmarkRun, defaults: Mapping[str, Any]) -> dict[str, str]:
    """Captions of plots by their file names: one for each option that has several values."""
    settings = settings_of(run.document)
    first, columns = settings[0]
    rule = main_column(run.document)
    total = main_figure(columns[rule])[0]
    pictures = {}
    for option, axis in AXES.items():
        swept = [setting for setting, _ in settings if _differs_in(setting, first, option)]
        if not swept:
            continue
        series: dict[bool, list[Point]] = {False: [], True: []}
        for setting in (first, *swept):
            value = getattr(setting, option)
            value = defaults[option] if value is None else value
            for shuffled, points in series.items():
                others = dict(settings).get(replace(setting, shuffle_frames=shuffled), {})
                if rule in others:
                    points.append(Point(value, in_units(rule, main_figure(others[rule])[1])))
        if option in NUMBERS:
            for points in series.values():
                points.sort(key=lambda point: float(point.setting))
        path = f"{name}_{option}.png"
        column = f"{run.document['title']} {total}, {rule}"
        plot_sweep(
            folder / path,
            {column: series[False]},
            axis,
            shuffled={column: series[True]} if series[True] else None,
            title=f"{run.document['title']}: {axis}",
        )
        pictures[path] = f"{run.document['title']} {total} by the column {rule}, against: {axis}"
    return pictures


def _differs_in(setting: Setting, first: Setting, option: str) -> bool:
    """Whether a setting is the first one but for another value of this option."""
    return setting != first and setting == replace(first, **{option: getattr(setting, option)})


def _token_budget(benchmark: Benchmark, run: BenchmarkRun, config: FTFVConfig, tolerance: float) -> TokenBudget | None:
    """What K is enough, where several were tried."""
    settings = settings_of(run.document)
    first, _ = settings[0]
    rule = main_column(run.document)
    swept = [first, *(setting for setting, _ in settings if _differs_in(setting, first, "tokens_per_frame"))]
    if len(swept) < 2 or any(rule not in columns for setting, columns in settings if setting in swept):
        return None
    counter = CostCounter(config)
    values, tflops, visual_tokens = {}, {}, {}
    videos: list[int] = []
    for setting in swept:
        count = setting.tokens_per_frame or config.tokens_per_frame
        units = unit_values(benchmark.rules[rule], run.answers[setting])
        values[count] = [verdict.value for _, verdict in units.values()]
        videos = number_media([answered for answered, _ in units.values()]).tolist()
        cost = counter.prefill(
            num_frames=setting.num_frames,
            tokens_per_frame=count,
            frame_size=setting.frame_size,
            last_position_only=True,
        )
        tflops[count], visual_tokens[count] = cost.total_flops / 1e12, cost.visual_tokens
    return token_budget(values, videos, tflops=tflops, visual_tokens=visual_tokens, tolerance=tolerance)


def _plot_figure_1(folder: Path, results: Mapping[str, Any]) -> dict[str, str]:
    """Figure 1 with one's own results, where there are any to set into it."""
    documents, pairs = results["benchmarks"], results["run"]["video_pairs"]
    names = [name for name in ("activitynet_qa", "video_bench") if name in documents]
    if pairs is None or not names:
        return {}
    own = []
    for setting in dict.fromkeys(setting for name in names for setting, _ in settings_of(documents[name])):
        values = paper_values(documents, setting)
        accuracies = (values.get("ActivityNet-QA Acc"), values.get("Video-Bench All"))
        if any(accuracies) and not setting.as_image and not setting.shuffle_frames:
            count = setting.tokens_per_frame or results["asked"]["tokens_per_frame"]
            own.append(OwnPoint(f"{results['model']['name']} K = {count}", pairs, count, *accuracies))
    if not own:
        return {}
    plot_figure_1(folder / FIGURE_1, own)
    return {FIGURE_1: "Figure 1 of the paper: accuracy against the video pairs of instruction tuning"}


def _write(path: Path, text: str) -> None:
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
