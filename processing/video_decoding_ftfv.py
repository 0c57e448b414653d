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
"""Where media lie and how a video file becomes frames: paths, decoders and their errors."""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any
from urllib.request import urlopen

import numpy as np
import torch
from transformers.utils import is_av_available, is_decord_available
from transformers.video_utils import VideoMetadata


try:  # transformers >= 5.21
    from transformers.utils import is_torchcodec_usable
except ImportError:
    # Older versions cannot tell whether torchcodec finds its FFmpeg, so it is never chosen there.
    def is_torchcodec_usable(**kwargs: Any) -> bool:
        return False


CLIP = re.compile(r"(?P<path>.+)#t=(?P<start>\d+(\.\d+)?),(?P<end>\d+(\.\d+)?)", re.DOTALL)

# Folder that relative media paths start from; a recipe sets it in its `env`.
MEDIA_ROOT = "FTFV_MEDIA_ROOT"


class PyAVReader:
    """Frames of a video by PyAV, decoded in order up to the last one asked for and turned upright."""

    def __init__(self, source: str | BytesIO):
        import av

        self.container = av.open(source)
        self.stream = next(iter(self.container.streams.video), None)
        num_frames, fps = 0, None
        if self.stream is not None:
            fps = float(self.stream.average_rate) if self.stream.average_rate else None
            # Some containers do not store the number of frames; counting packets does not decode them.
            num_frames = self.stream.frames or sum(packet.size > 0 for packet in self.container.demux(self.stream))
            self.container.seek(0)
        self.metadata = VideoMetadata(
            total_num_frames=num_frames,
            fps=fps,
            duration=num_frames / fps if fps else None,
            video_backend="pyav",
        )

    def frames_at(self, indices: np.ndarray) -> np.ndarray:
        """Frames `(len(indices), height, width, 3)`, uint8; fewer when the file ends early."""
        wanted = {int(index) for index in indices}
        frames = {}
        with self.container:
            for index, frame in enumerate(self.container.decode(self.stream)):
                if index in wanted:
                    # Telephones store frames lying on a side; the other decoders turn them by themselves.
                    frames[index] = np.rot90(frame.to_ndarray(format="rgb24"), round(frame.rotation / 90))
                if index >= max(wanted):
                    break
        return np.stack([frames[int(index)] for index in indices if int(index) in frames])


class TorchcodecReader:
    """Frames of a video by torchcodec, which seeks to each."""

    def __init__(self, source: str | BytesIO):
        from torchcodec.decoders import VideoDecoder

        self.decoder = VideoDecoder(source, num_ffmpeg_threads=0)
        metadata = self.decoder.metadata
        self.metadata = VideoMetadata(
            total_num_frames=metadata.num_frames or 0,
            fps=metadata.average_fps,
            duration=metadata.duration_seconds,
            video_backend="torchcodec",
            height=metadata.height,
            width=metadata.width,
        )

    def frames_at(self, indices: np.ndarray) -> torch.Tensor:
        """Frames `(len(indices), height, width, 3)`, uint8."""
        # Channels last like the others: the base class looks at the first video of a batch to tell for all of them.
        return self.decoder.get_frames_at(indices=[int(index) for index in indices]).data.permute(0, 2, 3, 1)


class DecordReader:
    """Frames of a video by decord."""

    def __init__(self, source: str | BytesIO):
        from decord import VideoReader

        self.reader = VideoReader(source)
        fps = self.reader.get_avg_fps()
        self.metadata = VideoMetadata(
            total_num_frames=len(self.reader),
            fps=fps,
            duration=len(self.reader) / fps if fps else None,
            video_backend="decord",
        )

    def frames_at(self, indices: np.ndarray) -> np.ndarray:
        """Frames `(len(indices), height, width, 3)`, uint8."""
        return self.reader.get_batch(indices).asnumpy()


class FrameCacheReader:
    """
    Frames decoded before, kept as a `.npy` file of shape `(num_frames, height, width, 3)`, uint8; only those asked for
    are read.
    """

    def __init__(self, source: str | BytesIO):
        self.frames = np.load(source, mmap_mode="r")
        if self.frames.ndim != 4 or self.frames.shape[-1] != 3 or self.frames.dtype != np.uint8:
            raise ValueError(
                f"an array of shape {self.frames.shape} and type {self.frames.dtype}, not uint8 (num_frames, height, "
                f"width, 3)"
            )
        self.metadata = VideoMetadata(
            total_num_frames=len(self.frames),
            video_backend="numpy",
            height=self.frames.shape[1],
            width=self.frames.shape[2],
        )

    def frames_at(self, indices: np.ndarray) -> np.ndarray:
        """Frames `(len(indices), height, width, 3)`, uint8."""
        return np.ascontiguousarray(self.frames[indices])


READERS: dict[str, Callable[[str | BytesIO], Any]] = {
    "torchcodec": TorchcodecReader,
    "pyav": PyAVReader,
    "decord": DecordReader,
}


def resolve_media_path(path: str) -> str:
    """
    Path of a media file; a relative one starts from the folder in the environment variable `FTFV_MEDIA_ROOT`, if that
    is set. URLs and data URIs are returned as they are.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is empty.
    """
    if _is_remote(path):
        return path
    root = os.environ.get(MEDIA_ROOT, "")
    resolved = os.path.join(root, path)
    if not os.path.isfile(resolved):
        start = f"`{MEDIA_ROOT}`, which is {root!r}" if root else f"{os.getcwd()!r}, as `{MEDIA_ROOT}` is not set"
        raise FileNotFoundError(f"No file {resolved!r}; expected an existing file. Relative paths start from {start}.")
    if os.path.getsize(resolved) == 0:
        raise ValueError(f"The file {resolved!r} is empty; expected a video or an image. Download or encode it again.")
    return resolved


def split_clip(path: str) -> tuple[str, tuple[float, float] | None]:
    """
    Path and clip of a name such as `clip.mp4#t=3.5,9`, a temporal fragment as W3C Media Fragments 1.0 writes it: start
    and end in seconds. The clip of any other name is None.
    """
    match = CLIP.fullmatch(path)
    if match is None:
        return path, None
    return match["path"], (float(match["start"]), float(match["end"]))


def choose_video_backend(video_backend: str | None = None) -> str:
    """
    The decoder to use: the one asked for, else torchcodec where it can decode, else PyAV. decord is never a default,
    because importing it breaks torchcodec's PNG decoding in the same process.

    Raises:
        ValueError: `video_backend` is unknown.
        ImportError: the decoder asked for, or any at all, is missing.
    """
    usable = {
        "torchcodec": (lambda: is_torchcodec_usable(decode="video"), "`pip install torchcodec` and install FFmpeg"),
        "pyav": (is_av_available, "`pip install av`"),
        "decord": (is_decord_available, "`pip install decord`"),
    }
    if video_backend is None:
        for name in ("torchcodec", "pyav"):
            if usable[name][0]():
                return name
        raise ImportError("No video decoder is installed; `pip install av`.")
    if video_backend not in usable:
        raise ValueError(f"`video_backend` is {video_backend!r}; expected one of {', '.join(usable)}, or None.")
    is_usable, cure = usable[video_backend]
    if not is_usable():
        raise ImportError(f"`video_backend={video_backend!r}` cannot be used here; {cure}.")
    return video_backend


def read_video(
    path: str, sample_indices_fn: Callable | None = None, video_backend: str | None = None
) -> tuple[np.ndarray | torch.Tensor, VideoMetadata]:
    """
    Frames of a video file, of a URL, or of a frame cache (a `.npy` file, see [`FrameCacheReader`]).

    Args:
        path (`str`): file, URL or data URI.
        sample_indices_fn (`Callable`, *optional*): from `VideoMetadata` to the indices of the wanted frames; all by
            default.
        video_backend (`str`, *optional*): see [`choose_video_backend`].

    Returns:
        Frames, uint8, of shape `(num_frames, height, width, 3)`, and their metadata.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is empty, is no video, holds none, or ends before its last frame.
    """
    path = resolve_media_path(path)
    backend = "numpy" if path.endswith(".npy") else choose_video_backend(video_backend)
    with _explain_failure(path, backend):
        source = BytesIO(urlopen(path).read()) if _is_remote(path) else path  # noqa: S310
        reader = FrameCacheReader(source) if backend == "numpy" else READERS[backend](source)

    metadata = reader.metadata
    if not metadata.total_num_frames:
        raise _no_video(path)
    indices = (
        np.arange(metadata.total_num_frames) if sample_indices_fn is None else sample_indices_fn(metadata=metadata)
    )
    with _explain_failure(path, backend):
        frames = reader.frames_at(indices)
    if len(frames) != len(indices):
        raise ValueError(
            f"{_shown(path)} ends early: {len(indices) - len(frames)} of the {len(indices)} sampled frames are "
            f"missing; it says it has {metadata.total_num_frames}. Download or encode it again."
        )
    metadata.frames_indices = indices
    return frames, metadata


@contextmanager
def _explain_failure(path: str, backend: str) -> Iterator[None]:
    """
    One line for whatever a decoder raises on a broken file: each has its own exceptions, many without a common base.
    """
    try:
        yield
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        if "video stream" in reason:
            # So say torchcodec and decord of a file without one; PyAV opens it.
            raise _no_video(path) from error
        raise ValueError(
            f"{_shown(path)} cannot be decoded by {backend}: {reason[:200]}. Expected a complete video file; check "
            "that it plays, or encode it again."
        ) from error


def _no_video(path: str) -> ValueError:
    return ValueError(
        f"{_shown(path)} holds no video frames; expected a file with a video stream (is it audio only, or cut off?)."
    )


def _shown(path: str) -> str:
    # A data URI is a whole file.
    return repr(path if len(path) <= 300 else f"{path[:100]}...")


def _is_remote(path: str) -> bool:
    return path.startswith(("http://", "https://", "data:"))
