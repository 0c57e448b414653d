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
"""Finding media whose suffix is missing or another one, and telling broken ones."""

import pytest
from PIL import Image

from ftfv.training.data.media_files import MediaFolder, UnusableMedia, decoding_error, decoding_errors, media_reference
from ftfv.training.data.samples import Media
from tests.tiny import write_audio


def video(*names: str) -> Media:
    return Media("video", names, id="v")


@pytest.fixture
def root(tmp_path):
    for name in ("v_1.mkv", "v_2.webm", "v.3.avi", "webvid/d/4.mp4", "v_5.GIF.mp4"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "empty.mp4").touch()
    return tmp_path


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (("v_1",), "v_1.mkv"),
        (("v_2.mp4",), "v_2.webm"),
        (("v.3",), "v.3.avi"),
        (("d/4.mp4", "webvid/d/4.mp4"), "webvid/d/4.mp4"),
        (("d/4", "webvid/d/4"), "webvid/d/4.mp4"),
    ],
)
def test_a_file_is_found_under_any_name_and_suffix(root, names, found):
    assert MediaFolder(root).find(video(*names)) == str(root / found)


def test_an_absolute_name_is_taken_as_it_is(root):
    assert MediaFolder(root / "webvid").find(video(str(root / "v_1.mp4"))) == str(root / "v_1.mkv")


def test_missing_and_empty_files_are_named(root):
    folder = MediaFolder(root)
    with pytest.raises(UnusableMedia, match=r"no file 'a/9.mp4' or 'b/9.mp4' with that or another suffix \(.mp4 .mkv"):
        folder.find(video("a/9.mp4", "b/9.mp4"))
    with pytest.raises(UnusableMedia, match="empty.mp4' is empty"):
        folder.find(video("empty"))
    with pytest.raises(UnusableMedia, match="no file 'v_1'"):
        folder.find(Media("image", ("v_1",), id="v"))  # only suffixes of pictures are tried
    with pytest.raises(FileNotFoundError, match="expected `--media-root`"):
        MediaFolder(root / "absent")


def test_a_clip_is_a_media_fragment():
    assert media_reference("/v.mp4", None) == "/v.mp4"
    assert media_reference("/v.mp4", (0, 9.5)) == "/v.mp4#t=0,9.5"
    assert media_reference("/v.mp4", (12345.6789, 1e6)) == "/v.mp4#t=12345.679,1000000"


def test_media_that_decode_have_no_error(tmp_path, clip):
    assert decoding_error("video", clip) is None
    assert decoding_error("video", f"{clip}#t=0.5,1.5") is None
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    assert decoding_error("image", str(tmp_path / "a.png")) is None


def test_media_that_do_not_decode_have_one_in_one_line(tmp_path, clip):
    whole = open(clip, "rb").read()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    Image.new("RGB", (64, 64), "red").save(tmp_path / "a.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "a.png").read_bytes()[:60])
    for kind, reference in (
        ("video", str(tmp_path / "cut.mp4")),
        ("video", write_audio(tmp_path / "audio.mp4")),
        ("video", f"{clip}#t=50,60"),
        ("image", str(tmp_path / "cut.png")),
    ):
        error = decoding_error(kind, reference)
        assert error and "\n" not in error
        assert decoding_errors([(kind, reference), ("video", clip)], progress=False) == {reference: error}
