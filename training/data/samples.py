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
"""What a converter makes of a raw record: a conversation about a picture, a video or nothing, or a reason why not."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal


MediaKind = Literal["image", "video"]

_PLACEHOLDER = re.compile(r"(\s*)<(?:image|video)>(\s*)")


@dataclass(frozen=True)
class Media:
    """The picture or video of a sample."""

    kind: MediaKind
    names: tuple[str, ...]
    """Where the file may lie, as paths from the media root, best first; a suffix may be missing or another one. Of a
    picture that lies inside the record: the one name to write it under."""
    id: str
    """Names the picture or video; samples about the same one share it."""
    clip: tuple[float, float] | None = None
    """Part of the video that is meant, as start and end in seconds; the whole if None."""
    content: bytes | None = None
    """The picture file itself where it lies inside the record."""


@dataclass(frozen=True)
class Sample:
    """A conversation about at most one picture or video."""

    turns: tuple[tuple[str, str], ...]
    """Questions and answers, at least one of them, none of them empty, without placeholders for media."""
    media: Media | None = None
    id: str | None = None
    """The record's own name, None where it has none."""
    system: str | None = None
    """Instruction in front of the conversation."""
    type: str | None = None
    """Type of question, such as `"vqa"`."""
    subset: str | None = None
    """The set inside the source that the record belongs to."""


@dataclass(frozen=True)
class Rejection:
    """A raw record that no row can be made of."""

    reason: str


class MalformedRecord(ValueError):
    """A raw record is not of the form that its source has; the message is the reason."""


RawRecord = tuple[str, object]
"""Where a record lies, such as `"chat.json[17]"`, and the record; a `MalformedRecord` where it could not be read."""
PlacedSample = tuple[str, Sample | Rejection]


def parse_records(
    records: Iterable[RawRecord], parse: Callable[[Mapping, str], Sample | Iterable[Sample]]
) -> Iterator[PlacedSample]:
    """Applies `parse` to each record and its place; what it raises as `MalformedRecord` becomes a `Rejection`."""
    for place, record in records:
        try:
            if isinstance(record, MalformedRecord):
                raise record
            if not isinstance(record, Mapping):
                raise MalformedRecord(f"the record is {_type_name(record)}, expected an object")
            parsed = parse(record, place)
            samples = [parsed] if isinstance(parsed, Sample) else list(parsed)
        except MalformedRecord as error:
            yield place, Rejection(str(error))
        else:
            for number, sample in enumerate(samples):
                yield (place if number == 0 else f"{place}.{number}"), sample


def text_of(record: Mapping, key: str) -> str:
    """The text under `key`, without white space around it.

    Raises:
        MalformedRecord: there is none, or it is empty.
    """
    if key not in record:
        raise MalformedRecord(f"no `{key}`")
    value = record[key]
    if not isinstance(value, str):
        raise MalformedRecord(f"`{key}` is {_type_name(value)}, expected text")
    if not value.strip():
        raise MalformedRecord(f"`{key}` is empty")
    return value.strip()


def list_of(record: Mapping, key: str) -> list:
    """The list under `key`.

    Raises:
        MalformedRecord: there is none.
    """
    if key not in record:
        raise MalformedRecord(f"no `{key}`")
    if not isinstance(record[key], list):
        raise MalformedRecord(f"`{key}` is {_type_name(record[key])}, expected a list")
    return record[key]


def objects_of(record: Mapping, key: str) -> list[Mapping]:
    """The list of objects under `key`.

    Raises:
        MalformedRecord: there is none.
    """
    objects = list_of(record, key)
    for number, value in enumerate(objects):
        if not isinstance(value, Mapping):
            raise MalformedRecord(f"`{key}` {number} is {_type_name(value)}, expected an object")
    return objects


def number_of(record: Mapping, key: str) -> float:
    """The number under `key`.

    Raises:
        MalformedRecord: there is none.
    """
    value = record.get(key)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise MalformedRecord(f"`{key}` is {_type_name(value)}, expected a number" if key in record else f"no `{key}`")
    return value


def without_placeholders(text: str) -> str:
    """Text without `<image>` and `<video>`, wherever they stand: the row's media block takes their place."""
    if "<" not in text:  # most answers, and the pattern is slow at them
        return text.strip()

    def gap(match: re.Match) -> str:
        spaces = match[1] + match[2]
        return "\n" if "\n" in spaces else " " if spaces else ""

    return _PLACEHOLDER.sub(gap, text).strip()


def pair_turns(messages: Sequence[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Questions and answers of a conversation, from messages of role `"user"` or `"assistant"` and their text.

    Placeholders go. Messages of one role in a row are joined. A question or answer that is empty goes together with
    the other half of its pair.

    Raises:
        MalformedRecord: the assistant speaks first, or no question has an answer.
    """
    joined: list[tuple[str, list[str]]] = []
    for role, text in messages:
        if joined and joined[-1][0] == role:
            joined[-1][1].append(text)
        else:
            joined.append((role, [text]))
    if joined and joined[0][0] == "assistant":
        raise MalformedRecord("the assistant speaks first")
    texts = [without_placeholders("\n".join(parts)) for _, parts in joined]
    turns = tuple(
        (question, answer) for question, answer in zip(texts[::2], texts[1::2], strict=False) if question and answer
    )
    if not turns:
        raise MalformedRecord("no question with an answer")
    return turns


def without_suffix(path: str) -> str:
    """A path from the media root without the suffix of its file."""
    folder, separator, name = path.rpartition("/")
    stem, dot, _ = name.rpartition(".")
    return folder + separator + (stem if dot and stem else name)


def _type_name(value: object) -> str:
    if value is None:
        return "null"
    return {"str": "text", "int": "a number", "float": "a number", "list": "a list", "dict": "an object"}.get(
        type(value).__name__, f"of type {type(value).__name__}"
    )
