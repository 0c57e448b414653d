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
"""The tiny FTFV that the common tests run against: what they cannot find out about a model by themselves."""

from pathlib import Path
from typing import Any

import torch
from tests.test_modeling_common import floats_tensor
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from ftfv import FTFVConfig


# The tests want at most 2 layers and a million parameters.
BATCH_SIZE, TEXT_LENGTH, VOCAB_SIZE = 3, 7, 99
HIDDEN_SIZE, NUM_LAYERS, NUM_HEADS, INTERMEDIATE_SIZE = 32, 2, 4, 37
IMAGE_SIZE, PATCH_SIZE, NUM_CHANNELS = 8, 4, 3
NUM_FRAMES, NUM_QUERIES, TOKENS_PER_FRAME = 2, 4, 2
PAD_TOKEN_ID, BOS_TOKEN_ID, EOS_TOKEN_ID, IMAGE_TOKEN_ID, VIDEO_TOKEN_ID = range(5)
FIRST_WORD_ID = 5

PROCESSED_SIZE = {"height": 20, "width": 20}
CHAT_TEMPLATE = Path(__file__).parents[2] / "processing" / "templates" / "plain.jinja"


def text_config() -> dict[str, Any]:
    return {
        "model_type": "llama",
        "vocab_size": VOCAB_SIZE,
        "hidden_size": HIDDEN_SIZE,
        "num_hidden_layers": NUM_LAYERS,
        "num_attention_heads": NUM_HEADS,
        "num_key_value_heads": NUM_HEADS,
        "intermediate_size": INTERMEDIATE_SIZE,
        "max_position_embeddings": 512,
        "pad_token_id": PAD_TOKEN_ID,
        "bos_token_id": BOS_TOKEN_ID,
        "eos_token_id": EOS_TOKEN_ID,
    }


def vision_config() -> dict[str, Any]:
    return {
        "model_type": "ftfv_vision_model",
        "hidden_size": HIDDEN_SIZE,
        "num_hidden_layers": NUM_LAYERS,
        "num_attention_heads": NUM_HEADS,
        "intermediate_size": INTERMEDIATE_SIZE,
        "image_size": IMAGE_SIZE,
        "patch_size": PATCH_SIZE,
        "num_channels": NUM_CHANNELS,
        "num_position_embeddings": (IMAGE_SIZE // PATCH_SIZE) ** 2,
    }


def config() -> FTFVConfig:
    return FTFVConfig(
        text_config=text_config(),
        vision_config=vision_config(),
        adapter_config={"num_query_tokens": NUM_QUERIES, "num_attention_heads": NUM_HEADS},
        image_token_id=IMAGE_TOKEN_ID,
        video_token_id=VIDEO_TOKEN_ID,
        num_frames=NUM_FRAMES,
        tokens_per_frame=TOKENS_PER_FRAME,
    )


def image_inputs(num_images: int) -> dict[str, torch.Tensor]:
    return {"pixel_values": floats_tensor([num_images, NUM_CHANNELS, IMAGE_SIZE, IMAGE_SIZE])}


def video_inputs(num_videos: int) -> dict[str, torch.Tensor]:
    return {"pixel_values_videos": floats_tensor([num_videos, NUM_FRAMES, NUM_CHANNELS, IMAGE_SIZE, IMAGE_SIZE])}


def build_tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level tokenizer trained on the spot: exact offsets, any text, no network."""
    special_tokens = ["<unk>", "<s>", "</s>", "<pad>", "<image>", "<video>"]
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=special_tokens,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(
        ["lower newer upper longer What is shown in this video ? user : assistant : "] * 3, trainer
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        extra_special_tokens={"image_token": "<image>", "video_token": "<video>"},
        model_max_length=4096,
    )


def media_processor_arguments() -> dict[str, Any]:
    return {
        "do_resize": True,
        "size": PROCESSED_SIZE,
        "do_normalize": True,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
        "do_convert_rgb": True,
    }
