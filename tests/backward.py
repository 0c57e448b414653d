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
"""One backward pass through a tiny model, and which layers of the vision tower it went through."""

from typing import Any

import torch

from tests.tiny import IMAGE_TOKEN_ID, VIDEO_TOKEN_ID, build_config, random_pixels, video_prompt


TOWER_LAYERS = "vision_tower.encoder.layers"


def backward(
    model: Any, use_reentrant: bool | None, is_video: bool = True
) -> tuple[set[int], dict[str, torch.Tensor]]:
    """Returns the tower's layers that the backward pass reached, and the gradients that it left.

    Args:
        model: a tiny model in training mode, perhaps within a PEFT model.
        use_reentrant (`bool`, *optional*): kind of gradient checkpointing, none if not given.
        is_video (`bool`, *optional*, defaults to `True`): whether it is shown a clip of 3 frames or a picture.
    """
    if use_reentrant is not None:
        model.activation_checkpointing_enable({"use_reentrant": use_reentrant})
    visited: set[int] = set()

    def watch(module: Any, args: Any, output: Any) -> None:
        index = position[module]
        hidden_states = output[0] if isinstance(output, tuple) else output
        if hidden_states.requires_grad:
            hidden_states.register_hook(lambda gradient: visited.add(index))

    position = {
        module: int(name.split(f"{TOWER_LAYERS}.")[1].split(".")[0])
        for name, module in model.named_modules()
        if type(module).__name__ == "FTFVVisionLayer"
    }
    hooks = [module.register_forward_hook(watch) for module in position]
    pixels = {"pixel_values_videos": random_pixels(1, 3)} if is_video else {"pixel_values": random_pixels(1, 1)[:, 0]}
    input_ids = torch.tensor([video_prompt(12 if is_video else build_config().adapter_config.num_query_tokens)])
    if not is_video:
        input_ids[input_ids == VIDEO_TOKEN_ID] = IMAGE_TOKEN_ID
    labels = input_ids.masked_fill((input_ids == VIDEO_TOKEN_ID) | (input_ids == IMAGE_TOKEN_ID), -100)
    model(input_ids=input_ids, labels=labels, **pixels).loss.backward()
    for hook in hooks:
        hook.remove()
    return visited, {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
