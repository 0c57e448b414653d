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
"""What may be given as an image or a video, and where its bytes are: paths, URLs, bytes, open files and frames."""

import os
import re
from io import BytesIO
from typing import Any
from urllib.parse import urlparse
from urllib.request import Request, urlopen

import numpy as np
import torch
from PIL import Image
from transformers.utils import ModelOutput


# Folder that relative media paths start from; a recipe sets it in its `env`.
MEDIA_ROOT = "FTFV_MEDIA_ROOT"
DOWNLOAD_TIMEOUT = 60  # seconds without an answer
CLIP = re.compile(r"(?P<path>.+)#t=(?P<start>\d+(\.\d+)?),(?P<end>\d+(\.\d+)?)", re.DOTALL)
# A GIF is a video.
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".ppm")


def make_list_of_videos(videos: Any) -> list[Any]:
    """
    A flat list of videos out of one video, a batch of them, or the rows of a batch with any number of videos each.

    A video is a path (of a video, of a `.npy` frame cache, or of a folder of frames), a URL, a data URI, the bytes of
    a file or an open file; an array or tensor `(num_frames, height, width, channels)` or `(num_frames, channels,
    height, width)`; or a list of frames, each a PIL image, an array or a tensor, or the path of an image. One frame
    alone is a video of one frame, and a 5-dimensional array a batch. Features of videos, as the model's
    `get_video_features` returns them, become those of each video.

    Raises:
        TypeError: something else is among them.
        ValueError: an array has none of these shapes.
    """
    if isinstance(videos, (list, tuple)):
        if videos and (all(map(_is_frame, videos)) or all(map(is_image_path, videos))):
            return [list(videos)]
        return [video for item in videos for video in make_list_of_videos(item)]
    if is_features(videos):
        return videos.split()
    if is_image_path(videos) or _is_frame(videos):
        return [[videos]]
    if isinstance(videos, (np.ndarray, torch.Tensor)):
        if videos.ndim not in (4, 5):
            raise ValueError(
                f"A video is an array of shape {tuple(videos.shape)}; expected 4 dimensions (num_frames, height, "
                "width, channels), or 5 for a batch."
            )
        return [videos] if videos.ndim == 4 else list(videos)
    if _is_location(videos):
        return [os.fspath(videos) if isinstance(videos, os.PathLike) else videos]
    raise TypeError(
        f"A video is of type {type(videos).__name__}; expected a path, URL, bytes, an open file, an array, a tensor, "
        "a list of frames, or features."
    )


def is_features(video: Any) -> bool:
    """Whether `video` is what the model's `get_video_features` returns, or an element of `make_list_of_videos` is."""
    return isinstance(video, ModelOutput) and "token_indices" in video


def in_memory(video: Any) -> bool:
    """Whether an element of `make_list_of_videos` is frames, rather than the place of a file or of several."""
    return isinstance(video, (np.ndarray, torch.Tensor)) or (isinstance(video, list) and _is_frame(video[0]))


def is_list_of_image_paths(video: Any) -> bool:
    """Whether an element of `make_list_of_videos` is a list of image files."""
    return isinstance(video, list) and not in_memory(video)


def resolve_media_path(path: str | os.PathLike) -> str:
    """
    Path of a media file or of a folder of frames; a relative one starts from the folder in the environment variable
    `FTFV_MEDIA_ROOT`, if that is set. URLs and data URIs are returned as they are.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is empty.
    """
    path = os.fspath(path)
    if _is_url(path):
        return path
    root = os.environ.get(MEDIA_ROOT, "")
    resolved = os.path.join(root, path)
    if not os.path.exists(resolved):
        start = f"`{MEDIA_ROOT}`, which is {root!r}" if root else f"{os.getcwd()!r}, as `{MEDIA_ROOT}` is not set"
        raise FileNotFoundError(
            f"No file {show_source(resolved)}; expected an existing file. Relative paths start from {start}."
        )
    if os.path.isfile(resolved) and os.path.getsize(resolved) == 0:
        raise ValueError(f"The file {resolved!r} is empty; expected a video or an image. Download or encode it again.")
    return resolved


def split_clip(source: Any) -> tuple[Any, tuple[float, float] | None]:
    """
    Path and clip of a name such as `clip.mp4#t=3.5,9`, a temporal fragment as W3C Media Fragments 1.0 writes it: start
    and end in seconds. The clip of any other source is None.
    """
    match = CLIP.fullmatch(source) if isinstance(source, str) else None
    if match is None:
        return source, None
    return match["path"], (float(match["start"]), float(match["end"]))


def open_source(source: Any) -> Any:
    """
    What decoders take: the path (`str`) of an image, a video or a folder, or an open file, for which a URL is
    downloaded.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is empty or cannot be downloaded.
    """
    if isinstance(source, (str, os.PathLike)):
        path = resolve_media_path(source)
        if not _is_url(path):
            return path
        try:
            # Some servers refuse the name that urllib gives itself.
            with urlopen(Request(path, headers={"User-Agent": "ftfv"}), timeout=DOWNLOAD_TIMEOUT) as response:  # noqa: S310
                source = response.read()
        except Exception as error:
            failed = "decoded" if path.startswith("data:") else "downloaded"
            raise ValueError(
                f"{show_source(path)} cannot be {failed}: {one_line(error)}. Check the address and the connection."
            ) from error
        if not source:
            raise ValueError(f"{show_source(path)} is empty; expected a video or an image. Check the address.")
    if isinstance(source, (bytes, bytearray, memoryview)):
        if not len(source):
            raise ValueError("The bytes of a video or an image are empty; expected the content of a file.")
        return BytesIO(source)
    if not (hasattr(source, "seekable") and source.seekable()):
        return BytesIO(source.read())
    source.seek(0)
    return source


def is_image_path(source: Any) -> bool:
    """Whether `source` is the path or URL of an image, judged by its suffix."""
    if not isinstance(source, (str, os.PathLike)):
        return False
    path = os.fspath(source)
    if isinstance(path, str) and path.startswith("data:"):
        return path.startswith("data:image/") and not path.startswith("data:image/gif")
    return isinstance(path, str) and _without_query(path).lower().endswith(IMAGE_SUFFIXES)


def show_source(source: Any) -> str:
    """A source as messages name it, shortened: a data URI is a whole file."""
    if isinstance(source, (str, os.PathLike)):
        path = os.fspath(source)
        return repr(path if len(path) <= 300 else f"{path[:100]}...")
    if isinstance(source, (bytes, bytearray, memoryview)):
        return f"A video of {len(source)} bytes"
    if isinstance(getattr(source, "name", None), str):
        return f"The open file {source.name!r}"
    return "An open file"


def one_line(error: Exception) -> str:
    """The message of an error in one line, shortened; its type where it has none."""
    return (" ".join(str(error).split()) or type(error).__name__)[:200]


def _is_frame(item: Any) -> bool:
    return isinstance(item, Image.Image) or (isinstance(item, (np.ndarray, torch.Tensor)) and item.ndim in (2, 3))


def _is_location(item: Any) -> bool:
    return isinstance(item, (str, os.PathLike, bytes, bytearray, memoryview)) or hasattr(item, "readable")


def _is_url(path: str) -> bool:
    return path.startswith(("http://", "https://", "file://", "data:"))


def _without_query(path: str) -> str:
    return urlparse(path).path if _is_url(path) else path
