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
"""Rows for new tokens: the old rows stay, the new ones have their mean and a share of their covariance."""

import pytest
import torch

from ftfv.training.conversion import new_tokens
from ftfv.training.conversion.new_tokens import grow_rows, padded_vocabulary_size


@pytest.mark.parametrize(
    ("num_rows", "num_tokens", "expected"),
    [(32000, 32002, 32064), (32000, 32000, 32000), (151936, 151860, 151936), (9, 11, 64), (64, 65, 128)],
)
def test_rows_are_padded_only_when_they_do_not_suffice(num_rows, num_tokens, expected):
    assert padded_vocabulary_size(num_rows, num_tokens) == expected


def test_new_rows_follow_mean_and_covariance_of_the_old():
    matrix = torch.randn(40, 3) @ torch.tensor([[2.0, 1.0, 0.0], [0.0, 1.0, 0.5], [0.0, 0.0, 0.3]]) + 0.01
    grown = grow_rows(matrix, 40 + 200_000, seed=0)
    assert torch.equal(grown[:40], matrix)
    new = (grown[40:] - matrix.mean(dim=0)).double()
    expected = 1e-5 * torch.cov(matrix.double().T, correction=0)
    torch.testing.assert_close(
        torch.cov(new.T) / expected.abs().max(), expected / expected.abs().max(), atol=0.02, rtol=0
    )
    # 4 standard errors
    assert (new.mean(dim=0).abs() < 4 * (expected.diag() / 200_000) ** 0.5).all()


def test_the_seed_decides_the_rows():
    matrix = torch.randn(40, 3)
    first, again, other = (grow_rows(matrix, 50, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_low_precision_is_computed_in_fp32_block_by_block(monkeypatch):
    monkeypatch.setattr(new_tokens, "BLOCK_ROWS", 16)
    matrix = torch.randn(40, 3).half()
    grown = grow_rows(matrix, 41, seed=0)
    assert grown.dtype == torch.float16
    torch.testing.assert_close(grown, grow_rows(matrix.float(), 41, seed=0).half(), atol=0, rtol=0)
    # three standard deviations of the 1e-5 share at most, whatever the blocks
    assert (grown[40].float() - matrix.float().mean(dim=0)).abs().max() < 0.02


def test_without_data_only_the_shape_is_known():
    grown = grow_rows(torch.empty(40, 3, device="meta", dtype=torch.bfloat16), 64, seed=0)
    assert grown.is_meta
    assert (grown.shape, grown.dtype) == ((64, 3), torch.bfloat16)
