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

import pytest

from ftfv.processing.media_source_ftfv import resolve_media_path


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
