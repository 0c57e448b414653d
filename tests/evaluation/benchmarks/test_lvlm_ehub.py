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
"""Tiny LVLM-eHub's files, its scorer and its total."""

import json
import re

import pytest

from ftfv.evaluation.benchmarks.benchmark import Answered, Question, Verdict
from ftfv.evaluation.benchmarks.lvlm_ehub import ABILITIES, LVLMEhub, official_lvlm_ehub


RECORD = {"image_path": "00.png", "question": "What is written in the image?", "gt_answers": ["STOP", "halt"]}


def write(folder, ability, content):
    (folder / ability).mkdir()
    (folder / ability / "dataset.json").write_text(json.dumps(content), encoding="utf-8")
    (folder / ability / "00.png").touch()


def test_abilities_that_are_there_are_read(tmp_path):
    write(tmp_path, "Object_Hallucination", [RECORD | {"gt_answers": "yes"}])
    write(tmp_path, "Visual_Reasoning", [RECORD, RECORD])

    benchmark = LVLMEhub()
    questions = benchmark.read(tmp_path)

    assert [(question.id, question.task, question.answer) for question in questions] == [
        ("Visual_Reasoning/0", "Visual_Reasoning", "STOP"),
        ("Visual_Reasoning/1", "Visual_Reasoning", "STOP"),
        ("Object_Hallucination/0", "Object_Hallucination", "yes"),
    ]
    assert questions[0].details["answers"] == ("STOP", "halt")
    assert questions[2].image == str(tmp_path / "Object_Hallucination/00.png")
    assert benchmark.prompt(questions[0]) == "What is written in the image?"


def test_the_total_is_the_sum_over_five_abilities():
    total = LVLMEhub.totals["Ehub"]

    assert total.is_sum
    assert total.weights == dict.fromkeys(ABILITIES, 1.0)
    assert len(ABILITIES) == 5


@pytest.mark.parametrize(
    ("truths", "text", "expected"),
    [
        (("STOP", "halt"), "The sign says: stop!", 1),
        (("STOP", "halt"), "Please halt.", 1),
        (("stop",), "nonstop", 0),
        (("3",), "there are three dogs", 1),
        (("two",), "2", 1),
        (("0",), "None", 1),
        (("the dog",), "a DOG", 1),
        (("don't walk",), "dont walk", 1),
        (("he'd've",), "hed've", 1),
        (("1,000",), "1000", 1),
        (("yes",), "Answer:yes", 1),
        (("black white",), "black-white", 1),
        (("no",), "Answer: <choice>\n- Yes", 0),
        (("a",), "any word", 1),  # nothing is left of the truth
    ],
)
def test_a_truth_must_stand_in_the_answer_as_a_word(truths, text, expected):
    question = Question("1", "Visual_Reasoning", "?", truths[0], details={"answers": truths})

    assert official_lvlm_ehub(Answered(question, text)) == Verdict(float(expected))


@pytest.mark.parametrize("text", ["", " \n"])
def test_an_empty_answer_is_wrong_and_not_parsed(text):
    question = Question("1", "Visual_Reasoning", "?", "no", details={"answers": ("no",)})

    assert official_lvlm_ehub(Answered(question, text)) == Verdict(0.0, parsed=False)


def test_an_empty_folder_says_what_is_public(tmp_path):
    with pytest.raises(FileNotFoundError, match="none of the folders Visual_Reasoning, .*not all public"):
        LVLMEhub().read(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gt_answers": []}, "`gt_answers` is empty; expected a text or a list of them."),
        ({"gt_answers": None}, "`gt_answers` is None; expected str or list."),
        ({"image_path": 3}, "`image_path` is 3; expected str."),
    ],
)
def test_malformed_records_are_named(tmp_path, change, message):
    write(tmp_path, "Visual_Reasoning", [RECORD, RECORD | change])

    with pytest.raises(ValueError, match=re.escape(f"dataset.json, record 1: {message}")):
        LVLMEhub().read(tmp_path)


def test_missing_images_are_counted(tmp_path):
    write(tmp_path, "Visual_Reasoning", [RECORD, RECORD | {"image_path": "01.png"}])

    with pytest.raises(FileNotFoundError, match="1 of 2 videos and images are missing: .*Visual_Reasoning/01.png"):
        LVLMEhub().read(tmp_path)
