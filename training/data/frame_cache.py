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
"""Decodes the clips of a data set folder once, so that training reads frames instead of decoding them every time."""

import json
import os
import shutil
from functools import partial
from pathlib import Path

from tqdm.auto import tqdm

from .dataset_folder import claim_folder, media_block, media_kind, media_path, read_request, read_rows, write_rows
from .media import read_video, write_atomically, write_frames


CACHE_FOLDER = "cached"


def cache_frames(folder: str | Path, *, progress: bool = True) -> Path:
    """Writes a copy of a data set with decoded clips to `folder/cached`, a data set folder of its own.

    Each clip becomes a `.npy` file, uint8 `(num_frames, height, width, 3)`, which FTFV's video processor maps into
    memory and takes like a video. Pictures are linked. What is there already is not decoded again, so an interrupted
    call can be repeated.

    Args:
        folder (`str` or `Path`): A data set folder.
        progress (`bool`, *optional*, defaults to `True`): Whether to show a progress bar.

    Returns:
        `Path`: The new folder, to be given as `dataset_name` and as the media root.

    Raises:
        FileNotFoundError: `folder` is not a complete data set folder.
        ValueError: `folder/cached` was made from other data, or the media lie outside `folder`.
    """
    folder = Path(folder)
    request = read_request(folder)
    rows = read_rows(folder)
    outside = next((name for row in rows if (name := media_path(row)) is not None and Path(name).is_absolute()), None)
    if outside is not None:
        raise ValueError(f"A row of {folder} names {outside!r}; expected media inside the folder, by relative paths.")
    cached = claim_folder(folder / CACHE_FOLDER, {**request, "cached": True})
    names = sorted({name for row in rows if (name := media_path(row)) is not None})
    for name in tqdm(names, desc=f"caching {folder.name}", disable=not progress):
        target = cached / _cached_name(name)
        if target.exists():
            continue
        if target.suffix == ".npy":
            write_frames(target, read_video(folder / name))
        else:
            write_atomically(target, partial(_link_or_copy, folder / name))
    for row in rows:
        if (name := media_path(row)) is not None:
            row["messages"][0]["content"][0] = media_block(_cached_name(name))
    description = f"The data set `{folder.name}` with its clips decoded to frames (`.npy`, uint8)."
    write_rows(cached, request["split"], rows, f"{description}\n\n```json\n{json.dumps(request, indent=2)}\n```")
    return cached


def _cached_name(name: str) -> str:
    return name if media_kind(name) == "image" else str(Path(name).with_suffix(".npy"))


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without hard links
        shutil.copyfile(source, target)
