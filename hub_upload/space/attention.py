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
"""Where the kept queries look: their attention, recorded while a video is encoded, and drawn over its frames."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from PIL import Image


# Longest side of a picture in pixels.
PICTURE_SIZE = 448
# Share of a frame's brightness left where nothing looks; the colour of the light, and its share where it is full.
DARKEST, COLOUR, TINT = 0.4, np.array([255.0, 190.0, 40.0]), 0.5


@contextmanager
def recorded_attention(model: Any) -> Iterator[list[torch.Tensor]]:
    """
    Records what the adapter of an FTFV model computes inside the `with` block.

    Yields:
        `list[torch.Tensor]`: for each pass of some frames through the adapter, the attention of their kept queries to
        the patches, averaged over the heads, of shape `(num_frames, tokens_per_frame, num_patches)` in 16 bits.
    """
    adapter = model.base_model.multi_modal_projector
    recorded: list[torch.Tensor] = []
    hook = adapter.attention.register_forward_hook(
        lambda module, args, output: recorded.append(output[1].mean(dim=1, dtype=torch.float32).half().cpu())
    )
    # Other implementations than eager attention do not return weights.
    configured = adapter.config._attn_implementation
    try:
        adapter.set_attn_implementation("eager")
        yield recorded
    finally:
        hook.remove()
        adapter.set_attn_implementation(configured)


def draw_attention(frames: Sequence[np.ndarray], attention: torch.Tensor) -> list[Image.Image]:
    """
    The frames, dark, with light on the patches that the kept queries look at: as much as the most attentive of them
    pays attention. All frames share one scale.

    Args:
        frames (`Sequence[np.ndarray]`): each of shape `(height, width, 3)`, uint8.
        attention (`torch.Tensor` of shape `(num_frames, tokens_per_frame, num_patches)`):
            The patches are a square grid over the whole frame.
    """
    # [num_frames, num_patches]
    light = (attention.float().amax(dim=1) / attention.max().float()).numpy()
    return [_draw(frame, of_frame) for frame, of_frame in zip(frames, light, strict=True)]


def _draw(frame: np.ndarray, light: np.ndarray) -> Image.Image:
    scale = PICTURE_SIZE / max(frame.shape[:2])
    size = (max(1, round(frame.shape[1] * scale)), max(1, round(frame.shape[0] * scale)))
    pixels = np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.BILINEAR))
    grid_size = round(len(light) ** 0.5)
    rows, columns = (np.arange(side) * grid_size // side for side in pixels.shape[:2])
    of_pixel = light.reshape(grid_size, grid_size)[rows][:, columns, None]
    opacity = TINT * of_pixel
    lit = (DARKEST + (1 - DARKEST) * of_pixel) * pixels
    return Image.fromarray(((1 - opacity) * lit + opacity * COLOUR).round().astype(np.uint8))
