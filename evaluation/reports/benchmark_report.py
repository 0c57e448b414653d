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
"""Results of `ftfv eval` as a report: beside the paper's tables, by task, over what was swept, with the control."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from ..asking.setting import Setting
from ..formatting import MISSING, format_table
from ..scores.benchmark_scores import Column, Figure, columns_from_dict
from ..scores.measured import Measured
from ..scores.paper_results import TABLE_3_COLUMNS, TABLE_4_COLUMNS
from .paper_table import paper_table


# Columns whose figures are a judge's 0 to 5; all others are shares.
JUDGE_SCORES = ("judge_score",)
VIDEO_QA = {"msvd_qa": "MSVD-QA", "msrvtt_qa": "MSRVTT-QA", "activitynet_qa": "ActivityNet-QA"}
LEVELS = ("Exc", "Prior", "Dec", "All")
# What each column of the paper's tables holds: benchmark, ways of counting from the official one on, and total.
PAPER_COLUMNS: Mapping[str, tuple[str, tuple[str, ...], str]] = {
    "Ehub": ("lvlm_ehub", ("official",), "Ehub"),
    "MMB": ("mmbench_en", ("official",), "MMB"),
    "MMB-CN": ("mmbench_cn", ("official",), "MMB^CN"),
    "SEED-I": ("seed_bench", ("official", "lmms_eval"), "SEED^I"),
    **{f"{title} Acc": (name, ("judge",), "Acc") for name, title in VIDEO_QA.items()},
    **{f"{title} Score": (name, ("judge_score",), "Acc") for name, title in VIDEO_QA.items()},
    **{f"Video-Bench {level}": ("video_bench", ("official", "strict"), level) for level in LEVELS},
    "MVBench Avg": ("mvbench", ("official",), "Avg"),
}
SHUFFLED = "frames shuffled"
PHRASES = {
    "tokens_per_frame": "K = {}",
    "num_frames": "{} frames",
    "frame_size": "{} pixels",
    "token_sampler": "{} sampler",
    "token_order": "{} order",
}


def render_benchmark_report(results: Mapping[str, Any], pictures: Mapping[str, str]) -> str:
    """
    The report as Markdown.

    Args:
        results (`Mapping`): What `ftfv eval` found, in plain JSON types: `model`, `asked` (what the first setting is),
            `run`, `judge`, `benchmarks` (each a document of [`BenchmarkRun`]), `token_budgets` and, where it was
            run, `lmms_eval`.
        pictures (`Mapping[str, str]`): Captions of pictures by their file names.

    Returns:
        `str` that ends in a newline.
    """
    paragraphs = [
        f"# Evaluation of {results['model']['name']}",
        *_setup(results),
        *_beside_the_paper(results),
    ]
    for name, document in results["benchmarks"].items():
        paragraphs += _benchmark(name, document)
    paragraphs += _lmms_eval(results)
    paragraphs += _token_budgets(results)
    for path, caption in pictures.items():
        paragraphs += [caption, f"![{caption}](<{path}>)"]
    paragraphs += _not_shown(results)
    return "\n\n".join(paragraphs) + "\n"


def settings_of(document: Mapping[str, Any]) -> list[tuple[Setting, dict[str, Column]]]:
    """Settings of a benchmark with their columns; the first is the one that the others vary."""
    return [
        (Setting(**entry["setting"]), columns_from_dict(entry["columns"])) for entry in document["settings"].values()
    ]


def label(setting: Setting, first: Setting) -> str:
    """What a setting differs in from the first: `"K = 4"`, `"frames shuffled"`; empty for the first itself."""
    if setting.as_image:
        return "one random frame, as an image"
    values = asdict(setting)
    phrases = [phrase.format(values[name]) for name, phrase in PHRASES.items() if values[name] != asdict(first)[name]]
    return ", ".join(phrases + [SHUFFLED] * setting.shuffle_frames)


def main_column(document: Mapping[str, Any]) -> str:
    """The way of counting that plots and advice go by: the one asked for, or the first that applies."""
    [(_, columns), *_] = settings_of(document)
    asked = document.get("count_by")
    return asked if asked in columns else next(iter(columns))


def main_figure(column: Column) -> tuple[str, Figure]:
    """The widest total, or the only task where there is none."""
    figures = column.totals or column.tasks
    name = list(figures)[-1]
    return name, figures[name]


def shortened(names: Sequence[str], limit: int = 4) -> str:
    """The first names, and how many there are beyond them."""
    listed = ", ".join(names[:limit])
    return listed if len(names) <= limit else f"{listed} and {len(names) - limit} others"


def in_units(name: str, figure: Figure, note: str = "") -> Measured:
    """A figure in the unit that tables have: percent, or a judge's score."""
    scale = 1 if name in JUDGE_SCORES else 100
    return Measured(scale * figure.value, scale * figure.low, scale * figure.high, note)


def paper_values(document_of: Mapping[str, Any], setting: Setting) -> dict[str, Measured]:
    """Values of one setting by the columns of the paper's tables, with notes on what they lack."""
    values = {}
    for column, (name, rules, total) in PAPER_COLUMNS.items():
        document = document_of.get(name)
        if document is None or setting.name not in document["settings"]:
            continue
        columns = columns_from_dict(document["settings"][setting.name]["columns"])
        rule = next((rule for rule in rules if rule in columns), None)
        if rule is None or total not in columns[rule].totals:
            continue
        figure = columns[rule].totals[total]
        lacks = []
        if rule != rules[0]:
            lacks.append(f"counted by the {rule} rule, without a judge")
        if figure.missing:
            lacks.append(f"without {shortened(figure.missing)}")
        if document["questions"] < document["available"]:
            lacks.append(f"{document['questions']:,} of {document['available']:,} questions")
        values[column] = in_units(rule, figure, "; ".join(lacks))
    return values


def _setup(results: Mapping[str, Any]) -> list[str]:
    model, asked, run, judge = (results[name] for name in ("model", "asked", "run", "judge"))
    lines = [
        ["model", f"{model['name']}, sha256 {model['sha256'][:16]}"],
        ["tokens per frame (K)", f"{asked['tokens_per_frame']} of {model['num_query_tokens']}"],
        ["frames", f"{asked['num_frames']}, {asked['frame_size']} pixels wide and high"],
        ["token sampler and order", f"{asked['token_sampler']}, {asked['token_order']}"],
        ["weights", f"{model['dtype']} on {run['device']}"],
        ["batch size, seed", f"{run['batch_size']}, {run['seed']}"],
        ["versions", ", ".join(f"{name} {version}" for name, version in run["versions"].items())],
        ["judge", f"{judge['name']}, prompts sha256 {judge['protocol_sha256'][:16]}" if judge else "none"],
    ]
    return [
        "Figures are in percent, a judge's score is from 0 to 5, and in brackets are 95 % bootstrap intervals over "
        "videos: with other videos of the same kind, the figure would be expected within them.",
        format_table(["setting", "value"], lines),
    ]


def _beside_the_paper(results: Mapping[str, Any]) -> list[str]:
    paragraphs = []
    for number, columns in ((3, TABLE_3_COLUMNS), (4, TABLE_4_COLUMNS)):
        rows: dict[str, Mapping[str, Measured | str]] = {}
        for document in results["benchmarks"].values():
            settings = settings_of(document)
            for setting, _ in settings:
                values = {
                    column: value
                    for column, value in paper_values(results["benchmarks"], setting).items()
                    if column in columns
                }
                difference = label(setting, settings[0][0])
                if setting.shuffle_frames and difference != SHUFFLED:
                    continue
                name = results["model"]["name"] + (f", {difference}" if difference else "")
                if values:
                    rows[name] = {**rows.get(name, {}), **values}
        by_others = results.get("lmms_eval", {"columns": {}})
        found = {column: value for column, value in by_others["columns"].items() if column in columns}
        if found:
            note = f"by lmms-eval {by_others['version']}, with its prompts and rules and without intervals"
            rows[f"{results['model']['name']}, lmms-eval"] = {
                column: Measured(value, note=note) for column, value in found.items()
            }
        if rows:
            pairs = results["run"]["video_pairs"]
            if pairs is not None and number == 4:
                rows = {name: {"Instruct": f"{pairs / 1000:,g}k", **values} for name, values in rows.items()}
            paragraphs += [f"## Beside the paper's Table {number}", paper_table(number, rows)]
    return paragraphs


def _benchmark(name: str, document: Mapping[str, Any]) -> list[str]:
    settings = settings_of(document)
    first, columns = settings[0]
    entry = document["settings"][first.name]
    paragraphs = [
        f"## {document['title']}",
        f"{document['questions']:,} questions of {document['available']:,} about {document['media']:,} videos or "
        f"images; prompts sha256 {document['prompts_sha256'][:16]}. By task, counted in each way; the first column is "
        "the official one where nothing is lacking for it.",
    ]
    if document.get("judge_error"):
        paragraphs.append(
            f"**The judge has not replied about all answers**, so its columns are missing: {document['judge_error']}"
        )
    lines = []
    for kind in ("tasks", "totals"):
        names = dict.fromkeys(task for column in columns.values() for task in getattr(column, kind))
        for task in names:
            cells = [_cell(rule, getattr(column, kind).get(task)) for rule, column in columns.items()]
            counts = [
                getattr(column, kind)[task].count for column in columns.values() if task in getattr(column, kind)
            ]
            lines.append([f"**{task}**" if kind == "totals" else task, f"{max(counts):,}", *cells])
    lines.append(["not understood, counted as wrong", "", *(str(_unparsed(column)) for column in columns.values())])
    if any(column.not_counted for column in columns.values()):
        lines.append(["left out by the rule", "", *(str(column.not_counted) for column in columns.values())])
    paragraphs.append(format_table(["task", "questions", *columns], lines))
    notes = [f"{entry['empty']:,} answers were empty, and {entry['unreadable']:,} files could not be read."]
    incomplete = {figure.missing for column in columns.values() for figure in column.totals.values() if figure.missing}
    if incomplete:
        missing = max(incomplete, key=len)
        notes.append(f"Totals are without {shortened(missing)}, so they do not compare with complete ones.")
    absent = [rule for rule in document["rules"] if rule not in columns]
    if absent:
        notes.append(
            f"Not counted by {', '.join(absent)}: there are no replies of a judge, no options, or no tokens of the "
            "tokenizer that tell their letters apart."
        )
    paragraphs.append(" ".join(notes))
    if len(settings) > 1:
        paragraphs += _other_settings(document)
    return paragraphs


def _other_settings(document: Mapping[str, Any]) -> list[str]:
    settings = settings_of(document)
    first, columns = settings[0]
    total = main_figure(columns[main_column(document)])[0]
    lines = [
        [
            label(setting, first) or "as above",
            *(_cell(name, main_figure(others[name])[1] if name in others else None) for name in columns),
        ]
        for setting, others in settings
    ]
    paragraphs = [f"{total} when asked in other ways:", format_table(["asked with", *columns], lines)]
    shuffled = next((others for setting, others in settings if label(setting, first) == SHUFFLED), None)
    if shuffled is not None:
        tells = {
            name: [
                task
                for task, figure in column.tasks.items()
                if task in shuffled[name].tasks and figure.low > shuffled[name].tasks[task].high
            ]
            for name, column in columns.items()
            if name in shuffled
        }
        above = "; ".join(f"{', '.join(names) or 'no task'} ({column})" for column, names in tells.items())
        paragraphs.append(
            "What is still right with frames shuffled does not come from seeing the order of events (a video of one "
            f"frame keeps its own order). The interval lies wholly above that of the shuffled frames for: {above}."
        )
    return paragraphs


def _lmms_eval(results: Mapping[str, Any]) -> list[str]:
    if "lmms_eval" not in results:
        return []
    lines = [
        [task, f"{counts['questions']:,}", f"{counts['empty']:,}"]
        for task, counts in results["lmms_eval"]["tasks"].items()
    ]
    return [
        "## Run by lmms-eval",
        "Empty answers are those that some of its rules leave out; see its own files for what it made of each answer.",
        format_table(["task", "questions", "empty answers"], lines),
    ]


def _token_budgets(results: Mapping[str, Any]) -> list[str]:
    paragraphs = []
    for name, budget in results["token_budgets"].items():
        title = results["benchmarks"][name]["title"]
        counted = f"Counted by the column {main_column(results['benchmarks'][name])}."
        paragraphs += [f"## How many tokens per frame: {title}", f"{budget['answer']} {counted}", budget["table"]]
    return paragraphs


def _not_shown(results: Mapping[str, Any]) -> list[str]:
    claims = [
        "The intervals say how much figures would vary with other videos, not with another training run. An interval "
        "of no width only says that all answers were alike.",
    ]
    if results["judge"]:
        claims.append(
            "A judge's figures move by several points with the judge and its version alone; only those of the same "
            "judge with the same prompts compare, and the paper does not name the version of its judge."
        )
    claims.append("FLOPs are computed, not measured.")
    return ["## What these figures do not show", " ".join(claims)]


def _unparsed(column: Column) -> int:
    return sum(figure.unparsed for figure in column.tasks.values())


def _cell(rule: str, figure: Figure | None) -> str:
    if figure is None:
        return MISSING
    value = in_units(rule, figure)
    digits = 2 if rule in JUDGE_SCORES else 1
    return f"{value.value:.{digits}f} ({value.low:.{digits}f} to {value.high:.{digits}f})"
