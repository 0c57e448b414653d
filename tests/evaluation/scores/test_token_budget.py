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
"""How many tokens are enough, on answers of which that is known."""

import math

import numpy as np
import pytest

from ftfv.evaluation.scores.token_budget import TokenBudget, token_budget


COUNTS = (4, 16, 64)


def budget_of(values: dict[int, np.ndarray], videos: np.ndarray | None = None, **options) -> TokenBudget:
    num_questions = len(next(iter(values.values())))
    return token_budget(
        values,
        np.arange(num_questions) if videos is None else videos,
        tflops={count: 30 + 0.1 * count for count in values},
        visual_tokens={count: 8 * count for count in values},
        **options,
    )


def planted(num_questions: int, accuracies: dict[int, float], noise: float = 0.02, seed: int = 0) -> dict:
    """Answers that differ between K by design and a little by chance, on top of questions of unlike difficulty."""
    rng = np.random.default_rng(seed)
    difficulty = rng.random(num_questions)
    return {
        count: ((difficulty < accuracy) ^ (rng.random(num_questions) < noise)).astype(float)
        for count, accuracy in accuracies.items()
    }


def test_a_k_that_is_clearly_best_is_recommended():
    budget = budget_of(planted(3000, {4: 0.3, 16: 0.5, 64: 0.6}))
    assert (budget.best, budget.recommended, budget.undecided, budget.questions_needed) == (64, 64, (), None)
    assert budget.answer() == "K = 64 is enough: with 95 % confidence no other K is better by more than 2 points."
    # Planted losses, each flipped answer takes 2 * 0.02 of them; the standard error is about 1 point.
    assert [each.loss.value for each in budget.budgets] == pytest.approx([28.8, 9.6, 0], abs=3)


def test_the_smallest_of_equals_is_recommended():
    budget = budget_of(planted(3000, dict.fromkeys(COUNTS, 0.5)))
    assert (budget.recommended, budget.undecided) == (4, ())
    same = planted(400, {4: 0.5})[4]
    budget = budget_of(dict.fromkeys(COUNTS, same))
    assert (budget.best, budget.recommended) == (4, 4)


def test_a_k_within_the_tolerance_of_the_best_is_enough():
    values = planted(2500, {4: 0.4, 16: 0.59, 64: 0.6}, noise=0.0)
    # K = 16 loses 1 point, give or take 0.2 of standard error; K = 4 loses 20.
    for tolerance, recommended in ((0.3, 64), (2.0, 16), (30.0, 4)):
        assert budget_of(values, tolerance=tolerance).recommended == recommended


def test_too_few_questions_show_nothing_and_say_how_many_would():
    values = planted(100, {4: 0.58, 16: 0.6, 64: 0.6}, noise=0.1)
    budget = budget_of(values)
    assert budget.recommended is None and budget.questions_needed > 139
    assert budget.answer() == (
        f"Cannot tell with 100 questions which K loses at most 2 points; about {budget.questions_needed:,} are "
        "needed. Until then, the best guess is K = 16, the most accurate of these."
    )
    most = np.arange(100) < 60
    budget = budget_of({4: np.arange(100) < 59, 16: most, 64: most})
    assert (budget.recommended, budget.best, budget.likely.tokens_per_frame) == (None, 16, 4)
    assert "the best guess is K = 4, which lost 1.0 points here (95 %: " in budget.answer()
    # Answers that never differ exclude nothing either while they are few: how often the two videos added to N are
    # drawn differs by up to 3 in 95 % of draws (two Poisson variables of mean 1), and 3 / (N + 2) may be 2 % at most.
    for num_questions, recommended in ((5, None), (120, None), (170, 4)):
        assert budget_of(dict.fromkeys(COUNTS, np.ones(num_questions))).recommended == recommended
    # 1.96 standard errors of that difference, sqrt(2) of N, are 2 % for N = 138.6.
    assert budget_of(dict.fromkeys(COUNTS, np.ones(5))).questions_needed == 139


def test_few_answers_that_differ_are_not_taken_for_certain():
    # One loss in 200 questions: a bootstrap of these alone has it at 1.5 % at most, Bonett and Price at 2.2 %.
    values = {4: np.ones(200), 64: np.ones(200)}
    values[4][0] = 0
    budget = budget_of(values)
    assert (budget.recommended, budget.undecided) == (64, (4,))
    # Draws come in steps of 1 of 202 videos, 0.5 points.
    assert budget.budgets[0].loss.high == pytest.approx(2.2, abs=0.5)


def test_the_number_of_questions_that_are_needed_follows_from_the_differences():
    # 300 questions, of which K = 4 loses 30 and wins 30: no loss on average, variance 0.2 of a difference.
    values = {4: np.zeros(300), 64: np.zeros(300)}
    values[4][:30], values[64][30:60] = 1, 1
    budget = budget_of(values, num_draws=4000)
    expected = 1.96**2 * 0.2 / 0.02**2
    # The bootstrap knows the standard error to about 1 / sqrt(2 * 4000), its square to twice that; four times allowed.
    assert budget.recommended is None and budget.questions_needed == pytest.approx(expected, rel=0.09)


def test_a_smaller_k_that_may_do_is_told():
    rng = np.random.default_rng(0)
    base = (rng.random(1000) < 0.5).astype(float)
    values = {4: base.copy(), 16: base.copy(), 64: base.copy()}
    right = np.flatnonzero(base)
    values[4][right[:17]] = 0  # loses 1.7 points, 0.9 to 2.5 or so
    budget = budget_of(values)
    assert (budget.recommended, budget.undecided) == (16, (4,))
    assert budget.answer().endswith(
        f"Whether K = 4 would do, 1,000 questions cannot tell; about {budget.questions_needed:,} are needed."
    )
    assert 1000 < budget.questions_needed < 100_000


def test_questions_of_the_same_video_widen_the_intervals():
    values = {count: np.repeat(answers, 5) for count, answers in planted(200, {4: 0.5, 64: 0.6}).items()}
    apart = budget_of(values)
    together = budget_of(values, np.repeat(np.arange(200), 5))
    for one, other in zip(apart.budgets, together.budgets, strict=True):
        assert one.accuracy.value == other.accuracy.value
        # Five copies of each answer: sqrt(5) times as wide, each known to a few percent.
        assert sum(other.accuracy.reach) / sum(one.accuracy.reach) == pytest.approx(math.sqrt(5), rel=0.15)
    assert (together.num_questions, together.num_videos) == (1000, 200)


def test_the_interval_is_that_of_a_proportion():
    values = planted(2000, {4: 0.5, 64: 0.8})
    for each in budget_of(values, num_draws=4000).budgets:
        share = each.accuracy.value / 100
        # Ends of 4000 draws are known to about 3 % of the standard error; twice that each.
        expected = 2 * 196 * math.sqrt(share * (1 - share) / 2000)
        assert sum(each.accuracy.reach) == pytest.approx(expected, rel=0.07)


def test_losses_are_paired():
    # Difficulty decides every answer alike but for a few, so that the loss is known far better than the accuracies.
    first, _ = budget_of(planted(2000, {4: 0.5, 64: 0.5}, noise=0.01)).budgets
    assert sum(first.loss.reach) < 0.35 * sum(first.accuracy.reach)


def test_the_same_answers_give_the_same_budget_whatever_the_names_of_videos():
    values = planted(400, {4: 0.5, 64: 0.55})
    videos = np.arange(400) // 2
    assert budget_of(values, videos) == budget_of(values, [f"{video}.mp4" for video in videos])
    assert budget_of(values, videos) == budget_of(dict(reversed(values.items())), videos)
    assert budget_of(values, videos) != budget_of(values, videos, seed=1)


def test_one_k_needs_no_comparison():
    assert budget_of({16: np.ones(3)}).recommended == 16


def test_the_table_has_a_line_for_each_k():
    lines = budget_of(planted(3000, {4: 0.3, 16: 0.5, 64: 0.6})).table().splitlines()
    assert len(lines) == 5 and lines[0].split(" | ")[1:3] == ["visual tokens", "TFLOPs"]
    assert [line.split()[1] for line in lines[2:]] == ["4", "16", "64"]
    assert lines[4].endswith("the best |") and "(" in lines[3].rsplit("|", 2)[1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"values": {}}, r"2 videos and, by K, \{\} values"),
        ({"values": {4: [1, 0], 16: [1]}}, r"by K, \{4: 2, 16: 1\} values; expected for each question"),
        ({"values": {4: [1, 2], 16: [1, 0]}}, "A value at K = 4 is 2; expected 0 to 1"),
        ({"tflops": {4: 1.0}}, "`tflops` lacks K = 16"),
        ({"visual_tokens": {16: 1}}, "`visual_tokens` lacks K = 4"),
        ({"tolerance": 0}, "`tolerance` is 0; expected points of accuracy"),
    ],
)
def test_what_makes_no_sense_is_refused(changes, message):
    arguments = {
        "values": {4: [1, 0], 16: [1, 1]},
        "videos": ["a", "b"],
        "tflops": {4: 1.0, 16: 2.0},
        "visual_tokens": {4: 32, 16: 128},
    }
    with pytest.raises(ValueError, match=message):
        token_budget(**{**arguments, **changes})
