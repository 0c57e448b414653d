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
"""Configuration of FTFV: vision tower, adapter, language model and the token sampler's options."""

from typing import Any

from huggingface_hub.dataclasses import strict
from transformers import AutoConfig, PreTrainedConfig
from transformers.configuration_utils import SubConfigSpec
from transformers.utils import auto_docstring


# Written into every config.json, so that a saved folder works in an environment without this package.
AUTO_MAP = {
    "AutoConfig": "configuration_ftfv.FTFVConfig",
    "AutoModel": "modeling_ftfv.FTFVModel",
    "AutoModelForImageTextToText": "modeling_ftfv.FTFVForConditionalGeneration",
    "AutoModelForMultimodalLM": "modeling_ftfv.FTFVForConditionalGeneration",
}
CUSTOM_PIPELINES = {
    "video-text-to-text": {
        "impl": "pipeline_ftfv.VideoTextToTextPipeline",
        "pt": ["AutoModelForImageTextToText"],
        "type": "multimodal",
    }
}
TOKEN_SAMPLERS = ("weighted", "none", "random", "uniform", "first")
TOKEN_ORDERS = ("response", "query")


@auto_docstring(
    custom_intro="""
    Configuration of the FTFV vision tower: the ViT of Qwen-VL (OpenCLIP ViT-bigG, paper section 3.1.1), which has no
    class token and no normalisation after its last layer.
    """
)
@strict
class FTFVVisionConfig(PreTrainedConfig):
    r"""
    num_position_embeddings (`int`, *optional*, defaults to 256):
        Rows of the learned position table, a square grid in row-major order. It is interpolated (bicubic) when a frame
        has another number of patches.
    """

    model_type = "ftfv_vision_model"
    base_config_key = "vision_config"

    hidden_size: int = 1664
    intermediate_size: int = 8192
    num_hidden_layers: int = 48
    num_attention_heads: int = 16
    num_channels: int = 3
    image_size: int = 448
    patch_size: int = 14
    num_position_embeddings: int = 256
    hidden_act: str = "gelu"
    layer_norm_eps: float = 1e-6
    attention_dropout: float | int = 0.0
    initializer_range: float = 0.02

    def validate_architecture(self) -> None:
        super().validate_architecture()
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"`hidden_size` ({self.hidden_size}) must be a multiple of `num_attention_heads` "
                f"({self.num_attention_heads})."
            )
        if self.image_size % self.patch_size:
            raise ValueError(
                f"`image_size` ({self.image_size}) must be a multiple of `patch_size` ({self.patch_size})."
            )
        _check_square("num_position_embeddings", self.num_position_embeddings)


@auto_docstring(
    custom_intro="""
    Configuration of the vision-language adapter: one cross-attention layer in which learned queries attend to the
    patches of a frame (paper section 3.1.1).
    """
)
@strict
class FTFVAdapterConfig(PreTrainedConfig):
    r"""
    num_query_tokens (`int`, *optional*, defaults to 256):
        Number N of learned queries, a square number because the queries carry 2D positions. A frame gives at most N
        tokens.
    hidden_size (`int`, *optional*):
        Width C of the adapter; the language model's `hidden_size` when not given, and it must equal it.
    vision_hidden_size (`int`, *optional*):
        Width D of the patch tokens; the vision tower's `hidden_size` when not given, and it must equal it.
    """

    model_type = "ftfv_adapter"
    base_config_key = "adapter_config"

    num_query_tokens: int = 256
    num_attention_heads: int = 32
    hidden_size: int | None = None
    vision_hidden_size: int | None = None
    layer_norm_eps: float = 1e-6
    attention_dropout: float | int = 0.0
    initializer_range: float = 0.02

    def validate_architecture(self) -> None:
        super().validate_architecture()
        _check_square("num_query_tokens", self.num_query_tokens)
        if self.hidden_size is not None and (self.hidden_size % 4 or self.hidden_size % self.num_attention_heads):
            raise ValueError(
                f"`hidden_size` ({self.hidden_size}) must be a multiple of `num_attention_heads` "
                f"({self.num_attention_heads}) and of 4 (2D sine and cosine positions)."
            )


# `vision_config` may name any model type, so it is resolved by AutoConfig, which has to know ours also where this file
# runs as remote code.
AutoConfig.register(FTFVVisionConfig.model_type, FTFVVisionConfig, exist_ok=True)


@auto_docstring(
    custom_intro="""
    Configuration of FTFV (*Fewer Tokens and Fewer Videos*). The defaults are the paper's: Qwen-VL's ViT-bigG, 256
    queries, Vicuna-7B v1.5, 8 frames, 128 tokens per frame.
    """
)
@strict
class FTFVConfig(PreTrainedConfig):
    r"""
    vision_config (`dict` or `PreTrainedConfig`, *optional*):
        Vision tower: `FTFVVisionConfig`, or the config of any `AutoModel` vision model that yields patch tokens.
    adapter_config (`dict` or `FTFVAdapterConfig`, *optional*):
        Vision-language adapter.
    text_config (`dict` or `PreTrainedConfig`, *optional*):
        Language model, any `AutoModelForCausalLM` architecture. Vicuna-7B v1.5's Llama by default, with its vocabulary
        grown from 32000 to 32064 rows for the added tokens.
    num_frames (`int`, *optional*, defaults to 8):
        Rows of the temporal encoding E (paper section 3.2). A video of another number of frames interpolates them.
    token_sampler (`str`, *optional*, defaults to `"weighted"`):
        Which queries of a frame are kept: `"weighted"` the K of highest response (paper section 3.2.1, Eq. 2),
        `"none"` all of them in query order, or one of the baselines `"random"`, `"uniform"` (evenly spaced) and
        `"first"`.
    tokens_per_frame (`int`, *optional*, defaults to 128):
        Number K of tokens that a video frame costs in the language model, from 1 to `adapter_config.num_query_tokens`.
        What the processor emits for a video wins over this value.
    token_order (`str`, *optional*, defaults to `"response"`):
        Order of the kept tokens: `"response"` descending (Eq. 2 as printed) or `"query"` (as images are).
    sample_images (`bool`, *optional*, defaults to `False`):
        Whether images are sampled too. Otherwise an image gives all `num_query_tokens` tokens, in query order.
    skip_unchanged_patches (`float`, *optional*, defaults to 0.0):
        Share of the patches, from 0 to less than 1, that the vision tower does not run of every frame of a video but
        the first (and every 32nd after it): those whose pixels have changed least keep the states that they had in the
        frame before, which the others still attend to. Images are always run whole. Needs the vision tower of this
        model type, as `merge_patches` does.
    merge_patches (`float`, *optional*, defaults to 0.0):
        Share of the patches, from 0 to less than 1, that the vision tower merges into others of the same frame on the
        way through its layers, in frames of which it skips none. The adapter still reads one token per patch, those
        merged with others the same. Needs an attention implementation that takes a bias, `"sdpa"` or `"eager"`.
    merge_layers (`int`, *optional*):
        Number of layers that merge, from the first on; the fewer, the less is computed. All when not given.
    """

    model_type = "ftfv"
    sub_configs_defaults = {
        "text_config": SubConfigSpec(
            config_class=AutoConfig,
            model_type="llama",
            init_kwargs={
                "vocab_size": 32064,
                "hidden_size": 4096,
                "intermediate_size": 11008,
                "num_hidden_layers": 32,
                "num_attention_heads": 32,
                "max_position_embeddings": 4096,
                "rms_norm_eps": 1e-5,
            },
        ),
        "vision_config": SubConfigSpec(config_class=AutoConfig, model_type="ftfv_vision_model"),
        "adapter_config": SubConfigSpec(config_class=FTFVAdapterConfig),
    }

    vision_config: dict | PreTrainedConfig | None = None
    adapter_config: dict | PreTrainedConfig | None = None
    text_config: dict | PreTrainedConfig | None = None
    image_token_id: int = 32000
    video_token_id: int = 32001
    num_frames: int = 8
    token_sampler: str = "weighted"
    tokens_per_frame: int = 128
    token_order: str = "response"
    sample_images: bool = False
    skip_unchanged_patches: float | int = 0.0
    merge_patches: float | int = 0.0
    merge_layers: int | None = None
    tie_word_embeddings: bool = False
    initializer_range: float = 0.02

    def __post_init__(self, **kwargs: Any) -> None:
        if not __name__.startswith("transformers_modules."):
            # With the package imported, `pipeline()` takes the class from PIPELINE_REGISTRY; the key in config.json
            # would make it ask for `trust_remote_code` first. `to_dict` writes it back.
            kwargs.pop("custom_pipelines", None)
        super().__post_init__(**kwargs)
        if self.adapter_config.hidden_size is None:
            self.adapter_config.hidden_size = self.text_config.hidden_size
        if self.adapter_config.vision_hidden_size is None:
            self.adapter_config.vision_hidden_size = self.vision_config.hidden_size

    def validate_architecture(self) -> None:
        super().validate_architecture()
        # Again, now that its widths are filled in.
        self.adapter_config.validate_architecture()
        num_query_tokens = self.adapter_config.num_query_tokens
        if self.token_sampler not in TOKEN_SAMPLERS:
            raise ValueError(
                f"`token_sampler` is {self.token_sampler!r}; expected one of {', '.join(TOKEN_SAMPLERS)}."
            )
        if self.token_order not in TOKEN_ORDERS:
            raise ValueError(f"`token_order` is {self.token_order!r}; expected one of {', '.join(TOKEN_ORDERS)}.")
        if not 1 <= self.tokens_per_frame <= num_query_tokens:
            raise ValueError(
                f"`tokens_per_frame` is {self.tokens_per_frame}; expected 1 to {num_query_tokens}, the adapter's "
                "`num_query_tokens`."
            )
        if self.token_sampler == "none" and self.tokens_per_frame != num_query_tokens:
            raise ValueError(
                f"`token_sampler='none'` keeps all {num_query_tokens} query tokens but `tokens_per_frame` is "
                f"{self.tokens_per_frame}; set it to {num_query_tokens} or choose another `token_sampler`."
            )
        if self.num_frames < 1:
            raise ValueError(f"`num_frames` is {self.num_frames}; expected at least 1.")
        self.check_patch_options()
        for name, other in (("hidden_size", "text_config"), ("vision_hidden_size", "vision_config")):
            width, expected = getattr(self.adapter_config, name), getattr(self, other).hidden_size
            if width not in (None, expected):
                raise ValueError(
                    f"`adapter_config.{name}` is {width}; expected {expected}, the `hidden_size` of `{other}`. Leave "
                    "it out to take that one."
                )

    def check_patch_options(self) -> None:
        """
        Checks the options that spare the vision tower patches, which may have been set on a config that is in use.

        Raises:
            ValueError: one is out of range, or given for a vision tower that knows nothing of them.
        """
        for name in ("skip_unchanged_patches", "merge_patches"):
            share = getattr(self, name)
            if not 0 <= share < 1:
                raise ValueError(f"`{name}` is {share}; expected a share from 0 to less than 1.")
            if share and self.vision_config.model_type != FTFVVisionConfig.model_type:
                raise ValueError(
                    f"`{name}` is {share} but the vision tower is of type {self.vision_config.model_type!r}; expected "
                    f"{FTFVVisionConfig.model_type!r}. Set it to 0."
                )
        num_layers = getattr(self.vision_config, "num_hidden_layers", 1)
        if self.merge_layers is not None and not 1 <= self.merge_layers <= num_layers:
            raise ValueError(
                f"`merge_layers` is {self.merge_layers}; expected 1 to {num_layers}, the layers of the vision tower, "
                "or None for all."
            )

    def to_dict(self) -> dict[str, Any]:
        output = super().to_dict()
        output["auto_map"] = dict(AUTO_MAP)
        output["custom_pipelines"] = {task: dict(entry) for task, entry in CUSTOM_PIPELINES.items()}
        return output


def _check_square(name: str, value: int) -> None:
    if value < 1 or round(value**0.5) ** 2 != value:
        raise ValueError(f"`{name}` is {value}; expected a square number, such as 16, 64 or 256.")


__all__ = ["FTFVAdapterConfig", "FTFVConfig", "FTFVVisionConfig"]
