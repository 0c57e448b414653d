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
"""Writes a converted model as a folder that `from_pretrained` takes, and says what is in it."""

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from transformers import GenerationConfig
from transformers.dynamic_module_utils import custom_object_save

from ...modeling_ftfv.configuration_ftfv import FTFVConfig
from ...modeling_ftfv.modeling_ftfv import FTFVForConditionalGeneration
from ...processing.pipeline_ftfv import check_agreement
from ...processing.processing_ftfv import FTFVProcessor
from .shards import Piece, resumable_folder, split_into_shards, write_shards


PARTS = ("vision_tower", "temporal_encoding", "multi_modal_projector", "language_model", "lm_head")
LANGUAGE_PREFIXES = ("model.language_model.", "lm_head.")


def write_model_folder(
    output: Path,
    config: FTFVConfig,
    processor: FTFVProcessor,
    generation_config: GenerationConfig,
    pieces: list[Piece],
    max_shard_size: int,
    seed: int,
) -> dict[str, Any]:
    """
    Writes weights, config, processor and code.

    Args:
        output (`Path`): folder to write; it must not exist yet.
        config (`FTFVConfig`): its types are set here.
        processor (`FTFVProcessor`): that agrees with the config.
        generation_config (`GenerationConfig`): of the model.
        pieces (`list[Piece]`): every tensor of the model.
        max_shard_size (`int`): bytes of a file of weights.
        seed (`int`): of what is new among the pieces; another seed does not continue an unfinished conversion.

    Returns:
        `dict[str, Any]`: tensors, parameters, bytes and types of each part, and what to know about the result.

    Raises:
        FileExistsError: `output` exists, or an unfinished conversion of other inputs lies where it would be made.
        ValueError: config.json and processor_config.json disagree.
    """
    start = time.perf_counter()
    notes = _set_dtypes(config, pieces)
    shards = split_into_shards(pieces, max_shard_size)
    plan = {
        "config": config.to_json_string(),
        "seed": seed,
        "sources": _describe_files({piece.source for piece in pieces if piece.source}),
        "shards": {
            name: [[piece.name, piece.shape, str(piece.dtype)] for piece in shard] for name, shard in shards.items()
        },
    }
    with resumable_folder(output, plan) as folder:
        _save_settings(folder, config, processor, generation_config)
        write_shards(folder, shards)
    return {
        "output": str(output),
        "parts": _describe_parts(pieces),
        "num_parameters": sum(piece.num_elements for piece in pieces),
        "bytes": sum(piece.num_bytes for piece in pieces),
        "files": list(shards),
        "dtype": str(config.dtype).removeprefix("torch."),
        "image_token_id": config.image_token_id,
        "video_token_id": config.video_token_id,
        "vocabulary_size": config.text_config.vocab_size,
        "seconds": time.perf_counter() - start,
        "notes": notes,
    }


def _set_dtypes(config: FTFVConfig, pieces: Iterable[Piece]) -> list[str]:
    """Writes types into the config, and says when one of them is not the type of all weights."""
    found: dict[str, torch.dtype] = {}
    for piece in pieces:
        part = "text" if piece.name.startswith(LANGUAGE_PREFIXES) else "vision"
        if piece.dtype.is_floating_point:
            found[part] = torch.promote_types(found.get(part, piece.dtype), piece.dtype)
    config.vision_config.dtype = config.adapter_config.dtype = found["vision"]
    config.text_config.dtype = found["text"]
    config.dtype = torch.promote_types(found["vision"], found["text"])
    if found["vision"] == found["text"]:
        return []
    names = [str(dtype).removeprefix("torch.") for dtype in (found["vision"], found["text"], config.dtype)]
    return [
        f"The vision part is {names[0]} and the language model {names[1]}. `from_pretrained` makes both {names[2]}, "
        f"which holds either exactly, unless it is given a `dtype`; --dtype bfloat16 converts them to one type."
    ]


def _describe_files(paths: Iterable[str]) -> list[list[Any]]:
    """Names, sizes and times of the inputs: when they change, a conversion is not continued."""
    files = sorted(Path(path) for path in paths)
    return [[path.name, path.stat().st_size, path.stat().st_mtime_ns] for path in files]


def _save_settings(
    folder: Path, config: FTFVConfig, processor: FTFVProcessor, generation_config: GenerationConfig
) -> None:
    """All files but the weights, as `save_pretrained` of model and processor would write them."""
    config.architectures = [FTFVForConditionalGeneration.__name__]
    if FTFVForConditionalGeneration.is_remote_code():
        with torch.device("meta"):
            custom_object_save(FTFVForConditionalGeneration(config), folder, config=config)
    config.save_pretrained(folder)
    generation_config.save_pretrained(folder)
    processor.save_pretrained(folder)
    check_agreement(FTFVConfig.from_pretrained(folder), FTFVProcessor.from_pretrained(folder))


def _describe_parts(pieces: Iterable[Piece]) -> dict[str, dict[str, Any]]:
    parts: dict[str, dict[str, Any]] = {
        part: {"tensors": 0, "parameters": 0, "bytes": 0, "dtypes": []} for part in PARTS
    }
    for piece in pieces:
        entry = parts[piece.name.removeprefix("model.").split(".")[0]]
        entry["tensors"] += 1
        entry["parameters"] += piece.num_elements
        entry["bytes"] += piece.num_bytes
        dtype = str(piece.dtype).removeprefix("torch.")
        if dtype not in entry["dtypes"]:
            entry["dtypes"].append(dtype)
    return {part: entry for part, entry in parts.items() if entry["tensors"]}  # a tied head has none
