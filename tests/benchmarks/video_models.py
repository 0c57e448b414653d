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
The models that `bench_models.py` compares, at the sizes of their 7B-class checkpoints or divided, with random weights
and the inputs of a question about one video.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from transformers import (
    InstructBlipVideoConfig,
    InstructBlipVideoForConditionalGeneration,
    LlavaNextVideoConfig,
    LlavaNextVideoForConditionalGeneration,
    LlavaOnevisionConfig,
    LlavaOnevisionForConditionalGeneration,
    PreTrainedConfig,
    PreTrainedModel,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
    VideoLlavaConfig,
    VideoLlavaForConditionalGeneration,
)

from ftfv import FTFVConfig, FTFVForConditionalGeneration


@dataclass(frozen=True)
class Size:
    """
    What a checkpoint's sizes are divided by: `width` divides the number of attention heads and all widths, but not the
    width of a head; `depth` the number of layers; `vocabulary` the number of token ids. Frames and tokens stay.
    """

    width: int = 1
    depth: int = 1
    vocabulary: int = 1

    def transformer(self, width: int, heads: int, intermediate: int, layers: int) -> dict[str, int]:
        """Sizes of a transformer under their usual names."""
        num_heads = max(1, round(heads / self.width))
        hidden_size = width // heads * num_heads
        return {
            "hidden_size": hidden_size,
            "num_attention_heads": num_heads,
            "intermediate_size": intermediate * hidden_size // width,
            "num_hidden_layers": max(1, round(layers / self.depth)),
        }

    def vicuna(self) -> dict[str, Any]:
        """Vicuna-7B v1.5, with rows for added tokens."""
        return {"model_type": "llama", "vocab_size": 32064 // self.vocabulary, **self.transformer(4096, 32, 11008, 32)}

    def qwen2(self, vocab_size: int) -> dict[str, Any]:
        """The sizes of Qwen2-7B."""
        return {
            "vocab_size": vocab_size // self.vocabulary,
            # The defaults lie beyond a divided vocabulary.
            "bos_token_id": None,
            "eos_token_id": None,
            "num_key_value_heads": max(1, 4 // self.width),
            **self.transformer(3584, 28, 18944, 28),
        }

    def clip(self, image_size: int) -> dict[str, Any]:
        """CLIP's ViT-L/14."""
        return {
            "model_type": "clip_vision_model",
            "image_size": image_size,
            "patch_size": 14,
            **self.transformer(1024, 16, 4096, 24),
        }


FULL = Size()
REDUCED = Size(width=4, depth=8, vocabulary=32)


class VideoModel(ABC):
    """
    A model for video questions as transformers runs it.

    Attributes:
        name (`str`): as its authors write it.
        architecture: the class with the language modeling head.
        frame_size (`int`): height and width of a frame in pixels, the model's own.
    """

    name: ClassVar[str]
    architecture: ClassVar[type[PreTrainedModel]]
    frame_size: ClassVar[int]

    @abstractmethod
    def config(self, size: Size) -> PreTrainedConfig:
        """The configuration of the model at a size."""

    def build(self, size: Size, device: str, dtype: torch.dtype, attention: str) -> PreTrainedModel:
        """The model with random weights, for inference."""
        with torch.device(device):
            model = self.architecture._from_config(self.config(size), dtype=dtype, attn_implementation=attention)
        return model.eval()

    def video(self, model: PreTrainedModel, num_frames: int, num_text_tokens: int) -> dict[str, torch.Tensor]:
        """Arguments of `get_video_features`: noise, as the model's processor would hand it over."""
        size = self.frame_size
        return {
            "pixel_values_videos": torch.randn(1, num_frames, 3, size, size, device=model.device, dtype=model.dtype)
        }

    def prompt(
        self, model: PreTrainedModel, num_frames: int, num_visual_tokens: int, num_text_tokens: int
    ) -> dict[str, Any]:
        """Arguments of `forward` beside the features: one question, the video before its last tokens."""
        return {"input_ids": self.input_ids(model, [num_visual_tokens], num_text_tokens)}

    def input_ids(self, model: PreTrainedModel, runs: list[int], num_text_tokens: int) -> torch.Tensor:
        """Text tokens with placeholders in them, in runs of the given lengths with text between them."""
        text = torch.arange(num_text_tokens) % 16
        ids = []
        for index, length in enumerate(runs):
            ids += [text[index : index + 1], torch.full((length,), model.config.video_token_id)]
        return torch.cat([*ids, text[len(runs) :]])[None].to(model.device)

    def encode(self, model: PreTrainedModel, video: dict[str, torch.Tensor], tokens_per_frame: int | None) -> Any:
        """Features of the video as the language model reads them; FTFV's with as many tokens of each frame."""
        options = {} if tokens_per_frame is None else {"tokens_per_frame": tokens_per_frame}
        # Not every class with a head hands this method on.
        return model.base_model.get_video_features(**video, **options)

    def prefill(self, model: PreTrainedModel, features: Any, prompt: dict[str, Any]) -> Any:
        """The language model reads prompt and features; returns its cache."""
        outputs = model(**prompt, mm_encoder_outputs={"video": features}, use_cache=True, logits_to_keep=1)
        return outputs.past_key_values

    def decode(self, model: PreTrainedModel, cache: Any) -> None:
        """One token more."""
        token = torch.zeros(1, 1, dtype=torch.long, device=model.device)
        model(input_ids=token, past_key_values=cache, use_cache=True, logits_to_keep=1)


class FTFV(VideoModel):
    name = "FTFV"
    architecture = FTFVForConditionalGeneration
    frame_size = 448

    def config(self, size: Size) -> FTFVConfig:
        text_config = size.vicuna()
        return FTFVConfig(
            vision_config=size.transformer(1664, 16, 8192, 48),
            adapter_config={"num_attention_heads": text_config["num_attention_heads"]},
            text_config=text_config,
            **_media_tokens(text_config),
        )


class VideoLlava(VideoModel):
    """LanguageBind/Video-LLaVA-7B-hf. It holds a tower for images besides, which a video does not use."""

    name = "Video-LLaVA-7B"
    architecture = VideoLlavaForConditionalGeneration
    frame_size = 224

    def config(self, size: Size) -> VideoLlavaConfig:
        text_config = size.vicuna()
        return VideoLlavaConfig(
            vision_config=size.clip(self.frame_size), text_config=text_config, **_media_tokens(text_config, "index")
        )


class LlavaNextVideo(VideoModel):
    """llava-hf/LLaVA-NeXT-Video-7B-hf."""

    name = "LLaVA-NeXT-Video-7B"
    architecture = LlavaNextVideoForConditionalGeneration
    frame_size = 336

    def config(self, size: Size) -> LlavaNextVideoConfig:
        text_config = size.vicuna()
        return LlavaNextVideoConfig(
            vision_config=size.clip(self.frame_size), text_config=text_config, **_media_tokens(text_config, "index")
        )


class LlavaOnevision(VideoModel):
    """llava-hf/llava-onevision-qwen2-7b-ov-hf."""

    name = "LLaVA-OneVision-7B"
    architecture = LlavaOnevisionForConditionalGeneration
    frame_size = 384

    def config(self, size: Size) -> LlavaOnevisionConfig:
        text_config = {"model_type": "qwen2", **size.qwen2(152000)}
        vision_config = {
            "model_type": "siglip_vision_model",
            "image_size": self.frame_size,
            "patch_size": 14,
            "vision_use_head": False,
            **size.transformer(1152, 16, 4304, 26),
        }
        return LlavaOnevisionConfig(
            vision_config=vision_config, text_config=text_config, **_media_tokens(text_config, "index")
        )


class InstructBlipVideo(VideoModel):
    """Salesforce/instructblip-vicuna-7b. Its Q-Former reads the question, too."""

    name = "InstructBlipVideo-Vicuna-7B"
    architecture = InstructBlipVideoForConditionalGeneration
    frame_size = 224

    def config(self, size: Size) -> InstructBlipVideoConfig:
        text_config = size.vicuna()
        # The class draws the tower's weights next to zero. A GPU clocks higher on such numbers.
        vision_config = {"initializer_range": 0.02, **size.transformer(1408, 16, 6144, 39)}
        return InstructBlipVideoConfig(
            vision_config=vision_config,
            qformer_config={"vocab_size": 30523 // size.vocabulary, **size.transformer(768, 12, 3072, 12)},
            text_config=text_config,
            video_token_index=text_config["vocab_size"] - 1,
        )

    def video(self, model: PreTrainedModel, num_frames: int, num_text_tokens: int) -> dict[str, torch.Tensor]:
        [pixel_values] = super().video(model, num_frames, num_text_tokens).values()
        return {"pixel_values": pixel_values, "qformer_input_ids": self.input_ids(model, [], num_text_tokens)}

    def prefill(self, model: PreTrainedModel, features: Any, prompt: dict[str, Any]) -> Any:
        outputs = model(
            pixel_values=None,
            qformer_input_ids=None,
            **prompt,
            mm_encoder_outputs={"video": features},
            use_cache=True,
            logits_to_keep=1,
        )
        return outputs.language_model_outputs.past_key_values

    def decode(self, model: PreTrainedModel, cache: Any) -> None:
        # Its `generate` goes on in the language model, too.
        super().decode(model.language_model, cache)


class Qwen2_5VL(VideoModel):
    """Qwen/Qwen2.5-VL-7B-Instruct, whose tower takes frames in pairs."""

    name = "Qwen2.5-VL-7B"
    architecture = Qwen2_5_VLForConditionalGeneration
    frame_size = 448

    def config(self, size: Size) -> PreTrainedConfig:
        text_config = size.qwen2(152064)
        vision_config = _qwen_tower(size.transformer(1280, 16, 3420, 32))
        # Every eighth layer attends to whole frames, the others to windows.
        depth = vision_config["depth"]
        vision_config["fullatt_block_indexes"] = [*range(7, depth, 8)] or [depth - 1]
        vision_config["out_hidden_size"] = text_config["hidden_size"]
        text_config["rope_parameters"] = {
            "rope_type": "default",
            "rope_theta": 1000000.0,
            "mrope_section": [16, 24, 24],
        }
        return Qwen2_5_VLConfig(vision_config=vision_config, text_config=text_config, **_media_tokens(text_config))

    def video(self, model: PreTrainedModel, num_frames: int, num_text_tokens: int) -> dict[str, torch.Tensor]:
        grid = self.grid(model, num_frames)
        config = model.config.vision_config
        values = config.in_channels * config.temporal_patch_size * config.patch_size**2
        pixels = torch.randn(int(grid.prod()), values, device=model.device, dtype=model.dtype)
        return {"pixel_values_videos": pixels, "video_grid_thw": grid}

    def grid(self, model: PreTrainedModel, num_frames: int) -> torch.Tensor:
        """Patches of the video over time, height and width."""
        config = model.config.vision_config
        side = self.frame_size // config.patch_size
        return torch.tensor([[num_frames // config.temporal_patch_size, side, side]], device=model.device)

    def prompt(
        self, model: PreTrainedModel, num_frames: int, num_visual_tokens: int, num_text_tokens: int
    ) -> dict[str, Any]:
        grid = self.grid(model, num_frames)
        input_ids = self.input_ids(model, self.runs(grid, num_visual_tokens), num_text_tokens)
        return {
            "input_ids": input_ids,
            "video_grid_thw": grid,
            "mm_token_type_ids": 2 * (input_ids == model.config.video_token_id).int(),
        }

    def runs(self, grid: torch.Tensor, num_visual_tokens: int) -> list[int]:
        """Lengths of the runs of placeholders."""
        return [num_visual_tokens]


class Qwen3VL(Qwen2_5VL):
    """Qwen/Qwen3-VL-8B-Instruct, whose prompt has text, the time, before every pair of frames."""

    name = "Qwen3-VL-8B"
    architecture = Qwen3VLForConditionalGeneration

    def config(self, size: Size) -> PreTrainedConfig:
        text_config = {
            "vocab_size": 151936 // size.vocabulary,
            "num_key_value_heads": max(1, 8 // size.width),
            "head_dim": 128,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 5000000.0,
                "mrope_section": [24, 20, 20],
                "mrope_interleaved": True,
            },
            **size.transformer(4096, 32, 12288, 36),
        }
        vision_config = _qwen_tower(size.transformer(1152, 16, 4304, 27))
        # Three layers whose outputs the language model gets besides, evenly spaced.
        vision_config["deepstack_visual_indexes"] = sorted(
            {index * vision_config["depth"] // 27 for index in (8, 16, 24)}
        )
        vision_config["out_hidden_size"] = text_config["hidden_size"]
        return Qwen3VLConfig(vision_config=vision_config, text_config=text_config, **_media_tokens(text_config))

    def runs(self, grid: torch.Tensor, num_visual_tokens: int) -> list[int]:
        num_pairs = int(grid[0, 0])
        return [num_visual_tokens // num_pairs] * num_pairs


MODELS: tuple[VideoModel, ...] = (
    FTFV(),
    VideoLlava(),
    LlavaNextVideo(),
    LlavaOnevision(),
    InstructBlipVideo(),
    Qwen2_5VL(),
    Qwen3VL(),
)


def _media_tokens(text_config: dict[str, Any], suffix: str = "id") -> dict[str, int]:
    """Placeholders at the end of the vocabulary, wherever that is."""
    vocab_size = text_config["vocab_size"]
    return {f"image_token_{suffix}": vocab_size - 2, f"video_token_{suffix}": vocab_size - 1}


def _qwen_tower(sizes: dict[str, int]) -> dict[str, Any]:
    """Sizes of a transformer under the names of Qwen's towers."""
    return {
        "hidden_size": sizes["hidden_size"],
        "num_heads": sizes["num_attention_heads"],
        "intermediate_size": sizes["intermediate_size"],
        "depth": sizes["num_hidden_layers"],
    }
