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
"""How many tokens per frame are enough: the smallest K that answers show to lose little against the best."""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..formatting import format_table
from .bootstrap import interval, resample
from .measured import Measured
from .scoring import NORMAL_QUANTILE


LEVEL = 0.95
DEFAULT_TOLERANCE = 2.0
# Beyond so many times the questions that there are, the number of those needed says no more than that.
MOST_TIMES = 100
THE_BEST = "the best"


@dataclass(frozen=True)
class Budget:
    """
    What one K costs and reaches.

    Attributes:
        tokens_per_frame (`int`): K.
        visual_tokens (`int`): Tokens of a clip that the language model reads.
        tflops (`float`): Cost of a question in 10^12 floating-point operations.
        accuracy (`Measured`): In percent.
        loss (`Measured`): What is lost against the best K in points of accuracy, of the same questions; negative where
            this K is better.
    """

    tokens_per_frame: int
    visual_tokens: int
    tflops: float
    accuracy: Measured
    loss: Measured


@dataclass(frozen=True)
class TokenBudget:
    """
    Which K is enough, and how sure that is.

    Attributes:
        budgets (`tuple[Budget, ...]`): Each K, the smallest first.
        best (`int`): The K of highest accuracy; the smallest of them if there are several.
        recommended (`int`, *optional*): The smallest K shown to be enough; None where none is, and `likely` is all
            there is to go by.
        undecided (`tuple[int, ...]`): Smaller K shown neither to be enough nor not to be.
        tolerance (`float`): Points of accuracy that may be lost.
        num_questions, num_videos (`int`): How many were asked, and about how many videos.
        questions_needed (`int`, *optional*): About how many questions would do to recommend a K, or, where one is
            recommended, to decide about an undecided one, if differences are what they seem to be; None where nothing
            is undecided, or that is more than a hundred times as many.
    """

    budgets: tuple[Budget, ...]
    best: int
    recommended: int | None
    undecided: tuple[int, ...]
    tolerance: float
    num_questions: int
    num_videos: int
    questions_needed: int | None

    @property
    def likely(self) -> Budget:
        """The smallest K whose loss, as measured, is within the tolerance, whether or not that is shown."""
        return next(budget for budget in self.budgets if budget.loss.value <= self.tolerance)

    def answer(self) -> str:
        """The recommendation in a sentence or two."""
        if self.questions_needed is None:
            needed = f"more than {MOST_TIMES} times as many are needed"
        else:
            needed = f"about {self.questions_needed:,} are needed"
        if self.recommended is None:
            return (
                f"Cannot tell with {self.num_questions:,} questions which K loses at most {self.tolerance:g} points; "
                f"{needed}. Until then, the best guess is K = {self.likely.tokens_per_frame}, {self._found()}."
            )
        text = (
            f"K = {self.recommended} is enough: with 95 % confidence no other K is better by more than "
            f"{self.tolerance:g} points."
        )
        if self.undecided:
            *others, last = self.undecided
            counts = f"{', '.join(map(str, others))} or {last}" if others else str(last)
            text += f" Whether K = {counts} would do, {self.num_questions:,} questions cannot tell; {needed}."
        return text

    def _found(self) -> str:
        if len({budget.accuracy.value for budget in self.budgets}) == 1:
            return "the smallest, as all were equally accurate here"
        if self.likely.tokens_per_frame == self.best:
            return "the most accurate of these"
        loss = self.likely.loss
        return f"which lost {loss.value:.1f} points here (95 %: {loss.low:.1f} to {loss.high:.1f})"

    def table(self) -> str:
        """Accuracy, loss and cost of each K as Markdown, without a final newline."""
        lines = [
            [
                str(budget.tokens_per_frame),
                str(budget.visual_tokens),
                f"{budget.tflops:.4g}",
                _with_interval(budget.accuracy),
                THE_BEST if budget.tokens_per_frame == self.best else _with_interval(budget.loss),
            ]
            for budget in self.budgets
        ]
        return format_table(["K", "visual tokens", "TFLOPs", "accuracy", "loss against the best K"], lines)


@dataclass(frozen=True)
class _Mean:
    """A mean over questions with its bootstrap interval and, of differences, the standard error of the questions."""

    mean: float
    low: float
    high: float
    error: float

    @classmethod
    def of(cls, values: np.ndarray, draws: np.ndarray, error: float = 0.0) -> "_Mean":
        low, high = interval(draws, LEVEL)
        mean = float(values.mean())
        # Of a few clusters of unlike sizes, the percentiles may leave out the mean itself.
        return cls(mean, min(low, mean), max(high, mean), error)

    def measured(self) -> Measured:
        return Measured(self.mean, self.low, self.high)

    def questions_needed(self, tolerance: float, num_questions: int, num_videos: int) -> float:
        """
        0 where this loss is shown to be within the tolerance; else about how many questions would show on which side
        of it it is, with as many a video as now. That the other K seems worse is not counted, as the best of several
        always seems better than it is.
        """
        if self.high <= tolerance:
            return 0.0
        distance = abs(tolerance - max(self.mean, 0.0))
        if distance == 0:
            return math.inf
        # The interval of M questions reaches as far as the distance where a / M + (b / M)^2 = 1: the first term is the
        # variance of the questions, the second that of the two videos added, of 100 points each way.
        a = num_questions * (NORMAL_QUANTILE * self.error / distance) ** 2
        b = num_questions / num_videos * NORMAL_QUANTILE * 100 * math.sqrt(2) / distance
        return max((a + math.sqrt(a**2 + 4 * b**2)) / 2, num_questions + 1)


def token_budget(
    values: Mapping[int, Sequence[float]],
    videos: Sequence[Hashable],
    *,
    tflops: Mapping[int, float],
    visual_tokens: Mapping[int, int],
    tolerance: float = DEFAULT_TOLERANCE,
    num_draws: int = 1000,
    seed: int = 0,
) -> TokenBudget:
    """
    Recommends the smallest K that is enough: whose loss against the best K, and against any other, is at most
    `tolerance` points with 95 % confidence, so that the upper end of the interval of each loss stays within it. The
    interval is that of the mean difference of the same questions, by resampling videos ([`resample`]), so that what
    makes a question hard at every K cancels out, and questions about one video count as the dependent ones that they
    are. Against any other as well, because which K is best is itself uncertain.

    A bootstrap by itself takes answers that never differ for ones that never would, and is too sure where few differ.
    So two videos are added to each comparison, one that only the one K answers and one that only the other does, as
    Bonett and Price (Adjusted Wald confidence interval for a difference of binomial proportions based on paired data,
    2012) do with pairs.

    Args:
        values (`Mapping[int, Sequence[float]]`): For each K, 1 or 0 for each question (or a share of right), the same
            questions in the same order.
        videos (`Sequence`): Video that each question is about.
        tflops (`Mapping[int, float]`): For each K, cost of a question in 10^12 floating-point operations.
        visual_tokens (`Mapping[int, int]`): For each K, tokens of a clip that the language model reads.
        tolerance (`float`, *optional*, defaults to 2.0): Points of accuracy, 0 to 100, that may be lost.
        num_draws (`int`, *optional*, defaults to 1000): Resamples.
        seed (`int`, *optional*, defaults to 0): Seed of the resamples.

    Raises:
        ValueError: there is no K or no question, lengths differ, a cost is missing, a value is not from 0 to 1, or
            `tolerance` is not from above 0 to below 100.
    """
    _check(values, videos, tflops, visual_tokens, tolerance)
    names = {video: index for index, video in enumerate(dict.fromkeys(videos))}
    clusters = np.array([names[video] for video in videos])
    answers = {count: 100 * np.asarray(values[count], dtype=np.float64) for count in sorted(values)}
    best = max(answers, key=lambda count: (answers[count].mean(), -count))
    num_questions, num_videos = len(clusters), len(names)

    draws = {count: resample(points, clusters, num_draws, seed) for count, points in answers.items()}
    # Two videos more, with as many questions as others have, for the comparisons. As the same clusters are drawn for
    # each, differences and sums of draws are draws of the differences and sums.
    size = round(num_questions / num_videos)
    padded = np.concatenate([clusters, np.repeat([num_videos, num_videos + 1], size)])
    extended = {
        count: resample(np.pad(points, (0, 2 * size)), padded, num_draws, seed) for count, points in answers.items()
    }
    opposed = np.concatenate([np.zeros(num_questions), np.repeat([100.0, -100.0], size)])
    added = resample(opposed, padded, num_draws, seed)

    def loss_of(count: int, other: int) -> _Mean:
        losses = answers[other] - answers[count]
        if count == other:
            return _Mean.of(losses, draws[count] - draws[count])
        deviation = float((draws[other] - draws[count]).std())
        return _Mean.of(losses, extended[other] - extended[count] + added, deviation)

    losses = {count: [loss_of(count, other) for other in answers if other != count] for count in answers}
    needed = {
        count: max((loss.questions_needed(tolerance, num_questions, num_videos) for loss in against), default=0.0)
        for count, against in losses.items()
    }
    recommended = min((count for count in answers if needed[count] == 0), default=None)
    undecided = [
        count
        for count in answers
        if (recommended is None or count < recommended) and all(loss.low <= tolerance for loss in losses[count])
    ]
    # To name a K, one of those that seem to be enough has to turn out so; else all have to turn out not to be.
    hopeful = [needed[count] for count in undecided if all(loss.mean < tolerance for loss in losses[count])]
    most = min(hopeful) if hopeful else max((needed[count] for count in undecided), default=0.0)
    return TokenBudget(
        budgets=tuple(
            Budget(
                tokens_per_frame=count,
                visual_tokens=visual_tokens[count],
                tflops=tflops[count],
                accuracy=_Mean.of(points, draws[count]).measured(),
                loss=loss_of(count, best).measured(),
            )
            for count, points in answers.items()
        ),
        best=best,
        recommended=recommended,
        undecided=tuple(undecided),
        tolerance=tolerance,
        num_questions=num_questions,
        num_videos=num_videos,
        questions_needed=math.ceil(most) if 0 < most <= MOST_TIMES * num_questions else None,
    )


def _check(
    values: Mapping[int, Sequence[float]],
    videos: Sequence[Hashable],
    tflops: Mapping[int, float],
    visual_tokens: Mapping[int, int],
    tolerance: float,
) -> None:
    lengths = {count: len(answers) for count, answers in values.items()}
    if not values or len(videos) == 0 or set(lengths.values()) != {len(videos)}:
        raise ValueError(
            f"There are {len(videos)} videos and, by K, {lengths} values; expected for each question its video and a "
            "value at every K, and at least one question."
        )
    for name, costs in (("tflops", tflops), ("visual_tokens", visual_tokens)):
        missing = [count for count in values if count not in costs]
        if missing:
            raise ValueError(f"`{name}` lacks K = {missing[0]}; expected a cost for each K of `values`.")
    for count, answers in values.items():
        array = np.asarray(answers, dtype=np.float64)
        if not ((array >= 0) & (array <= 1)).all():
            wrong = array[~((array >= 0) & (array <= 1))][0]
            raise ValueError(f"A value at K = {count} is {wrong:g}; expected 0 to 1, such as 1 for right.")
    if not 0 < tolerance < 100:
        raise ValueError(f"`tolerance` is {tolerance}; expected points of accuracy, above 0 and below 100.")


def _with_interval(measured: Measured) -> str:
    return f"{measured.value:.1f} ({measured.low:.1f} to {measured.high:.1f})"
