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
"""VideoChat2-IT: instruction data in six types, one folder a set.

`video/<folder>/<set>/train.json` is `[{"video" or "image": path, "QA": [{"i": instruction, "q": question, "a":
answer}, ...], "start": seconds, "end": seconds}]`; captions have an empty `q`.
"""

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import PurePath

from .raw_files import RawFile, RawFiles, read_records
from .samples import (
    MalformedRecord,
    Media,
    MediaKind,
    PlacedSample,
    Sample,
    number_of,
    objects_of,
    pair_turns,
    parse_records,
    text_of,
    without_suffix,
)


# Paper section 4.5, Table 6. The captions of four sets share a folder but are of two types.
TYPE_OF_SET = {
    "k710": "classification",
    "ssv2": "classification",
    "webvid": "simple_caption",
    "textvr": "simple_caption",
    "youcook2": "simple_caption",
    "videochat": "detailed_caption",
    "videochat1": "conversation",
    "videochat2": "conversation",
    "videochatgpt": "conversation",
    "ego_qa": "vqa",
    "tgif_frame_qa": "vqa",
    "tgif_transition_qa": "vqa",
    "webvid_qa": "vqa",
    "next_qa": "reasoning",
    "clevrer_qa": "reasoning",
    "clevrer_mc": "reasoning",
}
TYPES = ("classification", "simple_caption", "detailed_caption", "conversation", "vqa", "reasoning")


def read_samples(files: RawFiles, seed: int) -> Iterator[PlacedSample]:
    """A sample for each record, a conversation where it has several questions."""
    for file in files:
        name = set_name(file)
        yield from parse_records(read_records(file), partial(parse, set_name=name))


def set_name(file: RawFile) -> str:
    """The set that a file belongs to, from the folder it lies in.

    Raises:
        ValueError: the folder is none of the sets of VideoChat2-IT.
    """
    name = file.path.resolve().parent.name
    if name not in TYPE_OF_SET:
        raise ValueError(
            f"{str(file.path)!r} lies in a folder {name!r}, which tells no type; expected <type>/<set>/train.json, "
            f"the set one of {', '.join(TYPE_OF_SET)}."
        )
    return name


def parse(record: Mapping, place: str, *, set_name: str) -> Sample:
    """
    Raises:
        MalformedRecord: a field is missing, or no question has an answer.
    """
    kind: MediaKind = "video" if "video" in record else "image"
    path = text_of(record, kind)
    system, messages = None, []
    for number, pair in enumerate(objects_of(record, "QA")):
        instruction, question, answer = (pair.get(key) or "" for key in ("i", "q", "a"))
        if not all(isinstance(text, str) for text in (instruction, question, answer)):
            raise MalformedRecord(f"`QA` {number} holds something else than text")
        # A caption is asked for by the instruction itself; else the first one stands in front of the conversation.
        if question.strip() and number == 0:
            system = instruction.strip() or None
        messages += [("user", question if question.strip() else instruction), ("assistant", answer)]
    turns = pair_turns(messages)
    clip = None
    if record.get("start") is not None or record.get("end") is not None:
        clip = (number_of(record, "start"), number_of(record, "end"))
        if not 0 <= clip[0] < clip[1]:
            raise MalformedRecord(f"`start` {clip[0]:g} and `end` {clip[1]:g} are no part of a video")
    # Each set has a media folder of its own, some name whole paths.
    names = (path,) if PurePath(path).is_absolute() else (f"{set_name}/{path}", path)
    return Sample(
        turns,
        Media(kind, names, id=f"{set_name}/{without_suffix(path)}", clip=clip),
        system=system,
        type=TYPE_OF_SET[set_name],
        subset=set_name,
    )
