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
"""MVBench's files and prompts."""

import json
import re

import pytest

from ftfv.evaluation.benchmarks.mvbench import TASKS, MVBench


SEQUENCE = {
    "video": "ZS9XR.mp4",
    "question": "What happened after the person took the food?",
    "candidates": ["Ate the medicine.", "Tidied up the blanket.", "Put down the cup.", "Took the box."],
    "answer": "Ate the medicine.",
    "question_id": "Sequence_T1_13",
    "start": 11.1,
    "end": 19.6,
}
POSE = {"video": "S1.avi", "question": "What pose?", "candidates": ["sit", "stand"], "answer": "stand"}
EPISODE = {
    "video": "castle_s01e01",
    "question": "Why?",
    "candidates": ["because", "for", "as", "since", "to"],
    "answer": "to",
    "start": 3,
    "end": 6.5,
}


@pytest.fixture
def folder(tmp_path):
    """A folder with three of the tasks and one of one's own."""
    write(tmp_path, "episodic_reasoning", [EPISODE])
    write(tmp_path, "fine_grained_pose", [POSE, POSE])
    write(tmp_path, "action_sequence", [SEQUENCE])
    write(tmp_path, "my_task", [{**POSE, "start": 1.0, "end": 2.0}])
    for path in ("star/Charades_v1_480/ZS9XR.mp4", "nturgbd/S1.avi", "my_task/S1.avi"):
        (tmp_path / "video" / path).parent.mkdir(parents=True)
        (tmp_path / "video" / path).touch()
    (tmp_path / "video/tvqa/frames_fps3_hq/castle_s01e01").mkdir(parents=True)
    return tmp_path


def write(folder, name, content):
    (folder / "json").mkdir(exist_ok=True)
    (folder / "json" / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")


def test_questions_come_by_task_in_the_benchmark_s_order(folder):
    questions = MVBench().read(folder)

    assert [(question.id, question.task) for question in questions] == [
        ("action_sequence/0", "Action Sequence"),
        ("fine_grained_pose/0", "Fine-grained Pose"),
        ("fine_grained_pose/1", "Fine-grained Pose"),
        ("episodic_reasoning/0", "Episodic Reasoning"),
        ("my_task/0", "my_task"),
    ]
    assert [question.answer for question in questions] == ["A", "B", "B", "E", "B"]
    assert [question.clip for question in questions] == [(11.1, 19.6), None, None, (3.0, 6.5), (1.0, 2.0)]
    assert [question.frame_rate for question in questions] == [None, None, None, 3.0, None]
    assert [question.video for question in questions] == [
        str(folder / "video" / path)
        for path in (
            "star/Charades_v1_480/ZS9XR.mp4",
            "nturgbd/S1.avi",
            "nturgbd/S1.avi",
            "tvqa/frames_fps3_hq/castle_s01e01",
            "my_task/S1.avi",
        )
    ]
    assert questions[0].options == tuple(SEQUENCE["candidates"])


def test_the_prompt_is_the_official_one(folder):
    benchmark = MVBench()
    question = benchmark.read(folder)[0]

    assert benchmark.prompt(question) == (
        "Carefully watch the video and pay attention to the cause and sequence of events, the detail and movement of"
        " objects, and the action and pose of persons. Based on your observations, select the best option that"
        " accurately addresses the question.\n"
        "Question: What happened after the person took the food?\n"
        "Options:\n"
        "(A) Ate the medicine.\n"
        "(B) Tidied up the blanket.\n"
        "(C) Put down the cup.\n"
        "(D) Took the box.\n"
        "Only give the best option."
    )
    assert benchmark.prompt(question).startswith(benchmark.system)
    assert benchmark.response_prefix == "Best option:("


def test_the_average_is_over_the_twenty_tasks_and_no_other(folder):
    weights = MVBench.totals["Avg"].weights

    assert len(TASKS) == 20
    assert set(weights) == set(MVBench.tasks)
    assert set(weights.values()) == {1.0}
    assert "my_task" not in weights


@pytest.mark.parametrize("place", ["video/data0613/clevrer/video_validation", "clevrer/video_validation"])
def test_videos_are_found_where_archives_leave_them(tmp_path, place):
    write(tmp_path, "moving_count", [{**POSE, "start": 4.0, "end": 2.0}])
    (tmp_path / place).mkdir(parents=True)
    (tmp_path / place / "S1.avi").touch()

    (question,) = MVBench().read(tmp_path)

    assert question.video == str(tmp_path / place / "S1.avi")
    assert question.clip is None  # this task is about whole videos, whatever its records say


def test_a_folder_without_task_files_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="json has no task files. Download the dataset OpenGVLab/MVBench"):
        MVBench().read(tmp_path)


def test_missing_videos_are_counted(folder):
    (folder / "video/nturgbd/S1.avi").unlink()

    missing = re.escape(str(folder / "video/nturgbd/S1.avi"))
    with pytest.raises(FileNotFoundError, match=f"1 of 4 videos and images are missing: {missing}. .*NTU RGB"):
        MVBench().read(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"answer": "Slept."}, "record 1: the answer 'Slept.' is none of the candidates"),
        ({"candidates": "A"}, "record 1: `candidates` is 'A'; expected list."),
        ({"video": None}, "record 1: `video` is None; expected str."),
        ({"start": "0"}, "record 1: `start` is '0'; expected int or float."),
        ({"end": 11.1}, "record 1: a clip from 11.1 s to 11.1 s; expected 0 <= start < end."),
    ],
)
def test_malformed_records_are_named(folder, change, message):
    write(folder, "action_sequence", [SEQUENCE, {**SEQUENCE, **change}])

    with pytest.raises(ValueError, match=re.escape(f"{folder / 'json' / 'action_sequence.json'}, {message}")):
        MVBench().read(folder)
