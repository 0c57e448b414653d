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
frames, then the patches of the changed ones. What a row stands for, what it attends to, and which patch it belongs to.

Shapes in comments: W whole frames of n groups each, C changed frames of P patches each, R = W * n + C * P rows,
M patches of a whole frame.
"""

from typing import NamedTuple

import torch

from .patch_merging_ftfv import merge_groups, start_groups
from .unchanged_patches_ftfv import ChangedPatches


class PatchLayout(NamedTuple):
    """
    Attributes:
        sizes (`torch.LongTensor` of shape `(num_whole_frames, num_groups)`): patches in each group.
        groups (`torch.LongTensor` of shape `(num_whole_frames, num_patches)`): the group of each patch.
        patch_indices (`torch.LongTensor` of shape `(num_changed_frames, num_kept_patches)`):
            The patches of the changed frames that are run; none where no patch is skipped.
        context (`torch.LongTensor` of shape `(num_changed_frames, num_patches)`):
            For each patch of a changed frame the row of its states before any merging.
        is_merged (`bool`): whether groups may hold several patches.
    """

    sizes: torch.Tensor
    groups: torch.Tensor
    patch_indices: torch.Tensor
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
            none = torch.empty(0, hidden_states.shape[1], dtype=torch.long, device=hidden_states.device)
            return hidden_states.flatten(0, 1), cls(*start_groups(hidden_states), none, none, is_merged)
        whole, indices = hidden_states[changed.whole_frames], changed.patch_indices
        kept = hidden_states[changed.changed_frames]
        kept = kept.gather(1, indices[..., None].expand(-1, -1, kept.shape[-1]))
        rows = torch.cat([whole.flatten(0, 1), kept.flatten(0, 1)])
        return rows, cls(*start_groups(whole), indices, changed.sources[changed.changed_frames], is_merged)

    def rows_of_patches(self) -> torch.Tensor:
        """Row of each patch that is run, of the whole frames and then of the changed ones, `(W * M + C * P,)`."""
        num_frames, num_groups = self.sizes.shape
        device = self.sizes.device
        whole = self.groups + num_groups * torch.arange(num_frames, device=device)[:, None]
        changed = self.sizes.numel() + torch.arange(self.patch_indices.numel(), device=device)
        return torch.cat([whole.flatten(), changed])

    def split(self, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Rows `(R, ...)` to those of whole frames `(W, n, ...)` and of changed ones `(C, P, ...)`."""
        whole, changed = rows.split([self.sizes.numel(), self.patch_indices.numel()])
        return whole.unflatten(0, self.sizes.shape), changed.unflatten(0, self.patch_indices.shape)

    def attention_inputs(
        self, query_states: torch.Tensor, key_states: torch.Tensor, value_states: torch.Tensor
    ) -> list[tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor | None]]:
        r"""
        Who attends to what: a group of a whole frame to all groups of its frame, with the logarithm of their sizes as
        bias; a patch of a changed frame to all patches of its frame, those that are not run at the states that they
        have in this layer of an earlier frame.

        Args:
            query_states, key_states, value_states (`torch.Tensor` of shape `(num_rows, num_heads, head_dim)`): rows.

        Returns:
            Queries, keys and values `(frames, num_heads, length, head_dim)` and the bias, for the whole frames and,
            where there are some, for the changed ones.
        """
        queries, keys, values = (self.split(states) for states in (query_states, key_states, value_states))
        bias = self.sizes.log().to(query_states.dtype)[:, None, None, :] if self.is_merged else None
        whole = tuple(states[0].transpose(1, 2) for states in (queries, keys, values))
        if len(self.context) == 0:
            return [(*whole, bias)]  # type: ignore[list-item]
        # A group that holds several patches comes once for each of them.
        context = self.rows_of_patches()[self.context] if self.is_merged else self.context
        seen = (states[context].transpose(1, 2) for states in (key_states, value_states))
        return [(*whole, bias), (queries[1].transpose(1, 2), *seen, None)]  # type: ignore[list-item]

    def merge(
        self, rows: torch.Tensor, key_states: torch.Tensor, count: int
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        r"""
        Merges groups of the whole frames within their frame. Patches that have changed stay by themselves.

        Args:
            rows (`torch.Tensor` of shape `(num_rows, hidden_size)`): hidden states.
            key_states (`torch.Tensor` of shape `(num_rows, num_heads, head_dim)`): their keys.
            count (`int`): groups to merge away in each frame.

        Returns:
            Fewer rows, and the sizes and the groups of their layout.
        """
        if count == 0:
            return rows, self.sizes, self.groups
        whole, changed = self.split(rows)
        keys, _ = self.split(key_states)
        whole, sizes, groups = merge_groups(whole, keys.transpose(1, 2), self.sizes, self.groups, count)
        return torch.cat([whole.flatten(0, 1), changed.flatten(0, 1)]), sizes, groups
