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
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

import torch


Transform = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Origin:
    """Where a tensor comes from: a key of the checkpoint, and what is done to the tensor under it."""

    key: str
    transform: Transform | None = None


# From patterns of our keys to those of the checkpoint; {layer} is a number, {kind} is weight or bias.
KeyTable = dict[str, Origin]


def take_third(tensor: torch.Tensor, part: int) -> torch.Tensor:
    """Part 0, 1 or 2 (query, key, value) of rows that are stacked as three blocks."""
    return tensor.chunk(3)[part]


def take_head_third(tensor: torch.Tensor, part: int, num_heads: int) -> torch.Tensor:
    """Part 0, 1 or 2 (query, key, value) of rows that are stacked head by head, three blocks in each (Megatron)."""
    return tensor.unflatten(0, (num_heads, 3, -1))[:, part].flatten(0, 1)


def qwen_vl_vision_keys(num_heads: int) -> KeyTable:
    """
    Vision tower and adapter.

    Args:
        num_heads (`int`): attention heads of the tower, by which its fused matrices are cut.
    """
    layer, block = "vision_tower.encoder.layers.{layer}.", "transformer.resblocks.{layer}."
    adapter, pool = "multi_modal_projector.", "attn_pool."
    table = {
        "vision_tower.embeddings.patch_embedding.weight": Origin("conv1.weight"),
        "vision_tower.embeddings.position_embedding": Origin("positional_embedding"),
        "vision_tower.pre_layernorm.{kind}": Origin("ln_pre.{kind}"),
        layer + "layer_norm1.{kind}": Origin(block + "ln_1.{kind}"),
        layer + "self_attn.out_proj.{kind}": Origin(block + "attn.out_proj.{kind}"),
        layer + "layer_norm2.{kind}": Origin(block + "ln_2.{kind}"),
        layer + "mlp.fc1.{kind}": Origin(block + "mlp.c_fc.{kind}"),
        layer + "mlp.fc2.{kind}": Origin(block + "mlp.c_proj.{kind}"),
        adapter + "query_tokens": Origin(pool + "query"),
        adapter + "position_table": Origin(pool + "pos_embed"),
        adapter + "query_norm.{kind}": Origin(pool + "ln_q.{kind}"),
        adapter + "kv_proj.weight": Origin(pool + "kv_proj.weight"),
        adapter + "kv_norm.{kind}": Origin(pool + "ln_kv.{kind}"),
        adapter + "attention.out_proj.{kind}": Origin(pool + "attn.out_proj.{kind}"),
        adapter + "post_norm.{kind}": Origin("ln_post.{kind}"),
        adapter + "output_proj.weight": Origin("proj", torch.t),  # used as x @ proj
    }
    for part, name in enumerate(("q_proj", "k_proj", "v_proj")):
        table[layer + f"self_attn.{name}.{{kind}}"] = Origin(
            block + "attn.in_proj.{kind}", partial(take_head_third, part=part, num_heads=num_heads)
        )
        # nn.MultiheadAttention, unlike the blocks
        table[adapter + f"attention.{name}.{{kind}}"] = Origin(
            pool + "attn.in_proj_{kind}", partial(take_third, part=part)
        )
    return {f"model.{name}": Origin(f"transformer.visual.{origin.key}", origin.transform) for name, origin in table.items()}


def qwen_language_keys() -> KeyTable:
    """Qwen-7B as `Qwen2ForCausalLM`."""
    layer, block = "layers.{layer}.", "h.{layer}."
    table = {
        "embed_tokens.weight": Origin("wte.weight"),
        layer + "input_layernorm.weight": Origin(block + "ln_1.weight"),
        layer + "self_attn.o_proj.weight": Origin(block + "attn.c_proj.weight"),
        layer + "post_attention_layernorm.weight": Origin(block + "ln_2.weight"),
        layer + "mlp.up_proj.weight": Origin(block + "mlp.w1.weight"),
        layer + "mlp.gate_proj.weight": Origin(block + "mlp.w2.weight"),  # the side of the activation
        layer + "mlp.down_proj.weight": Origin(block + "mlp.c_proj.weight"),
        "norm.weight": Origin("ln_f.weight"),
    }
    for part, name in enumerate(("q_proj", "k_proj", "v_proj")):
        table[layer + f"self_attn.{name}.{{kind}}"] = Origin(
            block + "attn.c_attn.{kind}", partial(take_third, part=part)
        )
    keys = {
        f"model.language_model.{name}": Origin(f"transformer.{origin.key}", origin.transform)
        for name, origin in table.items()
    }
    return {**keys, "lm_head.weight": Origin("lm_head.weight")}


def look_up(table: KeyTable, names: Iterable[str]) -> dict[str, Origin]:
    """
    Origin of each of the names that the table knows.

    Args:
        table (`KeyTable`): patterns.
        names (`Iterable[str]`): keys of an FTFV model.
    """
    patterns = [
        (
            re.compile(
                re.escape(pattern)
                .replace(r"\{layer\}", r"(?P<layer>\d+)")
                .replace(r"\{kind\}", "(?P<kind>weight|bias)")
            ),
            origin,
        )
        for pattern, origin in table.items()
    ]
    found = {}
    for name in names:
        for pattern, origin in patterns:
            match = pattern.fullmatch(name)
            if match:
                found[name] = Origin(origin.key.format(**match.groupdict()), origin.transform)
    return found
