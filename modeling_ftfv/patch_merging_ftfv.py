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
Token merging inside the vision tower (Bolya et al., "Token Merging: Your ViT But Faster", section 3): in its layers
the patches whose keys are most alike become one.

Shapes in comments: F frames, n groups of patches that a layer sees, r of them merged away, M patches.
"""

import math
from itertools import pairwise

import torch
from transformers.utils.generic import maybe_autocast


BIASED_ATTENTION = ("sdpa", "eager")


def merging_schedule(num_patches: int, merge_patches: float, num_layers: int) -> list[int]:
    """
    How many groups each layer merges away. Every layer merges the same share of what it sees, so that
    `num_patches - int(merge_patches * num_patches)` are left in the end.

    Args:
        num_patches (`int`): patches that enter the first layer.
        merge_patches (`float`): share of them to merge away, 0 to less than 1.
        num_layers (`int`): layers that merge.

    Raises:
        ValueError: a layer would have to merge away more than half of what it sees, which one matching cannot do.
    """
    left = [num_patches]
    for layer in range(1, num_layers):
        # Less what powers are off by, or a whole number may become the next.
        left.append(math.ceil(num_patches * (1 - merge_patches) ** (layer / num_layers) - 1e-6))
    left.append(num_patches - int(merge_patches * num_patches))
    for before, after in pairwise(left):
        if before - after > before // 2:
            raise ValueError(
                f"`merge_patches` is {merge_patches}, for which one of {num_layers} merging layers would make {after} "
                f"of {before} patches; expected at least half. Choose a lower share, or let more layers merge."
            )
    return [before - after for before, after in pairwise(left)]


def check_attention(attn_implementation: str | None, merge_patches: float) -> None:
    """
    Checks that attention takes a bias, which groups need to draw as much of it as their patches would.

    Raises:
        ValueError: it does not.
    """
    if attn_implementation not in BIASED_ATTENTION:
        raise ValueError(
            f"`merge_patches` is {merge_patches} but the vision tower's attention is {attn_implementation!r}, which "
            f"takes no bias; expected one of {', '.join(BIASED_ATTENTION)}. Load the model with one of them as "
            "`attn_implementation`."
        )


def start_groups(hidden_states: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """
    Groups of one patch each.

    Args:
        hidden_states (`torch.Tensor` of shape `(num_frames, num_patches, hidden_size)`): patches.

    Returns:
        Sizes `(num_frames, num_groups)` and the group that each patch is in, `(num_frames, num_patches)`. Both are
        whole numbers: reentrant checkpointing takes every other output of a layer for one with gradients.
    """
    num_frames, num_patches = hidden_states.shape[:2]
    sizes = torch.ones(num_frames, num_patches, dtype=torch.long, device=hidden_states.device)
    groups = torch.arange(num_patches, device=hidden_states.device).expand(num_frames, -1)
    return sizes, groups


def merge_groups(
    hidden_states: torch.Tensor, key_states: torch.Tensor, sizes: torch.Tensor, groups: torch.Tensor, count: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    r"""
    Merges `count` groups away: every other group looks for the one among the rest whose key is most like its own, the
    mean over the heads compared by cosine, and the `count` best pairs become one group each, the mean of their
    patches. Groups may take in several others. Equal similarities go to the lower index.

    Args:
        hidden_states (`torch.Tensor` of shape `(num_frames, num_groups, hidden_size)`):
            Groups of patches.
        key_states (`torch.Tensor` of shape `(num_frames, num_heads, num_groups, head_dim)`):
            Their keys in the layer's attention.
        sizes (`torch.LongTensor` of shape `(num_frames, num_groups)`):
            Number of patches in each.
        groups (`torch.LongTensor` of shape `(num_frames, num_patches)`):
            The group that each patch is in.
        count (`int`):
            Number of groups to merge away, 1 to half of them.

    Returns:
        The three tensors for `num_groups - count` groups. Gradients flow through the hidden states only.
    """
    # Autocast would round the states of the residual stream.
    with maybe_autocast(device_type=hidden_states.device.type, enabled=False):
        with torch.no_grad():
            (own_weights, given_weights), kept, merged, sizes, places = _match(key_states, sizes, count)
            groups = places.gather(1, groups)
        # [F, ceil(n / 2), D], [F, floor(n / 2), D]
        givers, takers = hidden_states[:, 0::2], hidden_states[:, 1::2]
        # A product with few columns, where adding at indices would give other sums each time on a GPU.
        given = torch.matmul(given_weights.to(takers.dtype), _take(givers, merged))
        takers = own_weights.to(takers.dtype) * takers + given
        return torch.cat([_take(givers, kept), takers], dim=1), sizes, groups


def _match(
    key_states: torch.Tensor, sizes: torch.Tensor, count: int
) -> tuple[tuple[torch.Tensor, torch.Tensor], torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """
    Returns the weights of the taking groups `(F, n // 2, 1)` and, for them, of the groups that they take in
    `(F, n // 2, r)`; the indices among the giving groups of those that stay and of those that are taken in; the sizes
    of the new groups; and the new place of each old one.
    """
    keys = torch.nn.functional.normalize(key_states.float().mean(dim=1), dim=-1)
    similarity, nearest = torch.matmul(keys[:, 0::2], keys[:, 1::2].transpose(1, 2)).max(dim=-1)
    order = similarity.sort(dim=-1, descending=True, stable=True).indices
    merged, kept = order[:, :count], order[:, count:].sort(dim=-1).values
    targets = nearest.gather(1, merged)
    num_takers, num_kept = sizes.shape[1] // 2, kept.shape[1]

    takers = torch.arange(num_takers, device=sizes.device)
    given = (targets[:, None, :] == takers[None, :, None]) * sizes[:, 0::2].gather(1, merged)[:, None, :]
    old_sizes = sizes[:, 1::2]
    taken_sizes = old_sizes + given.sum(dim=-1)
    weights = (old_sizes / taken_sizes)[..., None], given / taken_sizes[..., None]
    new_sizes = torch.cat([sizes[:, 0::2].gather(1, kept), taken_sizes], dim=1)

    places = torch.empty_like(sizes)
    of_givers = torch.empty_like(order)
    of_givers.scatter_(1, kept, torch.arange(num_kept, device=sizes.device).expand_as(kept))
    of_givers.scatter_(1, merged, num_kept + targets)
    places[:, 0::2] = of_givers
    places[:, 1::2] = num_kept + takers
    return weights, kept, merged, new_sizes, places


def _take(hidden_states: torch.Tensor, indices: torch.Tensor) -> torch.Tensor:
    """Rows of each frame, `(F, n, D)` at `(F, m)` to `(F, m, D)`."""
    return hidden_states.gather(1, indices[..., None].expand(-1, -1, hidden_states.shape[-1]))
