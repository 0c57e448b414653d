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
"""Qwen-VL's config.json as configs of FTFV's parts, its language model as Qwen2."""

import json
from pathlib import Path
from typing import Any

from transformers import GenerationConfig, Qwen2Config

from ...modeling_ftfv.configuration_ftfv import FTFVAdapterConfig, FTFVVisionConfig


# The position tables of the tower are for 224 pixels, whatever size the model sees.
NUM_POSITION_EMBEDDINGS = 256
# The adapter's heads are this wide at any size; how many queries there are is not in config.json either.
ADAPTER_HEAD_DIM = 128
NUM_QUERY_TOKENS = 256
# What Qwen2 computes, too; another value would be another model.
REQUIRED = {"no_bias": True, "rotary_pct": 1.0, "scale_attn_weights": True, "tie_word_embeddings": False}
# Generation stops at the end of a turn, at the beginning of another, and at the end of the text.
STOP_TOKENS = ("<|im_end|>", "<|im_start|>", "<|endoftext|>")


def read_qwen_vl_config(folder: Path) -> dict[str, Any] | None:
    """
    The config.json of Qwen-VL or Qwen-VL-Chat, or None when it is of another model.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is no JSON.
    """
    path = folder / "config.json"
    if not path.is_file():
        raise FileNotFoundError(f"No config.json in {str(folder)!r}; expected the folder of a model.")
    try:
        config = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{str(path)!r} is no JSON ({error}); download it again.") from error
    return config if isinstance(config.get("visual"), dict) else None


def build_vision_config(config: dict[str, Any]) -> FTFVVisionConfig:
    """The vision tower of a Qwen-VL config."""
    visual = config["visual"]
    return FTFVVisionConfig(
        hidden_size=visual["width"],
        intermediate_size=int(visual["width"] * visual["mlp_ratio"]),
        num_hidden_layers=visual["layers"],
        num_attention_heads=visual["heads"],
        image_size=visual["image_size"],
        patch_size=visual["patch_size"],
        num_position_embeddings=NUM_POSITION_EMBEDDINGS,
    )


def build_adapter_config(config: dict[str, Any]) -> FTFVAdapterConfig:
    """The adapter of a Qwen-VL config."""
    visual = config["visual"]
    return FTFVAdapterConfig(
        num_query_tokens=visual.get("n_queries", NUM_QUERY_TOKENS),
        num_attention_heads=visual["output_dim"] // ADAPTER_HEAD_DIM,
        hidden_size=visual["output_dim"],
        vision_hidden_size=visual["width"],
    )


def build_text_config(config: dict[str, Any]) -> Qwen2Config:
    """
    The language model of a Qwen-VL config as Qwen2.

    `max_position_embeddings` is 2048: for longer prompts the original stretches its rotary base (NTK) and scales its
    queries (logn), which Qwen2 does not.

    Raises:
        ValueError: the config asks for something that Qwen2 does not compute.
    """
    for name, value in REQUIRED.items():
        if config.get(name, value) != value:
            raise ValueError(f"`{name}` of config.json is {config[name]}; expected {value}, as in Qwen-VL.")
    if config["kv_channels"] * config["num_attention_heads"] != config["hidden_size"]:
        raise ValueError(
            f"`kv_channels` of config.json is {config['kv_channels']}; expected `hidden_size` "
            f"({config['hidden_size']}) / `num_attention_heads` ({config['num_attention_heads']}), as in Qwen-VL."
        )
    stretched = config.get("use_dynamic_ntk", True) or config.get("use_logn_attn", True)
    return Qwen2Config(
        vocab_size=config["vocab_size"],
        hidden_size=config["hidden_size"],
        intermediate_size=config["intermediate_size"] // 2,  # that of both halves in the original
        num_hidden_layers=config["num_hidden_layers"],
        num_attention_heads=config["num_attention_heads"],
        num_key_value_heads=config["num_attention_heads"],
        rms_norm_eps=config["layer_norm_epsilon"],
        max_position_embeddings=config["seq_length"] if stretched else config["max_position_embeddings"],
        rope_parameters={"rope_type": "default", "rope_theta": float(config["rotary_emb_base"])},
        use_sliding_window=False,
        tie_word_embeddings=False,
    )


def build_generation_config(folder: Path, tokenizer: Any) -> GenerationConfig:
    """
    How Qwen-VL generates: what its generation_config.json says of sampling and length, and the tokens it stops at.

    Args:
        folder (`Path`): of the original; without generation_config.json, generation is greedy.
        tokenizer (`PreTrainedTokenizerBase`): the converted one.
    """
    path = folder / "generation_config.json"
    settings = json.loads(path.read_text()) if path.is_file() else {}
    names = ("do_sample", "top_k", "top_p", "max_new_tokens", "repetition_penalty")
    return GenerationConfig(
        **{name: settings[name] for name in names if name in settings},
        eos_token_id=tokenizer.convert_tokens_to_ids(list(STOP_TOKENS)),
        pad_token_id=tokenizer.pad_token_id,
    )
