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
"""Joins a vision tower and a language model into an FTFV whose adapter is new."""

from pathlib import Path

import torch
from torch import nn
from transformers import AutoModel, AutoModelForCausalLM, PreTrainedTokenizerBase

from ...modeling_ftfv.configuration_ftfv import FTFVConfig
from ...modeling_ftfv.modeling_ftfv import FTFVAdapter, FTFVForConditionalGeneration
from ...processing import processing_ftfv
from ...processing.image_processing_ftfv import FTFVImageProcessor
from ...processing.processing_ftfv import FTFVProcessor
from ...processing.video_processing_ftfv import FTFVVideoProcessor


TEMPLATES = Path(processing_ftfv.__file__).parent / "templates"


def join(
    vision_folder: str | Path,
    language_folder: str | Path,
    tokenizer: PreTrainedTokenizerBase,
    *,
    chat_template: str,
    num_query_tokens: int,
    num_attention_heads: int,
    tokens_per_frame: int,
    seed: int = 0,
) -> tuple[FTFVForConditionalGeneration, FTFVProcessor]:
    """
    Builds model and processor; tower and language model keep their weights, E is zero.

    Args:
        vision_folder (`str` or `Path`): vision model, loaded by `AutoModel`.
        language_folder (`str` or `Path`): causal language model.
        tokenizer (`PreTrainedTokenizerBase`): tokenizer of the language model, which knows `<image>` and `<video>`.
        chat_template (`str`): Jinja template with `{% generation %}` markers.
        num_query_tokens (`int`): number N of queries of the adapter.
        num_attention_heads (`int`): heads of the adapter.
        tokens_per_frame (`int`): tokens K that a video frame keeps.
        seed (`int`, *optional*, defaults to 0): of the adapter's weights.

    Raises:
        ValueError: the tokenizer lacks `<image>` or `<video>`, or the sizes do not fit together.
    """
    token_ids = {}
    for token in ("<image>", "<video>"):
        token_ids[token] = tokenizer.convert_tokens_to_ids(token)
        if token_ids[token] in (None, tokenizer.unk_token_id):
            raise ValueError(f"The tokenizer does not know {token!r}; expected it as a special token. Add it first.")
    vision_tower = AutoModel.from_pretrained(vision_folder, dtype=torch.float32)
    language_model = AutoModelForCausalLM.from_pretrained(language_folder, dtype=torch.float32)
    # Where the parts lay on this machine is nobody's business, and would be saved.
    vision_tower.config.name_or_path = language_model.config.name_or_path = ""
    config = FTFVConfig(
        vision_config=vision_tower.config.to_dict(),
        text_config=language_model.config.to_dict(),
        adapter_config={"num_query_tokens": num_query_tokens, "num_attention_heads": num_attention_heads},
        image_token_id=token_ids["<image>"],
        video_token_id=token_ids["<video>"],
        tokens_per_frame=tokens_per_frame,
        tie_word_embeddings=language_model.config.tie_word_embeddings,
    )
    torch.manual_seed(seed)
    model = FTFVForConditionalGeneration(config)
    model.model.vision_tower.load_state_dict(vision_tower.state_dict())
    model.model.language_model.load_state_dict(language_model.model.state_dict())
    model.lm_head.load_state_dict(language_model.lm_head.state_dict())
    sharpen_attention(model.model.multi_modal_projector)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.generation_config.bos_token_id = tokenizer.bos_token_id

    size = {"height": config.vision_config.image_size, "width": config.vision_config.image_size}
    processor = FTFVProcessor(
        FTFVImageProcessor(size=size),
        FTFVVideoProcessor(size=size, tokens_per_frame=tokens_per_frame, max_num_frames=config.num_frames),
        tokenizer,
        chat_template=chat_template,
        num_query_tokens=num_query_tokens,
    )
    return model, processor


def read_chat_template(name: str) -> str:
    """
    A chat template of ours: `"vicuna"`, or `"plain"`, which is the same without a system sentence.

    Raises:
        FileNotFoundError: there is no such template.
    """
    return (TEMPLATES / f"{name}.jinja").read_text()


@torch.no_grad()
def sharpen_attention(adapter: FTFVAdapter, gain: float = 1.5) -> None:
    """
    Lets every query of a new adapter look at its own place of the grid: queries and keys, which carry the same
    positions, get the same orthogonal projection. The usual initialisation attends to all patches alike, and learns
    slowly from there.

    Args:
        adapter (`FTFVAdapter`): changed in place.
        gain (`float`, *optional*, defaults to 1.5): scale of the projection; larger attends to fewer patches.
    """
    nn.init.orthogonal_(adapter.attention.q_proj.weight, gain=gain)
    adapter.attention.k_proj.weight.copy_(adapter.attention.q_proj.weight)
