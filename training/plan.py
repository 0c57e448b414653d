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
Chooses how to evolve an image model on one's own clips: the variant of S4-V, K and batch size that fit a GPU's memory
by the computed table.
"""

import math
from dataclasses import dataclass
from typing import Any

from ..modeling_ftfv.configuration_ftfv import FTFVConfig
from ..processing.processing_ftfv import TOKENS_PER_FRAME_RANGE
from .memory import Memory, estimate_memory, largest_batch
from .preflight import check_recipe
from .stages import read_recipe


# Best first: the second one is for what the first one needs too much memory for.
RECIPES = ("s4v_single_gpu", "s4v_qlora")
# Rows to a step where there are enough of them, as in the recipes, and steps to an epoch where there are not.
ROWS_PER_STEP, MIN_STEPS = 64, 32
# Fewer tokens free next to no memory.
MIN_TOKENS_PER_FRAME = 16


@dataclass(frozen=True)
class Plan:
    """
    How one's own clips are trained on.

    Attributes:
        recipe (`str`): name of the recipe that the options come from.
        tokens_per_frame (`int`): K in training.
        options (`dict[str, Any]`): options of `trl sft`, without model, data and output.
        memory (`Memory`): what it needs.
    """

    recipe: str
    tokens_per_frame: int
    options: dict[str, Any]
    memory: Memory


def plan_training(config: FTFVConfig, limit: int, num_rows: int) -> Plan:
    """
    Chooses recipe, K and batch size: no quantisation rather than more tokens, the model's own K rather than a larger
    batch.

    Args:
        config (`FTFVConfig`): the model.
        limit (`int`): memory of the GPU in bytes.
        num_rows (`int`): rows to train on.

    Raises:
        ValueError: nothing fits; or the recipes do not fit the model.
    """
    least = 0
    for recipe in RECIPES:
        options = read_recipe(recipe)
        options.pop("datasets")
        options["lora_modules_to_save"] = _modules_in_full(config)
        preflight = check_recipe(options, config)
        for tokens_per_frame in _token_counts(config.tokens_per_frame):
            sizes = {"tokens_per_frame": tokens_per_frame, "preflight": preflight}
            batch_size = largest_batch(options, config, limit, **sizes)
            if batch_size is None:
                least = estimate_memory(options, config, batch_size=1, **sizes).total
                continue
            rows_per_step = min(ROWS_PER_STEP, max(1, num_rows // MIN_STEPS))
            batch_size = min(batch_size, rows_per_step)
            options["per_device_train_batch_size"] = batch_size
            accumulation = options["gradient_accumulation_steps"] = max(1, rows_per_step // batch_size)
            # The trainer takes all batches of a step at once; while it computes, the workers prepare as many.
            options["dataloader_prefetch_factor"] = max(2, math.ceil(accumulation / options["dataloader_num_workers"]))
            if tokens_per_frame != config.tokens_per_frame:
                options["env"] = {TOKENS_PER_FRAME_RANGE: f"{tokens_per_frame}-{tokens_per_frame}"}
            memory = estimate_memory(options, config, **sizes)
            return Plan(recipe, tokens_per_frame, options, memory)
    raise ValueError(
        f"S4-V needs at least {least / 2**30:.1f} GB for this model, in 4 bits and with a batch of 1; "
        f"{limit / 2**30:.1f} GB are there. Use a larger GPU, or several with training/recipes/s4v.yaml."
    )


def _modules_in_full(config: FTFVConfig) -> list[str]:
    """As the recipes name them, for a tower of another depth."""
    num_layers = config.vision_config.num_hidden_layers
    layers = range(max(0, num_layers - 3), num_layers)
    tower = [f"vision_tower.encoder.layers.{layer}" for layer in layers]
    return ["model.multi_modal_projector", "model.temporal_encoding", *tower]


def _token_counts(tokens_per_frame: int) -> list[int]:
    """The model's own K, and halves of it."""
    counts = [tokens_per_frame]
    while counts[-1] // 2 >= MIN_TOKENS_PER_FRAME:
        counts.append(counts[-1] // 2)
    return counts
