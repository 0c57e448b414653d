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

from pathlib import Path

import numpy as np
import pytest

from ftfv.evaluation.benchmarks.benchmark import Answered, Benchmark, Question, Total, Verdict
from ftfv.evaluation.scores.benchmark_scores import (
    columns_from_dict,
    columns_to_dict,
    number_media,
    score_answers,
    unit_values,
    verdicts,
)


def right(answered: Answered) -> Verdict:
    return Verdict(float(answered.text == answered.question.answer), parsed=bool(answered.text))


def only_answered(answered: Answered) -> Verdict | None:
    return right(answered) if answered.text else None


def always(answered: Answered) -> Verdict:
    return Verdict(1.0)


class Toy(Benchmark):
    name, title = "toy", "Toy"
    tasks = ("one", "two", "three")
    rules = {"official": right, "answered": only_answered, "always": always, "never": lambda answered: None}
    totals = {
        "Level": Total({"one": 1.0, "two": 0.5}),
        "All": Total({"one": 1.0, "two": 1.0, "three": 1.0}),
        "Pooled": Total(),
        "Sum": Total({"one": 1.0, "two": 1.0}, is_sum=True),
        "Empty": Total({"three": 1.0}),
        "Levels": Total(levels=("Level", "Sum", "Empty")),
    }

    def read(self, folder: Path) -> list[Question]:
        return []

    def prompt(self, question: Question) -> str:
        return question.question


def make(number: int, task: str, text: str, **options: object) -> Answered:
    question = Question(str(number), task, "?", "A", video=f"{number % 7}.mp4", unit=options.pop("unit", None))  # type: ignore[arg-type]
    return Answered(question, text, **options)  # type: ignore[arg-type]


ANSWERS = [
    *(make(number, "one", "A" if number < 6 else "B") for number in range(8)),
    *(make(8 + number, "two", "A" if number < 1 else "") for number in range(4)),
]


def test_figures_by_task_and_in_total():
    columns = score_answers(Toy(), ANSWERS)

    assert list(columns) == ["official", "answered", "always"]
    official = columns["official"]
    assert {task: (figure.value, figure.count, figure.unparsed) for task, figure in official.tasks.items()} == {
        "one": (0.75, 8, 0),
        "two": (0.25, 4, 3),
    }
    values = {name: figure.value for name, figure in official.totals.items()}
    assert values == pytest.approx(
        {"Level": (0.75 + 0.5 * 0.25) / 1.5, "All": 0.5, "Pooled": 7 / 12, "Sum": 1.0, "Levels": 19 / 24}, abs=1e-12
    )
    assert official.totals["All"].missing == ("three",)
    assert official.totals["Pooled"].missing == ("three",)
    assert official.totals["Level"].missing == ()
    assert official.totals["Levels"].missing == ("Empty",)
    for figure in (*official.tasks.values(), *official.totals.values()):
        assert figure.low <= figure.value <= figure.high
        assert figure.low < figure.high
    # A rule that leaves answers out says how many.
    assert columns["answered"].tasks["two"].value == 1
    assert columns["answered"].not_counted == 3
    assert official.not_counted == 0


def test_intervals_are_as_wide_as_those_of_independent_shares():
    rng = np.random.default_rng(0)
    answers = [
        Answered(Question(str(index), "one", "?", "A", video=f"{index}.mp4"), "A" if rng.random() < 0.7 else "B")
        for index in range(900)
    ]
    figure = score_answers(Toy(), answers)["official"].tasks["one"]
    expected = 1.96 * np.sqrt(figure.value * (1 - figure.value) / 900)
    assert (figure.high - figure.low) / 2 == pytest.approx(expected, rel=0.1)
    # The total of equal weights over two tasks of the same size is as sure as both together.
    both = [*answers, *(Answered(Question(f"b{index}", "two", "?", "A", video=f"b{index}.mp4"), answers[index].text)
                        for index in range(900))]  # fmt: skip
    total = score_answers(Toy(), both)["official"].totals["Sum"]
    assert (total.high - total.low) / 2 == pytest.approx(expected * np.sqrt(2), rel=0.1)


def test_a_unit_is_as_right_as_its_wrongest_question():
    answers = [
        make(0, "one", "A", unit="0"),
        make(1, "one", "A", unit="0"),
        make(2, "one", "A", unit="2"),
        make(3, "one", "", unit="2"),
    ]
    assert {name: verdict for name, (_, verdict) in unit_values(right, answers).items()} == {
        "0": Verdict(1.0),
        "2": Verdict(0.0, parsed=False),
    }
    figure = score_answers(Toy(), answers)["official"].tasks["one"]
    assert (figure.value, figure.count, figure.unparsed) == (0.5, 2, 1)


def test_media_that_cannot_be_read_are_wrong_by_every_rule():
    answers = [make(0, "one", "", unreadable="no video"), make(1, "one", "A")]
    columns = score_answers(Toy(), answers)
    assert list(columns) == ["official", "answered", "always"]
    for column in columns.values():
        assert column.tasks["one"].value == 0.5
        assert column.tasks["one"].unparsed == 1
    with pytest.raises(ValueError, match="no file of theirs can be read"):
        score_answers(Toy(), answers[:1])


def test_media_that_cannot_be_read_count_by_the_rules_for_their_kind_of_question():
    rules = {
        "open": lambda answered: None if answered.question.options else right(answered),
        "options": lambda answered: right(answered) if answered.question.options else None,
    }
    is_right = make(0, "one", "A")
    broken = Answered(Question("1", "one", "?", "A", ("a", "b"), video="gone.mp4"), "", unreadable="no video")
    assert verdicts(rules["open"], [is_right, broken]) == [Verdict(1.0), None]
    assert verdicts(rules["options"], [is_right, broken]) == [None, None]
    chosen = Answered(Question("2", "one", "?", "A", ("a", "b"), video="b.mp4"), "A")
    assert verdicts(rules["options"], [is_right, broken, chosen]) == [None, Verdict(0.0, parsed=False), Verdict(1.0)]


def test_columns_as_plain_numbers_and_back():
    columns = score_answers(Toy(), ANSWERS)
    assert columns_from_dict(columns_to_dict(columns)) == columns


def test_media_are_told_apart_without_their_contents():
    # Images of MMBench are bytes, and long.
    images = [b"a" * 10**6, b"b" * 10**6, b"a" * 10**6]
    answers = [Answered(Question(str(index), "one", "?", "A", image=image), "A") for index, image in enumerate(images)]
    assert number_media(answers).tolist() == [0, 1, 0]


def test_no_answers():
    with pytest.raises(ValueError, match="There are no answers to questions of Toy"):
        score_answers(Toy(), [])
