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
"""Files and prompts of MSVD-QA, MSRVTT-QA and ActivityNet-QA."""

import json
import re

import pytest

from ftfv.evaluation.benchmarks.benchmark import Answered
from ftfv.evaluation.benchmarks.video_qa import ACTIVITYNET_QA, MSRVTT_QA, MSVD_QA


QUESTIONS = [
    {"video_name": "1QIUV7WYKXg", "question": "is the athlete wearing trousers", "question_id": "v_1QIUV7WYKXg_3"},
    {"video_name": "vid1", "question": "what does Tom do?", "question_id": 7},
    {"video_name": "clip.mkv", "question": "who", "question_id": 8},
]
ANSWERS = [
    {"answer": "yes", "type": 3, "question_id": "v_1QIUV7WYKXg_3"},
    {"answer": "ride", "question_id": 7},
    {"answer": 2, "question_id": 8},
]


def write(folder, questions, answers):
    (folder / "test_q.json").write_text(json.dumps(questions), encoding="utf-8")
    (folder / "test_a.json").write_text(json.dumps(answers), encoding="utf-8")


def touch(folder, *paths):
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).touch()


@pytest.fixture
def folder(tmp_path):
    write(tmp_path, QUESTIONS, ANSWERS)
    touch(tmp_path, "all_test/v_1QIUV7WYKXg.WEBM", "videos/all/vid1.avi", "clip.mkv")
    return tmp_path


def test_questions_and_answers_go_by_index(folder):
    questions = ACTIVITYNET_QA.read(folder)

    assert [(question.id, question.answer) for question in questions] == [
        ("v_1QIUV7WYKXg_3", "yes"),
        ("7", "ride"),
        ("8", "2"),
    ]
    assert [question.video for question in questions] == [
        str(folder / path) for path in ("all_test/v_1QIUV7WYKXg.WEBM", "videos/all/vid1.avi", "clip.mkv")
    ]
    assert {question.task for question in questions} == {"ActivityNet-QA"} == set(ACTIVITYNET_QA.tasks)


def test_all_three_sets_are_asked_as_lmms_eval_asks_activitynet_qa(folder):
    questions = MSVD_QA.read(folder)

    for benchmark in (MSVD_QA, MSRVTT_QA, ACTIVITYNET_QA):
        assert [benchmark.prompt(question) for question in questions] == [
            "Is the athlete wearing trousers? Answer the question using a single word or phrase.",
            "What does tom do? Answer the question using a single word or phrase.",
            "Who? Answer the question using a single word or phrase.",
        ]


def test_columns_need_a_judge_or_none(folder):
    assert list(MSRVTT_QA.rules) == ["judge", "judge_score", "exact", "contains"]
    question = MSRVTT_QA.read(folder)[0]
    answered = Answered(question, "Yes, he is.")

    verdicts = {name: rule(answered) for name, rule in MSRVTT_QA.rules.items()}

    assert verdicts["judge"] is None
    assert verdicts["judge_score"] is None
    assert verdicts["exact"].value == 0.0
    assert verdicts["contains"].value == 1.0


def test_a_video_with_its_own_name_goes_before_one_with_v(folder):
    touch(folder, "videos/v_vid1.mp4")

    assert MSVD_QA.read(folder)[1].video == str(folder / "videos/all/vid1.avi")


def test_missing_videos_are_counted(folder):
    (folder / "clip.mkv").unlink()
    (folder / "videos/all/vid1.avi").unlink()

    with pytest.raises(
        FileNotFoundError, match="2 of 3 videos and images are missing: .*vid1.mp4.*Expected test_q.json"
    ):
        MSVD_QA.read(folder)


def test_a_missing_file_is_named(folder):
    (folder / "test_a.json").unlink()

    with pytest.raises(FileNotFoundError, match="test_a.json is missing. Expected test_q.json, test_a.json"):
        MSVD_QA.read(folder)


@pytest.mark.parametrize(
    ("questions", "answers", "message"),
    [
        (QUESTIONS, ANSWERS[:2], "test_q.json has 3 records and "),
        (QUESTIONS[:2], ANSWERS[1::-1], "record 0: question v_1QIUV7WYKXg_3 stands beside the answer to 7."),
        ([{"question": "?", "question_id": 7}], ANSWERS[1:2], "test_q.json, record 0: `video_name` is missing"),
        (QUESTIONS[1:2], [{"answer": None, "question_id": 7}], "test_a.json, record 0: `answer` is None"),
        ({}, ANSWERS, "test_q.json: expected a list of records, got dict."),
    ],
)
def test_malformed_records_are_named(folder, questions, answers, message):
    write(folder, questions, answers)

    with pytest.raises(ValueError, match=re.escape(message)):
        MSVD_QA.read(folder)
