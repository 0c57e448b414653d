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

import pytest

from ftfv.evaluation.asking.predictions import PredictionFile
from ftfv.evaluation.benchmarks.benchmark import Answered, Question


QUESTIONS = [Question(str(index), "task", "what moves ?", "left") for index in range(3)]
ORIGIN = {"model": {"sha256": "a"}, "seed": 0, "setting": {"tokens_per_frame": None}}


def test_answers_come_back_from_the_file(tmp_path: Path):
    path = tmp_path / "folder" / "default.jsonl"
    answers = [
        Answered(QUESTIONS[0], "left\nright é\x1e", {"A": -0.5, "B": -1.25}),
        Answered(QUESTIONS[1], "", option_log_probs={"A": -2.5, "B": -1.125}),
        Answered(QUESTIONS[2], "", unreadable="no video"),
    ]
    file = PredictionFile(path, ORIGIN, QUESTIONS)
    assert file.missing(QUESTIONS) == QUESTIONS
    file.append(answers[:1])
    file.append(answers[1:])

    assert [file.answers[question.id] for question in QUESTIONS] == answers
    assert file.missing(QUESTIONS) == []
    # The file that could not be read may have been mended since.
    again = PredictionFile(path, ORIGIN, QUESTIONS)
    assert [again.answers[question.id] for question in QUESTIONS[:2]] == answers[:2]
    assert again.missing(QUESTIONS) == QUESTIONS[2:]
    again.append(answers[2:])
    assert path.read_text().count("\n") == 4


def test_a_line_cut_off_is_dropped_and_written_again(tmp_path: Path):
    path = tmp_path / "default.jsonl"
    file = PredictionFile(path, ORIGIN, QUESTIONS)
    file.append([Answered(question, "left") for question in QUESTIONS])
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)

    for length in range(len(whole) - len(lines[-1]) - len(lines[-2]) + 1, len(whole)):
        path.write_bytes(whole[:length])
        rest = PredictionFile(path, ORIGIN, QUESTIONS)
        rest.append([Answered(question, "left") for question in rest.missing(QUESTIONS)])
        assert path.read_bytes() == whole


def test_answers_of_another_origin_are_refused(tmp_path: Path):
    path = tmp_path / "default.jsonl"
    PredictionFile(path, ORIGIN, QUESTIONS)
    with pytest.raises(ValueError, match=r"holds answers for seed 0, but 1 is asked for; .* Name another --output"):
        PredictionFile(path, {**ORIGIN, "seed": 1}, QUESTIONS)
    with pytest.raises(ValueError, match=r'holds answers for model \{"sha256": "a"\}, but \{"sha256": "b"\}'):
        PredictionFile(path, {**ORIGIN, "model": {"sha256": "b"}}, QUESTIONS)


@pytest.mark.parametrize("content", ["", "text\n", "{}\n", "[]\n", '{"origin": {}}\n{"id": 3}\n{"text": ""}\n'])
def test_other_files_are_refused_and_kept(tmp_path: Path, content: str):
    path = tmp_path / "default.jsonl"
    path.write_text(content)
    with pytest.raises(ValueError, match="holds no answers .* Delete it, or name another --output"):
        PredictionFile(path, ORIGIN, QUESTIONS)
    assert path.read_text() == content
