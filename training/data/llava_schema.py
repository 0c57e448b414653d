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
"""The schema of LLaVA, in which most sets come: ShareGPT4V and its captions, LCS-558K, Video-LLaVA's repack, Valley.

A file is `[{"id": ..., "image" or "video": path, "conversations": [{"from": "human" or "gpt", "value": ...}]}]`, with
`<image>` or `<video>` anywhere in the text; rows of text alone name no file.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial

from .raw_files import RawFiles, read_records
from .samples import (
    MalformedRecord,
    Media,
    MediaKind,
    PlacedSample,
    Sample,
    objects_of,
    pair_turns,
    parse_records,
    text_of,
    without_suffix,
)


_ROLES = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant"}


def read_samples(files: RawFiles, seed: int, *, type: str | None = None) -> Iterator[PlacedSample]:
    """A sample for each record, of the given type of question if the whole set is of one."""
    for file in files:
        yield from parse_records(read_records(file), partial(parse, type=type))


def read_valley_samples(files: RawFiles, seed: int) -> Iterator[PlacedSample]:
    """A sample for each record of Valley: the folder of a video is its `source`, WebVid's where it names none."""
    for file in files:
        yield from parse_records(read_records(file), partial(parse, video_names=_valley_names))


def parse(
    record: Mapping,
    place: str,
    *,
    type: str | None = None,
    video_names: Callable[[Mapping, str], tuple[str, ...]] | None = None,
) -> Sample:
    """
    Raises:
        MalformedRecord: a field is missing, there are several files or an unknown speaker, or no question has an
            answer.
    """
    media = None
    for kind in ("image", "video"):
        name = _media_name(record, kind)
        if name is None:
            continue
        if media is not None:
            raise MalformedRecord("both `image` and `video` are named; a row has one of them")
        names = (name,) if kind == "image" or video_names is None else video_names(record, name)
        media = Media(kind, names, id=without_suffix(name))
    system, messages = None, []
    for number, message in enumerate(objects_of(record, "conversations")):
        if not isinstance(message.get("value"), str):
            raise MalformedRecord(f"message {number} has no text under `value`")
        speaker = message.get("from")
        if speaker == "system" and number == 0:
            system = message["value"].strip() or None
        elif speaker in _ROLES:
            messages.append((_ROLES[speaker], message["value"]))
        else:
            raise MalformedRecord(f"message {number} is from {speaker!r}, expected human or gpt")
    record_id = record.get("id")
    return Sample(
        pair_turns(messages), media, id=None if record_id is None else str(record_id), system=system, type=type
    )


def _media_name(record: Mapping, kind: MediaKind) -> str | None:
    value = record.get(kind)
    if value is None or value == []:
        return None
    if isinstance(value, list):
        if len(value) > 1:
            raise MalformedRecord(f"{len(value)} files under `{kind}`; a row has one")
        return text_of({kind: value[0]}, kind)
    return text_of(record, kind)


def _valley_names(record: Mapping, name: str) -> tuple[str, ...]:
    return name, f"{record.get('source') or 'webvid'}/{name}"
