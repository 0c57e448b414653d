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
"""Decoders agree with each other, and every bad file is told apart in one clear line."""

import base64
import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from transformers.utils import is_decord_available, is_torchcodec_usable

from ftfv import FTFVVideoProcessor
from ftfv.processing import video_decoding_ftfv
from ftfv.processing.video_decoding_ftfv import choose_video_backend, read_video
from tests.tiny import ROOT, build_frames, write_audio, write_video


def largest_difference(first: np.ndarray, second: np.ndarray) -> int:
    return int(np.abs(first.astype(int) - second.astype(int)).max())


def noisy_frames(num_frames: int = 30) -> np.ndarray:
    """Moving gradients, so that P and B frames carry something."""
    rows, columns = np.mgrid[0:48, 0:64]
    channels = [
        np.stack([(3 * rows + 5 * index) % 256, (4 * columns + 3 * index) % 256, rows + columns + index], axis=-1)
        for index in range(num_frames)
    ]
    return np.stack(channels).astype(np.uint8)


def test_pyav_gives_every_frame(clip):
    frames, metadata = read_video(clip, video_backend="pyav")
    assert frames.dtype == np.uint8 and frames.shape == (20, 48, 64, 3)
    assert largest_difference(frames, build_frames(20)) <= 2
    assert (metadata.total_num_frames, metadata.fps, metadata.duration) == (20, 10, 2)
    assert metadata.video_backend == "pyav"


def test_only_the_frames_asked_for_are_returned(clip):
    frames, metadata = read_video(clip, lambda metadata: np.array([17, 2, 2]), "pyav")
    assert largest_difference(frames, build_frames(20)[[17, 2, 2]]) <= 2
    assert metadata.frames_indices.tolist() == [17, 2, 2]


def test_a_container_that_does_not_store_its_number_of_frames(tmp_path):
    path = write_video(tmp_path / "clip.mkv", 20)
    frames, metadata = read_video(path, video_backend="pyav")
    assert metadata.total_num_frames == 20
    assert largest_difference(frames, build_frames(20)) <= 2


def test_frames_that_lie_on_a_side_are_turned_upright(tmp_path):
    upright = np.zeros((4, 128, 64, 3), dtype=np.uint8)
    upright[:, :32] = 200
    lying = np.rot90(upright, axes=(1, 2))
    data = bytearray(Path(write_video(tmp_path / "clip.mp4", lying)).read_bytes())
    # The transformation matrix of the track header, 44 bytes after its name, for a quarter turn clockwise.
    start = data.index(b"tkhd") + 44
    data[start : start + 36] = struct.pack(">9i", 0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30)
    (tmp_path / "clip.mp4").write_bytes(data)
    frames, _ = read_video(str(tmp_path / "clip.mp4"), video_backend="pyav")
    assert frames.shape == upright.shape
    assert largest_difference(frames[:, ::16, ::16], upright[:, ::16, ::16]) <= 2


@pytest.mark.skipif(not is_decord_available(), reason="decord is not installed, it has no wheel for this platform")
def test_decord_equals_pyav(tmp_path):
    path = write_video(tmp_path / "clip.mp4", noisy_frames())
    # In a process of its own: importing decord breaks torchcodec's PNG decoding.
    script = """
import json, sys
import numpy as np
from ftfv import FTFVVideoProcessor
from ftfv.processing.video_decoding_ftfv import read_video

path = sys.argv[1]
assert "decord" not in sys.modules
frames, metadata = read_video(path, video_backend="decord")
np.save("frames.npy", frames)
np.save("pixels.npy", FTFVVideoProcessor()(path, video_backend="decord")["pixel_values_videos"])
try:
    read_video(sys.argv[2], video_backend="decord")
except ValueError as error:
    message = str(error)
found = [metadata.total_num_frames, metadata.fps, metadata.video_backend, "decord" in sys.modules]
print(json.dumps([found, message]))
"""
    command = [sys.executable, "-c", script, path, write_audio(tmp_path / "sound.mp4")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    finished = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=240)
    assert finished.returncode == 0, finished.stderr
    found, message = json.loads(finished.stdout)
    assert found == [30, 10.0, "decord", True]
    assert "sound.mp4' holds no video frames" in message
    by_pyav, _ = read_video(path, video_backend="pyav")
    assert largest_difference(np.load(tmp_path / "frames.npy"), by_pyav) <= 3
    by_default = FTFVVideoProcessor()(path)["pixel_values_videos"].numpy()
    assert np.abs(np.load(tmp_path / "pixels.npy") - by_default).max() < 3 / 255 / 0.26
    assert "decord" not in sys.modules


@pytest.mark.skipif(not is_torchcodec_usable(decode="video"), reason="torchcodec is missing or finds no FFmpeg")
def test_torchcodec_equals_pyav(tmp_path):
    path = write_video(tmp_path / "clip.mp4", noisy_frames())
    assert choose_video_backend() == "torchcodec"
    frames, metadata = read_video(path, video_backend="torchcodec")
    by_pyav, expected = read_video(path, video_backend="pyav")
    assert (metadata.total_num_frames, metadata.fps) == (expected.total_num_frames, expected.fps)
    assert largest_difference(frames.numpy(), by_pyav) <= 3


def test_a_data_uri(clip):
    uri = "data:video/mp4;base64," + base64.b64encode(Path(clip).read_bytes()).decode()
    frames, _ = read_video(uri, video_backend="pyav")
    assert np.array_equal(frames, read_video(clip, video_backend="pyav")[0])
    with pytest.raises(ValueError, match=r"'data:video/mp4;base64,.{70,90}\.\.\.' cannot be decoded") as error:
        read_video(uri[: len(uri) // 2 // 4 * 4], video_backend="pyav")
    one_line(error)


# Decoders to choose from


def test_decord_is_never_chosen_by_itself(monkeypatch):
    monkeypatch.setattr(video_decoding_ftfv, "is_torchcodec_usable", lambda **kwargs: False)
    assert choose_video_backend() == "pyav"
    monkeypatch.setattr(video_decoding_ftfv, "is_av_available", lambda: False)
    with pytest.raises(ImportError, match="No video decoder is installed; `pip install av`"):
        choose_video_backend()


def test_torchcodec_is_preferred_where_it_works(monkeypatch):
    monkeypatch.setattr(video_decoding_ftfv, "is_torchcodec_usable", lambda **kwargs: kwargs == {"decode": "video"})
    assert choose_video_backend() == "torchcodec"


def test_an_unknown_or_missing_decoder_raises(clip, monkeypatch):
    with pytest.raises(ValueError, match="'opencv'; expected one of torchcodec, pyav, decord, or None"):
        read_video(clip, video_backend="opencv")
    monkeypatch.setattr(video_decoding_ftfv, "is_decord_available", lambda: False)
    with pytest.raises(ImportError, match="`video_backend='decord'` cannot be used here; `pip install decord`"):
        read_video(clip, video_backend="decord")


def test_a_missing_file_names_where_it_was_looked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=f"start from '{tmp_path}', as `FTFV_MEDIA_ROOT` is not set"):
        read_video("clip.mp4")
    monkeypatch.setenv("FTFV_MEDIA_ROOT", "/data/clips")
    with pytest.raises(FileNotFoundError, match="No file '/data/clips/clip.mp4'.* `FTFV_MEDIA_ROOT`, which is"):
        read_video("clip.mp4")


# Bad files


def one_line(error: pytest.ExceptionInfo) -> str:
    message = str(error.value)
    assert "\n" not in message and len(message) < 500
    return message


def test_an_empty_file(tmp_path):
    (tmp_path / "clip.mp4").touch()
    with pytest.raises(ValueError, match="clip.mp4' is empty; expected a video") as error:
        read_video(str(tmp_path / "clip.mp4"))
    one_line(error)


def test_a_text_file_named_mp4(tmp_path):
    (tmp_path / "clip.mp4").write_text("This is no video.\n" * 50)
    with pytest.raises(ValueError, match="clip.mp4' cannot be decoded by pyav: .*Expected a complete video") as error:
        read_video(str(tmp_path / "clip.mp4"), video_backend="pyav")
    one_line(error)


@pytest.mark.parametrize("container_options", [{"movflags": "faststart"}, {}])
@pytest.mark.parametrize("kept", [0.3, 0.6, 0.9])
def test_a_truncated_file(tmp_path, container_options, kept):
    """With its index at the start a truncated file can be opened; with the index at the end it cannot."""
    path = write_video(tmp_path / "whole.mp4", noisy_frames(), container_options=container_options)
    data = Path(path).read_bytes()
    assert (data.index(b"moov") < data.index(b"mdat")) is bool(container_options)
    (tmp_path / "clip.mp4").write_bytes(data[: int(len(data) * kept)])
    with pytest.raises(ValueError, match="encode it again") as error:
        read_video(str(tmp_path / "clip.mp4"), video_backend="pyav")
    assert "clip.mp4" in one_line(error)


def test_a_file_cut_between_two_frames(tmp_path):
    path = write_video(
        tmp_path / "whole.mp4", noisy_frames(), {"bf": "0"}, container_options={"movflags": "faststart"}
    )
    with av.open(path) as container:
        start_of_frame_21 = [packet.pos for packet in container.demux(video=0)][21]
    (tmp_path / "clip.mp4").write_bytes(Path(path).read_bytes()[:start_of_frame_21])
    message = "ends early: 9 of the 30 sampled frames are missing; it says it has 30. Download or encode it again"
    with pytest.raises(ValueError, match=message) as error:
        read_video(str(tmp_path / "clip.mp4"), video_backend="pyav")
    one_line(error)
    frames, _ = read_video(str(tmp_path / "clip.mp4"), lambda metadata: np.arange(21), "pyav")
    assert len(frames) == 21


def test_audio_only(tmp_path):
    with pytest.raises(ValueError, match="sound.mp4' holds no video frames; .*is it audio only") as error:
        read_video(write_audio(tmp_path / "sound.mp4"), video_backend="pyav")
    one_line(error)
