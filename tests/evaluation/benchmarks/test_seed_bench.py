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
"""SEED-Bench's file and prompt."""

import json
import re

import pytest

from ftfv.evaluation.benchmarks.seed_bench import SeedBench


TOWELS = {
    "answer": "A",
    "choice_a": "One",
    "choice_b": "Two",
    "choice_c": "Three",
    "choice_d": "Four",
    "data_id": "1454426_2591111986",
    "data_type": "image",
    "question": "How many towels are in the image?",
    "question_id": "101669",
    "question_type_id": 5,
}
VIDEO = {**TOWELS, "data_type": "video", "data_id": "29_0.mp4", "question_type_id": 10, "question_id": "v1"}


def write(folder, questions):
    (folder / "SEED-Bench.json").write_text(
        json.dumps({"questions": questions, "question_type": {"Instances Counting": 5}}), encoding="utf-8"
    )


@pytest.fixture
def folder(tmp_path):
    write(
        tmp_path, [VIDEO, TOWELS, {**TOWELS, "data_id": "2", "question_id": "2", "question_type_id": 1, "answer": "D"}]
    )
    (tmp_path / "SEED-Bench-image").mkdir()
    (tmp_path / "SEED-Bench-image" / "1454426_2591111986").touch()
    (tmp_path / "SEED-Bench-image" / "2.jpg").touch()
    return tmp_path


def test_questions_about_images_are_read(folder):
    benchmark = SeedBench()
    questions = benchmark.read(folder)

    assert [(question.id, question.task, question.answer) for question in questions] == [
        ("101669", "Instances Counting", "A"),
        ("2", "Scene Understanding", "D"),
    ]
    assert [question.image for question in questions] == [
        str(folder / "SEED-Bench-image" / name) for name in ("1454426_2591111986", "2.jpg")
    ]
    assert benchmark.prompt(questions[0]) == (
        "How many towels are in the image?\nA. One\nB. Two\nC. Three\nD. Four\n"
        "Answer with the option's letter from the given choices directly."
    )


def test_the_first_column_ranks_the_options_texts(folder):
    assert list(SeedBench.rules) == ["official", "lmms_eval", "strict", "likelihood"]
    [towels, _] = SeedBench().read(folder)
    assert SeedBench().ranking_prompt(towels) == "Question: How many towels are in the image?\nAnswer:"
    assert list(SeedBench.totals) == ["SEED^I"]
    assert len(SeedBench.tasks) == 9


def test_missing_files_are_named(folder):
    (folder / "SEED-Bench-image" / "2.jpg").unlink()
    with pytest.raises(
        FileNotFoundError, match="1 of 2 videos and images are missing: .*SEED-Bench-image/2. Download"
    ):
        SeedBench().read(folder)

    (folder / "SEED-Bench.json").unlink()
    with pytest.raises(FileNotFoundError, match="SEED-Bench.json is missing. Download SEED-Bench.json"):
        SeedBench().read(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"answer": "E"}, "record 0: `answer` is 'E'; expected one of A, B, C, D."),
        ({"question_type_id": 10}, "record 0: `question_type_id` is 10; expected 1 to 9 for an image."),
        ({"choice_b": " "}, "record 0: `choice_b` is empty; expected an option."),
        ({"choice_c": None}, "record 0: `choice_c` is None; expected str or int or float."),
        ({"data_type": "video"}, "has no question about an image."),
    ],
)
def test_malformed_records_are_named(folder, change, message):
    write(folder, [TOWELS | change])

    with pytest.raises(ValueError, match=re.escape(message)):
        SeedBench().read(folder)
