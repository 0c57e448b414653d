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
"""Planning tensors: shapes tried without data, and types that are kept, changed or refused."""

import pytest
import torch

from ftfv.training.conversion.checkpoint import Checkpoint
from ftfv.training.conversion.mapping import Origin, cast, plan_pieces, target_dtype
from tests.training.conversion.originals import save_checkpoint


@pytest.fixture
def checkpoint(tmp_path):
    return Checkpoint(save_checkpoint(tmp_path, {}, {"w": torch.arange(6).bfloat16().view(2, 3)}, num_shards=1))


def test_a_piece_is_made_when_it_is_asked_for(checkpoint):
    expected = {"weight": torch.empty(3, 2, device="meta")}
    (piece,) = plan_pieces(checkpoint, [Origin("w", "weight", "weight", torch.t)], expected, torch.float32)
    assert (piece.name, piece.shape, piece.dtype) == ("weight", (3, 2), torch.float32)
    assert piece.source.endswith("pytorch_model.bin")
    assert (piece.num_elements, piece.num_bytes) == (6, 24)
    assert piece.make().tolist() == [[0, 3], [1, 4], [2, 5]]


@pytest.mark.parametrize("transform", [None, lambda tensor: tensor.view(7), lambda tensor: tensor[9]])
def test_a_shape_that_does_not_fit_is_refused(transform, checkpoint):
    expected = {"weight": torch.empty(3, 2, device="meta")}
    with pytest.raises(
        ValueError, match=r"'w' in .* has shape \(2, 3\), which does not give the \(3, 2\) of 'weight'"
    ):
        plan_pieces(checkpoint, [Origin("w", "weight", "weight", transform)], expected)


@pytest.mark.parametrize(
    ("source", "asked", "expected"),
    [
        (torch.bfloat16, None, torch.bfloat16),
        (torch.bfloat16, torch.float32, torch.float32),
        (torch.float16, torch.bfloat16, torch.bfloat16),
        (torch.float32, torch.float16, torch.float16),
        (torch.int64, torch.float16, torch.int64),
    ],
)
def test_types(source, asked, expected):
    assert target_dtype("w", source, asked) == expected
    assert cast("w", torch.ones(1, dtype=source), asked).dtype == expected


def test_numbers_that_fp16_cannot_hold_are_refused():
    with pytest.raises(ValueError, match="'w' is bfloat16 and should become float16"):
        target_dtype("w", torch.bfloat16, torch.float16)
    with pytest.raises(ValueError, match="'w' holds numbers that float16 cannot; choose bfloat16 or float32"):
        cast("w", torch.tensor([1e6]), torch.float16)
