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
How the keys of Qwen-VL's checkpoint correspond to those of FTFV: a table for each part, and the cuts of its fused
matrices.
"""

import re
from collections.abc import Iterable
from functools import partial

import torch

from .checkpoint import Checkpoint
from .mapping import Origin, Transform


VISUAL_PREFIX = "transformer.visual."

# From patterns of our keys to those of the checkpoint and what is done to the tensor; {layer} is a number, {kind} is
# weight or bias.
KeyTable = dict[str, str | tuple[str, Transform]]


def take_third(tensor: torch.Tensor, part: int) -> torch.Tensor:
    """Part 0, 1 or 2 (query, key, value) of rows that are stacked as three blocks."""
    return tensor.chunk(3)[part]


def take_head_third(tensor: torch.Tensor, part: int, num_heads: int) -> torch.Tensor:
    """Part 0, 1 or 2 (query, key, value) of rows that are stacked head by head, three blocks in each (Megatron)."""
    return tensor.unflatten(0, (num_heads, 3, -1))[:, part].flatten(0, 1)


def vision_keys(num_heads: int) -> KeyTable:
    """
    Vision tower and adapter.

    Args:
        num_heads (`int`): attention heads of the tower, by which its fused matrices are cut.
    """
    tower, adapter = "model.vision_tower.", "model.multi_modal_projector."
    layer, block = tower + "encoder.layers.{layer}.", VISUAL_PREFIX + "transformer.resblocks.{layer}."
    pool = VISUAL_PREFIX + "attn_pool."
    table: KeyTable = {
        tower + "embeddings.patch_embedding.weight": VISUAL_PREFIX + "conv1.weight",
        tower + "embeddings.position_embedding": VISUAL_PREFIX + "positional_embedding",
        tower + "pre_layernorm.{kind}": VISUAL_PREFIX + "ln_pre.{kind}",
        layer + "layer_norm1.{kind}": block + "ln_1.{kind}",
        layer + "self_attn.out_proj.{kind}": block + "attn.out_proj.{kind}",
        layer + "layer_norm2.{kind}": block + "ln_2.{kind}",
        layer + "mlp.fc1.{kind}": block + "mlp.c_fc.{kind}",
        layer + "mlp.fc2.{kind}": block + "mlp.c_proj.{kind}",
        adapter + "query_tokens": pool + "query",
        adapter + "position_table": pool + "pos_embed",
        adapter + "query_norm.{kind}": pool + "ln_q.{kind}",
        adapter + "kv_proj.weight": pool + "kv_proj.weight",
        adapter + "kv_norm.{kind}": pool + "ln_kv.{kind}",
        adapter + "attention.out_proj.{kind}": pool + "attn.out_proj.{kind}",
        adapter + "post_norm.{kind}": VISUAL_PREFIX + "ln_post.{kind}",
        adapter + "output_proj.weight": (VISUAL_PREFIX + "proj", torch.t),  # used as x @ proj
    }
    for part, name in enumerate(("q_proj", "k_proj", "v_proj")):
        table[layer + f"self_attn.{name}.{{kind}}"] = (
            block + "attn.in_proj.{kind}",
            partial(take_head_third, part=part, num_heads=num_heads),
        )
        # nn.MultiheadAttention, unlike the blocks
        table[adapter + f"attention.{name}.{{kind}}"] = (pool + "attn.in_proj_{kind}", partial(take_third, part=part))
    return table


def language_keys() -> KeyTable:
    """Qwen-7B as `Qwen2ForCausalLM`."""
    model, layer, block = "model.language_model.", "model.language_model.layers.{layer}.", "transformer.h.{layer}."
    table: KeyTable = {
        model + "embed_tokens.weight": "transformer.wte.weight",
        layer + "input_layernorm.weight": block + "ln_1.weight",
        layer + "self_attn.o_proj.weight": block + "attn.c_proj.weight",
        layer + "post_attention_layernorm.weight": block + "ln_2.weight",
        layer + "mlp.up_proj.weight": block + "mlp.w1.weight",
        layer + "mlp.gate_proj.weight": block + "mlp.w2.weight",  # the side of the activation
        layer + "mlp.down_proj.weight": block + "mlp.c_proj.weight",
        model + "norm.weight": "transformer.ln_f.weight",
        "lm_head.weight": "lm_head.weight",
    }
    for part, name in enumerate(("q_proj", "k_proj", "v_proj")):
        table[layer + f"self_attn.{name}.{{kind}}"] = (block + "attn.c_attn.{kind}", partial(take_third, part=part))
    return table


def find_origins(checkpoint: Checkpoint, table: KeyTable, names: Iterable[str]) -> list[Origin]:
    """
    Origins of those tensors of an FTFV model that a table speaks of.

    Args:
        checkpoint (`Checkpoint`): of Qwen-VL or Qwen-VL-Chat.
        table (`KeyTable`): `vision_keys`, `language_keys`, or both in one.
        names (`Iterable[str]`): keys of the FTFV model.

    Raises:
        ValueError: the checkpoint lacks a key.
    """
    patterns = []
    for pattern, source in table.items():
        escaped = (
            re.escape(pattern).replace(r"\{layer\}", r"(?P<layer>\d+)").replace(r"\{kind\}", "(?P<kind>weight|bias)")
        )
        patterns.append((re.compile(escaped), *((source, None) if isinstance(source, str) else source)))
    origins = []
    for name in names:
        for pattern, source, transform in patterns:
            match = pattern.fullmatch(name)
            if match:
                key = source.format(**match.groupdict())
                if key not in checkpoint:
                    raise ValueError(
                        f"{str(checkpoint.folder)!r} lacks {key!r}, from which {name!r} is made. Are all shards of "
                        "the checkpoint there, and is it Qwen-VL or Qwen-VL-Chat?"
                    )
                origins.append(Origin(key, name, name, transform))
    return origins


def check_all_used(checkpoint: Checkpoint, origins: Iterable[Origin], prefix: str = "") -> None:
    """
    Refuses a checkpoint that holds more than is read, apart from the rotary frequencies, which follow from the config.

    Args:
        checkpoint (`Checkpoint`): of Qwen-VL or Qwen-VL-Chat.
        origins (`Iterable[Origin]`): all that is read.
        prefix (`str`, *optional*, defaults to `""`): of the keys that are looked at.

    Raises:
        ValueError: it does.
    """
    used = {origin.key for origin in origins}
    for key in checkpoint:
        if key.startswith(prefix) and key not in used and not key.endswith("rotary_emb.inv_freq"):
            raise ValueError(
                f"{str(checkpoint.folder)!r} holds {key!r}, which Qwen-VL of this config.json does not have. Is it a "
                "quantised checkpoint, or one of another model?"
            )
