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
"""Streaming reading of the files that raw data sets come in: JSON arrays and objects of any size, JSON lines, parquet.

A file is never in memory as a whole. JSON that breaks off or breaks in the middle is an error that names the record;
a broken line of a JSON lines file is one malformed record.
"""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from .samples import MalformedRecord, RawRecord


@dataclass(frozen=True)
class RawFile:
    """A file of raw records."""

    path: Path
    label: str
    """How messages and row ids name it."""


class RawFiles:
    """The files to read, given as files and folders; iterating again walks the folders again, in sorted order.

    Labels are paths from the folder that was given, or from the one that holds all that was given.

    Args:
        paths (`Sequence[str | Path]`): files, and folders to look for files in.
        patterns (`Sequence[str]`): shell patterns of the paths that count in a folder, such as `"*train*.jsonl"`; the
            first one with a match is taken.

    Raises:
        FileNotFoundError: a path is not there, or a folder has no such file.
        ValueError: a path is given twice.
    """

    def __init__(self, paths: Sequence[str | Path], patterns: Sequence[str]):
        resolved = [Path(path).resolve() for path in paths]
        if len(set(resolved)) < len(resolved):
            twice = next(path for path in resolved if resolved.count(path) > 1)
            raise ValueError(f"{str(twice)!r} is given twice; give every file once.")
        self.roots: list[tuple[Path, str | None]] = []
        for path in resolved:
            if path.is_file():
                self.roots.append((path, None))
            elif path.is_dir():
                pattern = next((pattern for pattern in patterns if next(_walk(path, pattern), None)), None)
                if pattern is None:
                    raise FileNotFoundError(
                        f"No {' or '.join(patterns)} in the folder {str(path)!r}; expected raw files of a data set."
                    )
                self.roots.append((path, pattern))
            else:
                raise FileNotFoundError(f"No file or folder {str(path)!r}; expected raw files of a data set.")
        is_one_folder = len(resolved) == 1 and resolved[0].is_dir()
        self.base = resolved[0] if is_one_folder else Path(os.path.commonpath([path.parent for path in resolved]))

    def __iter__(self) -> Iterator[RawFile]:
        for root, pattern in self.roots:
            for path in [root] if pattern is None else _walk(root, pattern):
                yield RawFile(path, path.relative_to(self.base).as_posix())

    def is_given(self, file: RawFile) -> bool:
        """Whether a file was given by its own name, not found in a folder."""
        return (file.path, None) in self.roots


def _walk(root: Path, pattern: str) -> Iterator[Path]:
    for parent, folders, names in os.walk(root):
        folders.sort()
        for name in sorted(names):
            path = Path(parent, name)
            if fnmatch(path.relative_to(root).as_posix(), pattern):
                yield path


def read_records(file: RawFile, prefix: str = "") -> Iterator[RawRecord]:
    """Records of a JSON array, a JSON lines file or a parquet file.

    Args:
        file (`RawFile`): `.parquet`, or JSON of either form; the first character tells which.
        prefix (`str`, *optional*, defaults to `""`): the key under which the array lies, if it is inside an object.

    Raises:
        ValueError: the JSON breaks off or is none, or the file has another form.
    """
    if file.path.suffix == ".parquet":
        yield from _read_parquet(file)
    elif prefix or first_character(file) == "[":
        import ijson

        count = 0
        with file.path.open("rb") as stream, _explain_broken_json(file) as progress:
            for record in ijson.items(stream, f"{prefix}.item" if prefix else "item", use_float=True):
                yield f"{file.label}[{count}]", record
                progress[0] = count = count + 1
    elif first_character(file) == "{":
        yield from _read_lines(file)
    else:
        raise ValueError(
            f"{str(file.path)!r} starts with {first_character(file)!r}; expected a JSON array, JSON lines or parquet."
        )


def read_mapping(file: RawFile) -> Iterator[tuple[str, object]]:
    """Keys and values of a JSON object that is too large for memory.

    Raises:
        ValueError: the JSON breaks off or is none, or the file has another form.
    """
    import ijson

    if first_character(file) != "{":
        raise ValueError(f"{str(file.path)!r} starts with {first_character(file)!r}; expected a JSON object.")
    with file.path.open("rb") as stream, _explain_broken_json(file) as progress:
        for key, value in ijson.kvitems(stream, "", use_float=True):
            yield key, value
            progress[0] += 1


def top_level_keys(file: RawFile) -> Iterator[str]:
    """Keys of the outermost JSON object, or of the first object of the outermost array, in order."""
    import ijson

    level = "item" if first_character(file) == "[" else ""
    with file.path.open("rb") as stream, _explain_broken_json(file):
        for prefix, event, value in ijson.parse(stream):
            if prefix == level and event == "map_key":
                yield value
            elif prefix == level == "item" and event == "end_map":
                return


def first_character(file: RawFile) -> str:
    """The first character of a text file that is not white space, `""` where there is none."""
    with file.path.open(encoding="utf-8-sig", errors="replace") as stream:
        while block := stream.read(4096):
            if block.strip():
                return block.strip()[0]
    return ""


def _read_lines(file: RawFile) -> Iterator[RawRecord]:
    with file.path.open(encoding="utf-8-sig", errors="replace") as stream:
        for number, line in enumerate(stream):
            if not line.strip():
                continue
            place = f"{file.label}[{number}]"
            try:
                yield place, json.loads(line)
            except json.JSONDecodeError as error:
                yield place, MalformedRecord(f"no JSON: {error.msg} at character {error.pos}")


def _read_parquet(file: RawFile) -> Iterator[RawRecord]:
    from pyarrow import ArrowInvalid, parquet

    try:
        table = parquet.ParquetFile(file.path)
    except ArrowInvalid as error:
        raise ValueError(f"{str(file.path)!r} is no parquet file: {error}. Download it again.") from error
    count = 0
    with table:
        for batch in table.iter_batches(batch_size=256):
            for record in batch.to_pylist():
                yield f"{file.label}[{count}]", record
                count += 1


@contextmanager
def _explain_broken_json(file: RawFile) -> Iterator[list[int]]:
    """Names the file and how many records could be read, a count that the caller keeps in the list given."""
    import ijson

    progress = [0]
    try:
        yield progress
    except ijson.JSONError as error:
        reason = " ".join(str(error).split()).split(" (right here)")[0][:120]
        raise ValueError(
            f"{str(file.path)!r} breaks after {progress[0]} records: {reason}. Expected whole JSON; download it again."
        ) from error
