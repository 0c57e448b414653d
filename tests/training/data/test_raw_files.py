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
"""Reading JSON arrays, objects and lines and parquet as streams."""

import json

import pyarrow
import pytest
from pyarrow import parquet

from ftfv.training.data.raw_files import (
    RawFile,
    RawFiles,
    first_character,
    read_mapping,
    read_records,
    top_level_keys,
)
from ftfv.training.data.samples import MalformedRecord


RECORDS = [{"a": 1, "b": 0.5}, {"a": 2, "b": None}]


def raw_file(path, content: str) -> RawFile:
    path.write_text(content, encoding="utf-8")
    return RawFile(path, path.name)


def test_array_lines_and_parquet_give_the_same_records(tmp_path):
    array = raw_file(tmp_path / "a.json", f"\n {json.dumps(RECORDS)}")
    lines = raw_file(tmp_path / "a.jsonl", "\ufeff" + "\n\n".join(map(json.dumps, RECORDS)))
    parquet.write_table(pyarrow.Table.from_pylist(RECORDS), tmp_path / "a.parquet")
    expected = list(enumerate(RECORDS))
    assert list(read_records(array)) == [(f"a.json[{number}]", record) for number, record in expected]
    assert [record for _, record in read_records(lines)] == RECORDS
    assert list(read_records(RawFile(tmp_path / "a.parquet", "d/a.parquet"))) == [
        (f"d/a.parquet[{number}]", record) for number, record in expected
    ]


def test_an_array_inside_an_object(tmp_path):
    file = raw_file(tmp_path / "a.json", json.dumps({"info": {"rows": [1]}, "rows": RECORDS}))
    assert [record for _, record in read_records(file, prefix="rows")] == RECORDS
    assert list(top_level_keys(file)) == ["info", "rows"]


def test_a_mapping_and_the_keys_of_an_array(tmp_path):
    file = raw_file(tmp_path / "a.json", json.dumps({"x": RECORDS[0], "y": RECORDS[1]}))
    assert list(read_mapping(file)) == [("x", RECORDS[0]), ("y", RECORDS[1])]
    array = raw_file(tmp_path / "b.json", json.dumps([{"c": {"d": 1}, "e": 2}, {"f": 3}]))
    assert list(top_level_keys(array)) == ["c", "e"]


def test_a_broken_line_is_one_malformed_record(tmp_path):
    file = raw_file(tmp_path / "a.jsonl", '{"a": 1}\n{"a": \n{"a": 3}\n')
    (_, first), (place, broken), (_, last) = read_records(file)
    assert (first, last) == ({"a": 1}, {"a": 3})
    assert place == "a.jsonl[1]"
    assert isinstance(broken, MalformedRecord) and "no JSON" in str(broken)


@pytest.mark.parametrize("content", ['[{"a": 1}, {"a": 2}, {"a": ', '[{"a": 1}, {"a": 2} {"a": 3}]'])
def test_an_array_that_breaks_is_an_error_that_counts_what_was_read(tmp_path, content):
    file = raw_file(tmp_path / "a.json", content)
    with pytest.raises(
        ValueError, match=r"a\.json' breaks after 2 records: .+\. Expected whole JSON; download it again"
    ):
        list(read_records(file))


def test_a_mapping_that_breaks_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="breaks after 1 records"):
        list(read_mapping(raw_file(tmp_path / "a.json", '{"a": 1, "b": ')))


def test_other_files_are_refused(tmp_path):
    page = raw_file(tmp_path / "page.json", "<html>")
    with pytest.raises(ValueError, match="starts with '<'; expected a JSON array"):
        list(read_records(page))
    with pytest.raises(ValueError, match="starts with '<'; expected a JSON object"):
        list(read_mapping(page))
    with pytest.raises(ValueError, match="is no parquet file"):
        list(read_records(raw_file(tmp_path / "a.parquet", "no parquet at all")))
    assert first_character(raw_file(tmp_path / "empty.json", " \n")) == ""


def test_folders_give_their_files_sorted_and_again(tmp_path):
    for name in ("b/train.json", "a/train.json", "a/test.json", "a/notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("[]")
    files = RawFiles([tmp_path], ("*.jsonl", "*train.json"))
    assert [file.label for file in files] == [file.label for file in files] == ["a/train.json", "b/train.json"]


@pytest.mark.parametrize(
    ("given", "labels"),
    [
        (["a/x.json"], ["x.json"]),
        (["a/x.json", "a/y.json"], ["x.json", "y.json"]),
        (["a/x.json", "b/x.json"], ["a/x.json", "b/x.json"]),
        (["b", "a/x.json"], ["b/x.json", "a/x.json"]),
    ],
)
def test_labels_tell_files_of_one_name_apart(tmp_path, given, labels):
    for name in ("a/x.json", "a/y.json", "b/x.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("[]")
    files = RawFiles([tmp_path / name for name in given], ("*.json",))
    assert [file.label for file in files] == labels
    assert [files.is_given(file) for file in files] == [name.endswith(".json") for name in given]


def test_a_file_given_twice_is_refused(tmp_path):
    (tmp_path / "a.json").write_text("[]")
    with pytest.raises(ValueError, match="a.json' is given twice"):
        RawFiles([tmp_path / "a.json", tmp_path / "b/../a.json"], ("*.json",))


def test_what_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="No file or folder '.*absent.json'"):
        RawFiles([tmp_path / "absent.json"], ("*.json",))
    with pytest.raises(FileNotFoundError, match=r"No \*\.tar or \*\.json in the folder"):
        RawFiles([tmp_path], ("*.tar", "*.json"))
