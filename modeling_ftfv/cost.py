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
What a question about a video costs: visual tokens, FLOPs and memory of a configuration, without its weights.

FLOPs are counted as `torch.utils.flop_counter` does: 2 per multiply-add of linear layers, convolutions and the two
matrix products of an attention, whose masked half is not discounted; normalisations, activations and softmax count
nothing.
"""

from dataclasses import dataclass
from typing import Any

import torch

from .configuration_ftfv import FTFVConfig
from .modeling_ftfv import FTFVForConditionalGeneration


@dataclass(frozen=True)
class Cost:
    """
    Cost of one forward pass over a video and its question, batch size 1.

    Attributes:
        num_frames, tokens_per_frame (`int`): what it was counted for.
        visual_tokens, text_tokens (`int`): their sum is the sequence that the language model reads.
        vision_linear, vision_attention (`int`): FLOPs of the vision tower, which do not depend on `tokens_per_frame`.
        adapter_linear, adapter_attention (`int`): FLOPs of the adapter.
        language_linear, language_attention, lm_head (`int`): FLOPs of the language model, LoRA included.
        kv_cache_bytes (`int`): keys and values of the sequence in 16 bits.
    """

    num_frames: int
    tokens_per_frame: int
    visual_tokens: int
    text_tokens: int
    vision_linear: int
    vision_attention: int
    adapter_linear: int
    adapter_attention: int
    language_linear: int
    language_attention: int
    lm_head: int
    kv_cache_bytes: int

    @property
    def vision_flops(self) -> int:
        """FLOPs of the vision tower and the adapter."""
        return self.vision_linear + self.vision_attention + self.adapter_linear + self.adapter_attention

    @property
    def language_flops(self) -> int:
        """FLOPs of the language model with its head."""
        return self.language_linear + self.language_attention + self.lm_head

    @property
    def linear_flops(self) -> int:
        """FLOPs of linear layers and convolutions alone, which Table 5 of the paper counts."""
        return self.vision_linear + self.adapter_linear + self.language_linear + self.lm_head

    @property
    def total_flops(self) -> int:
        return self.vision_flops + self.language_flops

    @property
    def vision_share(self) -> float:
        """Share of `vision_flops` in `total_flops`, 0 to 1."""
        return self.vision_flops / self.total_flops


def visual_tokens(config: FTFVConfig, num_frames: int | None = None, tokens_per_frame: int | None = None) -> int:
    """
    Number of tokens that a video costs in the language model.

    Args:
        config (`FTFVConfig`): the model.
        num_frames (`int`, *optional*, defaults to `config.num_frames`): frames T.
        tokens_per_frame (`int`, *optional*, defaults to `config.tokens_per_frame`): tokens K of each frame.

    Raises:
        ValueError: a number is out of range.
    """
    num_frames = config.num_frames if num_frames is None else num_frames
    tokens_per_frame = config.tokens_per_frame if tokens_per_frame is None else tokens_per_frame
    num_query_tokens = config.adapter_config.num_query_tokens
    if num_frames < 1:
        raise ValueError(f"`num_frames` is {num_frames}; expected at least 1.")
    if not 1 <= tokens_per_frame <= num_query_tokens:
        raise ValueError(
            f"`tokens_per_frame` is {tokens_per_frame}; expected 1 to {num_query_tokens}, the adapter's number of "
            "query tokens."
        )
    return num_frames * tokens_per_frame


def cost(
    config: FTFVConfig,
    *,
    num_frames: int | None = None,
    tokens_per_frame: int | None = None,
    num_text_tokens: int = 48,
    lora_rank: int = 0,
    all_query_outputs: bool = False,
) -> Cost:
    """
    Cost of a question about a video.

    Args:
        config (`FTFVConfig`):
            The model. Its language model is Llama-like: grouped queries, a gated MLP, with or without biases.
        num_frames (`int`, *optional*, defaults to `config.num_frames`):
            Frames T.
        tokens_per_frame (`int`, *optional*, defaults to `config.tokens_per_frame`):
            Tokens K of each frame.
        num_text_tokens (`int`, *optional*, defaults to 48):
            Tokens of the prompt beside those of the video. With 48 the paper's Table 5 comes out.
        lora_rank (`int`, *optional*, defaults to 0):
            Rank of unmerged LoRA weights on the seven linear layers of each layer of the language model; 0 for none.
        all_query_outputs (`bool`, *optional*, defaults to `False`):
            Count the adapter as Table 5 does: each frame projects all queries and computes the outputs of all of them,
            most of which are dropped. This model projects the queries once, scores all and computes only the
            outputs it keeps.

    Raises:
        ValueError: a number is out of range, or the vision tower is of a kind that cannot be counted.
    """
    num_frames = config.num_frames if num_frames is None else num_frames
    tokens_per_frame = config.tokens_per_frame if tokens_per_frame is None else tokens_per_frame
    num_visual_tokens = visual_tokens(config, num_frames, tokens_per_frame)
    if num_text_tokens < 0 or lora_rank < 0:
        raise ValueError(
            f"`num_text_tokens` is {num_text_tokens} and `lora_rank` {lora_rank}; expected numbers from 0 up."
        )
    length = num_visual_tokens + num_text_tokens

    vision_linear, vision_attention, num_patches = _vision_flops(config.vision_config)
    adapter_linear, adapter_attention = _adapter_flops(
        config, num_patches, num_frames, tokens_per_frame, all_query_outputs
    )
    text_config = config.text_config
    num_layers, hidden_size = text_config.num_hidden_layers, text_config.hidden_size
    shapes = _language_linear_shapes(text_config)
    query_width, key_value_width = shapes["q_proj"][1], shapes["k_proj"][1]
    num_weights = num_layers * sum(inputs * outputs for inputs, outputs in shapes.values())
    num_lora_weights = num_layers * lora_rank * sum(inputs + outputs for inputs, outputs in shapes.values())
    return Cost(
        num_frames=num_frames,
        tokens_per_frame=tokens_per_frame,
        visual_tokens=num_visual_tokens,
        text_tokens=num_text_tokens,
        vision_linear=num_frames * vision_linear,
        vision_attention=num_frames * vision_attention,
        adapter_linear=adapter_linear,
        adapter_attention=adapter_attention,
        language_linear=2 * length * (num_weights + num_lora_weights),
        language_attention=2 * num_layers * 2 * length**2 * query_width,
        lm_head=2 * length * hidden_size * text_config.vocab_size,
        kv_cache_bytes=2 * num_layers * 2 * length * key_value_width,
    )


def weight_bytes(config: FTFVConfig) -> int:
    """Bytes of a model's weights in 16 bits, tied ones once and the adapter's position table included."""
    with torch.device("meta"):
        model = FTFVForConditionalGeneration(config)
    return 2 * (model.num_parameters() + model.model.multi_modal_projector.position_table.numel())


def _vision_flops(config: Any) -> tuple[int, int, int]:
    """
    FLOPs of one frame in linear layers and in attention, and its number of patches. The class and register tokens that
    towers other than ours have besides are left out, about a thousandth.
    """
    sizes = ("image_size", "patch_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_channels")
    missing = [name for name in sizes if not isinstance(getattr(config, name, None), int)]
    if missing:
        raise ValueError(
            f"The cost of a {config.model_type!r} vision tower cannot be counted: its config has no whole number "
            f"{', '.join(missing)}; expected a plain ViT."
        )
    width, num_patches = config.hidden_size, (config.image_size // config.patch_size) ** 2
    patch_embedding = num_patches * config.num_channels * config.patch_size**2 * width
    layer = num_patches * (4 * width**2 + 2 * width * config.intermediate_size)
    attention = config.num_hidden_layers * 2 * num_patches**2 * width
    return 2 * (patch_embedding + config.num_hidden_layers * layer), 2 * attention, num_patches


def _adapter_flops(
    config: FTFVConfig, num_patches: int, num_frames: int, tokens_per_frame: int, all_query_outputs: bool
) -> tuple[int, int]:
    """FLOPs of all frames in linear layers and in attention."""
    width, num_queries = config.adapter_config.hidden_size, config.adapter_config.num_query_tokens
    # kv_proj, then the key and value projections.
    patches = num_patches * (config.adapter_config.vision_hidden_size * width + 2 * width**2)
    query_projection = num_queries * width**2
    # out_proj and output_proj, for as many queries as have an output.
    if all_query_outputs:
        linear = num_frames * (patches + query_projection + 2 * num_queries * width**2)
        attention = num_frames * 2 * num_queries * num_patches * width
    else:
        linear = num_frames * (patches + 2 * tokens_per_frame * width**2) + query_projection
        # The scores of all queries for their responses, then the attention of those that are kept.
        attention = num_frames * (num_queries + 2 * tokens_per_frame) * num_patches * width
    return 2 * linear, 2 * attention


def _language_linear_shapes(config: Any) -> dict[str, tuple[int, int]]:
    """Inputs and outputs of the seven linear layers in a layer of a Llama-like language model."""
    hidden_size, intermediate_size = config.hidden_size, config.intermediate_size
    head_dim = getattr(config, "head_dim", None) or hidden_size // config.num_attention_heads
    query_width = config.num_attention_heads * head_dim
    key_value_width = (getattr(config, "num_key_value_heads", None) or config.num_attention_heads) * head_dim
    return {
        "q_proj": (hidden_size, query_width),
        "k_proj": (hidden_size, key_value_width),
        "v_proj": (hidden_size, key_value_width),
        "o_proj": (query_width, hidden_size),
        "gate_proj": (hidden_size, intermediate_size),
        "up_proj": (hidden_size, intermediate_size),
        "down_proj": (intermediate_size, hidden_size),
    }
