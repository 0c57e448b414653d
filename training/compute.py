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
"""FLOPs of training on a row: forward pass, what gradient checkpointing computes again, and backward pass."""

from collections.abc import Mapping
from typing import Any

from ..modeling_ftfv.configuration_ftfv import FTFVConfig
from ..modeling_ftfv.cost import cost
from .memory import NUM_TEXT_TOKENS
from .preflight import Preflight, check_recipe


def training_flops(
    options: Mapping[str, Any],
    config: FTFVConfig,
    *,
    num_frames: int | None = None,
    tokens_per_frame: int | None = None,
    num_text_tokens: int = NUM_TEXT_TOKENS,
    preflight: Preflight | None = None,
) -> int:
    """
    Counts the FLOPs of training on a row with one video, as [`cost`] counts those of a forward pass.

    The backward pass costs a frozen linear layer one forward pass, for the gradient of its input, and a training one
    two, as it does an attention. The tower's frozen layers have none. The language model's head is left out: it runs
    at the answer's tokens only.

    Args:
        options (`Mapping[str, Any]`): options of `trl sft`, as read from the recipe's YAML file.
        config (`FTFVConfig`): the model.
        num_frames (`int`, *optional*, defaults to `config.num_frames`): frames T of the video; 1 for an image.
        tokens_per_frame (`int`, *optional*, defaults to `config.tokens_per_frame`): tokens K of each frame.
        num_text_tokens (`int`, *optional*, defaults to 256): tokens of the row beside those of its video.
        preflight (`Preflight`, *optional*): what [`check_recipe`] found, if it was called before.

    Raises:
        ValueError: a number is out of range, or the recipe does not fit the model.
    """
    preflight = check_recipe(options, config) if preflight is None else preflight
    names = [module.name for module in preflight.trained if module.how == "in full"]
    whole = names == ["the whole model"]
    has_lora = any(module.how != "in full" for module in preflight.trained)
    sizes = {"num_frames": num_frames, "tokens_per_frame": tokens_per_frame, "num_text_tokens": num_text_tokens}
    forward = cost(config, **sizes)  # type: ignore[arg-type]
    lora = 0
    if has_lora:
        lora_rank = int(options.get("lora_r", 16))
        lora = cost(config, **sizes, lora_rank=lora_rank).language_linear - forward.language_linear  # type: ignore[arg-type]
    tower = forward.vision_linear + forward.vision_attention
    vision = config.vision_config
    num_patches = forward.num_frames * (vision.image_size // vision.patch_size) ** 2
    layers = tower - 2 * num_patches * vision.num_channels * vision.patch_size**2 * vision.hidden_size
    num_layers = vision.num_hidden_layers
    num_trained = num_layers if whole else sum("vision_tower.encoder.layers." in name for name in names)
    trained_tower = layers * num_trained // num_layers
    # All queries are scored to choose among them, which has no gradient; those that are kept attend.
    scored, attended = config.adapter_config.num_query_tokens, 2 * forward.tokens_per_frame
    attention = forward.adapter_attention * attended // (scored + attended)
    adapter = 3 * (forward.adapter_linear + attention) + forward.adapter_attention - attention
    recomputed = options.get("gradient_checkpointing", True)
    passes = 2 if recomputed else 1
    return (
        tower
        + trained_tower * (2 + recomputed)
        + adapter
        + forward.language_linear * (passes + (2 if whole else 1))
        + forward.language_attention * (passes + 2)
        + lora * (passes + 2)
    )
