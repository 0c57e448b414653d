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
"""What the folders of a vision model and a causal language model of transformers say besides their weights."""

import json
from pathlib import Path
from typing import Any

from transformers import AutoConfig, AutoTokenizer, GenerationConfig, PreTrainedConfig, PreTrainedTokenizerBase

from ...modeling_ftfv.configuration_ftfv import FTFVVisionConfig
from .new_tokens import padded_vocabulary_size


# Of preprocessor_config.json; frames are made square by stretching, whatever the original did.
IMAGE_SETTINGS = ("image_mean", "image_std", "resample", "do_rescale", "rescale_factor", "do_normalize")
NEW_TOKENS = {"image_token": "<image>", "video_token": "<video>"}


def read_vision_config(folder: Path) -> PreTrainedConfig:
    """
    Config of the vision model in a folder; of CLIP and the like, that of the vision tower.

    Raises:
        ValueError: it is no vision model of square patches.
    """
    config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    config = getattr(config, "vision_config", config)
    for name in ("hidden_size", "image_size", "patch_size"):
        if not isinstance(getattr(config, name, None), int):
            raise ValueError(
                f"`{name}` of the {config.model_type!r} model in {str(folder)!r} is {getattr(config, name, None)}; "
                "expected a number, as of a vision transformer that cuts a square image into square patches."
            )
    return config


def read_image_settings(folder: Path, config: PreTrainedConfig) -> dict[str, Any]:
    """
    Normalisation that a vision model was trained with, as settings of an image processor.

    Raises:
        FileNotFoundError: the folder has no preprocessor_config.json.
        ValueError: the file lacks `image_mean` or `image_std`.
    """
    if config.model_type == FTFVVisionConfig.model_type:
        return {}
    path = folder / "preprocessor_config.json"
    if not path.is_file():
        raise FileNotFoundError(
            f"No preprocessor_config.json in {str(folder)!r}; expected it with the `image_mean` and `image_std` that "
            "the vision model was trained with."
        )
    settings = json.loads(path.read_text())
    for name in ("image_mean", "image_std"):
        if name not in settings:
            raise ValueError(f"{str(path)!r} has no `{name}`; write the one that the vision model was trained with.")
    return {name: settings[name] for name in IMAGE_SETTINGS if name in settings}


def read_language_model(folder: Path) -> tuple[PreTrainedTokenizerBase, PreTrainedConfig, PreTrainedConfig]:
    """
    Tokenizer with the tokens `<image>` and `<video>`, the config with rows for them, and the config as it was.

    Raises:
        ValueError: the tokenizer cannot be read.
    """
    config, old_config = (AutoConfig.from_pretrained(folder, trust_remote_code=False) for _ in range(2))
    try:
        # padded on the left, as batches are generated from
        tokenizer = AutoTokenizer.from_pretrained(
            folder, extra_special_tokens=NEW_TOKENS, padding_side="left", trust_remote_code=False
        )
    except Exception as error:  # whichever library reads it fails in its own way
        reason = " ".join(str(error).split())[:200]
        raise ValueError(
            f"The tokenizer in {str(folder)!r} cannot be read: {reason}. A folder with tokenizer.model but no "
            "tokenizer.json, such as Vicuna's, needs `pip install sentencepiece protobuf`."
        ) from error
    if tokenizer.pad_token is None:
        tokenizer.add_special_tokens({"pad_token": "<pad>"})
    config.vocab_size = padded_vocabulary_size(config.vocab_size, len(tokenizer))
    return tokenizer, config, old_config


def read_generation_config(folder: Path, tokenizer: PreTrainedTokenizerBase) -> GenerationConfig:
    """That of a language model, without settings that would have no effect or that suit text alone."""
    path = folder / "generation_config.json"
    settings = json.loads(path.read_text()) if path.is_file() else {}
    names = ["bos_token_id", "eos_token_id"]
    if settings.get("do_sample"):
        names += ["do_sample", "temperature", "top_p", "top_k"]
    defaults = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    return GenerationConfig(
        **{**defaults, **{name: settings[name] for name in names if settings.get(name) is not None}},
        pad_token_id=tokenizer.pad_token_id,
    )
