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
"""LAION's captions as img2dataset writes them: shards and folders."""

import io
import tarfile

import pytest

from ftfv.training.data.raw_files import RawFiles
from ftfv.training.data.webdataset import CAPTION_PROMPTS, read_caption_samples


def shard(*members: tuple[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as file:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            file.addfile(member, io.BytesIO(content))
    return stream.getvalue()


def test_rows_of_shards(convert_files):
    content = shard(
        ("000000000.jpg", b"first"),
        ("000000000.txt", b"A red bus."),
        ("000000000.json", b'{"caption": "A red bus.", "url": "u", "status": "success"}'),
        ("000000001.json", b'{"caption": "Not downloaded.", "status": "failed_to_download"}'),
        ("000000002.txt", "Ein Caf\u00e9.".encode()),
        ("000000002.png", b"third"),
        ("000000003.jpg", b"fourth"),
        ("000000003.json", b"{broken"),
        ("000000004.jpg", b"fifth"),
        ("000000004.txt", b" "),
        ("000000005.jpg", b"sixth"),
    )
    converted = convert_files("laion", {"00000.tar": content})
    assert [row["messages"][1]["content"][0]["text"] for row in converted.rows] == ["A red bus.", "Ein Caf\u00e9."]
    assert [row["messages"][0]["content"][0] for row in converted.rows] == [
        {"type": "image", "image": "OUTPUT/images/00000/000000000.jpg"},
        {"type": "image", "image": "OUTPUT/images/00000/000000002.png"},
    ]
    assert all(row["messages"][0]["content"][1]["text"] in CAPTION_PROMPTS for row in converted.rows)
    assert (converted.folder / "images/00000/000000002.png").read_bytes() == b"third"
    assert converted.rows[0]["id"] == "laion/00000.tar[000000000]"
    assert [line.split(": ", 1)[1][:20] for line in converted.report.malformed.first] == [
        "no picture beside '0",
        "no JSON: Expecting p",
        "the caption is empty",
        "no `caption` and no ",
    ]


def test_rows_of_folders_leave_the_pictures_where_they_are(convert_files, tmp_path):
    raw = {
        "00000/000000000.jpg": b"first",
        "00000/000000000.json": {"caption": "A red bus."},
        "00000/000000001.json": {"caption": "Not downloaded."},
    }
    converted = convert_files("laion", raw, files=["."])
    (row,) = converted.rows
    assert row["messages"][0]["content"][0]["image"] == str(tmp_path / "raw/00000/000000000.jpg")
    assert not (converted.folder / "images").exists()
    assert converted.report.malformed.first == ["00000/000000001.json: no picture beside '000000001.json'"]


def test_prompts_are_all_drawn_and_follow_the_seed(tmp_path):
    (tmp_path / "00000.tar").write_bytes(
        shard(*((f"{n:09}.{kind}", b"a") for n in range(60) for kind in ("jpg", "txt")))
    )
    files = RawFiles([tmp_path], ("*.tar",))
    first, again, other = (
        [sample.turns[0][0] for _, sample in read_caption_samples(files, seed)] for seed in (0, 0, 1)
    )
    assert set(first) == set(CAPTION_PROMPTS)
    assert first == again != other


def test_a_broken_shard_is_an_error(convert_files, tmp_path):
    content = shard(("0.jpg", b"x" * 4000), ("0.txt", b"A."))
    with pytest.raises(ValueError, match=r"00000\.tar' is no whole tar file"):
        convert_files("laion", {"00000.tar": content[:2000]})
    assert not (tmp_path / "output").exists()
