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
"""Answers to the figures of a benchmark: every way of counting, by task and in total, with intervals."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ..benchmarks.benchmark import Answered, Benchmark, Rule, Total, Verdict
from .bootstrap import interval, resample


NUM_DRAWS = 1000


@dataclass(frozen=True)
class Figure:
    """
    One figure with its 95 % bootstrap interval over videos.

    Attributes:
        value (`float`): 0 to 1 for a share, 0 to 5 for a judge's score, more for a sum of tasks.
        low, high (`float`): Ends of the interval.
        count (`int`): Units that it is made of; rotations of one question are one.
        unparsed (`int`): Those among them that the rule did not understand and counted as wrong.
        missing (`tuple[str, ...]`): Tasks of the complete benchmark that are not in it.
    """

    value: float
    low: float
    high: float
    count: int
    unparsed: int = 0
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class Column:
    """
    What one way of counting gives.

    Attributes:
        tasks (`Mapping[str, Figure]`): By task.
        totals (`Mapping[str, Figure]`): By the names of the benchmark's totals.
        not_counted (`int`): Answers that the rule leaves out of all figures.
    """

    tasks: Mapping[str, Figure]
    totals: Mapping[str, Figure]
    not_counted: int = 0


def score_answers(benchmark: Benchmark, answers: Sequence[Answered], seed: int = 0) -> dict[str, Column]:
    """
    Counts answers by every rule of a benchmark.

    Args:
        benchmark (`Benchmark`): The benchmark.
        answers (`Sequence[Answered]`): One for each question.
        seed (`int`, *optional*, defaults to 0): Of the bootstrap.

    Returns:
        `dict[str, Column]` by the names of the rules, without those that do not apply to a single answer.

    Raises:
        ValueError: there are no answers, or none whose media could be read.
    """
    if all(answered.unreadable is not None for answered in answers):
        raise ValueError(
            f"There are no answers to questions of {benchmark.title}, or no file of theirs can be read; expected at "
            "least one."
        )
    columns = {name: _score(benchmark, rule, answers, seed) for name, rule in benchmark.rules.items()}
    return {name: column for name, column in columns.items() if column is not None}


def verdicts(rule: Rule, answers: Sequence[Answered]) -> list[Verdict | None]:
    """
    What a rule says about each answer, None where it does not apply. Media that could not be read are wrong by every
    rule that applies to other questions of their kind, open or with options.
    """
    found = [rule(answered) if answered.unreadable is None else None for answered in answers]
    kinds = {
        bool(answered.question.options)
        for answered, verdict in zip(answers, found, strict=True)
        if verdict is not None
    }
    return [
        Verdict(0.0, parsed=False)
        if answered.unreadable is not None and bool(answered.question.options) in kinds
        else verdict
        for answered, verdict in zip(answers, found, strict=True)
    ]


def unit_values(rule: Rule, answers: Sequence[Answered]) -> dict[str, tuple[Answered, Verdict]]:
    """
    The value of each unit under a rule, with the first of its answers: a unit is as right as its wrongest question.
    Units without a verdict are left out.
    """
    units: dict[str, tuple[Answered, Verdict]] = {}
    for answered, verdict in zip(answers, verdicts(rule, answers), strict=True):
        if verdict is None:
            continue
        name = answered.question.unit or answered.question.id
        if name in units:
            first, other = units[name]
            verdict = Verdict(min(verdict.value, other.value), verdict.parsed and other.parsed)
            answered = first
        units[name] = (answered, verdict)
    return units


def number_media(answers: Sequence[Answered]) -> np.ndarray:
    """A number for each answer `(num_answers,)`, the same where questions are about the same video or image."""
    numbers: dict[Any, int] = {}
    return np.array([numbers.setdefault(answered.question.media, len(numbers)) for answered in answers])


def columns_to_dict(columns: Mapping[str, Column]) -> dict[str, Any]:
    """Columns as plain numbers, for JSON."""
    return {name: asdict(column) for name, column in columns.items()}


def columns_from_dict(columns: Mapping[str, Any]) -> dict[str, Column]:
    """Inverse of [`columns_to_dict`]."""

    def figures(entries: Mapping[str, Any]) -> dict[str, Figure]:
        return {name: Figure(**{**entry, "missing": tuple(entry["missing"])}) for name, entry in entries.items()}

    return {
        name: Column(figures(column["tasks"]), figures(column["totals"]), column["not_counted"])
        for name, column in columns.items()
    }


def _score(benchmark: Benchmark, rule: Rule, answers: Sequence[Answered], seed: int) -> Column | None:
    units = unit_values(rule, answers)
    if not units:
        return None
    by_task: dict[str, list[tuple[Answered, Verdict]]] = {}
    for answered, verdict in units.values():
        by_task.setdefault(answered.question.task, []).append((answered, verdict))
    order = {task: index for index, task in enumerate(benchmark.tasks)}
    tasks, draws = {}, {}
    for task in sorted(by_task, key=lambda task: order.get(task, len(order))):
        values = np.array([verdict.value for _, verdict in by_task[task]])
        clusters = number_media([answered for answered, _ in by_task[task]])
        draws[task] = resample(values, clusters, NUM_DRAWS, seed)
        unparsed = sum(not verdict.parsed for _, verdict in by_task[task])
        tasks[task] = _figure(float(values.mean()), draws[task], len(values), unparsed)
        # Tasks are drawn independently of each other.
        seed += 1
    totals: dict[str, Figure] = {}
    for name, total in benchmark.totals.items():
        made = _total(benchmark, total, tasks, totals, draws)
        if made is not None:
            totals[name], draws[name] = made
    left_out = verdicts(rule, answers).count(None)
    return Column(tasks, totals, left_out)


def _total(
    benchmark: Benchmark,
    total: Total,
    tasks: Mapping[str, Figure],
    totals: Mapping[str, Figure],
    draws: Mapping[str, np.ndarray],
) -> tuple[Figure, np.ndarray] | None:
    """A total and its draws; None where it has none of its parts."""
    parts = totals if total.levels else tasks
    expected = total.levels or (benchmark.tasks if total.weights is None else tuple(total.weights))
    counted = [name for name in parts if name in expected or not (total.levels or total.weights)]
    if not counted:
        return None
    if total.levels:
        weights = np.ones(len(counted))
    elif total.weights is None:
        weights = np.array([tasks[task].count for task in counted], dtype=float)
    else:
        weights = np.array([total.weights[task] for task in counted])
    if not total.is_sum:
        weights = weights / weights.sum()
    resampled = weights @ np.stack([draws[name] for name in counted])
    missing = [name for name in expected if name not in parts]
    missing += [task for name in counted for task in parts[name].missing]
    figure = _figure(
        float(weights @ [parts[name].value for name in counted]),
        resampled,
        sum(parts[name].count for name in counted),
        sum(parts[name].unparsed for name in counted),
        tuple(missing),
    )
    return figure, resampled


def _figure(value: float, draws: np.ndarray, *others: Any) -> Figure:
    low, high = interval(draws)
    # Rounding, or few clusters, must not leave a value outside its own interval.
    return Figure(value, min(low, value), max(high, value), *others)
