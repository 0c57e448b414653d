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
"""M3IT: instruction data of forty image sets, with the pictures inside the records.

The set on the Hub is a loading script, which `datasets` no longer runs, over `data/<task>/<set>/*train*.jsonl`; these
are read, or parquet exports. Records have `instruction` or a file `instructions.json` beside them that lists some to
draw from, `inputs`, `outputs` and the pictures. The sets in Chinese and of video frames are no part of the paper's
image stage: name the files of the others.
"""

import base64
import binascii
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from .raw_files import RawFiles, read_records
from .samples import MalformedRecord, Media, PlacedSample, Sample, list_of, pair_turns, parse_records, text_of
from .subsets import rank


_SIGNATURES = {b"\xff\xd8\xff": ".jpg", b"\x89PNG": ".png", b"GIF8": ".gif", b"BM": ".bmp"}
# The files of the sets differ in what they call the same thing.
_PICTURE_KEYS = ("image_base64_str", "image_str", "img_str", "image")
_INPUT_KEYS = ("inputs", "question")
_OUTPUT_KEYS = ("outputs", "answer", "response")


def read_samples(files: RawFiles, seed: int) -> Iterator[PlacedSample]:
    """A sample for each record; its type is the task, the name of the folder above the set's."""
    for file in files:
        instructions = _read_instructions(file.path.with_name("instructions.json"))
        parents = file.path.resolve().parts[-3:-1]
        task, name = parents if len(parents) == 2 else (None, None)
        yield from parse_records(
            read_records(file), partial(parse, seed=seed, instructions=instructions, type=task, subset=name)
        )


def parse(
    record: Mapping,
    place: str,
    *,
    seed: int = 0,
    instructions: Sequence[str] = (),
    type: str | None = None,
    subset: str | None = None,
) -> Sample:
    """
    Raises:
        MalformedRecord: a field is missing, or there is not exactly one picture.
    """
    if "instruction" in record:
        instruction = text_of(record, "instruction")
    elif instructions:
        instruction = instructions[rank(seed, place) % len(instructions)]
    else:
        raise MalformedRecord("no `instruction`, and no instructions.json beside the file")
    inputs = record.get(_first_key(record, _INPUT_KEYS) or "") or ""
    if not isinstance(inputs, str):
        raise MalformedRecord("`inputs` is no text")
    output_key = _first_key(record, _OUTPUT_KEYS)
    if output_key is None:
        raise MalformedRecord("no `outputs`")
    turns = pair_turns([("user", f"{instruction}\n{inputs}"), ("assistant", text_of(record, output_key))])
    content = _picture(record)
    digest = hashlib.sha256(content).hexdigest()[:32]
    name = f"{digest[:2]}/{digest}{picture_suffix(content)}"
    return Sample(turns, Media("image", (name,), id=digest, content=content), type=type, subset=subset)


def picture_suffix(content: bytes) -> str:
    """Suffix of a picture file, from its first bytes.

    Raises:
        MalformedRecord: they are of no known format.
    """
    for signature, suffix in _SIGNATURES.items():
        if content.startswith(signature):
            return suffix
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return ".webp"
    raise MalformedRecord("the picture is of no known format")


def _picture(record: Mapping) -> bytes:
    key = _first_key(record, _PICTURE_KEYS)
    if key is None:
        raise MalformedRecord("no `image_base64_str`")
    value = record[key]
    if isinstance(value, Mapping):  # the image column of a parquet file
        value = value.get("bytes")
    if isinstance(value, list):
        pictures = list_of(record, key)
        if len(pictures) != 1:
            raise MalformedRecord(f"{len(pictures)} pictures; a row has one")
        (value,) = pictures
    if isinstance(value, bytes):
        return value
    if not isinstance(value, str):
        raise MalformedRecord(f"`{key}` holds no picture")
    try:
        return base64.b64decode(value, validate=True)
    except binascii.Error as error:
        raise MalformedRecord(f"`{key}` is no base64: {error}") from error


def _first_key(record: Mapping, keys: Sequence[str]) -> str | None:
    return next((key for key in keys if key in record), None)


def _read_instructions(path: Path) -> list[str]:
    """
    Raises:
        ValueError: the file is no list of texts.
    """
    if not path.is_file():
        return []
    instructions = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(instructions, list) or not all(isinstance(text, str) and text.strip() for text in instructions):
        raise ValueError(f"{str(path)!r} holds something else than a list of instructions; download it again.")
    return [text.strip() for text in instructions]
