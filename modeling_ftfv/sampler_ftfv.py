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
"""The weighted token sampler (paper section 3.2.1): which of a frame's query tokens the language model gets to see."""

import torch
from torch import nn

from .configuration_ftfv import TOKEN_SAMPLERS, FTFVConfig


class FTFVTokenSampler(nn.Module):
    """
    Chooses K of the N query tokens of each frame. It has no weights and looks only at the responses, neither at the
    features nor at the question, so the tokens of a video can be computed once and reused for every question about it.

    The default `"weighted"` is Eq. 2 of the paper: the K queries of highest response. The sets are nested: what K = 4
    keeps, K = 16 keeps too.
    """

    def __init__(self, config: FTFVConfig):
        super().__init__()
        self.config = config

    def forward(self, responses: torch.Tensor, tokens_per_frame: int) -> torch.Tensor:
        r"""
        Args:
            responses (`torch.Tensor` of shape `(..., num_query_tokens)`):
                Maximum over the patches of each query's attention, averaged over the heads (r^t in Eq. 2).
            tokens_per_frame (`int`):
                Number K of queries to keep, 1 to `num_query_tokens`.

        Returns:
            `torch.LongTensor` of shape `(..., tokens_per_frame)`: indices of the kept queries, in the order of
            `config.token_order`. Equal responses go to the lower query index.

        Raises:
            ValueError: `tokens_per_frame` is out of range, or smaller than `num_query_tokens` with
            `token_sampler="none"`.
        """
        num_query_tokens = responses.shape[-1]
        if not 1 <= tokens_per_frame <= num_query_tokens:
            raise ValueError(
                f"`tokens_per_frame` is {tokens_per_frame}; expected 1 to {num_query_tokens}, the number of query "
                f"tokens."
            )
        # In bf16 distinct responses would collapse into ties.
        responses = responses.float()
        queries = torch.arange(num_query_tokens, device=responses.device).expand(responses.shape)

        # CODEPATH: "weighted" is the paper's and the default; "random", "uniform" and "first" are the baselines it is
        # compared with; "none" is an image model read frame by frame.
        token_sampler = self.config.token_sampler
        if token_sampler == "none":
            if tokens_per_frame != num_query_tokens:
                raise ValueError(
                    f"`token_sampler='none'` keeps all {num_query_tokens} query tokens but `tokens_per_frame` is "
                    f"{tokens_per_frame}; ask for {num_query_tokens} or choose another `token_sampler`."
                )
            return queries
        if token_sampler == "weighted":
            kept = responses.sort(dim=-1, descending=True, stable=True).indices[..., :tokens_per_frame]
        elif token_sampler == "random":
            kept = torch.rand_like(responses).argsort(dim=-1)[..., :tokens_per_frame]
        elif token_sampler == "uniform":
            steps = torch.arange(tokens_per_frame, device=responses.device)
            spaced = (2 * steps + 1) * num_query_tokens // (2 * tokens_per_frame)
            kept = spaced.expand(*responses.shape[:-1], tokens_per_frame)
        elif token_sampler == "first":
            kept = queries[..., :tokens_per_frame]
        else:
            raise ValueError(f"`token_sampler` is {token_sampler!r}; expected one of {', '.join(TOKEN_SAMPLERS)}.")

        kept = kept.sort(dim=-1).values
        if self.config.token_order == "response":
            order = responses.gather(-1, kept).sort(dim=-1, descending=True, stable=True).indices
            kept = kept.gather(-1, order)
        return kept

    def narrow(self, responses: torch.Tensor, token_indices: torch.Tensor, tokens_per_frame: int) -> torch.Tensor:
        r"""
        Chooses among tokens kept before: those that `forward` would keep with a smaller K, in the same order.

        Args:
            responses (`torch.Tensor` of shape `(..., num_query_tokens)`):
                What `forward` was given.
            token_indices (`torch.LongTensor` of shape `(..., kept_tokens)`):
                What it returned.
            tokens_per_frame (`int`):
                Number of them to keep.

        Returns:
            `torch.LongTensor` of shape `(..., tokens_per_frame)`: positions in `token_indices`.

        Raises:
            ValueError: there are not as many, or fewer are asked for of a `token_sampler` other than `"weighted"`,
            whose choices are not nested.
        """
        available = token_indices.shape[-1]
        if not 1 <= tokens_per_frame <= available:
            raise ValueError(
                f"`tokens_per_frame` is {tokens_per_frame} but the features hold {available} tokens per frame; "
                f"expected 1 to {available}. Encode the video again for more."
            )
        if tokens_per_frame == available:
            return torch.arange(available, device=token_indices.device).expand(token_indices.shape)
        if self.config.token_sampler != "weighted":
            raise ValueError(
                f"`tokens_per_frame` is {tokens_per_frame} but the features hold {available} tokens per frame, which "
                f"`token_sampler={self.config.token_sampler!r}` would choose anew. Encode the video again with "
                f"{tokens_per_frame}; only 'weighted' keeps its best ones."
            )
        # Equal responses go to the lower query, so in the order of the queries first.
        by_query = token_indices.argsort(dim=-1)
        ranked = responses.float().gather(-1, token_indices.gather(-1, by_query))
        best = ranked.sort(dim=-1, descending=True, stable=True).indices[..., :tokens_per_frame]
        return by_query.gather(-1, best).sort(dim=-1).values


__all__ = ["FTFVTokenSampler"]
