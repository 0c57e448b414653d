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
"""Pictures with texts as img2dataset downloads them: LAION's captions, and the records that GRIT is read from.

Either WebDataset shards, `00000.tar` with `000000000.jpg`, `.txt` and `.json`, or folders with the same files, which
stay where they are.
"""

import json
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from .media_files import SUFFIXES
from .raw_files import RawFile, RawFiles
from .samples import MalformedRecord, Media, PlacedSample, RawRecord, Sample, parse_records, without_placeholders
from .subsets import rank


# Drawn from, so that the adapter is not aligned to one wording.
CAPTION_PROMPTS = (
    "Describe the picture briefly.",
    "What does the picture show, in one sentence?",
    "Give the picture a short caption.",
    "Say in a few words what can be seen here.",
    "Write a one-sentence description of this picture.",
    "What is in the picture? Be brief.",
)


def read_caption_samples(files: RawFiles, seed: int) -> Iterator[PlacedSample]:
    """A sample for each picture: a prompt, drawn by `seed`, and its caption."""
    for file in files:

        def parse(record: Mapping, place: str) -> Sample:
            caption = without_placeholders(record["caption"])
            if not caption:
                raise MalformedRecord("the caption is empty")
            prompt = CAPTION_PROMPTS[rank(seed, place) % len(CAPTION_PROMPTS)]
            return Sample(((prompt, caption),), record["media"], type="simple_caption")

        yield from parse_records(image_text_records(file), parse)


def image_text_records(file: RawFile) -> Iterator[RawRecord]:
    """Records of a shard, or the one record of a `.json` file beside its picture: the fields of its JSON, `caption`
    and `media`.

    Raises:
        ValueError: the shard is broken.
    """
    if file.path.suffix != ".tar":
        yield file.label, _complete(file.path.name, _read_json(file.path), _picture_beside(file.path))
        return
    stem = file.path.stem
    try:
        for key, members in _groups(file.path):
            place = f"{file.label}[{key}]"
            suffix = next((suffix for suffix in members if suffix in SUFFIXES["image"]), None)
            media = None
            if suffix is not None:
                name = f"{stem}/{key}{suffix}"
                media = Media("image", (name,), id=f"{stem}/{key}", content=members[suffix])
            yield place, _complete(key, _parse_json(members.get(".json", b"{}")), media, members.get(".txt"))
    except (tarfile.TarError, EOFError) as error:
        raise ValueError(f"{str(file.path)!r} is no whole tar file: {error}. Download it again.") from error


def _complete(
    key: str, fields: object, media: Media | None, text: bytes | None = None
) -> dict[str, object] | MalformedRecord:
    if isinstance(fields, MalformedRecord):
        return fields
    if not isinstance(fields, Mapping):
        return MalformedRecord("the JSON is no object")
    if media is None:
        return MalformedRecord(f"no picture beside {key!r}")
    caption = fields.get("caption")
    if not isinstance(caption, str):
        if text is None:
            return MalformedRecord("no `caption` and no .txt")
        caption = text.decode("utf-8", errors="replace")
    return {**fields, "caption": caption, "media": media}


def _groups(path: Path) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Members of a tar file that share a name up to its first dot, which stand together in a WebDataset shard."""
    key, members = None, {}
    with tarfile.open(path, "r|*") as shard:
        for member in shard:
            stream = shard.extractfile(member) if member.isfile() else None
            if stream is None:
                continue
            name = PurePosixPath(member.name)
            stem, _, suffix = name.name.partition(".")
            found = stem if str(name.parent) == "." else f"{name.parent.as_posix().strip('/')}/{stem}"
            if key is not None and found != key:
                yield key, members
                members = {}
            key = found
            members[f".{suffix.lower()}"] = stream.read()
    if key is not None:
        yield key, members


def _picture_beside(path: Path) -> Media | None:
    for suffix in SUFFIXES["image"]:
        picture = path.with_suffix(suffix)
        if picture.is_file():
            return Media("image", (str(picture.resolve()),), id=f"{path.parent.name}/{path.stem}")
    return None


def _read_json(path: Path) -> object:
    return _parse_json(path.read_bytes())


def _parse_json(content: bytes) -> object:
    try:
        return json.loads(content)
    except ValueError as error:
        return MalformedRecord(f"no JSON: {error}")
