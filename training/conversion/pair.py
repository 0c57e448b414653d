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
Joins a small vision tower and language model in memory, and makes what any joined model has: a processor and a new
adapter.
"""

from pathlib import Path
from typing import Any

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
    image_token_id, video_token_id = read_media_token_ids(tokenizer)
    vision_tower = AutoModel.from_pretrained(vision_folder, dtype=torch.float32)
    language_model = AutoModelForCausalLM.from_pretrained(language_folder, dtype=torch.float32)
    # Where the parts lay on this machine is nobody's business, and would be saved.
    vision_tower.config.name_or_path = language_model.config.name_or_path = ""
    config = FTFVConfig(
        vision_config=vision_tower.config.to_dict(),
        text_config=language_model.config.to_dict(),
        adapter_config={"num_query_tokens": num_query_tokens, "num_attention_heads": num_attention_heads},
        image_token_id=image_token_id,
        video_token_id=video_token_id,
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

    return model, build_processor(config, tokenizer, chat_template)


def read_media_token_ids(tokenizer: PreTrainedTokenizerBase) -> tuple[int, int]:
    """
    Ids of the tokens that stand for images and videos, `<image>` and `<video>` unless the tokenizer names others.

    Raises:
        ValueError: the tokenizer lacks one of them.
    """
    token_ids = []
    for modality in ("image", "video"):
        token = getattr(tokenizer, f"{modality}_token", f"<{modality}>")
        token_id = tokenizer.convert_tokens_to_ids(token)
        if token_id in (None, tokenizer.unk_token_id):
            raise ValueError(f"The tokenizer does not know {token!r}; expected it as a special token. Add it first.")
        token_ids.append(token_id)
    return token_ids[0], token_ids[1]


def build_processor(
    config: FTFVConfig, tokenizer: PreTrainedTokenizerBase, chat_template: str, **image_settings: Any
) -> FTFVProcessor:
    """
    The processor that agrees with a config.

    Args:
        config (`FTFVConfig`): of the model.
        tokenizer (`PreTrainedTokenizerBase`): of the language model, with the media tokens.
        chat_template (`str`): Jinja template.
        image_settings: of the image and the video processor, such as `image_mean`; CLIP's normalisation by default.
    """
    image_settings["size"] = {"height": config.vision_config.image_size, "width": config.vision_config.image_size}
    return FTFVProcessor(
        FTFVImageProcessor(**image_settings),
        FTFVVideoProcessor(
            tokens_per_frame=config.tokens_per_frame, max_num_frames=config.num_frames, **image_settings
        ),
        tokenizer,
        chat_template=chat_template,
        num_query_tokens=config.adapter_config.num_query_tokens,
        sample_images=config.sample_images,
    )


def read_chat_template(name: str) -> str:
    """
    A chat template of ours: `"vicuna"`, `"chatml"`, which Qwen uses, or `"plain"`, Vicuna's without a system sentence.

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


@torch.no_grad()
def initialize_adapter(adapter: FTFVAdapter, seed: int) -> None:
    """
    Initialises an adapter as Qwen-VL's code does when it trains from scratch: narrow normal distributions, but
    attention's inputs uniform after Glorot as in `nn.MultiheadAttention`, whose three projections are one matrix.

    Args:
        adapter (`FTFVAdapter`): changed in place.
        seed (`int`): the same gives the same weights.
    """
    generator = torch.Generator().manual_seed(seed)
    width = adapter.config.hidden_size
    for parameter in (adapter.query_tokens, adapter.kv_proj.weight, adapter.attention.out_proj.weight):
        nn.init.trunc_normal_(parameter, std=adapter.config.initializer_range, generator=generator)
    bound = (6 / (width + 3 * width)) ** 0.5
    for name in ("q_proj", "k_proj", "v_proj"):
        nn.init.uniform_(getattr(adapter.attention, name).weight, -bound, bound, generator=generator)
    nn.init.normal_(adapter.output_proj.weight, std=width**-0.5, generator=generator)
