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
"""What a recipe costs: FLOPs of training on a row, for what it trains and as it trains it."""

from collections.abc import Mapping
from typing import Any

from ..modeling_ftfv.configuration_ftfv import FTFVConfig
from ..modeling_ftfv.cost import Cost, training_cost
from .memory import NUM_TEXT_TOKENS
from .preflight import WHOLE_MODEL, Preflight, check_recipe


def row_sizes(preflight: Preflight, config: FTFVConfig) -> dict[str, int]:
    """
    `num_frames` and `tokens_per_frame` of a row where the recipe leaves no choice: one that trains the temporal
    encoding in no way is for images, which are one frame of all tokens. Empty for videos.
    """
    names = [module.name for module in preflight.trained if module.how == "in full"]
    if names == [WHOLE_MODEL] or "model.temporal_encoding" in names:
        return {}
    return {"num_frames": 1, "tokens_per_frame": config.adapter_config.num_query_tokens}


def recipe_cost(
    options: Mapping[str, Any],
    config: FTFVConfig,
    *,
    num_text_tokens: int = NUM_TEXT_TOKENS,
    preflight: Preflight | None = None,
    **sizes: int | None,
) -> Cost:
    """
    Counts the FLOPs of training on a row with one video, see [`training_cost`].

    Args:
        options (`Mapping[str, Any]`): options of `trl sft`, as read from the recipe's YAML file.
        config (`FTFVConfig`): the model.
        num_text_tokens (`int`, *optional*, defaults to 256): tokens of the row beside those of its video.
        preflight (`Preflight`, *optional*): what [`check_recipe`] found, if it was called before.
        sizes (`int`, *optional*): `num_frames`, `tokens_per_frame` and `frame_size` of the video, as in
            [`training_cost`].

    Raises:
        ValueError: a number is out of range, or the recipe does not fit the model.
    """
    preflight = check_recipe(options, config) if preflight is None else preflight
    names = [module.name for module in preflight.trained if module.how == "in full"]
    lora_modules = [module.name for module in preflight.trained if module.how != "in full"]
    return training_cost(
        config,
        trained_modules=[""] if names == [WHOLE_MODEL] else names,
        lora_modules=lora_modules,
        lora_rank=int(options.get("lora_r", 16)) if lora_modules else 0,
        gradient_checkpointing=options.get("gradient_checkpointing", True),
        num_text_tokens=num_text_tokens,
        **sizes,
    )
