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
Which patches of a video the vision tower need not run: of every frame but the first of a clip, those whose pixels have
changed least since the tower last ran them.

Shapes in comments: F frames, C of them changed frames, M patches, P patches of a changed frame that are run.
"""

from typing import NamedTuple

import torch


# Frames of a video from one that is run whole to the next. It bounds the memory of a long video, and how long a slow
# change goes unseen.
MAX_CLIP_LENGTH = 32


class ChangedPatches(NamedTuple):
    """
    What the tower runs, and where the states of each patch are found.

    Attributes:
        whole_frames (`list[int]`): frames of which all patches are run.
        changed_frames (`list[int]`): all others, in order.
        patch_indices (`torch.LongTensor` of shape `(num_changed_frames, num_kept_patches)`):
            The patches of those that are run, ascending.
        sources (`torch.LongTensor` of shape `(num_frames, num_patches)`):
            For each patch of each frame the row of its states, among all patches of the whole frames followed by all
            of the changed ones.
    """

    whole_frames: list[int]
    changed_frames: list[int]
    patch_indices: torch.Tensor
    sources: torch.Tensor


def clip_lengths(num_frames: int, video_lengths: list[int]) -> list[int]:
    """
    Lengths of the clips that each begin with a whole frame: 1 for an image, at most [`MAX_CLIP_LENGTH`] for the clips
    of a video.

    Args:
        num_frames (`int`): images and frames of videos, the images first.
        video_lengths (`list[int]`): number of frames of each video.
    """
    lengths = [1] * (num_frames - sum(video_lengths))
    for length in video_lengths:
        whole, rest = divmod(length, MAX_CLIP_LENGTH)
        lengths += [MAX_CLIP_LENGTH] * whole + [rest] * (rest > 0)
    return lengths


@torch.no_grad()
def find_changed_patches(
    pixel_values: torch.Tensor, patch_size: int, lengths: list[int], num_kept_patches: int
) -> ChangedPatches:
    r"""
    Chooses the patches of each frame but the first of a clip that differ most, by their mean absolute difference, from
    the pixels that their last states were computed from. So a patch that changed too little in one frame, or less than
    others, is compared again in the next and does not stay behind for good. Equal differences go to the lower index.
    Where fewer have changed at all, others fill up the number, but keep the states that they had.

    Args:
        pixel_values (`torch.Tensor` of shape `(num_frames, num_channels, height, width)`):
            Frames of one clip after the other.
        patch_size (`int`):
            Height and width of a patch in pixels.
        lengths (`list[int]`):
            Number of frames of each clip.
        num_kept_patches (`int`):
            Patches that are run of a changed frame.
    """
    num_frames, device = len(pixel_values), pixel_values.device
    starts = [sum(lengths[:clip]) for clip in range(len(lengths))]
    changed_frames = [frame for frame in range(num_frames) if frame not in starts]
    num_patches = (pixel_values.shape[-2] // patch_size) * (pixel_values.shape[-1] // patch_size)

    patch_indices = torch.empty(len(changed_frames), num_kept_patches, dtype=torch.long, device=device)
    sources = torch.empty(num_frames, num_patches, dtype=torch.long, device=device)
    num_whole_rows = len(starts) * num_patches
    sources[starts] = torch.arange(num_whole_rows, device=device).view(-1, num_patches)
    changed_rows = num_whole_rows + torch.arange(patch_indices.numel(), device=device).view_as(patch_indices)

    # The pixels that the states of each patch were computed from, [clips, M, pixels]
    seen = _cut_patches(pixel_values[starts], patch_size)
    for step in range(1, max(lengths)):
        clips = [clip for clip, length in enumerate(lengths) if length > step]
        frames = [starts[clip] + step for clip in clips]
        rows = [changed_frames.index(frame) for frame in frames]
        pixels = _cut_patches(pixel_values[frames], patch_size)
        difference = (pixels - seen[clips]).abs().mean(dim=-1)
        kept = difference.sort(dim=-1, descending=True, stable=True).indices[:, :num_kept_patches].sort(dim=-1).values
        patch_indices[rows] = kept
        before = sources[[frame - 1 for frame in frames]]
        is_changed = difference.gather(1, kept) > 0
        sources[frames] = before.scatter(1, kept, changed_rows[rows].where(is_changed, before.gather(1, kept)))
        where = kept[..., None].expand(-1, -1, pixels.shape[-1])
        seen[clips] = seen[clips].scatter(1, where, pixels.gather(1, where))
    return ChangedPatches(starts, changed_frames, patch_indices, sources)


def _cut_patches(frames: torch.Tensor, patch_size: int) -> torch.Tensor:
    """Frames `(n, channels, height, width)` to their patches in row-major order, `(n, M, pixels)`, fp32."""
    patches = frames.float().unfold(2, patch_size, patch_size).unfold(3, patch_size, patch_size)
    return patches.permute(0, 2, 3, 1, 4, 5).flatten(3).flatten(1, 2)
