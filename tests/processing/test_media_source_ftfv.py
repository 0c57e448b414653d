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
"""What counts as a video, and where media lie."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ftfv.processing.media_source_ftfv import (
    in_memory,
    is_image_path,
    make_list_of_videos,
    open_source,
    resolve_media_path,
    show_source,
    split_clip,
)


FRAME, VIDEO = np.zeros((4, 6, 3), dtype=np.uint8), np.zeros((2, 4, 6, 3), dtype=np.uint8)
PICTURE = Image.new("RGB", (6, 4))


@pytest.mark.parametrize(
    ("videos", "count"),
    [
        ("a.mp4", 1),
        (Path("a.mp4"), 1),
        (b"mp4", 1),
        (VIDEO, 1),
        (torch.zeros(3, 2, 3, 4, 6), 3),
        (FRAME, 1),
        (PICTURE, 1),
        ([PICTURE, FRAME, torch.zeros(4, 6)], 1),
        (["a.png", Path("b.JPG"), "https://example.org/c.webp?size=2"], 1),
        (["a.mp4", "b.gif"], 2),
        (["a.mp4", b"mp4", VIDEO, [PICTURE, PICTURE], BytesIO()], 5),
        ([["a.mp4"], [], [VIDEO, "b.mp4"]], 3),
        ([[["a.png", "b.png"]], ["c.mp4"]], 2),
        ([VIDEO, (FRAME, FRAME)], 2),
        ([], 0),
        ([[], []], 0),
    ],
)
def test_videos_are_told_apart(videos, count):
    flat = make_list_of_videos(videos)
    assert len(flat) == count
    # What is flat already stays as it is.
    again = make_list_of_videos(flat)
    assert len(again) == count and all(type(one) is type(other) for one, other in zip(flat, again, strict=True))


def test_frames_are_told_from_files():
    assert [in_memory(video) for video in (VIDEO, [FRAME], [PICTURE], ["a.png"], "a.mp4", b"mp4")] == [
        *([True] * 3),
        *([False] * 3),
    ]


@pytest.mark.parametrize("video", [None, 3, {"path": "a.mp4"}, [["a.mp4", 3]]])
def test_what_is_no_video_is_refused(video):
    with pytest.raises(TypeError, match="A video is of type (NoneType|int|dict); expected a path, URL, bytes"):
        make_list_of_videos(video)


@pytest.mark.parametrize(
    ("path", "is_image"),
    [
        ("a.png", True),
        ("https://example.org/a.jpg?b=c.mp4", True),
        ("https://example.org/a.mp4?b=c.jpg", False),
        ("data:image/png;base64,AA", True),
        ("data:image/gif;base64,AA", False),
        ("a.gif", False),
        ("png", False),
        (b"a.png", False),
    ],
)
def test_images_are_told_by_their_suffix(path, is_image):
    assert is_image_path(path) is is_image


def test_an_open_file_is_read_from_its_start(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"content")
    with open(tmp_path / "a.mp4", "rb") as file:
        file.read()
        assert open_source(file) is file and file.read() == b"content"


def test_a_stream_is_read_whole():
    class Stream:
        def readable(self):
            return True

        def seekable(self):
            return False

        def read(self):
            return b"content"

    assert open_source(Stream()).getvalue() == b"content"


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("a.mp4", "'a.mp4'"),
        ("a" * 400, repr("a" * 100 + "...")),
        (b"1234", "A video of 4 bytes"),
        (BytesIO(b"1234"), "An open file"),
    ],
)
def test_how_messages_name_a_source(source, shown):
    assert show_source(source) == shown


def test_relative_paths_start_from_the_media_root(tmp_path, monkeypatch):
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips/a.mp4").write_bytes(b"x")
    monkeypatch.setenv("FTFV_MEDIA_ROOT", str(tmp_path))
    assert resolve_media_path("clips/a.mp4") == str(tmp_path / "clips/a.mp4")
    assert resolve_media_path(str(tmp_path / "clips/a.mp4")) == str(tmp_path / "clips/a.mp4")
    monkeypatch.delenv("FTFV_MEDIA_ROOT")
    monkeypatch.chdir(tmp_path)
    assert resolve_media_path("clips/a.mp4") == "clips/a.mp4"


@pytest.mark.parametrize("path", ["https://example.org/a.mp4", "http://example.org/a.mp4", "data:video/mp4;base64,AA"])
def test_remote_paths_are_left_alone(path, monkeypatch):
    monkeypatch.setenv("FTFV_MEDIA_ROOT", "/nowhere")
    assert resolve_media_path(path) == path


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a/clip.mp4#t=3.5,9", ("a/clip.mp4", (3.5, 9.0))),
        ("https://host/clip.mp4?x=1#t=0,10.25", ("https://host/clip.mp4?x=1", (0.0, 10.25))),
        ("a/clip.mp4", ("a/clip.mp4", None)),
        ("take #t=1.mp4", ("take #t=1.mp4", None)),
        ("clip.mp4#t=5", ("clip.mp4#t=5", None)),
    ],
)
def test_a_name_may_end_in_a_clip(name, expected):
    assert split_clip(name) == expected
