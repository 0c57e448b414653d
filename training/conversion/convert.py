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
Converts public checkpoints into FTFV folders, tensor by tensor: Qwen-VL whole, Qwen-VL's eyes with another language
model (the paper's start), or any vision transformer with any causal language model and a new adapter.
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedConfig, PreTrainedTokenizerBase

from ...modeling_ftfv.configuration_ftfv import FTFVConfig
from ...modeling_ftfv.modeling_ftfv import FTFVAdapter, FTFVForConditionalGeneration
from ...modeling_ftfv.sampler_ftfv import FTFVTokenSampler
from .auto_config import read_generation_config, read_image_settings, read_language_model, read_vision_config
from .auto_keys import find_language_origins, find_vision_origins
from .checkpoint import Checkpoint
from .mapping import Origin, cast, plan_pieces
from .output_folder import write_model_folder
from .pair import build_processor, initialize_adapter, read_chat_template, read_media_token_ids
from .qwen_tokenizer import convert_qwen_tokenizer
from .qwen_vl_config import (
    ADAPTER_HEAD_DIM,
    build_adapter_config,
    build_generation_config,
    build_text_config,
    build_vision_config,
    read_qwen_vl_config,
)
from .qwen_vl_keys import VISUAL_PREFIX, check_all_used, find_origins, language_keys, vision_keys
from .shards import Piece


TEMPORAL_ENCODING = "model.temporal_encoding.weight"
ADAPTER_PREFIX = "model.multi_modal_projector."


@dataclass(frozen=True)
class ConversionOptions:
    """What the caller may choose in every conversion."""

    dtype: torch.dtype | None = None
    """Type of all weights; each part keeps its own when None."""
    tokens_per_frame: int | None = None
    """Tokens K that a video frame costs; half of the adapter's queries when None, 128 of 256."""
    num_frames: int = 8
    """Rows of the temporal encoding, and frames that the processor takes of a video."""
    max_shard_size: int = 5_000_000_000
    """Bytes of a file of weights."""
    seed: int = 0
    """Of everything that is new: rows of added tokens, and the adapter of a pair."""


def convert_qwen_vl(
    folder: str | Path, output: str | Path, options: ConversionOptions | None = None
) -> dict[str, Any]:
    """
    Converts Qwen-VL or Qwen-VL-Chat whole: an image model that answers at once, its language model as Qwen2. Prompts
    of more than 2048 tokens are refused by the processor, because Qwen2 does not compute them as Qwen does.

    Args:
        folder (`str` or `Path`): the original, with config.json, qwen.tiktoken and weights.
        output (`str` or `Path`): folder to write; it must not exist yet. It appears when it is complete; until then
            there is one with ".incomplete" behind its name, with which the same call continues.
        options (`ConversionOptions`, *optional*): what may be chosen.

    Returns:
        `dict[str, Any]`: tensors, parameters, bytes and types of each part, and what to know about the result.

    Raises:
        FileNotFoundError: a file is not there.
        FileExistsError: `output` exists, or what an earlier run left behind is of other inputs.
        ValueError: the checkpoint is not Qwen-VL: a key is missing, too many, or of another shape.
    """
    folder, options = Path(folder), options or ConversionOptions()
    qwen = _require_qwen_vl(folder)
    checkpoint = Checkpoint(folder)
    tokenizer = convert_qwen_tokenizer(folder)
    text_config = build_text_config(qwen)
    tokenizer.model_max_length = text_config.max_position_embeddings
    config = _build_config(
        build_vision_config(qwen), build_adapter_config(qwen).to_dict(), text_config, tokenizer, options
    )
    expected_id = qwen["visual"]["image_start_id"] + 2
    if config.image_token_id != expected_id:
        raise ValueError(
            f"The tokenizer's image token is {config.image_token_id}; expected {expected_id}, <imgpad> of config.json."
        )

    expected = _expected_tensors(config)
    origins = find_origins(checkpoint, {**vision_keys(qwen["visual"]["heads"]), **language_keys()}, expected)
    check_all_used(checkpoint, origins)
    return write_model_folder(
        Path(output),
        config,
        build_processor(config, tokenizer, read_chat_template("chatml")),
        build_generation_config(folder, tokenizer),
        _plan(expected, [(checkpoint, origins)], {}, options),
        options.max_shard_size,
        options.seed,
    )


def convert_paper_start(
    vision_folder: str | Path,
    language_folder: str | Path,
    output: str | Path,
    options: ConversionOptions | None = None,
    chat_template: str = "vicuna",
) -> dict[str, Any]:
    """
    Where the paper starts from: tower and adapter of Qwen-VL, the language model of another checkpoint (Vicuna-7B), a
    temporal encoding of zeros, and rows for the tokens `<image>` and `<video>`.

    Args:
        vision_folder (`str` or `Path`): Qwen-VL or Qwen-VL-Chat; its language model is not read.
        language_folder (`str` or `Path`): causal language model as wide as Qwen-VL's adapter, 4096, with tokenizer.
        output, options: as of [`convert_qwen_vl`].
        chat_template (`str`, *optional*, defaults to `"vicuna"`): name of a template of ours.

    Returns:
        `dict[str, Any]`: as [`convert_qwen_vl`].

    Raises:
        FileNotFoundError, FileExistsError, ValueError: as [`convert_qwen_vl`]; also when the widths differ.
    """
    vision_folder, language_folder = Path(vision_folder), Path(language_folder)
    options = options or ConversionOptions()
    qwen = _require_qwen_vl(vision_folder)
    vision, language = Checkpoint(vision_folder), Checkpoint(language_folder)
    tokenizer, text_config, old_text_config = read_language_model(language_folder)
    adapter_config = build_adapter_config(qwen)
    if adapter_config.hidden_size != text_config.hidden_size:
        raise ValueError(
            f"The adapter in {str(vision_folder)!r} is {adapter_config.hidden_size} wide but the language model in "
            f"{str(language_folder)!r} is {text_config.hidden_size}; expected the same, as of Vicuna-7B."
        )
    config = _build_config(build_vision_config(qwen), adapter_config.to_dict(), text_config, tokenizer, options)

    expected = _expected_tensors(config)
    vision_origins = find_origins(vision, vision_keys(qwen["visual"]["heads"]), expected)
    check_all_used(vision, vision_origins, VISUAL_PREFIX)
    language_origins = find_language_origins(language, old_text_config, text_config.vocab_size, options.seed)
    return write_model_folder(
        Path(output),
        config,
        build_processor(config, tokenizer, read_chat_template(chat_template)),
        read_generation_config(language_folder, tokenizer),
        _plan(expected, [(vision, vision_origins), (language, language_origins)], {}, options),
        options.max_shard_size,
        options.seed,
    )


def convert_pair(
    vision_folder: str | Path,
    language_folder: str | Path,
    output: str | Path,
    options: ConversionOptions | None = None,
    chat_template: str = "vicuna",
    num_query_tokens: int = 256,
    num_attention_heads: int | None = None,
) -> dict[str, Any]:
    """
    Joins any vision transformer with any causal language model. The adapter is new, initialised as Qwen-VL's is before
    training, and has to be trained.

    Args:
        vision_folder (`str` or `Path`): vision model of transformers that yields patch tokens, with
            preprocessor_config.json; of CLIP and the like, the vision tower is taken.
        language_folder (`str` or `Path`): causal language model with tokenizer.
        output, options: as of [`convert_qwen_vl`].
        chat_template (`str`, *optional*, defaults to `"vicuna"`): name of a template of ours.
        num_query_tokens (`int`, *optional*, defaults to 256): queries N of the adapter.
        num_attention_heads (`int`, *optional*): heads of the adapter; as many as make them 128 wide when not given.

    Returns:
        `dict[str, Any]`: as [`convert_qwen_vl`].

    Raises:
        FileNotFoundError, FileExistsError, ValueError: as [`convert_qwen_vl`].
    """
    vision_folder, language_folder = Path(vision_folder), Path(language_folder)
    options = options or ConversionOptions()
    vision_config = read_vision_config(vision_folder)
    vision, language = Checkpoint(vision_folder), Checkpoint(language_folder)
    tokenizer, text_config, old_text_config = read_language_model(language_folder)
    width = text_config.hidden_size
    if num_attention_heads is None:
        if width % ADAPTER_HEAD_DIM:
            raise ValueError(
                f"The language model is {width} wide, which cannot be cut into heads of {ADAPTER_HEAD_DIM}; choose "
                "the number of heads with --num-attention-heads."
            )
        num_attention_heads = width // ADAPTER_HEAD_DIM
    adapter_config = {"num_query_tokens": num_query_tokens, "num_attention_heads": num_attention_heads}
    config = _build_config(vision_config, adapter_config, text_config, tokenizer, options)

    expected = _expected_tensors(config)
    vision_origins = find_vision_origins(vision, vision_config)
    language_origins = find_language_origins(language, old_text_config, text_config.vocab_size, options.seed)
    adapter = FTFVAdapter(config.adapter_config, FTFVTokenSampler(config))
    initialize_adapter(adapter, options.seed)
    new = {f"{ADAPTER_PREFIX}{name}": tensor for name, tensor in adapter.state_dict().items()}
    return write_model_folder(
        Path(output),
        config,
        build_processor(
            config,
            tokenizer,
            read_chat_template(chat_template),
            **read_image_settings(vision_folder, vision_config),
        ),
        read_generation_config(language_folder, tokenizer),
        _plan(expected, [(vision, vision_origins), (language, language_origins)], new, options),
        options.max_shard_size,
        options.seed,
    )


def _require_qwen_vl(folder: Path) -> dict[str, Any]:
    qwen = read_qwen_vl_config(folder)
    if qwen is None:
        raise ValueError(
            f"The config.json in {str(folder)!r} has no `visual`; expected Qwen-VL or Qwen-VL-Chat, the "
            "first ones, of 2023."
        )
    return qwen


def _build_config(
    vision_config: PreTrainedConfig,
    adapter_config: dict[str, Any],
    text_config: PreTrainedConfig,
    tokenizer: PreTrainedTokenizerBase,
    options: ConversionOptions,
) -> FTFVConfig:
    # Where the parts lay on this machine is nobody's business, and would be saved.
    vision_config.name_or_path = text_config.name_or_path = ""
    image_token_id, video_token_id = read_media_token_ids(tokenizer)
    num_query_tokens = adapter_config["num_query_tokens"]
    tokens_per_frame = options.tokens_per_frame
    return FTFVConfig(
        vision_config=vision_config.to_dict(),
        adapter_config=adapter_config,
        text_config=text_config.to_dict(),
        image_token_id=image_token_id,
        video_token_id=video_token_id,
        num_frames=options.num_frames,
        tokens_per_frame=max(1, num_query_tokens // 2) if tokens_per_frame is None else tokens_per_frame,
        tie_word_embeddings=bool(text_config.tie_word_embeddings),
    )


def _expected_tensors(config: FTFVConfig) -> dict[str, torch.Tensor]:
    """State dict of the model on the `meta` device, without what is tied."""
    try:
        with torch.device("meta"):
            model = FTFVForConditionalGeneration(config)
    except AttributeError as error:
        if not config.tie_word_embeddings or "embed_tokens" not in str(error):
            raise
        raise ValueError(
            f"The {config.text_config.model_type!r} language model shares its embedding with its output matrix under "
            "another name than `embed_tokens`, which FTFV cannot; choose a language model of the Llama or Qwen family."
        ) from error
    return {name: tensor for name, tensor in model.state_dict().items() if name not in model.all_tied_weights_keys}


def _plan(
    expected: dict[str, torch.Tensor],
    sources: list[tuple[Checkpoint, list[Origin]]],
    new: dict[str, torch.Tensor],
    options: ConversionOptions,
) -> list[Piece]:
    """
    All pieces of a model.

    Raises:
        ValueError: a tensor of the model would be left out or is planned twice.
    """
    pieces = []
    for checkpoint, origins in sources:
        pieces += plan_pieces(checkpoint, origins, expected, options.dtype)
    # In the type of the tower's output, which both of them take in.
    vision_dtype = next(piece.dtype for piece in pieces if piece.name.startswith("model.vision_tower."))
    new = {TEMPORAL_ENCODING: torch.zeros(expected[TEMPORAL_ENCODING].shape), **new}
    for name, tensor in new.items():
        tensor = cast(name, tensor, vision_dtype)
        pieces.append(Piece(name, tuple(tensor.shape), tensor.dtype, lambda tensor=tensor: tensor))

    targets = {origin.target for _, origins in sources for origin in origins} | set(new)
    missing = sorted(set(expected) - targets)
    if missing:
        raise ValueError(f"Nothing gives {missing[0]!r} of the model; expected the checkpoints to hold it.")
    twice = [name for name, count in Counter(piece.name for piece in pieces).items() if count > 1]
    if twice:
        raise ValueError(f"Several keys of the checkpoints give {twice[0]!r}; expected one.")
    return pieces
