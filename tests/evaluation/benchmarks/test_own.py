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
"""Questions of one's own."""

import json
import re

import pytest

from ftfv.evaluation.benchmarks.benchmark import Answered, Verdict
from ftfv.evaluation.benchmarks.own import OwnQuestions


OPEN = {"video": "clips/a.mp4", "question": "What happens?", "answer": "A dog barks", "clip": [1, 2.5]}
CHOICE = {
    "image": "b.png",
    "question": "Which animal?",
    "answer": "dog",
    "options": ["cat", "dog"],
    "id": "x1",
    "task": "animals",
}


@pytest.fixture
def folder(tmp_path):
    write(tmp_path, OPEN, CHOICE, {**CHOICE, "id": 7, "answer": "A"})
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips/a.mp4").touch()
    (tmp_path / "b.png").touch()
    return tmp_path


def write(folder, *records):
    lines = [record if isinstance(record, str) else json.dumps(record) for record in records]
    (folder / "questions.jsonl").write_text("\n\n".join(lines) + "\n", encoding="utf-8")


def test_questions_with_and_without_options(folder):
    benchmark = OwnQuestions()
    questions = benchmark.read(folder)

    assert [(question.id, question.task, question.answer) for question in questions] == [
        ("1", "Own questions", "A dog barks"),
        ("x1", "animals", "B"),
        ("7", "animals", "A"),
    ]
    assert questions[0].video == str(folder / "clips/a.mp4")
    assert questions[0].clip == (1.0, 2.5)
    assert (questions[1].image, questions[1].video) == (str(folder / "b.png"), None)
    assert benchmark.prompt(questions[0]) == "What happens?"
    assert benchmark.prompt(questions[1]) == (
        "Which animal?\nA. cat\nB. dog\nAnswer with the letter of the right option only."
    )


def test_an_absolute_path_stays(folder, tmp_path_factory):
    video = tmp_path_factory.mktemp("elsewhere") / "c.mp4"
    video.touch()
    write(folder, OPEN | {"video": str(video)})

    assert OwnQuestions().read(folder)[0].video == str(video)


def test_a_column_counts_the_questions_that_it_applies_to(folder):
    opened, choice, _ = OwnQuestions().read(folder)
    rules = OwnQuestions.rules

    answered = Answered(opened, "a dog barks loudly")
    assert {name: rule(answered) for name, rule in rules.items()} == {
        "exact": Verdict(0.0),
        "contains": Verdict(1.0),
        "strict": None,
        "likelihood": None,
        "judge": None,
        "judge_score": None,
    }
    judged = Answered(opened, "a dog", reply="{'pred': 'yes', 'score': 4}")
    assert rules["judge"](judged) == Verdict(1.0)
    assert rules["judge_score"](judged) == Verdict(4.0)
    answered = Answered(choice, "(B)", {"A": -0.1, "B": -2.0})
    assert {name: rule(answered) for name, rule in rules.items()} == {
        "exact": None,
        "contains": None,
        "strict": Verdict(1.0),
        "likelihood": Verdict(0.0),
        "judge": None,
        "judge_score": None,
    }


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ("{", "line 1 is not JSON"),
        ([1], "line 1: expected an object, got list."),
        ({**OPEN, "image": "b.png"}, "line 1: expected `video` or `image`, one of them."),
        ({"question": "?", "answer": "yes"}, "line 1: expected `video` or `image`, one of them."),
        ({**OPEN, "clip": [1]}, "line 1: `clip` is [1]; expected [start, end] in seconds."),
        ({**OPEN, "clip": [2, 1]}, "line 1: a clip from 2 s to 1 s; expected 0 <= start < end."),
        ({**CHOICE, "answer": "C"}, "line 1: the answer 'C' is no letter and not the text of one option"),
        (
            {**CHOICE, "options": ["dog", "dog"]},
            "line 1: the answer 'dog' is no letter and not the text of one option",
        ),
        ({**OPEN, "answer": None}, "line 1: `answer` is None; expected str or int or float."),
        ({**OPEN, "answer": " "}, "line 1: `answer` is empty."),
        ({**OPEN, "video": ""}, "line 1: `video` is empty."),
        ({**CHOICE, "options": []}, "line 1: there are 0 options; expected 1 to 26, a letter each."),
        ({**CHOICE, "options": ["dog"] * 27}, "line 1: there are 27 options; expected 1 to 26, a letter each."),
        ({**OPEN, "opions": ["yes"]}, "line 1: there is a field 'opions'; did you mean 'options'?"),
        (
            {"image": "b.png", "question": "?", "answer": "yes", "clip": [0, 1]},
            "line 1: there is a `clip` of an image; expected one of a video only.",
        ),
        ("", "has no question. Expected a file questions.jsonl"),
    ],
)
def test_malformed_lines_are_named(folder, record, message):
    write(folder, record)

    with pytest.raises(ValueError, match=re.escape(message)):
        OwnQuestions().read(folder)


def test_fields_of_others_and_no_id_are_passed_over(folder):
    write(folder, {**OPEN, "ability": "caption", "source": "mine", "id": None}, {**OPEN, "id": None})
    assert [question.id for question in OwnQuestions().read(folder)] == ["1", "3"]


def test_an_id_may_come_once(folder):
    write(folder, CHOICE, CHOICE)

    with pytest.raises(ValueError, match="line 3: the id 'x1' was there before."):
        OwnQuestions().read(folder)


def test_missing_files_are_named(folder):
    (folder / "b.png").unlink()
    with pytest.raises(FileNotFoundError, match="1 of 2 videos and images are missing: .*b.png. Expected a file"):
        OwnQuestions().read(folder)

    (folder / "questions.jsonl").unlink()
    with pytest.raises(FileNotFoundError, match="questions.jsonl is missing. Expected a file questions.jsonl"):
        OwnQuestions().read(folder)
