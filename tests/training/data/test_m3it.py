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
"""M3IT: raw lines of a set that was a loading script, and parquet, with the pictures inside."""

import base64
import io
import json

import pyarrow
import pytest
from PIL import Image
from pyarrow import parquet

from ftfv.training.data.m3it import picture_suffix
from ftfv.training.data.samples import MalformedRecord


def picture(colour: str, kind: str = "PNG") -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (8, 6), colour).save(stream, kind)
    return stream.getvalue()


def encoded(content: bytes) -> str:
    return base64.b64encode(content).decode()


def lines(*records: dict) -> str:
    return "\n".join(json.dumps(record) for record in records)


RAW = {
    "M3IT.py": "class M3ITDataset(datasets.GeneratorBasedBuilder): ...",
    "data/vqa/okvqa/train.jsonl": lines(
        {
            "instruction": "Answer from knowledge.",
            "inputs": "Which breed?",
            "image_base64_str": [encoded(picture("red"))],
            "outputs": "Collie",
        },
        {"instruction": "Two.", "inputs": "", "image_base64_str": [encoded(picture("red"))] * 2, "outputs": "x"},
        {"instruction": "Bad.", "inputs": "", "image_base64_str": ["@@"], "outputs": "x"},
        {"instruction": "Bad.", "inputs": "", "image_base64_str": [encoded(b"text")], "outputs": "x"},
    )
    + '\n{"instruction": ',
    "data/vqa/okvqa/val.jsonl": lines({"instruction": "Do not train on me."}),
    "data/captioning/textcap/textcap_train.jsonl": lines(
        {"image_str": encoded(picture("blue", "JPEG")), "question": "", "answer": "A sign."}
    ),
    "data/captioning/textcap/instructions.json": ["Describe the sign.", "What is written?"],
    "data/captioning/coco/train.jsonl": lines({"image": encoded(picture("red")), "answer": "A cat."}),
}


def test_rows(convert_files):
    converted = convert_files("m3it", RAW, files=["data"])
    caption, question = converted.rows
    assert question["messages"][0]["content"][1] == {"type": "text", "text": "Answer from knowledge.\nWhich breed?"}
    assert question["messages"][1]["content"] == [{"type": "text", "text": "Collie"}]
    assert (question["source"], question["type"]) == ("m3it/okvqa", "vqa")
    assert question["id"] == "m3it/vqa/okvqa/train.jsonl[0]"
    assert caption["messages"][0]["content"][1]["text"] in RAW["data/captioning/textcap/instructions.json"]
    assert (caption["source"], caption["type"]) == ("m3it/textcap", "captioning")
    for row, content, suffix in ((question, picture("red"), ".png"), (caption, picture("blue", "JPEG"), ".jpg")):
        name = row["messages"][0]["content"][0]["image"]
        assert name.startswith("OUTPUT/images/") and name.endswith(suffix)
        assert (converted.folder / name.removeprefix("OUTPUT/")).read_bytes() == content
    report = converted.report
    assert (report.rows, report.images, report.malformed.count) == (2, 2, 5)
    reasons = [line.split(": ", 1) for line in report.malformed.first]
    assert reasons[0] == [
        "captioning/coco/train.jsonl[0]",
        "no `instruction`, and no instructions.json beside the file",
    ]
    assert reasons[1] == ["vqa/okvqa/train.jsonl[1]", "2 pictures; a row has one"]
    assert reasons[2][1].startswith("`image_base64_str` is no base64")
    assert reasons[3][1] == "the picture is of no known format"
    assert reasons[4][1].startswith("no JSON")


def test_rows_of_parquet(convert_files, tmp_path):
    table = pyarrow.Table.from_pylist(
        [
            {
                "instruction": "Name it.",
                "inputs": "",
                "outputs": "Red.",
                "image": {"bytes": picture("red"), "path": None},
            },
            {
                "instruction": "Name it.",
                "inputs": None,
                "outputs": "",
                "image": {"bytes": picture("red"), "path": None},
            },
        ]
    )
    parquet.write_table(table, tmp_path / "train.parquet")
    converted = convert_files("m3it", {"coco/train-00000.parquet": (tmp_path / "train.parquet").read_bytes()})
    (row,) = converted.rows
    assert row["messages"][0]["content"][1]["text"] == "Name it."
    assert converted.report.malformed.first == ["train-00000.parquet[1]: `outputs` is empty"]


def test_formats_are_told_by_the_first_bytes():
    for kind, suffix in (("PNG", ".png"), ("JPEG", ".jpg"), ("GIF", ".gif"), ("BMP", ".bmp"), ("WEBP", ".webp")):
        assert picture_suffix(picture("red", kind)) == suffix
    with pytest.raises(MalformedRecord, match="no known format"):
        picture_suffix(b"RIFF1234WAVE")


def test_instructions_of_another_form_are_an_error(convert_files):
    with pytest.raises(ValueError, match=r"instructions\.json' holds something else than a list"):
        convert_files("m3it", {**RAW, "data/captioning/textcap/instructions.json": {"a": 1}}, files=["data"])
