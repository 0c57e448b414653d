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
"""Reading and writing of the media of our data sets: H.264 clips, PNG pictures and decoded frames.

Every file is written under a temporary name first, so that a file which is there is whole.
"""

import os
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
from PIL import Image


# The constant rate factor is low enough that the colours of small shapes survive. The same frames always give the same
# bytes, which on frames this small needs x264 without macroblock-tree rate control (and, below, with one thread).
_H264_OPTIONS = {"crf": "16", "preset": "veryfast", "mbtree": "0"}
# Pictures are noisy, and a higher level would make them hardly smaller.
_PNG_COMPRESS_LEVEL = 1


def write_video(path: str | Path, frames: np.ndarray, frames_per_second: int) -> None:
    """Writes frames as an H.264 mp4 (yuv420p).

    Args:
        path (`str` or `Path`): The file; its folder is made if need be.
        frames (`np.ndarray` of shape `(num_frames, height, width, 3)`, uint8): RGB; height and width must be even.
        frames_per_second (`int`): The frame rate.

    Raises:
        ValueError: `frames` has another shape or type.
    """
    if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8:
        raise ValueError(
            f"`frames` has shape {frames.shape} and type {frames.dtype}; expected (n, height, width, 3), uint8."
        )
    if frames.shape[1] % 2 or frames.shape[2] % 2:
        raise ValueError(f"`frames` are {frames.shape[2]}x{frames.shape[1]} pixels; yuv420p needs even sides.")

    def write(temporary: Path) -> None:
        with av.open(str(temporary), "w", format="mp4") as container:
            stream = container.add_stream("libx264", rate=frames_per_second, options=_H264_OPTIONS)
            stream.height, stream.width = frames.shape[1:3]
            stream.pix_fmt = "yuv420p"
            stream.codec_context.thread_count = 1
            for frame in frames:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            container.mux(stream.encode())

    write_atomically(path, write)


def read_video(path: str | Path) -> np.ndarray:
    """Decodes all frames of a video, `(num_frames, height, width, 3)`, uint8, RGB."""
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def write_image(path: str | Path, pixels: np.ndarray) -> None:
    """Writes an image `(height, width, 3)`, uint8, RGB, as PNG."""
    image = Image.fromarray(pixels)
    write_atomically(path, lambda temporary: image.save(temporary, "PNG", compress_level=_PNG_COMPRESS_LEVEL))


def write_frames(path: str | Path, frames: np.ndarray) -> None:
    """Writes decoded frames `(num_frames, height, width, 3)`, uint8, as .npy, which `np.load` can map into memory."""

    def write(temporary: Path) -> None:
        with temporary.open("wb") as stream:
            np.save(stream, frames)

    write_atomically(path, write)


def write_text(path: str | Path, text: str) -> None:
    """Writes a text file (UTF-8)."""
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def write_atomically(path: str | Path, write: Callable[[Path], object]) -> None:
    """Calls `write` with a temporary name beside `path`, then renames the file it wrote to `path`."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        write(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
