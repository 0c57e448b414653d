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
"""Messages about a benchmark's files: which file, which record, how many videos are missing."""

import re
from pathlib import Path

import pytest

from ftfv.evaluation.benchmarks.benchmark import Question
from ftfv.evaluation.benchmarks.reading import clip_of, field, first_existing, read_json, records, require_media


def test_a_missing_file_says_how_the_folder_should_look(tmp_path):
    with pytest.raises(FileNotFoundError, match=re.escape(f"{tmp_path / 'a.json'} is missing. Put it there.")):
        read_json(tmp_path / "a.json", "Put it there.")


def test_a_broken_file_is_named(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("[1,", encoding="utf-8")

    with pytest.raises(ValueError, match=f"{re.escape(str(path))} is not JSON: .*line 1 column"):
        read_json(path, "")


def test_a_byte_order_mark_is_no_error(tmp_path):
    (tmp_path / "a.json").write_text("\ufeff[1]", encoding="utf-8")

    assert read_json(tmp_path / "a.json", "") == [1]


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ([], "f.json, record 3: expected an object, got list."),
        ({"b": 1, "c": 2}, "f.json, record 3: `a` is missing; there are b, c."),
        ({}, "f.json, record 3: `a` is missing; there are no keys."),
        ({"a": None}, "f.json, record 3: `a` is None; expected str or int."),
        ({"a": True}, "f.json, record 3: `a` is True; expected str or int."),
    ],
)
def test_a_malformed_record_is_named(record, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        field(record, "a", (str, int), "f.json, record 3")


@pytest.mark.parametrize(("content", "kind"), [({}, "dict"), ([], "an empty list"), ("x", "str")])
def test_a_file_without_records_is_named(content, kind):
    with pytest.raises(ValueError, match=f"f.json: expected a list of records, got {kind}."):
        records(content, Path("f.json"))


@pytest.mark.parametrize(("start", "end"), [(-1.0, 2.0), (2.0, 2.0), (3.0, 2.0), (float("nan"), 2.0)])
def test_an_empty_clip_is_an_error(start, end):
    with pytest.raises(ValueError, match="f.json, record 3: a clip from .*; expected 0 <= start < end."):
        clip_of(start, end, "f.json, record 3")


def test_missing_videos_are_one_error(tmp_path):
    (tmp_path / "0.mp4").touch()
    paths = [str(tmp_path / f"{number}.mp4") for number in range(6)]
    questions = [Question(str(n), "t", "?", "yes", video=path) for n, path in enumerate(paths + paths)]
    questions.append(Question("image", "t", "?", "yes", image=b"bytes are never missing"))

    with pytest.raises(FileNotFoundError) as error:
        require_media(questions, "Get them.")

    assert str(error.value) == (
        f"5 of 6 videos and images are missing: {paths[1]}, {paths[2]}, {paths[3]}, .... Get them."
    )
    require_media([questions[0], questions[-1]], "")


def test_the_first_path_stands_for_all_if_none_exists(tmp_path):
    (tmp_path / "b").touch()

    assert first_existing([tmp_path / "a", tmp_path / "b"]) == str(tmp_path / "b")
    assert first_existing([tmp_path / "c", tmp_path / "d"]) == str(tmp_path / "c")
