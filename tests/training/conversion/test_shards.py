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
"""Shards written tensor by tensor: what safetensors reads back, how they are filled, and how a run continues."""

import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from ftfv.training.conversion import shards as writing
from ftfv.training.conversion.shards import DTYPE_NAMES, Piece, resumable_folder, split_into_shards, write_shards


def piece(name, tensor, source=""):
    return Piece(name, tuple(tensor.shape), tensor.dtype, lambda: tensor, source)


def tensors_of_every_type():
    values = torch.tensor([0, 1, 2, 100, 3])
    return {f"of.{name}": values.to(dtype) for dtype, name in DTYPE_NAMES.items()}


def test_every_type_and_shape_is_read_back(tmp_path):
    tensors = {
        "odd": torch.arange(3, dtype=torch.uint8),  # leaves what follows it unaligned, were it written first
        **tensors_of_every_type(),
        "transposed": torch.arange(6.0).view(2, 3).T,
        "scalar": torch.tensor(2.5),
        "empty": torch.zeros(0, 4),
    }
    write_shards(tmp_path, {"model.safetensors": [piece(name, tensor) for name, tensor in tensors.items()]})
    found = load_file(tmp_path / "model.safetensors")
    assert sorted(found) == sorted(tensors)
    for name, tensor in tensors.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor)
    with safe_open(tmp_path / "model.safetensors", framework="pt") as file:
        assert file.metadata() == {"format": "pt"}
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]


def test_blocks_smaller_than_a_tensor_give_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(writing, "BLOCK", 7)
    tensor = torch.randn(5, 9)
    write_shards(tmp_path, {"model.safetensors": [piece("a", tensor)]})
    assert torch.equal(load_file(tmp_path / "model.safetensors")["a"], tensor)


def test_shards_are_filled_source_by_source(tmp_path):
    sources = {"a": (10, "second"), "b": (5, "first"), "c": (5, "second"), "d": (30, "first"), "e": (1, "first")}
    pieces = [piece(name, torch.zeros(size), source) for name, (size, source) in sources.items()]
    shards = split_into_shards(pieces, 60)
    assert {name: [p.name for p in shard] for name, shard in shards.items()} == {
        "model-00001-of-00004.safetensors": ["b"],
        "model-00002-of-00004.safetensors": ["d"],  # larger than a shard
        "model-00003-of-00004.safetensors": ["e", "a"],
        "model-00004-of-00004.safetensors": ["c"],
    }
    write_shards(tmp_path, shards)
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    assert index["metadata"]["total_size"] == 4 * 51
    assert index["weight_map"]["a"] == "model-00003-of-00004.safetensors"
    assert list(split_into_shards(pieces, 1000)) == ["model.safetensors"]


def test_complete_shards_are_not_made_again(tmp_path):
    made = []

    def make(name):
        made.append(name)
        return torch.ones(2)

    shards = {name: [Piece(name, (2,), torch.float32, lambda name=name: make(name))] for name in ("one", "two")}
    write_shards(tmp_path, shards)
    (tmp_path / "two").unlink()
    (tmp_path / "two.unfinished").write_bytes(b"half")
    write_shards(tmp_path, shards)
    assert made == ["one", "two", "two"]
    assert not (tmp_path / "two.unfinished").exists()


@pytest.mark.parametrize("tensor", [torch.zeros(3), torch.zeros(2, dtype=torch.float16)])
def test_a_tensor_that_is_not_what_was_planned_is_refused(tensor, tmp_path):
    planned = Piece("weight", (2,), torch.float32, lambda: tensor)
    with pytest.raises(ValueError, match=r"'weight' came out as .*; expected torch.float32 \(2,\)"):
        write_shards(tmp_path, {"model.safetensors": [planned]})
    assert not (tmp_path / "model.safetensors").exists()


def test_a_full_disk_is_told_beforehand(tmp_path):
    planned = Piece("weight", (10**15,), torch.float32, lambda: torch.zeros(1))
    with pytest.raises(OSError, match=r"needs 4000000.0 GB more but the disk has .* GB; make room"):
        write_shards(tmp_path, {"model.safetensors": [planned]})


def test_a_folder_appears_when_it_is_complete(tmp_path):
    output = tmp_path / "deep" / "out"
    with resumable_folder(output, {"a": 1}) as folder:
        (folder / "file").write_text("content")
        assert not output.exists()
    assert [path.name for path in output.iterdir()] == ["file"]
    assert not folder.exists()
    with pytest.raises(FileExistsError, match="out' exists; choose another"), resumable_folder(output, {"a": 1}):
        pass


def test_an_interrupted_folder_is_continued_by_the_same_plan_only(tmp_path):
    output = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt), resumable_folder(output, {"a": 1}) as folder:
        (folder / "file").write_text("content")
        raise KeyboardInterrupt
    with (
        pytest.raises(FileExistsError, match="out.incomplete' holds an unfinished conversion of other inputs"),
        resumable_folder(output, {"a": 2}),
    ):
        pass
    with resumable_folder(output, {"a": 1}) as folder:
        assert (folder / "file").read_text() == "content"
    assert (output / "file").is_file()


def test_a_folder_of_somebody_elses_is_left_alone(tmp_path):
    (tmp_path / "out.incomplete").mkdir()
    (tmp_path / "out.incomplete" / "thesis.txt").write_text("content")
    with pytest.raises(FileExistsError, match="remove it"), resumable_folder(tmp_path / "out", {}):
        pass
    assert (tmp_path / "out.incomplete" / "thesis.txt").is_file()
