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
"""Grounding data as text: GRIT, captions whose phrases have boxes, and Visual Genome, regions with phrases.

Boxes are written as Qwen-VL writes them, `<ref>a dog</ref><box>(x1,y1),(x2,y2)</box>`, with corners in thousandths of
the picture's width and height.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from .raw_files import RawFile, RawFiles, read_records, top_level_keys
from .samples import (
    MalformedRecord,
    Media,
    PlacedSample,
    Sample,
    list_of,
    number_of,
    objects_of,
    pair_turns,
    parse_records,
    text_of,
)
from .subsets import rank
from .webdataset import image_text_records


# A picture of Visual Genome has 50 regions on average; all of them would be 2000 tokens.
REGIONS_PER_PICTURE = 8

_CAPTION_PROMPT = "Describe the picture and give the box of everything you name."
_LOCATE_PROMPT = "Where is <ref>{phrase}</ref>?"
_NAME_PROMPT = "What is in {box}?"
_Box = tuple[float, float, float, float]


def box_text(box: _Box) -> str:
    """Text of a box `(x1, y1, x2, y2)` whose corners are shares of width and height.

    Raises:
        MalformedRecord: it lies outside the picture or is empty.
    """
    x1, y1, x2, y2 = box
    # Boxes drawn by hand or found by a model reach a little beyond the picture.
    if not (-0.05 <= x1 < x2 <= 1.05 and -0.05 <= y1 < y2 <= 1.05):
        raise MalformedRecord(f"the box ({x1:.3f}, {y1:.3f}, {x2:.3f}, {y2:.3f}) is no part of the picture")
    left, top, right, bottom = (min(max(int(1000 * corner), 0), 999) for corner in box)
    return f"<box>({left},{top}),({right},{bottom})</box>"


def read_grit_samples(files: RawFiles, seed: int) -> Iterator[PlacedSample]:
    """Of each record of GRIT a caption with boxes and a conversation that asks where its referring expressions are,
    in rows of their own, or the first would tell the answers of the second."""
    for file in files:
        yield from parse_records(image_text_records(file), parse_grit)


def parse_grit(record: Mapping, place: str) -> list[Sample]:
    """
    Raises:
        MalformedRecord: a field is missing, or a phrase or box lies outside the caption or picture.
    """
    if not isinstance(record.get("caption"), str):
        raise MalformedRecord("no `caption`")
    caption = record["caption"]  # unstripped: the phrases are offsets into it
    media = record["media"]
    samples = []
    spans = _spans(record, "noun_chunks", caption)
    if spans:
        samples.append(Sample(((_CAPTION_PROMPT, _mark(caption, spans)),), media, type="grounded_caption"))
    referred = _spans(record, "ref_exps", caption)
    if referred:
        turns = [
            (_LOCATE_PROMPT.format(phrase=caption[start:end].strip()), "".join(map(box_text, boxes)))
            for (start, end), boxes in referred.items()
        ]
        samples.append(Sample(tuple(turns), media, type="grounding"))
    if not samples:
        raise MalformedRecord("no phrase with a box")
    return samples


def read_visual_genome_samples(files: RawFiles, seed: int) -> Iterator[PlacedSample]:
    """A conversation about each picture of `region_descriptions.json`, which asks in turn where a phrase is and what
    is in a box, and one about each picture of `question_answers.json`; sizes come from `image_data.json`.

    Raises:
        ValueError: the regions have no `image_data.json`, or a file is none of the three.
    """
    regions: list[RawFile] = []
    questions: list[RawFile] = []
    sizes: dict[int, tuple[int, int]] = {}
    for file in files:
        keys = set(top_level_keys(file))
        if "regions" in keys:
            regions.append(file)
        elif "qas" in keys:
            questions.append(file)
        elif {"width", "height"} <= keys:
            sizes.update(_picture_sizes(file))
        elif files.is_given(file):
            raise ValueError(
                f"{str(file.path)!r} has the keys {', '.join(sorted(keys))}; expected region_descriptions.json, "
                "question_answers.json or image_data.json of Visual Genome."
            )
    if regions and not sizes:
        raise ValueError(
            f"{str(regions[0].path)!r} has boxes in pixels; give image_data.json too, which has the sizes of the "
            "pictures."
        )
    for file in regions:
        yield from parse_records(read_records(file), partial(parse_regions, sizes=sizes, seed=seed))
    for file in questions:
        yield from parse_records(read_records(file), parse_questions)


def parse_regions(record: Mapping, place: str, *, sizes: Mapping[int, tuple[int, int]], seed: int = 0) -> Sample:
    """
    Raises:
        MalformedRecord: a field is missing, the picture has no size, or no region lies inside it.
    """
    image = int(number_of(record, "id"))
    if image not in sizes:
        raise MalformedRecord(f"picture {image} is not in image_data.json")
    width, height = sizes[image]
    found = []
    for region in objects_of(record, "regions"):
        x, y, w, h = (number_of(region, key) for key in ("x", "y", "width", "height"))
        phrase = region.get("phrase")
        if isinstance(phrase, str) and phrase.strip():
            try:
                box = box_text((x / width, y / height, (x + w) / width, (y + h) / height))
            except MalformedRecord:
                continue  # one of fifty
            found.append((phrase.strip(), box))
    if not found:
        raise MalformedRecord("no region with a phrase inside the picture")
    turns = []
    for number, (phrase, box) in enumerate(_few(found, f"{seed}/{image}")):
        if number % 2 == 0:
            turns.append((_LOCATE_PROMPT.format(phrase=phrase), box))
        else:
            turns.append((_NAME_PROMPT.format(box=box), phrase))
    return Sample(tuple(turns), _genome_picture(image), id=f"regions/{image}", type="grounding")


def parse_questions(record: Mapping, place: str) -> Sample:
    """
    Raises:
        MalformedRecord: a field is missing.
    """
    image = int(number_of(record, "id"))
    messages = []
    for pair in objects_of(record, "qas"):
        messages += [("user", text_of(pair, "question")), ("assistant", text_of(pair, "answer"))]
    return Sample(pair_turns(messages), _genome_picture(image), id=f"questions/{image}", type="vqa")


def _picture_sizes(file: RawFile) -> Iterator[tuple[int, tuple[int, int]]]:
    for _, record in read_records(file):
        if isinstance(record, Mapping):
            identity = record.get("image_id", record.get("id"))
            yield int(identity), (int(record["width"]), int(record["height"]))


def _genome_picture(image: int) -> Media:
    name = f"{image}.jpg"
    return Media("image", (f"VG_100K/{name}", f"VG_100K_2/{name}", name), id=str(image))


def _few(found: Sequence[tuple[str, str]], seed: str) -> list[tuple[str, str]]:
    """Regions of different phrases, so that no answer of the conversation is told by an earlier turn."""
    distinct = {phrase.lower(): (phrase, box) for phrase, box in found}
    return sorted(distinct.values(), key=lambda region: rank(0, f"{seed}/{region}"))[:REGIONS_PER_PICTURE]


def _spans(record: Mapping, key: str, caption: str) -> dict[tuple[int, int], list[_Box]]:
    """Boxes of each phrase, in the order of the caption; a phrase that overlaps an earlier one is left out."""
    spans: dict[tuple[int, int], list[_Box]] = {}
    entries = list_of(record, key)
    numbers = [number for entry in entries for number in (entry if isinstance(entry, list) else [None])]
    if not all(isinstance(number, (int, float)) for number in numbers):
        raise MalformedRecord(f"`{key}` holds something else than lists of numbers")
    for entry in sorted(entries):
        if len(entry) < 6:
            raise MalformedRecord(f"`{key}` has an entry of {len(entry)} numbers; expected start, end and a box")
        start, end = int(entry[0]), int(entry[1])
        if not 0 <= start < end <= len(caption):
            raise MalformedRecord(f"`{key}` names the characters {start} to {end} of a caption of {len(caption)}")
        box = tuple(entry[2:6])
        box_text(box)
        if (start, end) in spans:
            spans[start, end].append(box)
        elif not spans or start >= max(previous for _, previous in spans):
            spans[start, end] = [box]
    return spans


def _mark(caption: str, spans: Mapping[tuple[int, int], Sequence[_Box]]) -> str:
    parts, position = [], 0
    for (start, end), boxes in spans.items():
        parts += [caption[position:start], f"<ref>{caption[start:end]}</ref>", *map(box_text, boxes)]
        position = end
    return "".join([*parts, caption[position:]]).strip()
