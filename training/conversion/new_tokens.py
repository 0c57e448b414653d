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
"""Room for new tokens: rows of the embedding and of the output matrix drawn from the distribution of the old ones."""

import math

import torch


# Share of the old rows' covariance, as LLaVA's conversion in transformers takes it.
COVARIANCE_SCALE = 1e-5
# In-tree LLaVA pads the vocabulary to a multiple of this.
ROW_MULTIPLE = 64
# Old rows converted to fp32 at a time.
BLOCK_ROWS = 4096


def padded_vocabulary_size(num_rows: int, num_tokens: int) -> int:
    """
    Rows that hold all tokens.

    Args:
        num_rows (`int`): rows there are.
        num_tokens (`int`): tokens of the tokenizer.

    Returns:
        `int`: `num_rows` when they suffice, else a multiple of 64.
    """
    return num_rows if num_tokens <= num_rows else math.ceil(num_tokens / ROW_MULTIPLE) * ROW_MULTIPLE


def grow_rows(matrix: torch.Tensor, num_rows: int, seed: int) -> torch.Tensor:
    """
    Appends rows drawn from N(mean, 1e-5 * covariance) of the old rows.

    A sum of the centred old rows, each times a number from N(0, 1e-5 / old rows), has exactly this distribution; the
    covariance is never built, nor is the matrix converted to fp32 as a whole.

    Args:
        matrix (`torch.Tensor` of shape `(old_rows, hidden_size)`): kept as it is.
        num_rows (`int`): rows of the result.
        seed (`int`): of the new rows; the same gives the same bits.

    Returns:
        `torch.Tensor` of shape `(num_rows, hidden_size)` in the dtype of `matrix`.
    """
    old_rows, hidden_size = matrix.shape
    if matrix.is_meta:
        return matrix.new_empty(num_rows, hidden_size)
    blocks = matrix.split(BLOCK_ROWS)
    mean = sum(block.float().sum(dim=0) for block in blocks) / old_rows
    generator = torch.Generator().manual_seed(seed)
    new_rows = mean.expand(num_rows - old_rows, -1)
    for block in blocks:
        weights = torch.randn(num_rows - old_rows, len(block), generator=generator)
        new_rows = new_rows + (COVARIANCE_SCALE / old_rows) ** 0.5 * weights @ (block.float() - mean)
    return torch.cat([matrix, new_rows.to(matrix.dtype)])
