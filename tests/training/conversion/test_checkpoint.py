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
"""Reading checkpoints tensor by tensor: every form, and what is damaged or missing named in one line."""

import json

import pytest
import torch

from ftfv.training.conversion import checkpoint as reading
from ftfv.training.conversion.checkpoint import Checkpoint
from tests.training.conversion.originals import save_checkpoint


WEIGHTS = {
    "a": torch.arange(6.0).view(2, 3),
    "b": torch.arange(4).bfloat16(),
    "c": torch.tensor(3, dtype=torch.int64),
    "d": torch.ones(0, 2, dtype=torch.float16),
}


@pytest.mark.parametrize("form", ["bin", "safetensors"])
@pytest.mark.parametrize("num_shards", [1, 3])
def test_every_form_gives_the_same_tensors(form, num_shards, tmp_path):
    checkpoint = Checkpoint(save_checkpoint(tmp_path, {}, WEIGHTS, form, num_shards))
    assert sorted(checkpoint) == sorted(WEIGHTS)
    assert "a" in checkpoint
    assert "e" not in checkpoint
    for key, tensor in WEIGHTS.items():
        meta, found = checkpoint.meta(key), checkpoint.read(key)
        assert meta.is_meta
        assert (meta.shape, meta.dtype) == (tensor.shape, tensor.dtype) == (found.shape, found.dtype)
        assert torch.equal(found, tensor)
        assert checkpoint.file(key).is_file()


@pytest.mark.parametrize("form", ["bin", "safetensors"])
def test_a_file_is_opened_again_after_so_many_bytes(form, tmp_path, monkeypatch):
    opened = []
    load_mapped = reading.load_mapped
    monkeypatch.setattr(reading, "load_mapped", lambda path: opened.append(path) or load_mapped(path))
    monkeypatch.setattr(reading, "MAPPED_BYTES", 20)
    checkpoint = Checkpoint(save_checkpoint(tmp_path, {}, WEIGHTS, form, 1))
    assert len(opened) == 1  # for the keys
    kept = checkpoint.read("a")  # 24 bytes
    assert torch.equal(checkpoint.read("b"), WEIGHTS["b"])
    assert torch.equal(checkpoint.read("b"), WEIGHTS["b"])
    assert len(opened) == 3
    assert torch.equal(kept, WEIGHTS["a"])  # outlives the file it came from


def test_safetensors_are_preferred(tmp_path):
    save_checkpoint(tmp_path, {}, {"a": torch.zeros(1)}, "bin", 1)
    save_checkpoint(tmp_path, {}, {"a": torch.ones(1)}, "safetensors", 1)
    assert Checkpoint(tmp_path).read("a").item() == 1


def test_a_folder_without_weights_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="No folder .*absent"):
        Checkpoint(tmp_path / "absent")
    with pytest.raises(FileNotFoundError, match="No weights in .*; expected one of model.safetensors, pytorch"):
        Checkpoint(tmp_path)


def test_a_missing_shard_is_named_when_it_is_needed(tmp_path):
    checkpoint = Checkpoint(save_checkpoint(tmp_path, {}, WEIGHTS, "bin", 3))
    (tmp_path / "pytorch_model-00002-of-00003.bin").unlink()
    assert checkpoint.meta("a").shape == (2, 3)
    with pytest.raises(FileNotFoundError, match="No file .*pytorch_model-00002-of-00003.bin', which the index"):
        checkpoint.meta("b")


def test_a_shard_without_the_tensor_that_the_index_promises_is_refused(tmp_path):
    save_checkpoint(tmp_path, {}, WEIGHTS, "bin", 3)
    path = tmp_path / "pytorch_model.bin.index.json"
    path.write_text(json.dumps({"weight_map": {"x": "pytorch_model-00001-of-00003.bin"}}))
    with pytest.raises(ValueError, match="00001-of-00003.bin' lacks 'x', which the index says it holds"):
        Checkpoint(tmp_path).meta("x")
    path.write_text("{}")
    with pytest.raises(ValueError, match="index.json' is no index of a checkpoint"):
        Checkpoint(tmp_path)


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_a_damaged_file_is_named(name, tmp_path):
    form = "bin" if name.endswith("bin") else "safetensors"
    save_checkpoint(tmp_path, {}, {"a": torch.ones(1000)}, form, 1)
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=f"{name}' cannot be read as a checkpoint: .* Download it again") as caught:
        Checkpoint(tmp_path)
    assert "\n" not in str(caught.value)


class Malicious:
    def __reduce__(self):
        return (print, ("run",))


@pytest.mark.parametrize("content", [{"a": Malicious()}, Malicious()])
def test_a_pickle_that_would_run_code_is_refused(content, tmp_path, capsys):
    torch.save(content, tmp_path / "pytorch_model.bin")
    with pytest.raises(ValueError, match="cannot be read as a checkpoint: Weights only load failed"):
        Checkpoint(tmp_path)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("content", [{"model": {"a": torch.ones(1)}}, [torch.ones(1)]])
def test_a_file_of_other_things_than_tensors_is_refused(content, tmp_path):
    torch.save(content, tmp_path / "pytorch_model.bin")
    with pytest.raises(ValueError, match="expected a model's weights alone"):
        Checkpoint(tmp_path)
