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
"""Tiny configurations, models, processors and clips that the tests of every room build theirs from."""

import shutil
import string
import tempfile
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from transformers import LlamaTokenizer, PreTrainedModel, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from ftfv import (
    FTFVConfig,
    FTFVForConditionalGeneration,
    FTFVImageProcessor,
    FTFVProcessor,
    FTFVVideoProcessor,
)
from ftfv.training.conversion.qwen_tokenizer import convert_qwen_tokenizer


ROOT = Path(__file__).resolve().parents[1]

WORDS = (
    *("<pad>", "<s>", "</s>", "<unk>", "<image>", "<video>"),
    *("user", "assistant", ":", ".", "?", "what", "which", "way", "does", "the", "a", "move", "moves"),
    *("left", "right", "red", "blue", "circle", "square", "shape", "two", "three", "answer", "briefly"),
)
IMAGE_TOKEN_ID, VIDEO_TOKEN_ID = WORDS.index("<image>"), WORDS.index("<video>")

# Every width is another number, so that a mixed-up axis fails; 6 x 6 patches, 4 x 4 queries and 5 x 5 stored
# positions, so that both position tables are interpolated.
IMAGE_SIZE, PATCH_SIZE, NUM_PATCHES, NUM_QUERIES = 42, 7, 36, 16


def build_tokenizer(padding_side: str = "right") -> PreTrainedTokenizerFast:
    """A word-level tokenizer over `WORDS`; anything else becomes `<unk>`."""
    backend = Tokenizer(models.WordLevel({word: index for index, word in enumerate(WORDS)}, unk_token="<unk>"))
    backend.normalizer = normalizers.Lowercase()
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        extra_special_tokens={"image_token": "<image>", "video_token": "<video>"},
        clean_up_tokenization_spaces=False,
        padding_side=padding_side,
    )


def build_llama_tokenizer() -> PreTrainedTokenizerBase:
    """A tokenizer of Llama's class that knows letters and bytes, and the media tokens after them."""
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", *string.printable[:94]]
    tokenizer = LlamaTokenizer(
        vocab={piece: index for index, piece in enumerate(pieces)},
        merges=[],
        extra_special_tokens={"image_token": "<image>", "video_token": "<video>"},
    )
    tokenizer.pad_token = "<unk>"
    return tokenizer


def build_qwen_tokenizer() -> PreTrainedTokenizerFast:
    """The tokenizer of Qwen-VL over a made-up vocabulary of 900 tokens."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(ROOT / "tests/golden/tiny.tiktoken", Path(folder) / "qwen.tiktoken")
        return convert_qwen_tokenizer(folder)


def build_config(**overrides: Any) -> FTFVConfig:
    """The tiny configuration; a dict given for a sub-config changes only the keys it names."""
    options: dict[str, Any] = {
        "vision_config": {
            "model_type": "ftfv_vision_model",
            "hidden_size": 24,
            "intermediate_size": 40,
            "num_hidden_layers": 2,
            "num_attention_heads": 3,
            "image_size": IMAGE_SIZE,
            "patch_size": PATCH_SIZE,
            "num_position_embeddings": 25,
        },
        "adapter_config": {"num_query_tokens": NUM_QUERIES, "num_attention_heads": 4},
        "text_config": {
            "model_type": "llama",
            "vocab_size": len(WORDS),
            "hidden_size": 32,
            "intermediate_size": 56,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 512,
            "pad_token_id": 0,
            "bos_token_id": 1,
            "eos_token_id": 2,
        },
        "image_token_id": IMAGE_TOKEN_ID,
        "video_token_id": VIDEO_TOKEN_ID,
        "tokens_per_frame": 4,
    }
    for name, value in overrides.items():
        merge = isinstance(value, dict) and isinstance(options.get(name), dict)
        options[name] = {**options[name], **value} if merge else value
    return FTFVConfig(**options)


@torch.no_grad()
def randomize(module: torch.nn.Module, seed: int = 0) -> None:
    """
    Fills parameters with numbers that make every one of them matter: the temporal encoding and biases are zero at
    birth, and with the usual 0.02 all queries respond alike.
    """
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in module.named_parameters():
        values = torch.randn(parameter.shape, generator=generator)
        fan_in = parameter[0].numel() if parameter.ndim > 1 else 1
        if name.endswith("norm.weight") or "norm1.weight" in name or "norm2.weight" in name:
            parameter.copy_(1 + 0.1 * values)
        elif parameter.ndim > 1 and "temporal_encoding" not in name and "query_tokens" not in name:
            sharpness = 3 if "attention.q_proj" in name else 1
            parameter.copy_(sharpness * values * fan_in**-0.5)
        else:
            parameter.copy_(0.3 * values)


def build_model(
    config: FTFVConfig | None = None,
    model_class: type[PreTrainedModel] = FTFVForConditionalGeneration,
    seed: int = 0,
    **overrides: Any,
) -> Any:
    """A model in eval mode with random weights; the same seed gives the same weights."""
    model = model_class(config if config is not None else build_config(**overrides))
    randomize(model, seed)
    return model.eval()


def build_processor(
    template: str = "plain",
    tokens_per_frame: int = 4,
    padding_side: str = "right",
    tokenizer: PreTrainedTokenizerBase | None = None,
    **kwargs: Any,
) -> FTFVProcessor:
    """The processor that belongs to the tiny configuration, by default with its tokenizer."""
    size = {"height": IMAGE_SIZE, "width": IMAGE_SIZE}
    return FTFVProcessor(
        FTFVImageProcessor(size=size),
        FTFVVideoProcessor(size=size, tokens_per_frame=tokens_per_frame),
        build_tokenizer(padding_side) if tokenizer is None else tokenizer,
        chat_template=(ROOT / "processing/templates" / f"{template}.jinja").read_text(),
        num_query_tokens=NUM_QUERIES,
        **kwargs,
    )


def random_pixels(*shape: int, seed: int = 0) -> torch.Tensor:
    """Pixel values of shape `(*shape, 3, IMAGE_SIZE, IMAGE_SIZE)`."""
    return torch.randn(*shape, 3, IMAGE_SIZE, IMAGE_SIZE, generator=torch.Generator().manual_seed(seed))


def video_prompt(num_placeholders: int, question: str = "what moves ?") -> list[int]:
    """Token ids of a question about a video that costs `num_placeholders` tokens."""
    words = [WORDS.index(word) for word in ("<s>", "user", ":")]
    words += [VIDEO_TOKEN_ID] * num_placeholders
    return words + [WORDS.index(word) for word in [*question.split(), "assistant", ":"]]


def build_frames(num_frames: int, height: int = 48, width: int = 64) -> np.ndarray:
    """
    Frames `(num_frames, height, width, 3)`, uint8, that tell their own index: frame i is of the grey `8 * i + 16`.
    """
    levels = (8 * np.arange(num_frames) + 16).astype(np.uint8)
    return np.broadcast_to(levels[:, None, None, None], (num_frames, height, width, 3)).copy()


def frame_indices(pixel_values: torch.Tensor) -> list[int]:
    """Indices of frames made by `build_frames`, from pixel values `(num_frames, 3, height, width)`."""
    processor = FTFVVideoProcessor()
    mean, std = (torch.tensor(values)[:, None, None] for values in (processor.image_mean, processor.image_std))
    levels = (pixel_values * std + mean).mean(dim=(1, 2, 3)) * 255
    return ((levels - 16) / 8).round().int().tolist()


def write_video(
    path: str | Path, frames: np.ndarray | int, options: dict[str, str] | None = None, fps: int = 10, **container: Any
) -> str:
    """Writes an H.264 file of the given frames, or of so many frames of `build_frames`; returns its path."""
    frames = build_frames(frames) if isinstance(frames, int) else frames
    with av.open(str(path), "w", **container) as output:
        stream = output.add_stream("libx264", rate=fps, options={"crf": "10", **(options or {})})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            output.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        output.mux(stream.encode())
    return str(path)


def write_audio(path: str | Path) -> str:
    """Writes an mp4 file with half a second of silence and no video; returns its path."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream("aac", rate=16000)
        stream.layout = "mono"
        samples = av.AudioFrame.from_ndarray(np.zeros((1, 8000), dtype=np.float32), format="fltp", layout="mono")
        samples.sample_rate = 16000
        output.mux(stream.encode(samples))
        output.mux(stream.encode())
    return str(path)
