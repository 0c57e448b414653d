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
"""
The rows that the layers of the vision tower run where patches are skipped or merged: groups of patches of the whole
frames, then those of the changed ones. What a row stands for, what it attends to, and which patch it belongs to.

Shapes in comments: W whole frames of n groups each, C changed frames of p groups each, R = W * n + C * p rows,
M patches of a frame, P patches of a changed frame that are run.
"""

from typing import NamedTuple

import torch

from .patch_merging_ftfv import merge_groups, start_groups
from .unchanged_patches_ftfv import ChangedPatches


class PatchLayout(NamedTuple):
    """
    Attributes:
        whole_sizes (`torch.LongTensor` of shape `(num_whole_frames, num_groups)`): patches in each group.
        whole_groups (`torch.LongTensor` of shape `(num_whole_frames, num_patches)`): the group of each patch.
        changed_sizes, changed_groups (`torch.LongTensor`):
            The same of the changed frames and their patches that are run; none where no patch is skipped.
        context (`torch.LongTensor` of shape `(num_changed_frames, num_patches)`):
            For each patch of a changed frame the row of its states before any merging.
        is_merged (`bool`): whether groups may hold several patches.
    """

    whole_sizes: torch.Tensor
    whole_groups: torch.Tensor
    changed_sizes: torch.Tensor
    changed_groups: torch.Tensor
    context: torch.Tensor
    is_merged: bool

    @classmethod
    def start(
        cls, hidden_states: torch.Tensor, changed: ChangedPatches | None, is_merged: bool
    ) -> tuple[torch.Tensor, "PatchLayout"]:
        r"""
        Groups of one patch each.

        Args:
            hidden_states (`torch.Tensor` of shape `(num_frames, num_patches, hidden_size)`): all patches.
            changed (`ChangedPatches`, *optional*): which of them are run; all when not given.
            is_merged (`bool`): whether groups will be merged.

        Returns:
            The rows `(num_rows, hidden_size)` and their layout.
        """
        if changed is None:
            whole, seen = hidden_states, hidden_states[:0, :0]
            context = torch.empty(0, hidden_states.shape[1], dtype=torch.long, device=hidden_states.device)
        else:
            whole, indices = hidden_states[changed.whole_frames], changed.patch_indices
            seen = hidden_states[changed.changed_frames]
            seen = seen.gather(1, indices[..., None].expand(-1, -1, seen.shape[-1]))
            context = changed.sources[changed.changed_frames]
        rows = torch.cat([whole.flatten(0, 1), seen.flatten(0, 1)])
        return rows, cls(*start_groups(whole), *start_groups(seen), context, is_merged)

    def rows_of_patches(self) -> torch.Tensor:
        """Row of each patch that is run, of the whole frames and then of the changed ones, `(W * M + C * P,)`."""
        (num_whole, whole_length), (num_changed, length) = self.whole_sizes.shape, self.changed_sizes.shape
        device = self.whole_sizes.device
        whole = self.whole_groups + whole_length * torch.arange(num_whole, device=device)[:, None]
        changed = self.changed_groups + length * torch.arange(num_changed, device=device)[:, None]
        return torch.cat([whole.flatten(), num_whole * whole_length + changed.flatten()])

    def split(self, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Rows `(R, ...)` to those of whole frames `(W, n, ...)` and of changed ones `(C, p, ...)`."""
        whole, changed = rows.split([self.whole_sizes.numel(), self.changed_sizes.numel()])
        return whole.unflatten(0, self.whole_sizes.shape), changed.unflatten(0, self.changed_sizes.shape)

    def attention_inputs(
        self, query_states: torch.Tensor, key_states: torch.Tensor, value_states: torch.Tensor
    ) -> list[tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor | None]]:
        r"""
        Who attends to what: a group of a whole frame to all groups of its frame, with the logarithm of their sizes as
        bias; a group of a changed frame to all patches of its frame, also those that are not run, at the states that
        they have in this layer of an earlier frame.

        Args:
            query_states, key_states, value_states (`torch.Tensor` of shape `(num_rows, num_heads, head_dim)`): rows.

        Returns:
            Queries, keys and values `(frames, num_heads, length, head_dim)` and the bias, for the whole frames and,
            where there are some, for the changed ones.
        """
        queries, keys, values = (self.split(states) for states in (query_states, key_states, value_states))
        bias = self.whole_sizes.log().to(query_states.dtype)[:, None, None, :] if self.is_merged else None
        whole = tuple(states[0].transpose(1, 2) for states in (queries, keys, values))
        if len(self.context) == 0:
            return [(*whole, bias)]  # type: ignore[list-item]
        # A group that holds several patches comes once for each of them.
        context = self.rows_of_patches()[self.context] if self.is_merged else self.context
        seen = (states[context].transpose(1, 2) for states in (key_states, value_states))
        return [(*whole, bias), (queries[1].transpose(1, 2), *seen, None)]  # type: ignore[list-item]

    def merge(
        self, rows: torch.Tensor, key_states: torch.Tensor, counts: tuple[int, int]
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        r"""
        Merges groups within their frames.

        Args:
            rows (`torch.Tensor` of shape `(num_rows, hidden_size)`): hidden states.
            key_states (`torch.Tensor` of shape `(num_rows, num_heads, head_dim)`): their keys.
            counts (`tuple[int, int]`): groups to merge away in each whole and in each changed frame.

        Returns:
            Fewer rows, and the first four attributes of their layout.
        """
        frames = zip(self.split(rows), self.split(key_states), (self[:2], self[2:4]), counts, strict=True)
        (whole, *whole_groups), (changed, *changed_groups) = (
            merge_groups(states, keys.transpose(1, 2), *groups, count)  # type: ignore[misc]
            for states, keys, groups, count in frames
        )
        rows = torch.cat([whole.flatten(0, 1), changed.flatten(0, 1)])
        return rows, *whole_groups, *changed_groups  # type: ignore[return-value]
