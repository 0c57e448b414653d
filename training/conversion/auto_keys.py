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
"""How the keys of a vision model or causal language model of transformers correspond to those of FTFV."""

import re
from functools import partial

import torch
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel
from transformers.conversion_mapping import get_model_conversion_mapping
from transformers.core_model_loading import WeightConverter, WeightRenaming, apply_renamings, rename_source_key

from .checkpoint import Checkpoint
from .mapping import Origin, Transform
from .new_tokens import grow_rows


# Buffers that transformers stopped saving; their numbers follow from the config.
FORMER_BUFFERS = (r"rotary_emb\.inv_freq$", r"(^|\.)position_ids$")
# A vision tower inside a model of images and text, such as CLIP and SigLIP
TOWER_PREFIX = "vision_model."


def find_vision_origins(checkpoint: Checkpoint, config: PreTrainedConfig) -> list[Origin]:
    """
    Where the tensors of `model.vision_tower` come from.

    Raises:
        ValueError: the checkpoint holds a key too many, too few, or of another shape.
    """
    with torch.device("meta"):
        model = AutoModel.from_config(config)
    keys = list(checkpoint)
    whole_config = AutoConfig.from_pretrained(checkpoint.folder, trust_remote_code=False)
    if whole_config.model_type != config.model_type:
        keys = [key for key in keys if key.startswith(TOWER_PREFIX)]
    prefix = "model.vision_tower."
    return [
        Origin(origin.key, prefix + origin.name, prefix + origin.target)
        for origin in _find_origins(checkpoint, keys, model)
    ]


def find_language_origins(
    checkpoint: Checkpoint, config: PreTrainedConfig, vocabulary_size: int, seed: int
) -> list[Origin]:
    """
    Where the tensors of `model.language_model` and `lm_head` come from.

    Args:
        checkpoint (`Checkpoint`): of a causal language model.
        config (`PreTrainedConfig`): its config.
        vocabulary_size (`int`): rows that the embedding and the output matrix grow to.
        seed (`int`): of the new rows.

    Raises:
        ValueError: the checkpoint holds a key too many, too few, of another shape, or one that FTFV has no place for.
    """
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    names = {module: name for name, module in model.named_modules()}
    embedding, head = (
        f"{names[module]}.weight" for module in (model.get_input_embeddings(), model.get_output_embeddings())
    )
    grow: dict[str, Transform] = {}
    if vocabulary_size > config.vocab_size:
        grow = {
            name: partial(grow_rows, num_rows=vocabulary_size, seed=seed + offset)
            for offset, name in enumerate((embedding, head))
        }
    base, prefix = f"{model.base_model_prefix}.", "model.language_model."
    origins = []
    for origin in _find_origins(checkpoint, list(checkpoint), model):
        if origin.target == head:
            origins.append(Origin(origin.key, "lm_head.weight", "lm_head.weight", grow.get(head)))
        elif origin.target.startswith(base):
            name, target = (prefix + text.removeprefix(base) for text in (origin.name, origin.target))
            origins.append(Origin(origin.key, name, target, grow.get(origin.target)))
        else:
            raise ValueError(
                f"{str(checkpoint.folder)!r} holds {origin.key!r}, for which FTFV has no place: it takes a language "
                "model and an output matrix without bias."
            )
    return origins


def _find_origins(checkpoint: Checkpoint, keys: list[str], model: PreTrainedModel) -> list[Origin]:
    """Where the tensors of a model of transformers come from, keys renamed as while it loads."""
    transforms = get_model_conversion_mapping(model)
    renamings = [transform for transform in transforms if isinstance(transform, WeightRenaming)]
    converters = [transform for transform in transforms if isinstance(transform, WeightConverter)]
    state_dict, prefix = model.state_dict(), model.base_model_prefix
    ignored = re.compile("|".join([*FORMER_BUFFERS, *(model._keys_to_ignore_on_load_unexpected or ())]))
    tied = set(model.all_tied_weights_keys)
    folder, name = str(checkpoint.folder), type(model).__name__
    origins = []
    for key in keys:
        target, fused = rename_source_key(key, renamings, converters, prefix, state_dict)
        if target in state_dict:
            expected, found = tuple(state_dict[target].shape), tuple(checkpoint.meta(key).shape)
            if not fused and expected != found:
                raise ValueError(
                    f"{key!r} in {folder!r} has shape {found}; expected {expected} in a {name} of this config.json. "
                    "Do config.json and weights belong together?"
                )
            if target not in tied:
                origins.append(Origin(key, apply_renamings(key, renamings) if fused else target, target))
        elif not ignored.search(key):
            raise ValueError(
                f"{folder!r} holds {key!r}, which a {name} does not have. Save the model alone: "
                f"`{name}.from_pretrained(...).save_pretrained(...)`."
            )
    missing = sorted(set(state_dict) - tied - {origin.target for origin in origins})
    if missing:
        raise ValueError(
            f"{folder!r} lacks {missing[0]!r}, which a {name} has. Is the download complete, and of such a model?"
        )
    return origins
