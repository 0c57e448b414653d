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
Which patches of a video the vision tower need not see: of every frame but the first, those whose pixels have changed
least since the tower last saw them.

Shapes in comments: F frames of a whole call, V videos, M patches, P patches of a frame that the tower sees.
"""

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class ChangedPatches:
    """
    What the tower sees, and where its output belongs.

    Attributes:
        whole_frames (`list[int]`): frames of which it sees all patches: images and the first frames of videos.
        changed_frames (`list[int]`): all others, in order.
        patch_indices (`torch.LongTensor` of shape `(num_changed_frames, num_kept_patches)`):
            The patches of those that it sees, ascending.
        sources (`torch.LongTensor` of shape `(num_frames, num_patches)`):
            For each patch of each frame the row of its output, among all rows of the whole frames followed by all of
            the changed ones.
    """

    whole_frames: list[int]
    changed_frames: list[int]
    patch_indices: torch.LongTensor
    sources: torch.LongTensor

    def fill_in(self, whole: torch.Tensor, changed: torch.Tensor) -> torch.Tensor:
        r"""
        Gives every patch that the tower did not see its last output.

        Args:
            whole (`torch.Tensor` of shape `(num_whole_frames, num_patches, hidden_size)`):
                Output for the whole frames.
            changed (`torch.Tensor` of shape `(num_changed_frames, num_kept_patches, hidden_size)`):
                Output for the kept patches of the others.

        Returns:
            `torch.Tensor` of shape `(num_frames, num_patches, hidden_size)`.
        """
        rows = torch.cat([whole.flatten(0, 1), changed.flatten(0, 1)])
        return rows.index_select(0, self.sources.flatten()).unflatten(0, self.sources.shape)


@torch.no_grad()
def find_changed_patches(
    pixel_values: torch.Tensor, patch_size: int, video_lengths: list[int], num_kept_patches: int
) -> ChangedPatches:
    r"""
    Chooses the patches of each frame of a video that differ most, by their mean absolute difference, from the pixels
    that their last output was computed from. So a patch that changed too little in one frame, or less than others, is
    compared again in the next and does not stay behind for good. Equal differences go to the lower index. Where fewer
    have changed at all, others fill up the number, but keep the output that was computed among more patches.

    Args:
        pixel_values (`torch.Tensor` of shape `(num_frames, num_channels, height, width)`):
            Images, then the frames of one video after the other.
        patch_size (`int`):
            Height and width of a patch in pixels.
        video_lengths (`list[int]`):
            Number of frames of each video.
        num_kept_patches (`int`):
            Patches that the tower sees of every frame of a video but the first.
    """
    num_frames, num_images, device = len(pixel_values), len(pixel_values) - sum(video_lengths), pixel_values.device
    starts = [num_images + sum(video_lengths[:video]) for video in range(len(video_lengths))]
    whole_frames = [*range(num_images), *starts]
    changed_frames = [frame for frame in range(num_images, num_frames) if frame not in starts]
    num_patches = (pixel_values.shape[-2] // patch_size) * (pixel_values.shape[-1] // patch_size)

    patch_indices = torch.empty(len(changed_frames), num_kept_patches, dtype=torch.long, device=device)
    sources = torch.empty(num_frames, num_patches, dtype=torch.long, device=device)
    num_whole_rows = len(whole_frames) * num_patches
    sources[whole_frames] = torch.arange(num_whole_rows, device=device).view(-1, num_patches)
    changed_rows = num_whole_rows + torch.arange(patch_indices.numel(), device=device).view_as(patch_indices)

    # The pixels that the tower has seen last of each patch, [V, M, pixels]
    seen = _cut_patches(pixel_values[starts], patch_size)
    for step in range(1, max(video_lengths, default=0)):
        videos = [video for video, length in enumerate(video_lengths) if length > step]
        frames = [starts[video] + step for video in videos]
        rows = [changed_frames.index(frame) for frame in frames]
        pixels = _cut_patches(pixel_values[frames], patch_size)
        difference = (pixels - seen[videos]).abs().mean(dim=-1)
        kept = difference.sort(dim=-1, descending=True, stable=True).indices[:, :num_kept_patches].sort(dim=-1).values
        patch_indices[rows] = kept
        before = sources[[frame - 1 for frame in frames]]
        is_changed = difference.gather(1, kept) > 0
        sources[frames] = before.scatter(1, kept, changed_rows[rows].where(is_changed, before.gather(1, kept)))
        where = kept[..., None].expand(-1, -1, pixels.shape[-1])
        seen[videos] = seen[videos].scatter(1, where, pixels.gather(1, where))
    return ChangedPatches(whole_frames, changed_frames, patch_indices, sources)  # type: ignore[arg-type]


def _cut_patches(frames: torch.Tensor, patch_size: int) -> torch.Tensor:
    """Frames `(n, channels, height, width)` to their patches in row-major order, `(n, M, pixels)`, fp32."""
    patches = frames.float().unfold(2, patch_size, patch_size).unfold(3, patch_size, patch_size)
    return patches.permute(0, 2, 3, 1, 4, 5).flatten(3).flatten(1, 2)
