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
"""Rows, card and cache of a data set folder."""

import datasets
import pytest

from ftfv.training.data.dataset_folder import (
    conversation_row,
    estimated_length,
    media_block,
    media_kind,
    media_path,
    media_type,
    read_columns,
    write_rows,
)


def row(number: int, **columns: str) -> dict:
    return conversation_row("a/b.mp4", [("which way ?", "left")], id=str(number), source="test", **columns)


def load(folder, cache) -> datasets.Dataset:
    return datasets.load_dataset(str(folder), cache_dir=str(cache))["train"]


def test_rows_written_anew_are_not_taken_from_the_cache(tmp_path):
    folder, cache = tmp_path / "set", tmp_path / "cache"
    for numbers in (range(2), range(5, 8)):
        write_rows(folder, "train", (row(number) for number in numbers), "The same text.")
        assert [loaded["id"] for loaded in load(folder, cache)] == [str(number) for number in numbers]


def test_columns_that_rows_lack_are_none(tmp_path):
    write_rows(tmp_path / "set", "train", [row(0, type="vqa")], "")
    (loaded,) = load(tmp_path / "set", tmp_path / "cache")
    assert loaded == {**row(0, type="vqa"), "video_id": None, "skill": None, "length": 1024 + 4}


def test_rows_that_break_off_leave_nothing(tmp_path):
    def rows():
        yield row(0)
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        write_rows(tmp_path / "set", "train", rows(), "")
    assert list((tmp_path / "set").iterdir()) == []


def test_the_description_may_come_after_the_last_row(tmp_path):
    count = []
    write_rows(tmp_path, "train", (count.append(n) or row(n) for n in range(3)), lambda: f"{len(count)} rows")
    assert (tmp_path / "README.md").read_text().rstrip().endswith("3 rows")


def test_pictures_are_known_by_suffix_or_by_what_is_said():
    assert [media_kind(name) for name in ("a.PNG", "a.jpg", "a.webp", "a.mp4", "a.gif", "a.npy")] == [
        *["image"] * 3,
        *["video"] * 3,
    ]
    assert media_block("a.gif", "image") == {"type": "image", "image": "a.gif"}
    assert media_block("a", "video") == {"type": "video", "path": "a"}


@pytest.mark.parametrize(("media", "kind"), [("a.mp4", "video"), ("a.png", "image"), (None, None)])
def test_media_of_a_row_with_a_system_turn(media, kind):
    made = conversation_row(media, [("a", "b"), ("c", "d")], system="Be brief.")
    assert [message["role"] for message in made["messages"]] == ["system", *["user", "assistant"] * 2]
    assert (media_path(made), media_type(made)) == (media, kind)


@pytest.mark.parametrize(("media", "expected"), [("a.mp4", 1024), ("a.png", 256), (None, 0)])
def test_lengths_are_of_media_and_all_text(media, expected):
    assert estimated_length(conversation_row(media, [("a" * 8, "b")])) == expected + 3
    made = conversation_row(media, [("a" * 8, "b"), ("c", "d" * 30)], system="e" * 10)
    assert estimated_length(made) == expected + 13  # 50 characters


def test_the_card_tells_the_columns(tmp_path):
    write_rows(tmp_path / "set", "train", [row(0)], "")
    columns = read_columns(tmp_path / "set")
    assert columns == ["images", "messages", "id", "source", "type", "video_id", "skill", "length"]
    assert read_columns(tmp_path) is None
    (tmp_path / "README.md").write_text("# A set of somebody else's")
    assert read_columns(tmp_path) is None
