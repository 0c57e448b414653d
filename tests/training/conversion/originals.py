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
"""Small checkpoints in the layout of others: Qwen-VL around golden or random weights, and models of transformers."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import CLIPVisionConfig, CLIPVisionModel, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from tests.tiny import ROOT, randomize


GOLDEN = ROOT / "tests/golden"
WORDS = ("<unk>", "<s>", "</s>", "user", "assistant", ":", "what", "moves", "?")


def read_golden(name: str) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Tensors and metadata of a golden file."""
    with safe_open(GOLDEN / f"{name}.safetensors", framework="pt") as file:
        metadata = {key: _parse(value) for key, value in file.metadata().items()}
        return {key: file.get_tensor(key) for key in file.keys()}, metadata


def _parse(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def build_qwen_vl(
    visual: dict[str, Any] | None = None, language: dict[str, Any] | None = None
) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """
    Config and random weights of a small Qwen-VL, written from the key list and shapes of the original.

    Args:
        visual: keys of its `visual` config to change.
        language: keys of its config to change.
    """
    config = {
        "model_type": "qwen",
        "vocab_size": 512,
        "hidden_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 80,
        "seq_length": 2048,
        "max_position_embeddings": 8192,
        "layer_norm_epsilon": 1e-6,
        "rotary_emb_base": 10000,
        "rotary_pct": 1.0,
        "no_bias": True,
        "use_dynamic_ntk": True,
        "use_logn_attn": True,
        "tie_word_embeddings": False,
        "scale_attn_weights": True,
        **(language or {}),
    }
    config.setdefault("kv_channels", config["hidden_size"] // config["num_attention_heads"])
    config["visual"] = {
        "width": 24,
        "layers": 2,
        "heads": 3,
        "mlp_ratio": 1.7,
        "image_size": 56,
        "patch_size": 14,
        "n_queries": 16,
        "output_dim": config["hidden_size"],
        "image_start_id": 500,
        **(visual or {}),
    }
    generator = torch.Generator().manual_seed(0)
    weights = {
        key: torch.randn(shape, generator=generator) * shape[-1] ** -0.5 + ("ln" in key and key.endswith("weight"))
        for key, shape in qwen_vl_shapes(config).items()
    }
    return config, weights


def qwen_vl_shapes(config: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """Every key of a Qwen-VL checkpoint and its shape."""
    visual = config["visual"]
    width, adapter, queries = visual["width"], visual["output_dim"], visual.get("n_queries", 256)
    mlp = int(width * visual["mlp_ratio"])
    shapes: dict[str, tuple[int, ...]] = {
        "conv1.weight": (width, 3, visual["patch_size"], visual["patch_size"]),
        "positional_embedding": (256, width),
        "proj": (adapter, adapter),
        "attn_pool.pos_embed": (queries, adapter),
        "attn_pool.query": (queries, adapter),
        "attn_pool.kv_proj.weight": (adapter, width),
        "attn_pool.attn.in_proj_weight": (3 * adapter, adapter),
        "attn_pool.attn.in_proj_bias": (3 * adapter,),
        "attn_pool.attn.out_proj.weight": (adapter, adapter),
        "attn_pool.attn.out_proj.bias": (adapter,),
    }
    norms = {"ln_pre": width, "attn_pool.ln_q": adapter, "attn_pool.ln_kv": adapter, "ln_post": adapter}
    for layer in range(visual["layers"]):
        block = f"transformer.resblocks.{layer}."
        norms[f"{block}ln_1"] = norms[f"{block}ln_2"] = width
        linears = {
            "attn.in_proj": (3 * width, width),
            "attn.out_proj": (width, width),
            "mlp.c_fc": (mlp, width),
            "mlp.c_proj": (width, mlp),
        }
        for name, shape in linears.items():
            shapes[f"{block}{name}.weight"], shapes[f"{block}{name}.bias"] = shape, shape[:1]
    for name, size in norms.items():
        shapes[f"{name}.weight"] = shapes[f"{name}.bias"] = (size,)
    shapes = {f"transformer.visual.{key}": shape for key, shape in shapes.items()}

    hidden, half = config["hidden_size"], config["intermediate_size"] // 2
    shapes["transformer.wte.weight"] = shapes["lm_head.weight"] = (config["vocab_size"], hidden)
    shapes["transformer.ln_f.weight"] = (hidden,)
    for layer in range(config["num_hidden_layers"]):
        block = f"transformer.h.{layer}."
        shapes[f"{block}ln_1.weight"] = shapes[f"{block}ln_2.weight"] = (hidden,)
        shapes[f"{block}attn.c_attn.weight"] = (3 * hidden, hidden)
        shapes[f"{block}attn.c_attn.bias"] = (3 * hidden,)
        shapes[f"{block}attn.c_proj.weight"] = (hidden, hidden)
        shapes[f"{block}mlp.w1.weight"] = shapes[f"{block}mlp.w2.weight"] = (half, hidden)
        shapes[f"{block}mlp.c_proj.weight"] = (hidden, half)
    return shapes


def save_checkpoint(
    folder: Path, config: dict[str, Any], weights: dict[str, torch.Tensor], form: str = "bin", num_shards: int = 3
) -> Path:
    """Writes config.json and weights as `.bin` or `.safetensors`, with an index when there are several shards."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    stem = "model" if form == "safetensors" else "pytorch_model"
    keys = list(weights)
    groups = [keys[start::num_shards] for start in range(num_shards)]
    names = [f"{stem}-{number + 1:05d}-of-{num_shards:05d}.{form}" for number in range(num_shards)]
    if num_shards == 1:
        names = [f"{stem}.{form}"]
    for name, group in zip(names, groups, strict=True):
        tensors = {key: weights[key].contiguous() for key in group}
        save_file(tensors, folder / name) if form == "safetensors" else torch.save(tensors, folder / name)
    if num_shards > 1:
        weight_map = {key: name for name, group in zip(names, groups, strict=True) for key in group}
        (folder / f"{stem}.{form}.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return folder


def build_word_tokenizer(words: tuple[str, ...] = WORDS, **settings: Any) -> PreTrainedTokenizerFast:
    """A word-level tokenizer that does not know the media tokens yet."""
    backend = Tokenizer(models.WordLevel({word: index for index, word in enumerate(words)}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        clean_up_tokenization_spaces=False,
        **settings,
    )


def build_original_qwen_tokenizer(folder: Path | None = None) -> PreTrainedTokenizerFast:
    """Stands in for the converted vocabulary of Qwen-VL: the tokens that the conversion asks for, at small ids."""
    words = ["<unk>", "<s>", "</s>", "<|endoftext|>", "<|im_start|>", "<|im_end|>", "user", "assistant"]
    words += [f"w{index}" for index in range(len(words), 502)] + ["<imgpad>", "<video>"]
    return build_word_tokenizer(
        tuple(words),
        pad_token="<|endoftext|>",
        extra_special_tokens={"image_token": "<imgpad>", "video_token": "<video>"},
    )


def save_language_model(folder: Path, **overrides: Any) -> Path:
    """A small Llama with as many rows as its tokenizer has words, as Vicuna's are."""
    options = {
        "vocab_size": len(WORDS),
        "hidden_size": 128,
        "intermediate_size": 56,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
    }
    model = LlamaForCausalLM(LlamaConfig(**{**options, **overrides}))
    randomize(model)
    model.save_pretrained(folder)
    build_word_tokenizer(pad_token="<unk>", model_max_length=512).save_pretrained(folder)
    return folder


def save_clip(folder: Path) -> Path:
    """A small CLIP vision model with its normalisation."""
    model = CLIPVisionModel(
        CLIPVisionConfig(
            hidden_size=24,
            intermediate_size=40,
            num_hidden_layers=2,
            num_attention_heads=3,
            image_size=42,
            patch_size=7,
        )
    )
    randomize(model)
    model.save_pretrained(folder)
    settings = {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.3, 0.4], "size": {"shortest_edge": 42}}
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    return folder
