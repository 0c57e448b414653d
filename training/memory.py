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
GPU memory that a recipe needs, counted from its options and the model's config without running anything.

What autograd keeps of each kind of layer is counted tensor by tensor for mixed precision: 2 bytes for what a linear
layer reads and writes, 4 for what a normalisation reads. What else a GPU uses, no formula tells; there is a reserve.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..modeling_ftfv.configuration_ftfv import FTFVConfig
from ..modeling_ftfv.cost import visual_tokens
from .preflight import WHOLE_MODEL, Preflight, check_recipe, quantization


# CUDA's own memory and kernels, and the share that the allocator loses between blocks.
RESERVE, RESERVE_SHARE = 1_500_000_000, 0.05
# What a layer's backward pass holds at once, gradients of its intermediate tensors included, as a multiple of what its
# forward pass kept.
BACKWARD_FACTOR = 1.5
# DeepSpeed gathers gradients in a buffer of so many numbers of 16 bits before it reduces them.
ZERO_BUCKET = 500_000_000
# Text of a row beside its placeholders: a question and an answer of some sentences.
NUM_TEXT_TOKENS = 256
BATCH_SIZES = (32, 16, 8, 4, 2, 1)


@dataclass(frozen=True)
class Memory:
    """
    Bytes on each GPU while a recipe runs.

    Attributes:
        weights (`int`): the model, the copies that PEFT makes of modules that train in full, and LoRA.
        gradients (`int`): of what trains.
        optimizer (`int`): AdamW's two moments, and 32-bit weights where training holds 16-bit ones.
        activations (`int`): what the forward pass keeps and the backward pass of one layer adds.
        reserve (`int`): what no formula tells.
    """

    weights: int
    gradients: int
    optimizer: int
    activations: int
    reserve: int

    @property
    def total(self) -> int:
        return self.weights + self.gradients + self.optimizer + self.activations + self.reserve


def estimate_memory(
    options: Mapping[str, Any],
    config: FTFVConfig,
    *,
    batch_size: int | None = None,
    num_frames: int | None = None,
    tokens_per_frame: int | None = None,
    num_text_tokens: int = NUM_TEXT_TOKENS,
    num_shards: int = 1,
    preflight: Preflight | None = None,
) -> Memory:
    """
    Counts the memory of a recipe on each GPU.

    Args:
        options (`Mapping[str, Any]`): options of `trl sft`, as read from the recipe's YAML file.
        config (`FTFVConfig`): the model.
        batch_size (`int`, *optional*, defaults to the recipe's): rows on a GPU at a time, each with one video.
        num_frames (`int`, *optional*, defaults to `config.num_frames`): frames T of a video; 1 for an image.
        tokens_per_frame (`int`, *optional*, defaults to `config.tokens_per_frame`): tokens K of each frame.
        num_text_tokens (`int`, *optional*, defaults to 256): tokens of a row beside those of its video.
        num_shards (`int`, *optional*, defaults to 1): GPUs over which FSDP2 or ZeRO-3 shards weights, gradients and
            optimiser.
        preflight (`Preflight`, *optional*): what [`check_recipe`] found, if it was called before.

    Raises:
        ValueError: a number is out of range, or the recipe does not fit the model, see [`check_recipe`].
    """
    batch_size = options["per_device_train_batch_size"] if batch_size is None else batch_size
    num_frames = config.num_frames if num_frames is None else num_frames
    if batch_size < 1 or num_text_tokens < 1 or num_shards < 1:
        raise ValueError(
            f"`batch_size` is {batch_size}, `num_text_tokens` {num_text_tokens} and `num_shards` {num_shards}; "
            "expected numbers from 1 up."
        )
    preflight = check_recipe(options, config) if preflight is None else preflight
    trained = preflight.num_trained
    size = _weight_size(options)
    # bitsandbytes keeps a scale of 8 bits for 64 weights and one of 32 for 256 scales, or without double quantisation
    # one of 32 bits for 64 weights.
    scales = 1 / 64 + 4 / (64 * 256) if (quantization(options) or {}).get("bnb_4bit_use_double_quant") else 4 / 64
    weights = preflight.num_quantized * (0.5 + scales) + (preflight.num_parameters - preflight.num_quantized) * size
    if options.get("use_peft"):
        weights += trained * size
    gradients, optimizer = trained * size, 8 * trained
    if str(options.get("accelerate_config", "")).startswith("zero"):
        # 32-bit weights, and their gradients for the step.
        optimizer += 8 * trained + 2 * min(trained, ZERO_BUCKET)
    # Autocast keeps a 16-bit copy of what trains.
    casts = 2 * trained if size == 4 and options.get("bf16", True) else 0
    length = visual_tokens(config, num_frames, tokens_per_frame) + num_text_tokens
    activations = casts + _activations(options, config, preflight, batch_size, num_frames, length)
    weights, gradients, optimizer = (round(part / num_shards) for part in (weights, gradients, optimizer))
    used = weights + gradients + optimizer + activations
    return Memory(weights, gradients, optimizer, activations, RESERVE + round(RESERVE_SHARE * used))


def largest_batch(options: Mapping[str, Any], config: FTFVConfig, limit: int, **sizes: Any) -> int | None:
    """
    The largest batch size of 32, 16, 8, 4, 2 and 1 that stays below `limit` bytes; None if none does. `sizes` are
    those of [`estimate_memory`].
    """
    if sizes.get("preflight") is None:
        sizes["preflight"] = check_recipe(options, config)
    for batch_size in BATCH_SIZES:
        if estimate_memory(options, config, batch_size=batch_size, **sizes).total <= limit:
            return batch_size
    return None


def language_layer_bytes(config: Any, lora_rank: int, lora_dropout: float = 0.0) -> int:
    """Bytes that a Llama-like layer keeps of each token for its backward pass, its weights frozen."""
    hidden_size, intermediate_size = config.hidden_size, config.intermediate_size
    head_dim = getattr(config, "head_dim", None) or hidden_size // config.num_attention_heads
    queries = config.num_attention_heads * head_dim
    keys = (getattr(config, "num_key_value_heads", None) or config.num_attention_heads) * head_dim
    # Both normalisations; queries, keys, values and the output of the attention; gate, its activation and up.
    kept = 2 * 4 * hidden_size + 2 * (2 * queries + 2 * keys) + 3 * 2 * intermediate_size
    if lora_rank:
        # The seven inputs of A and of B; a mask of the dropout in front of each A.
        inputs = 5 * hidden_size + queries + intermediate_size
        kept += 2 * inputs + 7 * 2 * lora_rank + (inputs if lora_dropout else 0)
    return kept


def vision_layer_bytes(config: Any) -> int:
    """Bytes that a layer of the tower keeps of each patch for its backward pass, its weights training."""
    # Both normalisations; inputs of the four projections; queries, keys, values and output; input and output of GELU,
    # whose input is fc1's output.
    return (2 * 4 + 4 * 2 + 4 * 2) * config.hidden_size + 2 * 2 * config.intermediate_size


def adapter_bytes(config: FTFVConfig) -> int:
    """
    Bytes that the adapter keeps of each patch for its backward pass, its weights training, where as many queries are
    kept as in the recipes.
    """
    # Input of kv_proj; its output, in 32 bits for the normalisation; inputs and outputs of key and value projections.
    adapter = config.adapter_config
    return 2 * adapter.vision_hidden_size + (4 + 4 * 2) * adapter.hidden_size


def _activations(
    options: Mapping[str, Any],
    config: FTFVConfig,
    preflight: Preflight,
    batch_size: int,
    num_frames: int,
    length: int,
) -> int:
    text, vision = config.text_config, config.vision_config
    tokens = batch_size * length
    patches = batch_size * num_frames * (vision.image_size // vision.patch_size) ** 2
    in_full = [module.name for module in preflight.trained if module.how == "in full"]
    has_lora = any(module.how != "in full" for module in preflight.trained)
    rank = int(options.get("lora_r", 16)) if has_lora else 0
    num_trained_layers = sum(name.startswith("model.vision_tower.encoder.layers.") for name in in_full)
    if in_full == [WHOLE_MODEL]:
        num_trained_layers = vision.num_hidden_layers
    # The hidden states between layers have the type of the weights that do not train.
    hidden = _weight_size(options)
    language = tokens * language_layer_bytes(text, rank, float(options.get("lora_dropout", 0.05)))
    tower = patches * vision_layer_bytes(vision) if num_trained_layers else 0
    adapter = patches * adapter_bytes(config)
    if not options.get("gradient_checkpointing", True):
        return text.num_hidden_layers * language + num_trained_layers * tower + adapter
    inputs = hidden * (
        text.num_hidden_layers * tokens * text.hidden_size + num_trained_layers * patches * vision.hidden_size
    )
    # A frozen layer of 32 bits keeps 16-bit copies of its weights for its backward pass.
    language_weights = 4 * text.hidden_size**2 + 3 * text.hidden_size * text.intermediate_size
    copies = 2 * language_weights if hidden == 4 else 0
    return inputs + adapter + round(BACKWARD_FACTOR * max(language, tower)) + copies


def _weight_size(options: Mapping[str, Any]) -> int:
    """Bytes of a weight that is not quantised."""
    dtype = (options.get("model_init_kwargs") or {}).get("dtype", options.get("dtype", "float32"))
    return 4 if dtype == "float32" else 2
