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
import subprocess
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest
from transformers.utils import is_decord_available, is_torchcodec_usable

from ftfv import FTFVVideoProcessor
from ftfv.processing import video_decoding_ftfv
from ftfv.processing.video_decoding_ftfv import (
    PyAVReader,
    VideoDecodingError,
    choose_video_backend,
    has_open_gops,
    index_frames,
    next_frame,
    read_video,
)
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


# Seeking


def encode(
    path: Path, x264: str = "", first: int = 0, variable: bool = False, codec: str = "libx264", **options: str
) -> str:
    """A file of 60 noisy frames at 25 frames per second; with `variable`, at 50, 25, 10 and 30 in turn."""
    if x264:
        options["x264-params"] = x264
    with av.open(str(path), "w") as output:
        stream = output.add_stream(codec, rate=25, options=options)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        if variable or first:
            stream.codec_context.time_base = Fraction(1, 1000)
        ticks = first
        for index, pixels in enumerate(noisy_frames(60)):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts = ticks if variable or first else index
            output.mux(stream.encode(frame))
            ticks += (20, 40, 100, 33)[index % 4] if variable else 40
        output.mux(stream.encode())
    return str(path)


def decode_in_order(path: str) -> list[np.ndarray]:
    with av.open(path) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


OPEN_GOP = "keyint=12:bframes=3:open-gop=1:scenecut=0:b-adapt=0"
B_FRAMES = "keyint=12:bframes=3:scenecut=0:b-adapt=0"
HEVC = {"codec": "libx265", "x265-params": "keyint=12:open-gop=1:bframes=3:log-level=none"}
VP9 = {"codec": "libvpx-vp9", "g": "12", "auto-alt-ref": "1", "lag-in-frames": "16"}
FILES = {
    "B frames": lambda folder: encode(folder / "clip.mp4", B_FRAMES),
    "open GOP": lambda folder: encode(folder / "clip.mp4", OPEN_GOP),
    "open GOP, mkv": lambda folder: encode(folder / "clip.mkv", OPEN_GOP),
    "open GOP, MPEG-TS": lambda folder: encode(folder / "clip.ts", OPEN_GOP),
    "open GOP, HEVC": lambda folder: encode(folder / "clip.mp4", **HEVC),
    "intra refresh": lambda folder: encode(folder / "clip.ts", "keyint=12:intra-refresh=1"),
    "variable rate": lambda folder: encode(folder / "clip.mp4", B_FRAMES, variable=True),
    "late start": lambda folder: encode(folder / "clip.mkv", B_FRAMES, first=5000),
    "alternate references": lambda folder: encode(folder / "clip.webm", **VP9),
    "AVI with B frames": lambda folder: encode(folder / "clip.avi", B_FRAMES),
    "MPEG-PS": lambda folder: encode(folder / "clip.mpg", codec="mpeg2video", g="12", bf="2"),
    "raw H.264": lambda folder: encode(folder / "clip.h264", B_FRAMES),
}


@pytest.mark.parametrize("make", FILES.values(), ids=FILES)
def test_seeking_gives_the_frames_that_decoding_in_order_gives(make, tmp_path):
    path = make(tmp_path)
    expected = decode_in_order(path)
    assert len(expected) == 60
    for indices in ([0], [59], [11, 12, 13, 14], [3, 24, 25, 47], [35, 36, 58]):
        frames, _ = read_video(path, lambda metadata, indices=indices: np.array(indices), "pyav")
        for index, frame in zip(indices, frames, strict=True):
            assert np.array_equal(frame, expected[index])
    frames, metadata = read_video(path, video_backend="pyav")
    assert metadata.total_num_frames == 60 and np.array_equal(frames, expected)


@pytest.mark.skipif(not is_torchcodec_usable(decode="video"), reason="torchcodec is missing or finds no FFmpeg")
@pytest.mark.parametrize("make", FILES.values(), ids=FILES)
def test_torchcodec_gives_the_same_frames_or_leaves_the_file_to_pyav(make, tmp_path):
    path = make(tmp_path)
    expected = decode_in_order(path)
    for indices in ([0], [11, 12, 13, 14], [3, 24, 25, 47]):
        frames, _ = read_video(path, lambda metadata, indices=indices: np.array(indices), "torchcodec")
        for index, frame in zip(indices, frames, strict=True):
            assert largest_difference(np.asarray(frame), expected[index]) <= 3


def test_a_frame_of_a_long_file_is_decoded_from_the_keyframe_before_it(tmp_path, monkeypatch):
    path = encode(tmp_path / "clip.mp4", "keyint=10:bframes=0:scenecut=0")
    decoded = []
    reader = PyAVReader(path)
    monkeypatch.setattr(
        video_decoding_ftfv, "next_frame", lambda frames, timestamp: next_frame(counted(frames, decoded), timestamp)
    )
    reader.frames_at(np.array([13, 15, 58]))
    # 10 to 13, on to 15, and 50 to 58.
    assert decoded == [10, 11, 12, 13, 14, 15, *range(50, 59)]


def counted(frames: Iterator[av.VideoFrame], decoded: list[int]) -> Iterator[av.VideoFrame]:
    for frame in frames:
        decoded.append(round(frame.time * 25))
        yield frame


def test_the_times_of_frames(tmp_path):
    _, metadata = read_video(encode(tmp_path / "clip.mp4", B_FRAMES, variable=True), video_backend="pyav")
    steps = [(0.02, 0.04, 0.1, 0.033)[index % 4] for index in range(59)]
    np.testing.assert_allclose(metadata.frame_times, np.cumsum([0, *steps]), atol=1e-9)
    _, metadata = read_video(encode(tmp_path / "late.mkv", first=5000), lambda metadata: np.array([0, 10]), "pyav")
    assert metadata.timestamps == [0, 0.4]


def test_the_rate_is_that_of_the_frames_where_the_container_says_another(tmp_path):
    """Matroska keeps the rate that the encoder was set up with."""
    path = encode(tmp_path / "clip.mkv", variable=True)
    with av.open(path) as container:
        assert container.streams.video[0].average_rate == 25
    _, metadata = read_video(path, video_backend="pyav")
    assert metadata.fps == pytest.approx(59 / metadata.frame_times[-1])


def test_frames_before_the_first_keyframe_are_left_out():
    timestamps, keyframes = index_frames(
        [3, 9, 5, 7, 17, 13, 11, 15], [False, True, False, False, True, False, False, False]
    )
    assert timestamps.tolist() == [9, 11, 13, 15, 17] and keyframes.tolist() == [9, 17]


@pytest.mark.parametrize(
    ("timestamps", "is_keyframe"), [([0, None], [True, False]), ([0, 0], [True, False]), ([0, 1], [False, False])]
)
def test_timestamps_that_name_no_frame_are_not_used(timestamps, is_keyframe):
    assert index_frames(timestamps, is_keyframe) == (None, None)


@pytest.mark.parametrize(
    ("timestamps", "expected"),
    # Keyframes are the first and the fourth packet.
    [([0, 1, 2, 3], False), ([0, 2, 1, 3, 5, 4], False), ([0, 2, 1, 5, 3, 4], True)],
)
def test_open_gops_are_told_by_frames_shown_before_their_keyframe(timestamps, expected):
    assert has_open_gops(timestamps, [index in (0, 3) for index in range(len(timestamps))]) is expected


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("open GOP", "frames are predicted across keyframes"),
        ("open GOP, HEVC", "frames are predicted across keyframes"),
        ("open GOP, MPEG-TS", "MPEG-TS has no index"),
        ("AVI with B frames", "its timestamps name no frames"),
        ("MPEG-PS", "its timestamps name no frames"),
        ("raw H.264", "its timestamps name no frames"),
    ],
)
def test_files_that_decord_gets_wrong_are_left_to_pyav(name, message, tmp_path, caplog, monkeypatch):
    """They are refused before decord is imported, which would break torchcodec's PNG decoding here."""
    decord = SimpleNamespace(VideoReader=None)
    monkeypatch.setitem(sys.modules, "decord", decord)
    monkeypatch.setattr(video_decoding_ftfv, "is_decord_available", lambda: True)
    monkeypatch.setattr(video_decoding_ftfv, "is_torchcodec_usable", lambda **kwargs: False)
    frames, metadata = read_video(FILES[name](tmp_path), video_backend="decord")
    assert len(frames) == 60 and metadata.video_backend == "pyav"
    assert message in caplog.text


@pytest.mark.parametrize(
    ("shown", "timestamp", "found"),
    [([0, 2, 4], 4, 4), ([0, 2, 4], 3, 4), ([4, 6], 3, None), ([0, 2], 3, None), ([], 3, None)],
)
def test_the_next_frame_stands_for_one_that_is_not_shown(shown, timestamp, found):
    frame = next_frame(iter([SimpleNamespace(pts=pts) for pts in shown]), timestamp)
    assert (frame and frame.pts) == found


@pytest.mark.parametrize("degrees", [90, 180, -90])
def test_frames_that_lie_on_a_side_are_turned_upright(tmp_path, degrees):
    upright = np.zeros((4, 128, 64, 3), dtype=np.uint8)
    upright[:, :32], upright[:, :, :16] = 200, 100
    lying = np.rot90(upright, -degrees // 90, axes=(1, 2))
    with av.open(str(tmp_path / "clip.mp4"), "w") as output:
        stream = output.add_stream("libx264", rate=10, options={"crf": "10"})
        stream.height, stream.width, stream.pix_fmt = *lying.shape[1:3], "yuv444p"
        stream.set_display_rotation(degrees)
        for frame in lying:
            output.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        output.mux(stream.encode())
    for backend in ("pyav", *(["torchcodec"] if is_torchcodec_usable(decode="video") else [])):
        frames, _ = read_video(str(tmp_path / "clip.mp4"), video_backend=backend)
        assert frames.shape == upright.shape
        assert largest_difference(np.asarray(frames)[:, 8::16, 8::16], upright[:, 8::16, 8::16]) <= 3


# Decoders


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


class Broken:
    """A decoder that fails on everything."""

    def __init__(self, source):
        raise RuntimeError("no such\ncodec")


def test_another_decoder_is_tried_and_one_line_says_so(clip, monkeypatch, caplog):
    monkeypatch.setitem(video_decoding_ftfv.READERS, "decord", Broken)
    monkeypatch.setattr(video_decoding_ftfv, "is_decord_available", lambda: True)
    monkeypatch.setattr(video_decoding_ftfv, "is_torchcodec_usable", lambda **kwargs: False)
    for source in (clip, Path(clip).read_bytes(), open(clip, "rb")):
        caplog.clear()
        frames, metadata = read_video(source, video_backend="decord")
        assert len(frames) == 20 and metadata.video_backend == "pyav"
        (message,) = [record.getMessage() for record in caplog.records]
        assert message.startswith("decord failed and pyav decoded instead: ")
        assert "cannot be decoded by decord: no such codec" in message and "\n" not in message


def test_the_error_of_the_decoder_asked_for_is_raised_when_all_fail(tmp_path, monkeypatch, caplog):
    (tmp_path / "clip.mp4").write_text("This is no video.\n" * 50)
    monkeypatch.setitem(video_decoding_ftfv.READERS, "torchcodec", Broken)
    monkeypatch.setattr(video_decoding_ftfv, "is_torchcodec_usable", lambda **kwargs: True)
    for backend in ("pyav", "torchcodec"):
        with pytest.raises(VideoDecodingError, match=f"clip.mp4' cannot be decoded by {backend}"):
            read_video(str(tmp_path / "clip.mp4"), video_backend=backend)
    assert not caplog.records


def test_a_mistake_of_the_caller_is_no_failure_of_a_decoder(clip, monkeypatch):
    def sample(metadata):
        raise ValueError("30 frames are asked for")

    with pytest.raises(ValueError, match="30 frames are asked for") as error:
        read_video(clip, sample, "pyav")
    assert not isinstance(error.value, VideoDecodingError)


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


@pytest.mark.parametrize("form", ["bytes", "file"])
@pytest.mark.parametrize("kind", ["hls", "concat"])
def test_a_playlist_is_no_way_to_another_file(tmp_path, kind, form):
    """A server is sent bytes by strangers: a list of files on its own disk must not be followed."""
    secret = write_video(tmp_path / "secret.ts", noisy_frames())
    text = {
        "hls": f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10.0,\nfile://{secret}\n#EXT-X-ENDLIST\n",
        "concat": f"ffconcat version 1.0\nfile {secret}\n",
    }[kind]
    source = tmp_path / "clip.mp4"
    source.write_text(text)
    assert len(read_video(secret, lambda metadata: np.arange(2), "pyav")[0]) == 2
    with pytest.raises(ValueError, match="cannot be decoded by pyav"):
        read_video(str(source) if form == "file" else text.encode(), video_backend="pyav")


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
