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
"""What a question and a benchmark know of themselves."""

import numpy as np
import pytest
from PIL import Image

from ftfv.evaluation.benchmarks.benchmark import Answered, Question
from ftfv.evaluation.benchmarks.registry import BENCHMARKS


OPEN = Question("0", "task", "what moves ?", "left", video="a.mp4")
WITH_OPTIONS = Question("1", "task", "what moves ?", "B", ("red", "blue", "both"), video="a.mp4")


def test_letters_are_those_of_the_options():
    assert OPEN.letters == ""
    assert WITH_OPTIONS.letters == "ABC"


def test_questions_about_the_same_part_of_the_same_media_share_them():
    picture = Image.fromarray(np.zeros((4, 4, 3), dtype=np.uint8))
    assert OPEN.media == WITH_OPTIONS.media == ("a.mp4", None)
    assert Question("2", "task", "?", "left", video="a.mp4", clip=(1.0, 2.0)).media == ("a.mp4", (1.0, 2.0))
    assert Question("3", "task", "?", "left", image="a.png").media == "a.png"
    assert Question("4", "task", "?", "left", image=b"png").media == b"png"
    same = [Question(name, "task", "?", "left", image=picture).media for name in "56"]
    assert same[0] == same[1] != Question("7", "task", "?", "left", image=picture.copy()).media
    assert Question("8", "task", "?", "left").media is None


@pytest.mark.parametrize("name", ["own", "msvd_qa"])
def test_a_judge_is_asked_about_open_answers(name):
    benchmark = BENCHMARKS[name]
    assert benchmark.needs_judge(Answered(OPEN, "left"))
    assert not benchmark.needs_judge(Answered(WITH_OPTIONS, "B"))
    assert benchmark.judge_messages(Answered(OPEN, "left")) is None


def test_only_seed_bench_ranks_options():
    assert [name for name, benchmark in BENCHMARKS.items() if benchmark.ranking_prompt(WITH_OPTIONS)] == ["seed_bench"]
