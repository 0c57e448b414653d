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
"""Accuracies of answers with their 95 % intervals."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ..asking.rows import Answer
from ..formatting import MISSING, format_table


# 97.5 % quantile of the normal distribution: two sides of 2.5 % leave a 95 % interval.
NORMAL_QUANTILE = 1.959963984540054


@dataclass(frozen=True)
class Score:
    """
    Accuracy with its Wilson 95 % interval, which, unlike the usual plus-minus, stays within 0 to 1 and does not shrink
    to nothing when all answers are right.

    Attributes:
        correct (`int`): Number of correct answers.
        total (`int`): Number of answers.
        accuracy (`float`): `correct / total`, 0 to 1.
        low, high (`float`): Ends of the interval, 0 to 1.
    """

    correct: int
    total: int
    accuracy: float
    low: float
    high: float

    @classmethod
    def from_counts(cls, correct: int, total: int) -> "Score":
        """
        Raises:
            ValueError: `total` is not positive, or `correct` is not from 0 to `total`.
        """
        if total < 1 or not 0 <= correct <= total:
            raise ValueError(
                f"{correct} correct answers of {total}; expected at least one answer and 0 to that many correct ones."
            )
        share, squared = correct / total, NORMAL_QUANTILE**2
        middle = (share + squared / (2 * total)) / (1 + squared / total)
        reach = math.sqrt(share * (1 - share) / total + squared / (4 * total**2)) * NORMAL_QUANTILE
        reach /= 1 + squared / total
        # Rounding must not leave a score of 0 or 1 outside its own interval.
        return cls(correct, total, share, min(max(0.0, middle - reach), share), max(min(1.0, middle + reach), share))


def accuracy(answers: Iterable[Answer]) -> Score:
    """
    Share of correct answers.

    Raises:
        ValueError: there are no answers.
    """
    outcomes = [answer.correct for answer in answers]
    return Score.from_counts(sum(outcomes), len(outcomes))


def score_by_skill(answers: Iterable[Answer]) -> dict[str, Score]:
    """Accuracy for each skill, in the order in which skills first come up."""
    skills: dict[str, list[Answer]] = {}
    for answer in answers:
        skills.setdefault(answer.skill, []).append(answer)
    return {skill: accuracy(group) for skill, group in skills.items()}


def scores_to_dict(scores: Mapping[str, Score]) -> dict[str, dict[str, Any]]:
    """Scores by skill as plain numbers, for JSON."""
    return {skill: asdict(score) for skill, score in scores.items()}


def scores_from_dict(scores: Mapping[str, Mapping[str, Any]]) -> dict[str, Score]:
    """Inverse of [`scores_to_dict`]."""
    return {skill: Score(**score) for skill, score in scores.items()}


def format_scores(columns: Mapping[str, Mapping[str, Score]], chance: Mapping[str, float] | None = None) -> str:
    """
    A Markdown table, aligned so that it reads well in a terminal too: one line per skill, one column per set of
    scores.

    Args:
        columns (`Mapping[str, Mapping[str, Score]]`): Scores by skill under the title of their column, for instance
            `{"before": ..., "after": ..., "shuffled frames": ...}`. A skill that a column lacks shows as `-`.
        chance (`Mapping[str, float]`, *optional*): Chance level of the skills, 0 to 1; gives a column of its own.

    Returns:
        `str` without a final newline. Accuracies are in percent, with their 95 % interval: `97.5 (93.1 to 99.2)`.
    """
    skills = dict.fromkeys(skill for scores in columns.values() for skill in scores)
    head = ["skill", *(["chance"] if chance is not None else []), *columns]
    lines = []
    for skill in skills:
        line = [skill]
        if chance is not None:
            line.append(f"{100 * chance[skill]:.1f}" if skill in chance else MISSING)
        line += [format_score(scores[skill]) if skill in scores else MISSING for scores in columns.values()]
        lines.append(line)
    return format_table(head, lines)


def format_score(score: Score) -> str:
    """`97.5 (93.1 to 99.2)`, in percent."""
    return f"{100 * score.accuracy:.1f} ({100 * score.low:.1f} to {100 * score.high:.1f})"
