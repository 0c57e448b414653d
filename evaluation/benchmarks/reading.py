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
"""Reading a benchmark's files: records with their place in error messages, and one report of all missing media."""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from .benchmark import Question


# How many missing files a message lists by name.
LISTED = 3


def read_json(path: Path, layout: str) -> Any:
    """
    Content of a JSON file.

    Args:
        path (`Path`): The file.
        layout (`str`): How the folder should look, for the message if the file is missing.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not JSON.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing. {layout}")
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}.") from error


def field(record: Any, key: str, kind: type | tuple[type, ...], place: str) -> Any:
    """
    One value of a record.

    Args:
        record (`Mapping`): The record.
        key (`str`): Its key.
        kind (`type` or `tuple` of them): What the value must be.
        place (`str`): File and record, for messages: `"test_q.json, record 3"`.

    Raises:
        ValueError: the record is no object, lacks the key, or the value is of another kind.
    """
    if not isinstance(record, Mapping):
        raise ValueError(f"{place}: expected an object, got {type(record).__name__}.")
    if key not in record:
        raise ValueError(f"{place}: `{key}` is missing; there are {', '.join(map(str, record)) or 'no keys'}.")
    value = record[key]
    if not isinstance(value, kind) or isinstance(value, bool):
        names = " or ".join(each.__name__ for each in (kind if isinstance(kind, tuple) else (kind,)))
        raise ValueError(f"{place}: `{key}` is {value!r}; expected {names}.")
    return value


def records(content: Any, path: Path) -> list[Any]:
    """
    A file's list of records.

    Raises:
        ValueError: `content` is no list, or an empty one.
    """
    if not isinstance(content, list) or not content:
        kind = "an empty list" if content == [] else type(content).__name__
        raise ValueError(f"{path}: expected a list of records, got {kind}.")
    return content


def clip_of(start: float, end: float, place: str) -> tuple[float, float]:
    """
    Start and end of a part of a video, in seconds.

    Raises:
        ValueError: the part is empty or starts before the video.
    """
    if not 0 <= start < end:
        raise ValueError(f"{place}: a clip from {start} s to {end} s; expected 0 <= start < end.")
    return float(start), float(end)


def first_existing(candidates: Iterable[Path]) -> str:
    """The first path that exists; the very first one if none does, for `require_media` to report."""
    paths = list(candidates)
    return str(next((path for path in paths if path.exists()), paths[0]))


def require_media(questions: Sequence[Question], layout: str) -> None:
    """
    Checks that the videos and images of all questions are there.

    Raises:
        FileNotFoundError: some are not; the message says how many of how many, and names the first few.
    """
    paths = dict.fromkeys(
        media for question in questions for media in (question.video, question.image) if isinstance(media, str)
    )
    missing = [path for path in paths if not os.path.exists(path)]
    if missing:
        names = ", ".join(missing[:LISTED]) + (", ..." if len(missing) > LISTED else "")
        raise FileNotFoundError(f"{len(missing)} of {len(paths)} videos and images are missing: {names}. {layout}")
