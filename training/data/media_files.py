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
"""Finds the media files that rows name, and tells whether they decode."""

import os
import stat
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path

from tqdm.auto import tqdm

from .samples import Media, MediaKind


# What the raw files name as .mp4, or without a suffix, lies on disks as any of these.
SUFFIXES = {
    "video": (".mp4", ".mkv", ".webm", ".avi", ".mov", ".gif"),
    "image": (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp"),
}


class UnusableMedia(ValueError):
    """A media file is missing, empty or broken; the message is the reason."""


class MediaFolder:
    """The folder that the names of a raw data set start from.

    Args:
        root (`str` or `Path`): the folder.

    Raises:
        FileNotFoundError: it is not there.
    """

    def __init__(self, root: str | Path):
        self.root = Path(root).resolve()
        if not self.root.is_dir():
            raise FileNotFoundError(f"No folder {str(root)!r}; expected `--media-root`, where the media files lie.")
        # Asking a disk is slow, and many rows are about one file: VideoInstruct has 8 rows a video. 20 MB when full.
        self._find = lru_cache(maxsize=65536)(self._find_uncached)

    def find(self, media: Media) -> str:
        """Absolute path of the file.

        Raises:
            UnusableMedia: there is none under any of the names, with any suffix, or it is empty.
        """
        found, size = self._find(media.kind, media.names)
        if found is None:
            raise UnusableMedia(
                f"no file {media.names[0]!r}{_others(media)} with that or another suffix "
                f"({' '.join(SUFFIXES[media.kind])})"
            )
        if size == 0:
            raise UnusableMedia(f"the file {found!r} is empty")
        return found

    def _find_uncached(self, kind: str, names: tuple[str, ...]) -> tuple[str | None, int]:
        for name in names:
            stem, suffix = os.path.splitext(name)
            if suffix.lower() in SUFFIXES[kind]:
                candidates = [name, *(stem + other for other in SUFFIXES[kind] if other != suffix)]
            else:
                candidates = [*(name + other for other in SUFFIXES[kind]), name]
            for candidate in candidates:
                path = os.path.join(self.root, candidate)
                try:
                    found = os.stat(path)
                except OSError:
                    continue
                if stat.S_ISREG(found.st_mode):
                    return path, found.st_size
        return None, 0


def media_reference(path: str, clip: tuple[float, float] | None) -> str:
    """How a row names a video file, or a part of it from start to end in seconds: `clip.mp4#t=3.5,9`, a media fragment
    as the W3C defines it, which FTFV's video processor takes."""
    if clip is None:
        return path
    start, end = (f"{seconds:.3f}".rstrip("0").rstrip(".") for seconds in clip)
    return f"{path}#t={start},{end}"


def decoding_errors(files: Iterable[tuple[MediaKind, str]], *, progress: bool = True) -> dict[str, str]:
    """What is wrong with the files that do not decode, several at a time.

    Args:
        files (`Iterable[tuple[MediaKind, str]]`): `"image"` or `"video"`, and the file as a row names it.
        progress (`bool`, *optional*, defaults to `True`): whether to show a progress bar.

    Returns:
        `dict[str, str]`: the broken ones of `files` and why.
    """
    errors = {}
    remaining = sorted(files, key=lambda file: file[1])
    with ThreadPoolExecutor() as pool, tqdm(total=len(remaining), desc="decoding", disable=not progress) as bar:
        # The pool holds whatever it is given.
        for start in range(0, len(remaining), 1024):
            batch = remaining[start : start + 1024]
            for (_, reference), error in zip(batch, pool.map(decoding_error, *zip(*batch, strict=True)), strict=True):
                bar.update()
                if error is not None:
                    errors[reference] = error
    return errors


def decoding_error(kind: MediaKind, reference: str) -> str | None:
    """Why the frames that training would sample from a video, or the pixels of a picture, do not decode; None if they
    do."""
    from PIL import Image

    from ...processing.video_processing_ftfv import FTFVVideoProcessor

    try:
        if kind == "video":
            processor = FTFVVideoProcessor()
            processor.fetch_videos(reference, processor.sample_frames)
        else:
            with Image.open(reference) as image:
                image.convert("RGB")
    except (ValueError, OSError, SyntaxError) as error:  # SyntaxError: Pillow on a broken PNG
        return " ".join(str(error).split())
    return None


def _others(media: Media) -> str:
    return "".join(f" or {name!r}" for name in media.names[1:])
