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
"""Accuracies, their Wilson intervals, and tables of them."""

import json

import pytest

from ftfv.evaluation.asking.rows import Answer
from ftfv.evaluation.scores.scoring import (
    Score,
    accuracy,
    format_score,
    format_scores,
    score_by_skill,
    scores_from_dict,
    scores_to_dict,
)


def make_answer(skill: str, correct: bool) -> Answer:
    return Answer("0", skill, "vqa", "?", "left", "Left" if correct else "right")


@pytest.mark.parametrize(
    ("correct", "total", "low", "high"),
    [
        (0, 10, 0.0, 0.2775),
        (9, 10, 0.5958, 0.9821),
        (10, 10, 0.7225, 1.0),
        (50, 100, 0.4038, 0.5962),
        (1, 1, 0.2065, 1.0),
        (263, 500, 0.4822, 0.5694),
    ],
)
def test_the_wilson_interval_has_its_known_values(correct, total, low, high):
    score = Score.from_counts(correct, total)

    assert (score.correct, score.total, score.accuracy) == (correct, total, correct / total)
    assert score.low == pytest.approx(low, abs=5e-5)
    assert score.high == pytest.approx(high, abs=5e-5)
    assert 0 <= score.low <= score.accuracy <= score.high <= 1


def test_every_score_lies_within_its_interval():
    for total in range(1, 80):
        for correct in range(total + 1):
            score = Score.from_counts(correct, total)
            mirrored = Score.from_counts(total - correct, total)
            assert 0 <= score.low <= score.accuracy <= score.high <= 1
            assert score.low == pytest.approx(1 - mirrored.high, abs=1e-12)


@pytest.mark.parametrize(("correct", "total"), [(0, 0), (-1, 3), (4, 3)])
def test_impossible_counts_are_refused(correct, total):
    with pytest.raises(ValueError, match=f"{correct} correct answers of {total}"):
        Score.from_counts(correct, total)


def test_accuracy_counts_correct_answers():
    score = accuracy(make_answer("count", index < 3) for index in range(4))
    assert (score.correct, score.total, score.accuracy) == (3, 4, 0.75)
    with pytest.raises(ValueError, match="expected at least one answer"):
        accuracy([])


def test_skills_come_in_the_order_of_their_first_answer():
    answers = [make_answer("turns", True), make_answer("count", False), make_answer("turns", False)]

    scores = score_by_skill(answers)

    assert list(scores) == ["turns", "count"]
    assert [(score.correct, score.total) for score in scores.values()] == [(1, 2), (0, 1)]


def test_scores_survive_json():
    scores = {"turns": Score.from_counts(9, 10), "count": Score.from_counts(0, 3)}
    assert scores_from_dict(json.loads(json.dumps(scores_to_dict(scores)))) == scores


def test_a_table_holds_what_each_column_has():
    before = {"count": Score.from_counts(9, 10)}
    after = {"count": Score.from_counts(10, 10), "turns": Score.from_counts(0, 10)}

    assert format_scores({"before": before, "after": after}, {"count": 0.25}).splitlines() == [
        "| skill | chance |              before |                 after |",
        "| ----- | -----: | ------------------: | --------------------: |",
        "| count |   25.0 | 90.0 (59.6 to 98.2) | 100.0 (72.2 to 100.0) |",
        "| turns |      - |                   - |     0.0 (0.0 to 27.8) |",
    ]
    assert format_scores({"before": before}).splitlines()[2] == "| count | 90.0 (59.6 to 98.2) |"
    assert format_score(before["count"]) == "90.0 (59.6 to 98.2)"
