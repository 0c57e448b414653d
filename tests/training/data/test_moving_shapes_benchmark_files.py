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

import json

import pytest

from ftfv.evaluation.benchmarks.registry import BENCHMARKS
from ftfv.training.data.dataset_folder import read_rows
from ftfv.training.data.moving_shapes import TEMPORAL_SKILLS, write_evaluation_set
from ftfv.training.data.moving_shapes.benchmark_files import FORMATS, candidates, write_mvbench


@pytest.fixture(scope="module")
def evaluation_set(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shapes") / "rows"
    return write_evaluation_set(folder, clips_per_skill=4, images_per_skill=1, seed=0, split="test", progress=False)


@pytest.fixture(scope="module")
def truths(evaluation_set):
    """Question and answer of every clip."""
    rows = [row for row in read_rows(evaluation_set) if row["skill"] in TEMPORAL_SKILLS]
    return sorted(
        (row["messages"][0]["content"][-1]["text"], row["messages"][1]["content"][0]["text"]) for row in rows
    )


@pytest.mark.parametrize("name", FORMATS)
def test_readers_of_the_benchmarks_find_the_same_questions(evaluation_set, truths, tmp_path, name):
    folder = FORMATS[name](evaluation_set, tmp_path / name)
    questions = BENCHMARKS[{"video_qa": "msvd_qa"}.get(name, name)].read(folder)

    asked = []
    for question in questions:
        options = dict(zip(question.letters, question.options, strict=True))
        asked.append((question.question, options.get(question.answer, question.answer)))
    assert sorted(asked) == truths
    assert len({question.video for question in questions}) == len(questions) == 16
    # Written again, nothing changes.
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    FORMATS[name](evaluation_set, tmp_path / name)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_options_of_mvbench_come_in_random_order(evaluation_set, tmp_path):
    folders = [write_mvbench(evaluation_set, tmp_path / str(seed), seed=seed) for seed in (0, 1)]
    orders = [
        [record["candidates"] for record in json.loads((folder / "json/moving_direction.json").read_text())]
        for folder in folders
    ]
    assert {tuple(sorted(options)) for options in orders[0]} == {("down", "left", "right", "up")}
    assert len({tuple(options) for options in orders[0]}) > 1
    assert orders[0] != orders[1]
    [question, *_] = [one for one in BENCHMARKS["mvbench"].read(folders[0]) if one.task == "Action Sequence"]
    assert question.clip == (0.0, 2.0)


def test_candidates():
    assert candidates("moves_first", "which moves last , white triangle or yellow square ?") == (
        "white triangle",
        "yellow square",
    )
    assert candidates("turns", "how many times does the red circle turn ?") == ("zero", "one", "two")


def test_a_set_without_clips(tmp_path):
    folder = write_evaluation_set(tmp_path / "rows", clips_per_skill=0, images_per_skill=1, seed=0, progress=False)
    with pytest.raises(ValueError, match="holds no questions about clips"):
        write_mvbench(folder, tmp_path / "mvbench")
