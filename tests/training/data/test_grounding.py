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
"""GRIT and Visual Genome: boxes as text."""

import io
import json
import tarfile

import pytest

from ftfv.training.data.grounding import REGIONS_PER_PICTURE, box_text, parse_grit, parse_regions
from ftfv.training.data.samples import MalformedRecord, Media


CAPTION = "a wire hanger with a paper cover that reads we heart our customers"
MEDIA = Media("image", ("a.jpg",), id="a")


@pytest.mark.parametrize(
    ("box", "text"),
    [
        ((0.02, 0.4, 0.98, 0.5), "<box>(20,400),(980,500)</box>"),
        ((0, 0, 1, 1), "<box>(0,0),(999,999)</box>"),
        ((-0.01, 0.25, 1.01, 0.75), "<box>(0,250),(999,750)</box>"),
    ],
)
def test_boxes_are_thousandths(box, text):
    assert box_text(box) == text


@pytest.mark.parametrize("box", [(0.5, 0, 0.5, 1), (0, 0.6, 1, 0.5), (0, 0, 2, 1), (-0.5, 0, 1, 1)])
def test_boxes_that_are_empty_or_outside_are_malformed(box):
    with pytest.raises(MalformedRecord, match="is no part of the picture"):
        box_text(box)


def test_grit_gives_a_caption_with_boxes_and_a_conversation():
    record = {
        "caption": CAPTION,
        "noun_chunks": [
            [19, 32, 0.25, 0.5, 0.75, 0.625, 0.9],
            [0, 13, 0.5, 0, 1, 0.25, 0.8],
            [0, 13, 0, 0, 0.5, 0.25, 0.7],
        ],
        "ref_exps": [[19, 66, 0.25, 0.5, 0.75, 0.625, 0.9]],
        "media": MEDIA,
    }
    caption, referring = parse_grit(record, "f[0]")
    assert caption.turns[0][1] == (
        "<ref>a wire hanger</ref><box>(0,0),(500,250)</box><box>(500,0),(999,250)</box> with "
        "<ref>a paper cover</ref><box>(250,500),(750,625)</box> that reads we heart our customers"
    )
    assert referring.turns == (
        (
            "Where is <ref>a paper cover that reads we heart our customers</ref>?",
            "<box>(250,500),(750,625)</box>",
        ),
    )
    assert (caption.type, referring.type) == ("grounded_caption", "grounding")


def test_an_overlapping_phrase_is_left_out():
    chunks = [[0, 13, 0, 0, 0.5, 0.5, 0.9], [2, 6, 0, 0, 0.25, 0.5, 0.9]]
    (caption,) = parse_grit({"caption": CAPTION, "noun_chunks": chunks, "ref_exps": [], "media": MEDIA}, "f[0]")
    assert caption.turns[0][1].count("<ref>") == 1


@pytest.mark.parametrize(
    ("chunks", "reason"),
    [
        ([], "no phrase with a box"),
        ([[0, 99, 0, 0, 1, 1, 1]], "names the characters 0 to 99 of a caption of 66"),
        ([[0, 9, 0.5]], "an entry of 3 numbers"),
        (["text"], "something else than lists of numbers"),
        ([[0, 9, 0, 0, 9, 9, 1]], "is no part of the picture"),
    ],
)
def test_phrases_of_another_form_are_malformed(chunks, reason):
    with pytest.raises(MalformedRecord, match=reason):
        parse_grit({"caption": CAPTION, "noun_chunks": chunks, "ref_exps": [], "media": MEDIA}, "f[0]")


def test_rows_of_grit(convert_files):
    fields = {"caption": CAPTION, "noun_chunks": [[0, 13, 0, 0, 0.5, 0.25, 0.7]], "ref_exps": [], "key": "000000000"}
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as shard:
        for name, content in (("000000000.jpg", b"jpeg"), ("000000000.json", json.dumps(fields).encode())):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            shard.addfile(member, io.BytesIO(content))
    converted = convert_files("grit", {"00000.tar": stream.getvalue()})
    (row,) = converted.rows
    assert row["messages"][0]["content"][0] == {"type": "image", "image": "OUTPUT/images/00000/000000000.jpg"}
    assert (converted.folder / "images/00000/000000000.jpg").read_bytes() == b"jpeg"
    assert row["messages"][1]["content"][0]["text"].startswith(
        "<ref>a wire hanger</ref><box>(0,0),(500,250)</box> with"
    )


GENOME = {
    "region_descriptions.json": [
        {
            "id": 1,
            "regions": [
                {
                    "region_id": 1,
                    "image_id": 1,
                    "phrase": "the clock",
                    "x": 200,
                    "y": 150,
                    "width": 400,
                    "height": 300,
                },
                {"region_id": 2, "image_id": 1, "phrase": "beyond", "x": 700, "y": 0, "width": 400, "height": 300},
                {"region_id": 3, "image_id": 1, "phrase": " ", "x": 0, "y": 0, "width": 10, "height": 10},
            ],
        },
        {"id": 9, "regions": []},
    ],
    "image_data.json": [{"image_id": 1, "width": 800, "height": 600, "url": "u", "coco_id": None, "flickr_id": None}],
    "question_answers.json": [
        {
            "id": 1,
            "qas": [{"qa_id": 1, "image_id": 1, "question": "What colour?", "answer": "Green.", "a_objects": []}],
        }
    ],
}


def test_rows_of_visual_genome(convert_files):
    converted = convert_files("visual-genome", GENOME, ["VG_100K_2/1.jpg"])
    where, what = converted.rows
    assert where["messages"][0]["content"] == [
        {"type": "image", "image": "MEDIA/VG_100K_2/1.jpg"},
        {"type": "text", "text": "Where is <ref>the clock</ref>?"},
    ]
    assert where["messages"][1]["content"][0]["text"] == "<box>(250,250),(750,750)</box>"
    assert len(where["messages"]) == 2
    assert what["messages"][1]["content"][0]["text"] == "Green."
    assert [row["id"] for row in converted.rows] == ["visual_genome/regions/1", "visual_genome/questions/1"]
    assert [row["type"] for row in converted.rows] == ["grounding", "vqa"]
    assert converted.report.malformed.first == ["region_descriptions.json[1]: picture 9 is not in image_data.json"]


def test_a_picture_gives_few_regions_in_both_directions():
    regions = [{"phrase": f"thing {n % 40}", "x": n, "y": n, "width": 9, "height": 9} for n in range(50)]
    sample = parse_regions({"id": 1, "regions": regions}, "f[0]", sizes={1: (100, 100)}, seed=5)
    assert len(sample.turns) == REGIONS_PER_PICTURE
    assert [question.startswith("Where") for question, _ in sample.turns] == [True, False] * (REGIONS_PER_PICTURE // 2)
    other = parse_regions({"id": 1, "regions": regions}, "f[0]", sizes={1: (100, 100)}, seed=6)
    assert sample != other
    assert (
        len({question if "thing" in question else answer for question, answer in sample.turns}) == REGIONS_PER_PICTURE
    )


def test_boxes_need_the_sizes_and_other_files_are_refused(convert_files):
    with pytest.raises(ValueError, match=r"boxes in pixels; give image_data\.json too"):
        convert_files("visual-genome", {"r.json": GENOME["region_descriptions.json"]}, ["a.jpg"])
    with pytest.raises(ValueError, match=r"has the keys image_id, objects; expected region_descriptions\.json"):
        convert_files("visual-genome", {"objects.json": [{"image_id": 1, "objects": []}]}, ["a.jpg"])
