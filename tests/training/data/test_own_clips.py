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
"""One's own clips: both forms of a line, and errors that name the line."""

import json
import re

import pytest
from datasets import load_dataset

from ftfv.training.data.own_clips import read_own_clips, write_own_clips


PAIR = {"video": "clip.mp4", "question": "what moves ?", "answer": "a circle"}


@pytest.fixture
def write(tmp_path):
    (tmp_path / "clip.mp4").write_bytes(b"video")
    (tmp_path / "picture.webp").write_bytes(b"picture")

    def write(*lines):
        path = tmp_path / "clips.jsonl"
        path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
        return path

    return write


def text(words):
    return {"type": "text", "text": words}


def test_a_question_and_an_answer(write, tmp_path):
    (row,) = read_own_clips(write(PAIR))
    video = {"type": "video", "path": str(tmp_path / "clip.mp4")}
    assert row["images"] == [] and row["messages"] == [
        {"role": "user", "content": [video, text("what moves ?")]},
        {"role": "assistant", "content": [text("a circle")]},
    ]
    assert (row["id"], row["source"], row["type"]) == ("row1", "clips", None)


def test_a_picture_and_own_columns(write, tmp_path):
    line = {"image": "picture.webp", "question": "what ?", "answer": "left", "id": "a", "type": "vqa"}
    (row,) = read_own_clips(write(line))
    assert row["messages"][0]["content"][0] == {"type": "image", "image": str(tmp_path / "picture.webp")}
    assert (row["id"], row["type"]) == ("a", "vqa")


def test_rows_of_trl(write, tmp_path):
    messages = [
        {"role": "user", "content": [{"type": "video", "video": "clip.mp4"}, text("what ?")]},
        {"role": "assistant", "content": "left"},
        {"role": "user", "content": "and then ?"},
        {"role": "assistant", "content": [text("right")]},
    ]
    (row,) = read_own_clips(write({"messages": messages}, ""))
    video = {"type": "video", "path": str(tmp_path / "clip.mp4")}
    assert [message["content"] for message in row["messages"]] == [
        [video, text("what ?")],
        [text("left")],
        [text("and then ?")],
        [text("right")],
    ]


def test_the_folder_is_one_that_trl_reads(write, tmp_path):
    assert (
        write_own_clips(write(PAIR, {"messages": [{"role": "assistant", "content": "left"}]}), tmp_path / "data") == 2
    )
    dataset = load_dataset(str(tmp_path / "data"), split="train", cache_dir=str(tmp_path / "cache"))
    assert dataset[0]["messages"][0]["content"][0]["path"] == str(tmp_path / "clip.mp4")
    assert dataset["id"][:] == ["row1", "row2"]
    # The same again is fine, another file is not.
    write_own_clips(tmp_path / "clips.jsonl", tmp_path / "data")
    with pytest.raises(ValueError, match="was written with .*sha256=.*use another folder"):
        write_own_clips(write(PAIR), tmp_path / "data")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "clips.jsonl:2 is not JSON"),
        ("[]", "clips.jsonl:2 holds list; expected a JSON object"),
        ({**PAIR, "answer": " "}, "clips.jsonl:2 has `answer` missing or empty"),
        ({"question": "what ?", "answer": "left"}, "clips.jsonl:2 has 0 of `video` and `image`"),
        ({**PAIR, "image": "picture.webp"}, "clips.jsonl:2 has 2 of `video` and `image`"),
        ({"messages": [{"role": "user", "content": "what ?"}]}, "clips.jsonl:2 has `messages` without an answer"),
        ({"messages": [{"role": "assistant"}]}, "clips.jsonl:2 has a message without `content`"),
        (
            {"messages": [{"role": "assistant", "content": [{"type": "video"}]}]},
            "clips.jsonl:2 has a block of type 'video' without a path",
        ),
    ],
)
def test_a_malformed_line_is_named(line, message, write):
    with pytest.raises(ValueError, match=re.escape(message)):
        list(read_own_clips(write(PAIR, line)))


def test_missing_files_are_named(write, tmp_path):
    with pytest.raises(FileNotFoundError, match="clips.jsonl:1 names 'gone.mp4', but there is no file"):
        list(read_own_clips(write({**PAIR, "video": "gone.mp4"})))
    with pytest.raises(FileNotFoundError, match="No file .*; expected JSON lines with `video`"):
        write_own_clips(tmp_path / "nothing.jsonl", tmp_path / "data")
    with pytest.raises(ValueError, match="holds no rows"):
        write_own_clips(write(""), tmp_path / "data")
