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
FTFV: a ViT encodes every frame on its own, a cross-attention adapter compresses it into query tokens, the token
sampler keeps K of them, and a language model reads the kept tokens of all frames in place of the prompt's
placeholders.

Shapes in comments: V videos, T frames, F frames of a whole call, M patches, D vision width, N queries, K kept queries,
C language width.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import torch
from torch import nn
from transformers import AutoModel, GenerationMixin, PreTrainedModel
from transformers import initialization as init
from transformers.activations import ACT2FN
from transformers.cache_utils import Cache
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_outputs import (
    BaseModelOutput,
    BaseModelOutputWithPast,
    BaseModelOutputWithPooling,
    ModelOutput,
)
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.processing_utils import Unpack
from transformers.utils import TransformersKwargs, auto_docstring, can_return_tuple, torch_compilable_check
from transformers.utils.generic import maybe_autocast, merge_with_config_defaults
from transformers.utils.output_capturing import capture_outputs

from .configuration_ftfv import FTFVAdapterConfig, FTFVConfig, FTFVVisionConfig
from .patch_layout_ftfv import PatchLayout
from .patch_merging_ftfv import check_attention, merging_schedule
from .sampler_ftfv import FTFVTokenSampler
from .unchanged_patches_ftfv import ChangedPatches, clip_lengths, find_changed_patches


try:
    from transformers.modeling_utils import slice_logits_to_keep
except ImportError:
    # transformers before 5.21, which vLLM 0.33 asks for; it has no other forms of `logits_to_keep`.
    def slice_logits_to_keep(hidden_states: torch.Tensor, logits_to_keep: int | torch.Tensor) -> torch.Tensor:
        kept = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        return hidden_states[:, kept, :]


@auto_docstring(
    custom_intro="""
    Features of images or videos, with what the token sampler saw and chose.
    """
)
@dataclass
class FTFVFeaturesOutput(BaseModelOutputWithPooling):
    r"""
    last_hidden_state (`torch.Tensor` of shape `(num_videos, num_frames, num_patches, vision_hidden_size)` or
        `(num_images, num_patches, vision_hidden_size)`): Patch tokens of the vision tower, before the temporal
        encoding. Frames that only pad a batch are zero.
    pooler_output (`torch.Tensor` of shape `(num_videos, num_frames * tokens_per_frame, hidden_size)` or
        `(num_images, num_tokens, hidden_size)`): The tokens that the language model reads; a list with one tensor per
        video when their lengths differ.
    responses (`torch.Tensor` of shape `(num_videos, num_frames, num_query_tokens)` or
        `(num_images, num_query_tokens)`): Response of each query: the head-averaged attention's maximum over the
        patches (r^t in Eq. 2 of the paper), fp32.
    token_indices (`torch.LongTensor` of shape `(num_videos, num_frames, tokens_per_frame)` or
        `(num_images, num_tokens)`): Indices of the kept queries in the order of the tokens, -1 where a frame is
        padding or keeps fewer than another.
    frame_times (`torch.Tensor` of shape `(num_videos, num_frames)`, *optional*): Seconds from the start of the video
        to each frame, fp64, where whoever decoded it has put them here; NaN where a frame is padding.
    """

    responses: torch.Tensor | None = None
    token_indices: torch.Tensor | None = None
    frame_times: torch.Tensor | None = None

    def split(self) -> list["FTFVFeaturesOutput"]:
        """
        Features of each video by itself: without padding and without the states of the vision tower, so what is kept
        of a video to ask about it again. Their tensors are parts of these.
        """
        videos = []
        for index, token_indices in enumerate(self.token_indices):
            real = token_indices[:, 0] >= 0
            token_indices = token_indices[real]
            videos.append(
                type(self)(
                    pooler_output=self.pooler_output[index][None],
                    responses=self.responses[index, real][None],
                    token_indices=token_indices[:, token_indices[0] >= 0][None],
                    frame_times=None if self.frame_times is None else self.frame_times[index, real][None],
                )
            )
        return videos

    @classmethod
    def merge(cls, videos: list["FTFVFeaturesOutput"]) -> "FTFVFeaturesOutput":
        """
        Features of a batch out of those of each of its videos, as [`~FTFVFeaturesOutput.split`] returns them. The
        result may be changed without changing them.
        """
        tokens = [video.pooler_output[0] for video in videos]
        ragged = len({len(video) for video in tokens}) > 1
        timed = all(video.frame_times is not None for video in videos)
        return cls(
            pooler_output=tokens if ragged else torch.stack(tokens),  # type: ignore[arg-type]
            responses=_pad_and_stack([video.responses[0] for video in videos], 0),
            token_indices=_pad_and_stack([video.token_indices[0] for video in videos], -1),
            frame_times=_pad_and_stack([video.frame_times[0] for video in videos], math.nan) if timed else None,
        )


@auto_docstring(
    custom_intro="""
    Outputs of the FTFV model without a language modeling head.
    """
)
@dataclass
class FTFVModelOutputWithPast(BaseModelOutputWithPast):
    r"""
    image_hidden_states (`torch.Tensor`, *optional*):
        Image tokens as they entered the language model, see `FTFVFeaturesOutput.pooler_output`.
    video_hidden_states (`torch.Tensor`, *optional*):
        Video tokens as they entered the language model, see `FTFVFeaturesOutput.pooler_output`.
    """

    image_hidden_states: torch.Tensor | list[torch.Tensor] | None = None
    video_hidden_states: torch.Tensor | list[torch.Tensor] | None = None


@auto_docstring(
    custom_intro="""
    Outputs of the FTFV model with its language modeling head.
    """
)
@dataclass
class FTFVCausalLMOutputWithPast(ModelOutput):
    r"""
    loss (`torch.FloatTensor` of shape `(1,)`, *optional*, returned when `labels` is provided):
        Language modeling loss (next-token prediction).
    logits (`torch.FloatTensor` of shape `(batch_size, sequence_length, vocab_size)`):
        Scores of each vocabulary token before the softmax.
    image_hidden_states (`torch.Tensor`, *optional*):
        Image tokens as they entered the language model, see `FTFVFeaturesOutput.pooler_output`.
    video_hidden_states (`torch.Tensor`, *optional*):
        Video tokens as they entered the language model, see `FTFVFeaturesOutput.pooler_output`.
    """

    loss: torch.FloatTensor | None = None
    logits: torch.FloatTensor | None = None
    past_key_values: Cache | None = None
    hidden_states: tuple[torch.FloatTensor] | None = None
    attentions: tuple[torch.FloatTensor] | None = None
    image_hidden_states: torch.Tensor | list[torch.Tensor] | None = None
    video_hidden_states: torch.Tensor | list[torch.Tensor] | None = None


def interpolate_positions(position_table: torch.Tensor, num_patches: int) -> torch.Tensor:
    """
    Resizes a square grid of positions to the grid of a frame, as Qwen-VL does: bicubic without antialiasing, in fp32.

    Args:
        position_table (`torch.Tensor` of shape `(num_positions, hidden_size)`): row-major square grid.
        num_patches (`int`): number of patches of a square frame.

    Returns:
        `torch.Tensor` of shape `(num_patches, hidden_size)` in the table's dtype; the table itself when the sizes
        agree.

    Raises:
        ValueError: `num_patches` is not a square number.
    """
    if num_patches == position_table.shape[0]:
        return position_table
    source_size, target_size = round(position_table.shape[0] ** 0.5), round(num_patches**0.5)
    if target_size**2 != num_patches:
        raise ValueError(f"A frame has {num_patches} patches; expected a square frame, resize it to height == width.")
    grid = position_table.float().T.reshape(1, -1, source_size, source_size)
    grid = nn.functional.interpolate(grid, size=(target_size, target_size), mode="bicubic", align_corners=False)
    return grid.flatten(2)[0].T.to(position_table.dtype)


def sine_cosine_positions(grid_size: int, hidden_size: int) -> torch.Tensor:
    """
    The 2D sine and cosine table that the adapter's positions start from: columns in the first half, rows in the
    second.

    Returns:
        `torch.Tensor` of shape `(grid_size**2, hidden_size)`, fp32, row-major.
    """
    frequencies = 10000.0 ** (-torch.arange(hidden_size // 4, dtype=torch.float32) / (hidden_size // 4))
    angles = torch.arange(grid_size, dtype=torch.float32)[:, None] * frequencies
    axis = torch.cat([angles.sin(), angles.cos()], dim=-1)
    columns = axis[None, :, :].expand(grid_size, grid_size, -1)
    rows = axis[:, None, :].expand(grid_size, grid_size, -1)
    return torch.cat([columns, rows], dim=-1).reshape(grid_size**2, hidden_size)


def eager_attention_forward(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float,
    dropout: float = 0.0,
    **kwargs: Unpack[TransformersKwargs],
) -> tuple[torch.Tensor, torch.Tensor]:
    attn_weights = torch.matmul(query, key.transpose(-1, -2)) * scaling
    if attention_mask is not None:
        attn_weights = attn_weights + attention_mask
    attn_weights = nn.functional.softmax(attn_weights, dim=-1, dtype=torch.float32).to(query.dtype)
    attn_weights = nn.functional.dropout(attn_weights, p=dropout, training=module.training)
    attn_output = torch.matmul(attn_weights, value)
    return attn_output.transpose(1, 2).contiguous(), attn_weights


class FTFVVisionEmbeddings(nn.Module):
    def __init__(self, config: FTFVVisionConfig):
        super().__init__()
        self.config = config
        self.patch_embedding = nn.Conv2d(
            config.num_channels,
            config.hidden_size,
            kernel_size=config.patch_size,
            stride=config.patch_size,
            bias=False,
        )
        self.position_embedding = nn.Parameter(torch.empty(config.num_position_embeddings, config.hidden_size))

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        patches = self.patch_embedding(pixel_values.to(self.patch_embedding.weight.dtype))
        hidden_states = patches.flatten(2).transpose(1, 2)
        return hidden_states + interpolate_positions(self.position_embedding, hidden_states.shape[1])


class FTFVVisionAttention(nn.Module):
    def __init__(self, config: FTFVVisionConfig):
        super().__init__()
        self.config = config
        self.head_dim = config.hidden_size // config.num_attention_heads
        self.scaling = self.head_dim**-0.5
        self.attention_dropout = config.attention_dropout
        self.is_causal = False
        self.q_proj = nn.Linear(config.hidden_size, config.hidden_size)
        self.k_proj = nn.Linear(config.hidden_size, config.hidden_size)
        self.v_proj = nn.Linear(config.hidden_size, config.hidden_size)
        self.out_proj = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(
        self,
        hidden_states: torch.Tensor,
        layout: PatchLayout | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor]:
        r"""
        Args:
            hidden_states (`torch.Tensor` of shape `(num_frames, num_patches, hidden_size)`):
                Patches of each frame; rows `(num_rows, hidden_size)` with a layout.
            layout (`PatchLayout`, *optional*):
                What the rows attend to. All patches of a frame to each other when not given.

        Returns:
            The output, the weights with eager attention and without a layout only, and the keys
            `(..., num_heads, head_dim)`.
        """
        input_shape = hidden_states.shape[:-1]
        hidden_shape = (*input_shape, -1, self.head_dim)
        query_states = self.q_proj(hidden_states).view(hidden_shape)
        key_states = self.k_proj(hidden_states).view(hidden_shape)
        value_states = self.v_proj(hidden_states).view(hidden_shape)

        if layout is None:
            attn_output, attn_weights = self._attend(
                query_states.transpose(1, 2), key_states.transpose(1, 2), value_states.transpose(1, 2), None, **kwargs
            )
        else:
            inputs = layout.attention_inputs(query_states, key_states, value_states)
            attn_output = torch.cat([self._attend(*states, **kwargs)[0].flatten(0, 1) for states in inputs])
            attn_weights = None
        return self.out_proj(attn_output.reshape(*input_shape, -1)), attn_weights, key_states

    def _attend(
        self,
        query_states: torch.Tensor,
        key_states: torch.Tensor,
        value_states: torch.Tensor,
        attention_bias: torch.Tensor | None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        attention_interface: Callable = ALL_ATTENTION_FUNCTIONS.get_interface(
            self.config._attn_implementation, eager_attention_forward
        )
        return attention_interface(
            self,
            query_states,
            key_states,
            value_states,
            attention_bias,
            dropout=0.0 if not self.training else self.attention_dropout,
            scaling=self.scaling,
            is_causal=self.is_causal,
            **kwargs,
        )


class FTFVVisionMLP(nn.Module):
    def __init__(self, config: FTFVVisionConfig):
        super().__init__()
        self.activation_fn = ACT2FN[config.hidden_act]
        self.fc1 = nn.Linear(config.hidden_size, config.intermediate_size)
        self.fc2 = nn.Linear(config.intermediate_size, config.hidden_size)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        return self.fc2(self.activation_fn(self.fc1(hidden_states)))


class FTFVVisionLayer(GradientCheckpointingLayer):
    def __init__(self, config: FTFVVisionConfig):
        super().__init__()
        self.layer_norm1 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.self_attn = FTFVVisionAttention(config)
        self.layer_norm2 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.mlp = FTFVVisionMLP(config)

    def forward(
        self,
        hidden_states: torch.Tensor,
        layout: PatchLayout | None = None,
        num_merged: int = 0,
        **kwargs: Unpack[TransformersKwargs],
    ) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        r"""
        Args:
            hidden_states (`torch.Tensor` of shape `(num_frames, num_patches, hidden_size)`):
                Patches of each frame; rows `(num_rows, hidden_size)` with a layout.
            layout (`PatchLayout`, *optional*):
                What the rows stand for.
            num_merged (`int`, *optional*, defaults to 0):
                Groups to merge away between attention and MLP, see [`PatchLayout.merge`].

        Returns:
            The hidden states, followed by the sizes and the groups of their new layout where one is given.
        """
        attn_output, _, key_states = self.self_attn(self.layer_norm1(hidden_states), layout, **kwargs)
        hidden_states = hidden_states + attn_output
        if layout is None:
            return hidden_states + self.mlp(self.layer_norm2(hidden_states))
        hidden_states, *groups = layout.merge(hidden_states, key_states, num_merged)
        return hidden_states + self.mlp(self.layer_norm2(hidden_states)), *groups


class FTFVVisionEncoder(nn.Module):
    def __init__(self, config: FTFVVisionConfig):
        super().__init__()
        self.config = config
        self.layers = nn.ModuleList([FTFVVisionLayer(config) for _ in range(config.num_hidden_layers)])
        self.gradient_checkpointing = False

    def forward(
        self,
        hidden_states: torch.Tensor,
        changed: ChangedPatches | None = None,
        merge_patches: float = 0.0,
        merge_layers: int | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> torch.Tensor:
        # CODEPATH: skipping and merging patches are trades of accuracy for speed that the caller chooses; without, a
        # layer is Qwen-VL's.
        if changed is not None or merge_patches:
            return self._run_rows(hidden_states, changed, merge_patches, merge_layers, **kwargs)
        for layer in self.layers:
            hidden_states = layer(hidden_states, **kwargs)
        return hidden_states

    def _run_rows(
        self,
        hidden_states: torch.Tensor,
        changed: ChangedPatches | None,
        merge_patches: float,
        merge_layers: int | None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> torch.Tensor:
        rows, layout = PatchLayout.start(hidden_states, changed, is_merged=bool(merge_patches))
        counts = [0] * len(self.layers)
        if merge_patches:
            check_attention(self.config._attn_implementation, merge_patches)
            merging = merging_schedule(hidden_states.shape[1], merge_patches, merge_layers or len(self.layers))
            counts[: len(merging)] = merging
        for layer, count in zip(self.layers, counts, strict=True):
            rows, *groups = layer(rows, layout=layout, num_merged=count, **kwargs)
            layout = layout._replace(sizes=groups[0], groups=groups[1])
        of_patches = layout.rows_of_patches()
        of_patches = of_patches.view(hidden_states.shape[:2]) if changed is None else of_patches[changed.sources]
        return rows.index_select(0, of_patches.flatten()).unflatten(0, of_patches.shape)


class FTFVTemporalEncoding(nn.Module):
    """
    The learned temporal encoding E (paper section 3.2), one vector per frame, zero at birth so that an image model is
    unchanged by it.
    """

    def __init__(self, config: FTFVConfig):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(config.num_frames, 1, config.vision_config.hidden_size))

    def forward(self, frame_positions: torch.LongTensor, num_frames: torch.LongTensor) -> torch.Tensor:
        r"""
        E at each frame, interpolated linearly over time for videos of another number of frames: the first and the last
        frame keep the first and the last row, a single frame takes row 0.

        Args:
            frame_positions (`torch.LongTensor` of shape `(total_num_frames,)`):
                Position of each frame within its video, from 0.
            num_frames (`torch.LongTensor` of shape `(total_num_frames,)`):
                Number of frames of the video that each frame belongs to.

        Returns:
            `torch.Tensor` of shape `(total_num_frames, 1, vision_hidden_size)`.
        """
        num_rows = self.weight.shape[0]
        # Whole-number arithmetic first, so that a video of `num_rows` frames takes the rows exactly.
        scaled = frame_positions * (num_rows - 1)
        intervals = (num_frames - 1).clamp(min=1)
        lower = scaled // intervals
        upper = (lower + 1).clamp(max=num_rows - 1)
        fraction = ((scaled % intervals) / intervals).to(self.weight.dtype)[:, None, None]
        return torch.lerp(self.weight[lower], self.weight[upper], fraction)


class FTFVAdapterAttention(nn.Module):
    """
    Cross-attention of the kept queries to the patches of their frame. All queries are scored, since the sampler needs
    their responses, and only the kept ones attend.
    """

    def __init__(self, config: FTFVAdapterConfig):
        super().__init__()
        self.config = config
        self.num_heads = config.num_attention_heads
        self.head_dim = config.hidden_size // config.num_attention_heads
        self.scaling = self.head_dim**-0.5
        self.attention_dropout = config.attention_dropout
        self.is_causal = False
        self.q_proj = nn.Linear(config.hidden_size, config.hidden_size)
        self.k_proj = nn.Linear(config.hidden_size, config.hidden_size)
        self.v_proj = nn.Linear(config.hidden_size, config.hidden_size)
        self.out_proj = nn.Linear(config.hidden_size, config.hidden_size)

    @torch.no_grad()
    def responses(self, query_states: torch.Tensor, key_states: torch.Tensor) -> torch.Tensor:
        r"""
        Responses r^t of Eq. 2: each query's attention averaged over the heads, at its maximum over the patches. They
        carry no gradient, as choosing tokens has none.

        Args:
            query_states (`torch.Tensor` of shape `(num_query_tokens, num_heads, head_dim)`):
                Projected queries, the same for every frame.
            key_states (`torch.Tensor` of shape `(num_frames, num_heads, num_patches, head_dim)`):
                Projected patches.

        Returns:
            `torch.Tensor` of shape `(num_frames, num_query_tokens)`, fp32.
        """
        with maybe_autocast(device_type=key_states.device.type, enabled=False):
            attention = None
            # One head at a time: the scores of all heads together would be the largest tensor of the model.
            for query, key in zip(query_states.unbind(1), key_states.unbind(1), strict=True):
                scores = torch.matmul(query.float(), key.float().transpose(-1, -2)) * self.scaling
                weights = scores.softmax(dim=-1)
                attention = weights if attention is None else attention + weights
            return (attention / self.config.num_attention_heads).amax(dim=-1)

    def forward(
        self, query_states: torch.Tensor, key_states: torch.Tensor, hidden_states: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        r"""
        Args:
            query_states (`torch.Tensor` of shape `(num_frames, num_heads, tokens_per_frame, head_dim)`):
                Projected queries that each frame keeps.
            key_states (`torch.Tensor` of shape `(num_frames, num_heads, num_patches, head_dim)`):
                Projected patches with positions.
            hidden_states (`torch.Tensor` of shape `(num_frames, num_patches, hidden_size)`):
                Patches without positions, of which the values are made.

        Returns:
            Output of shape `(num_frames, tokens_per_frame, hidden_size)` and, with eager attention only, the weights
            of shape `(num_frames, num_heads, tokens_per_frame, num_patches)`.
        """
        attention_interface: Callable = ALL_ATTENTION_FUNCTIONS.get_interface(
            self.config._attn_implementation, eager_attention_forward
        )
        # Eager attention stays the reference, and returns its weights.
        if attention_interface is not eager_attention_forward and self._projects_values_last(
            query_states.shape[2], hidden_states.shape[1]
        ):
            return self.out_proj(self._attend_to_unprojected(query_states, key_states, hidden_states).flatten(2)), None
        value_states = self.v_proj(hidden_states).unflatten(-1, (self.num_heads, self.head_dim)).transpose(1, 2)
        attn_output, attn_weights = attention_interface(
            self,
            query_states,
            key_states,
            value_states,
            None,
            dropout=0.0 if not self.training else self.attention_dropout,
            scaling=self.scaling,
            is_causal=self.is_causal,
        )
        return self.out_proj(attn_output.flatten(2)), attn_weights

    def _projects_values_last(self, tokens_per_frame: int, num_patches: int) -> bool:
        """
        Whether fewer multiplications are needed when the few attended patches are projected instead of all of them,
        A (X W) = (A X) W, and the layer that projects is a plain one.
        """
        hidden_size = self.config.hidden_size
        num_products = tokens_per_frame * (num_patches * (self.num_heads - 1) + hidden_size)
        if num_products >= num_patches * hidden_size:
            return False
        # Layers with LoRA, quantised or offloaded ones, and ZeRO's shards do their work when they are called.
        weight = self.v_proj.weight
        is_plain = type(self.v_proj) is nn.Linear and type(weight) is nn.Parameter
        return is_plain and weight.shape == (hidden_size, hidden_size) and not hasattr(self.v_proj, "_hf_hook")

    def _attend_to_unprojected(
        self, query_states: torch.Tensor, key_states: torch.Tensor, hidden_states: torch.Tensor
    ) -> torch.Tensor:
        """Output `(num_frames, tokens_per_frame, num_heads, head_dim)` of the attention, values projected last."""
        value_weight = self.v_proj.weight.unflatten(0, (self.num_heads, self.head_dim)).transpose(1, 2)
        bias = self.v_proj.bias.view(self.num_heads, 1, self.head_dim)
        outputs = []
        # One frame at a time: in a batch the weights of the projection would be copied for each.
        for queries, keys, patches in zip(query_states, key_states, hidden_states, strict=True):
            scores = torch.matmul(queries, keys.transpose(-1, -2)) * self.scaling
            weights = nn.functional.softmax(scores, dim=-1, dtype=torch.float32).to(queries.dtype)
            weights = nn.functional.dropout(weights, p=self.attention_dropout, training=self.training)
            # [heads * K, patches] x [patches, C], so that the patches are read once for all heads
            attended = torch.matmul(weights.flatten(0, 1), patches).unflatten(0, (self.num_heads, -1))
            # The bias as often as the weights say: with dropout they do not sum to 1.
            outputs.append(torch.matmul(attended, value_weight) + weights.sum(dim=-1, keepdim=True) * bias)
        return torch.stack(outputs).transpose(1, 2)


@auto_docstring
class FTFVPreTrainedModel(PreTrainedModel):
    config: FTFVConfig
    base_model_prefix = "model"
    input_modalities = ["image", "video", "text"]
    supports_gradient_checkpointing = True
    _no_split_modules = ["FTFVVisionEmbeddings", "FTFVVisionLayer", "FTFVAdapter"]
    _skip_keys_device_placement = ["past_key_values"]
    _supports_flash_attn = True
    _supports_sdpa = True
    _supports_flex_attn = True
    _supports_attention_backend = True

    @classmethod
    def is_custom_code(cls) -> bool:
        # Custom code is initialised the old way, which skips modules without parameters of their own. `_init_weights`
        # below uses `transformers.initialization` throughout, so the in-library way is safe.
        return False

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, FTFVVisionEmbeddings):
            init.normal_(module.position_embedding, std=module.config.hidden_size**-0.5)
        elif isinstance(module, FTFVTemporalEncoding):
            init.zeros_(module.weight)
        elif isinstance(module, FTFVAdapter):
            init.trunc_normal_(module.query_tokens, std=module.config.initializer_range)
            init.copy_(module.position_table, module.initial_positions())

    def enable_input_require_grads(self) -> None:
        """
        Lets gradients flow through checkpointed layers behind frozen ones: the text embeddings, and in the vision
        tower what enters the first layer with trainable weights, require gradients. The base class starts at the
        tower's patch embeddings, from where the backward pass would run through all of its frozen layers.
        """
        if not isinstance(self.base_model, FTFVModel):
            return super().enable_input_require_grads()
        self.disable_input_require_grads()
        hooks = [self.get_input_embeddings().register_forward_hook(_require_grad)]
        for module in self.base_model.vision_tower.modules():
            if isinstance(module, GradientCheckpointingLayer):
                hooks.append(module.register_forward_pre_hook(_start_gradient))
        self._require_grads_hooks = hooks


@auto_docstring(
    custom_intro="""
    The FTFV vision tower: patch tokens of each frame, without class token and without a final normalisation.
    """
)
class FTFVVisionModel(FTFVPreTrainedModel):
    config: FTFVVisionConfig  # type: ignore[assignment]
    main_input_name = "pixel_values"
    input_modalities = ["image"]
    _can_record_outputs = {
        "hidden_states": FTFVVisionLayer,
        "attentions": FTFVVisionAttention,
    }

    def __init__(self, config: FTFVVisionConfig):
        super().__init__(config)
        self.embeddings = FTFVVisionEmbeddings(config)
        self.pre_layernorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.encoder = FTFVVisionEncoder(config)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.embeddings.patch_embedding

    @merge_with_config_defaults
    @capture_outputs(tie_last_hidden_states=False)
    @auto_docstring
    def forward(
        self,
        pixel_values: torch.FloatTensor,
        skip_unchanged_patches: float = 0.0,
        clip_lengths: list[int] | None = None,
        merge_patches: float = 0.0,
        merge_layers: int | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> tuple | BaseModelOutput:
        r"""
        skip_unchanged_patches (`float`, *optional*, defaults to 0.0):
            Share of the patches that are not run of every frame of a clip but the first, see `FTFVConfig`.
        clip_lengths (`list[int]`, *optional*):
            Number of frames of each of the clips that `pixel_values` are; 1 each when not given.
        merge_patches (`float`, *optional*, defaults to 0.0):
            Share of the patches to merge into others on the way, see `FTFVConfig`. The output has one state per patch.
        merge_layers (`int`, *optional*):
            Number of layers that merge, from the first on; all when not given.
        """
        hidden_states = self.pre_layernorm(self.embeddings(pixel_values))
        num_patches = hidden_states.shape[1]
        num_skipped, changed = int(skip_unchanged_patches * num_patches), None
        if num_skipped and clip_lengths is not None and len(clip_lengths) < len(pixel_values):
            changed = find_changed_patches(
                pixel_values, self.config.patch_size, clip_lengths, num_patches - num_skipped
            )
        hidden_states = self.encoder(hidden_states, changed, merge_patches, merge_layers, **kwargs)
        return BaseModelOutput(last_hidden_state=hidden_states)


@auto_docstring(
    custom_intro="""
    The vision-language adapter (paper section 3.1.1) with the token sampler inside: learned queries with 2D positions,
    one cross-attention layer without residual or MLP, a normalisation and an output projection, as in Qwen-VL.
    """
)
class FTFVAdapter(FTFVPreTrainedModel):
    config: FTFVAdapterConfig  # type: ignore[assignment]
    main_input_name = "hidden_states"

    def __init__(self, config: FTFVAdapterConfig, sampler: FTFVTokenSampler):
        r"""
        sampler (`FTFVTokenSampler`):
            Chooses the query tokens that a frame keeps; its options belong to the whole model's config.
        """
        super().__init__(config)
        hidden_size, eps = config.hidden_size, config.layer_norm_eps
        self.query_tokens = nn.Parameter(torch.empty(config.num_query_tokens, hidden_size))
        # Fixed, but loaded from the checkpoint: Qwen-VL's is rounded to bf16. A frozen Parameter would come back
        # trainable from `from_pretrained`.
        self.position_table = nn.Buffer(self.initial_positions())
        self.query_norm = nn.LayerNorm(hidden_size, eps=eps)
        self.kv_proj = nn.Linear(config.vision_hidden_size, hidden_size, bias=False)
        self.kv_norm = nn.LayerNorm(hidden_size, eps=eps)
        self.attention = FTFVAdapterAttention(config)
        self.sampler = sampler
        self.post_norm = nn.LayerNorm(hidden_size, eps=eps)
        self.output_proj = nn.Linear(hidden_size, hidden_size, bias=False)
        self.post_init()

    def initial_positions(self) -> torch.Tensor:
        return sine_cosine_positions(round(self.config.num_query_tokens**0.5), self.config.hidden_size)

    @auto_docstring
    def forward(
        self, hidden_states: torch.Tensor, tokens_per_frame: list[int | None]
    ) -> tuple[list[torch.Tensor], torch.Tensor, list[torch.Tensor]]:
        r"""
        hidden_states (`torch.Tensor` of shape `(num_frames, num_patches, vision_hidden_size)`):
            Patch tokens of all frames, the temporal encoding added to those of videos.
        tokens_per_frame (`list[int | None]` of length `num_frames`):
            Tokens that each frame keeps; None for a frame that is not sampled and keeps all queries in query order.

        Returns:
            The tokens of each frame `(tokens_per_frame, hidden_size)`, the responses `(num_frames, num_query_tokens)`
            and the kept queries of each frame `(tokens_per_frame,)`.
        """
        num_heads, head_dim = self.config.num_attention_heads, self.attention.head_dim
        patches = self.kv_norm(self.kv_proj(hidden_states))
        positions = self.position_table.to(patches.dtype)
        # The same for every frame, so projected once.
        queries = self.query_norm(self.query_tokens) + positions
        query_states = self.attention.q_proj(queries).view(-1, num_heads, head_dim)
        key_states = self.attention.k_proj(patches + interpolate_positions(positions, patches.shape[1]))
        key_states = key_states.unflatten(-1, (num_heads, head_dim)).transpose(1, 2)
        responses = self.attention.responses(query_states, key_states)

        # Frames that keep the same number of tokens attend together; one group in all but mixed batches.
        tokens: list[torch.Tensor] = [hidden_states] * len(tokens_per_frame)
        token_indices: list[torch.Tensor] = [hidden_states] * len(tokens_per_frame)
        for count in dict.fromkeys(tokens_per_frame):
            frames = [index for index, other in enumerate(tokens_per_frame) if other == count]
            group = slice(None) if len(frames) == len(tokens_per_frame) else frames
            if count is None:
                kept = torch.arange(len(queries), device=responses.device).expand(len(frames), -1)
            else:
                kept = self.sampler(responses[group], count)
            # [F, K, heads, head_dim] -> [F, heads, K, head_dim]
            kept_states = query_states[kept].transpose(1, 2)
            attn_output, _ = self.attention(kept_states, key_states[group], patches[group])
            for frame, output, indices in zip(
                frames, self.output_proj(self.post_norm(attn_output)), kept, strict=True
            ):
                tokens[frame], token_indices[frame] = output, indices
        return tokens, responses, token_indices


@auto_docstring(
    custom_intro="""
    The FTFV model: vision tower, temporal encoding, adapter with token sampler, and a language model without its head.
    """
)
class FTFVModel(FTFVPreTrainedModel):
    # Frames that the tower and the adapter take at once where no gradient is asked for, None for all. It bounds the
    # memory that a long video needs.
    frames_per_chunk: int | None = 32

    def __init__(self, config: FTFVConfig):
        super().__init__(config)
        # CODEPATH: our own tower for checkpoints made from Qwen-VL's and for the miniature, AutoModel for any other.
        # Ours does not go through AutoModel because remote code does not register there.
        if config.vision_config.model_type == FTFVVisionConfig.model_type:
            self.vision_tower = FTFVVisionModel._from_config(config.vision_config)
        else:
            self.vision_tower = AutoModel.from_config(config.vision_config)
        self.temporal_encoding = FTFVTemporalEncoding(config)
        self.multi_modal_projector = FTFVAdapter(config.adapter_config, FTFVTokenSampler(config))  # type: ignore[arg-type]
        self.language_model = AutoModel.from_config(config.text_config)
        self.post_init()

    def _adjust_missing_and_unexpected_keys(self, loading_info: Any) -> None:
        super()._adjust_missing_and_unexpected_keys(loading_info)
        # A checkpoint of the whole model also holds the head. `_keys_to_ignore_on_load_unexpected` would say so, too,
        # but vLLM reads it off this class and then leaves the head out of the whole model.
        loading_info.unexpected_keys = {key for key in loading_info.unexpected_keys if not key.startswith("lm_head.")}

    def encode_frames(
        self,
        pixel_values: torch.Tensor,
        frame_encodings: torch.Tensor,
        tokens_per_frame: list[int | None],
        video_lengths: list[int],
        **kwargs: Unpack[TransformersKwargs],
    ) -> tuple[BaseModelOutput, list[torch.Tensor], torch.Tensor, list[torch.Tensor]]:
        r"""
        Runs all frames of a call, of images and videos together, through the tower and the adapter.

        With gradients they go at once, so that every rank of a distributed training makes the same number of calls;
        without them in chunks of `frames_per_chunk`.

        Args:
            pixel_values (`torch.Tensor` of shape `(num_frames, 3, height, width)`):
                Images, then the frames of one video after the other.
            frame_encodings (`torch.Tensor` of shape `(num_frames, 1, vision_hidden_size)`):
                Temporal encoding of each frame, zero for images.
            tokens_per_frame (`list[int | None]` of length `num_frames`):
                Tokens that each frame keeps, None to keep all queries in query order.
            video_lengths (`list[int]`):
                Number of frames of each video.

        Returns:
            Output of the vision tower with its patch tokens, and what the adapter returns.
        """
        vision_output = self._run_tower(pixel_values, video_lengths, **kwargs)
        tokens, responses, token_indices = [], [], []
        for chunk, _ in self._chunks([1] * len(pixel_values)):
            hidden_states = vision_output.last_hidden_state[chunk]
            hidden_states = hidden_states + frame_encodings[chunk].to(hidden_states)
            chunk_tokens, chunk_responses, chunk_indices = self.multi_modal_projector(
                hidden_states, tokens_per_frame[chunk]
            )
            tokens += chunk_tokens
            responses.append(chunk_responses)
            token_indices += chunk_indices
        return vision_output, tokens, torch.cat(responses), token_indices

    def _run_tower(
        self, pixel_values: torch.Tensor, video_lengths: list[int], **kwargs: Unpack[TransformersKwargs]
    ) -> BaseModelOutput:
        """Patch tokens of all frames, those of a clip in one call of the tower."""
        config = self.config
        config.check_patch_options()
        # CODEPATH: the paper's models run all patches; skipping or merging some is a trade that the caller chooses,
        # and nothing that towers other than ours know.
        if config.skip_unchanged_patches:
            share = config.skip_unchanged_patches
            chunks = self._chunks(clip_lengths(len(pixel_values), video_lengths))
            calls = [(frames, {"skip_unchanged_patches": share, "clip_lengths": clips}) for frames, clips in chunks]
        else:
            calls = [(frames, {}) for frames, _ in self._chunks([1] * len(pixel_values))]
        # CODEPATH: as above.
        if config.merge_patches:
            kwargs |= {"merge_patches": config.merge_patches, "merge_layers": config.merge_layers}  # type: ignore[misc]
        outputs = [
            self.vision_tower(pixel_values[frames], return_dict=True, **options, **kwargs) for frames, options in calls
        ]
        is_recorded = outputs[0].hidden_states is not None or outputs[0].attentions is not None
        if is_recorded and any((config.skip_unchanged_patches, config.merge_patches)):
            raise ValueError(
                "`output_hidden_states` or `output_attentions` is asked of a vision tower that does not run all "
                "patches in all layers; expected neither. Leave them out, or set `config.skip_unchanged_patches` and "
                "`config.merge_patches` to 0."
            )
        # Towers other than ours put their class and register tokens first.
        patch_size = config.vision_config.patch_size
        num_patches = (pixel_values.shape[-2] // patch_size) * (pixel_values.shape[-1] // patch_size)
        return BaseModelOutput(
            last_hidden_state=torch.cat([output.last_hidden_state[:, -num_patches:] for output in outputs]),
            hidden_states=_concatenate_layers([output.hidden_states for output in outputs]),
            attentions=_concatenate_layers([output.attentions for output in outputs]),
        )

    def _chunks(self, lengths: list[int]) -> list[tuple[slice, list[int]]]:
        """Frames that are run at once, and the lengths of the clips they are; a clip stays whole."""
        limit = self.frames_per_chunk or sum(lengths)
        chunks: list[list[int]] = [[]]
        for length in lengths:
            if not torch.is_grad_enabled() and chunks[-1] and sum(chunks[-1]) + length > limit:
                chunks.append([])
            chunks[-1].append(length)
        ends = list(accumulate(map(sum, chunks)))
        return [(slice(end - sum(clips), end), clips) for end, clips in zip(ends, chunks, strict=True)]

    def encode_media(
        self,
        pixel_values: torch.Tensor | None = None,
        pixel_values_videos: torch.Tensor | None = None,
        video_frame_mask: torch.Tensor | None = None,
        tokens_per_frame: int | torch.LongTensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> dict[str, FTFVFeaturesOutput]:
        r"""
        Features of the images and the videos of a call, computed in one pass. Takes the arguments of
        `get_image_features` and `get_video_features` and returns their outputs under `"image"` and `"video"`.
        """
        frames, encodings, counts = [], [], []
        lengths: list[int] = []
        if pixel_values is not None:
            frames.append(pixel_values)
            # Zeros made of E, so that it takes part in every forward pass with media: data-parallel training waits for
            # the gradient of every parameter on every rank.
            first = torch.zeros(len(pixel_values), dtype=torch.long, device=pixel_values.device)
            encodings.append(0 * self.temporal_encoding(first, first + 1))
            # CODEPATH: the paper's models read images whole; `sample_images` is for models trained with sampled ones.
            counts += [self.config.tokens_per_frame if self.config.sample_images else None] * len(pixel_values)
        if pixel_values_videos is not None:
            frame_indices, lengths = self._find_frames(pixel_values_videos, video_frame_mask)
            frames.append(pixel_values_videos.flatten(0, 1)[frame_indices])
            positions = [(position, length) for length in lengths for position in range(length)]
            encodings.append(self.temporal_encoding(*torch.tensor(positions, device=frame_indices.device).unbind(1)))
            for count, length in zip(
                self._check_tokens_per_frame(tokens_per_frame, len(lengths)), lengths, strict=True
            ):
                counts += [count] * length
        if len(frames) == 2 and frames[0].shape[1:] != frames[1].shape[1:]:
            raise ValueError(
                f"Images are {tuple(frames[0].shape[-2:])} and video frames {tuple(frames[1].shape[-2:])} pixels "
                "in one call; expected one size. Set the same `size` in the image and the video processor."
            )

        vision_outputs, tokens, responses, indices = self.encode_frames(
            torch.cat(frames), torch.cat(encodings), counts, lengths, **kwargs
        )

        outputs = {}
        num_images = 0 if pixel_values is None else len(pixel_values)
        if pixel_values is not None:
            outputs["image"] = FTFVFeaturesOutput(
                last_hidden_state=vision_outputs.last_hidden_state[:num_images],
                pooler_output=torch.stack(tokens[:num_images]),
                hidden_states=_slice_all(vision_outputs.hidden_states, slice(0, num_images)),
                attentions=_slice_all(vision_outputs.attentions, slice(0, num_images)),
                responses=responses[:num_images],
                token_indices=torch.stack(indices[:num_images]),
            )
        if pixel_values_videos is not None:
            shape = pixel_values_videos.shape[:2]
            videos = [torch.cat(video) for video in _split(tokens[num_images:], lengths)]
            ragged = len({len(video) for video in videos}) > 1
            padded_indices = nn.utils.rnn.pad_sequence(indices[num_images:], batch_first=True, padding_value=-1)
            outputs["video"] = FTFVFeaturesOutput(
                last_hidden_state=_scatter_frames(
                    vision_outputs.last_hidden_state[num_images:], frame_indices, shape, 0
                ),
                pooler_output=videos if ragged else torch.stack(videos),  # type: ignore[arg-type]
                hidden_states=_slice_all(vision_outputs.hidden_states, slice(num_images, None)),
                attentions=_slice_all(vision_outputs.attentions, slice(num_images, None)),
                responses=_scatter_frames(responses[num_images:], frame_indices, shape, 0),
                token_indices=_scatter_frames(padded_indices, frame_indices, shape, -1),
            )
        return outputs

    def _find_frames(
        self, pixel_values_videos: torch.Tensor, video_frame_mask: torch.Tensor | None
    ) -> tuple[torch.LongTensor, list[int]]:
        """Returns the indices of the real frames among those of all videos, and how many each video has."""
        if pixel_values_videos.ndim != 5:
            raise ValueError(
                f"`pixel_values_videos` has shape {tuple(pixel_values_videos.shape)}; expected (num_videos, "
                "num_frames, 3, height, width)."
            )
        num_videos, num_frames = pixel_values_videos.shape[:2]
        if video_frame_mask is None:
            # Without a mask no shape depends on data, which compiling and exporting need.
            indices = torch.arange(num_videos * num_frames, device=pixel_values_videos.device)
            return indices, [num_frames] * num_videos  # type: ignore[return-value]
        if video_frame_mask.shape != (num_videos, num_frames):
            raise ValueError(
                f"`video_frame_mask` has shape {tuple(video_frame_mask.shape)}; expected {(num_videos, num_frames)}, "
                "the videos and frames of `pixel_values_videos`."
            )
        mask = video_frame_mask.bool()
        torch_compilable_check(
            mask.any(dim=1).all(), "`video_frame_mask` marks no frame of a video; expected at least one per video."
        )
        indices = mask.flatten().nonzero()[:, 0].to(pixel_values_videos.device)
        return indices, mask.sum(dim=1).tolist()  # type: ignore[return-value]

    def _check_tokens_per_frame(self, tokens_per_frame: int | torch.LongTensor | None, num_videos: int) -> list[int]:
        if tokens_per_frame is None:
            return [self.config.tokens_per_frame] * num_videos
        if isinstance(tokens_per_frame, int):
            return [tokens_per_frame] * num_videos
        counts = tokens_per_frame.flatten().tolist()
        if len(counts) == 1:
            return counts * num_videos
        if len(counts) != num_videos:
            raise ValueError(
                f"`tokens_per_frame` has {len(counts)} entries for {num_videos} videos; expected one per video, as "
                "the processor returns it, or a single int."
            )
        return counts

    @can_return_tuple
    @auto_docstring(custom_intro="Features of images, as the language model reads them.")
    def get_image_features(
        self, pixel_values: torch.FloatTensor, **kwargs: Unpack[TransformersKwargs]
    ) -> tuple | FTFVFeaturesOutput:
        r"""
        pixel_values (`torch.FloatTensor` of shape `(num_images, 3, height, width)`):
            Images; their temporal encoding is none, and they keep all query tokens unless `config.sample_images`.
        """
        return self.encode_media(pixel_values=pixel_values, **kwargs)["image"]

    @can_return_tuple
    @auto_docstring(custom_intro="Features of videos, as the language model reads them (paper section 3.2).")
    def get_video_features(
        self,
        pixel_values_videos: torch.FloatTensor,
        video_frame_mask: torch.Tensor | None = None,
        tokens_per_frame: int | torch.LongTensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> tuple | FTFVFeaturesOutput:
        r"""
        pixel_values_videos (`torch.FloatTensor` of shape `(num_videos, num_frames, 3, height, width)`):
            Frames of the videos, padded to the longest of the batch.
        video_frame_mask (`torch.Tensor` of shape `(num_videos, num_frames)`, *optional*):
            1 for real frames, 0 for padding; only real frames reach the tower. All are real when not given.
        tokens_per_frame (`int` or `torch.LongTensor` of shape `(num_videos,)`, *optional*):
            Tokens that each frame of a video keeps, `config.tokens_per_frame` when not given.
        """
        return self.encode_media(
            pixel_values_videos=pixel_values_videos,
            video_frame_mask=video_frame_mask,
            tokens_per_frame=tokens_per_frame,
            **kwargs,
        )["video"]

    def take_features(
        self, features: BaseModelOutputWithPooling, tokens_per_frame: int | torch.LongTensor | None = None
    ) -> FTFVFeaturesOutput:
        r"""
        A copy of features computed before, which a call may change, with the tokens that it asks for.

        Args:
            features (`FTFVFeaturesOutput`):
                From [`~FTFVModel.get_video_features`] of this model. Other outputs with a `pooler_output` are taken
                as they are.
            tokens_per_frame (`int` or `torch.LongTensor` of shape `(num_videos,)`, *optional*):
                Tokens to keep of each frame, all that there are when not given. Fewer than there are, are those that
                encoding with this number would keep, in the same order.

        Raises:
            ValueError: there are not as many, or fewer are asked for of a `token_sampler` other than `"weighted"`.
        """
        token_indices = features.get("token_indices")
        if token_indices is None or tokens_per_frame is None:
            return FTFVFeaturesOutput(
                pooler_output=features["pooler_output"],
                responses=features.get("responses"),
                token_indices=token_indices,
                frame_times=features.get("frame_times"),
            )
        videos = FTFVFeaturesOutput(**features).split()
        sampler = self.multi_modal_projector.sampler
        for video, count in zip(videos, self._check_tokens_per_frame(tokens_per_frame, len(videos)), strict=True):
            kept = sampler.narrow(video.responses, video.token_indices, count)
            tokens = video.pooler_output.unflatten(1, video.token_indices.shape[1:])
            video.pooler_output = tokens.gather(2, kept[..., None].expand(-1, -1, -1, tokens.shape[-1])).flatten(1, 2)
            video.token_indices = video.token_indices.gather(2, kept)
        return FTFVFeaturesOutput.merge(videos)

    def unused_frame(self) -> torch.Tensor:
        """
        Zero, made of an empty frame's features. A distributed training adds it to batches without media: sharded
        weights are gathered by all ranks together, so a rank that left the tower out would leave the others waiting.
        """
        size, num_channels = self.config.vision_config.image_size, self.config.vision_config.num_channels
        height, width = (size, size) if isinstance(size, int) else size
        weight = self.temporal_encoding.weight
        pixels = torch.zeros(1, 1, num_channels, height, width, dtype=weight.dtype, device=weight.device)
        features = self.encode_media(pixel_values_videos=pixels)["video"]
        return 0 * features.pooler_output.sum()

    def get_placeholder_mask(
        self, input_ids: torch.LongTensor | None, inputs_embeds: torch.FloatTensor, modality: str
    ) -> torch.Tensor:
        """
        Where the prompt holds placeholders of `modality`, by id or, when only embeddings are given, by comparing them.

        Returns:
            `torch.BoolTensor` of shape `(batch_size, sequence_length)`.
        """
        token_id = self.config.image_token_id if modality == "image" else self.config.video_token_id
        if input_ids is not None:
            return input_ids == token_id
        token = torch.full((), token_id, dtype=torch.long, device=inputs_embeds.device)
        return (inputs_embeds == self.get_input_embeddings()(token)).all(dim=-1)

    def check_no_placeholders(
        self, input_ids: torch.LongTensor | None, inputs_embeds: torch.FloatTensor | None
    ) -> None:
        """
        Checks the prompts of a call without pixels and features.

        Raises:
            ValueError: they hold placeholders.
        """
        for modality in ("image", "video"):
            self.merge_features(input_ids, inputs_embeds, modality, None, None)

    def merge_features(
        self,
        input_ids: torch.LongTensor | None,
        inputs_embeds: torch.FloatTensor,
        modality: str,
        features: FTFVFeaturesOutput | None,
        tokens_per_frame: int | torch.LongTensor | None,
    ) -> torch.FloatTensor:
        """
        Puts the features of a modality in place of its placeholders.

        Raises:
            ValueError: the prompt holds placeholders without features, or another number of them than features.
        """
        mask = self.get_placeholder_mask(input_ids, inputs_embeds, modality)
        num_placeholders = mask.sum()
        if features is None:
            pixels = "pixel_values" if modality == "image" else "pixel_values_videos"
            torch_compilable_check(
                num_placeholders == 0,
                f"The prompt holds <{modality}> placeholder tokens but `{pixels}` is not given. Pass everything that "
                "the processor returned.",
            )
            return inputs_embeds
        pooled = features.pooler_output
        pooled = pooled.flatten(0, 1) if isinstance(pooled, torch.Tensor) else torch.cat(list(pooled))
        source = "the config" if tokens_per_frame is None else "the processor or the call"
        cost = f" (`tokens_per_frame` from {source})" if modality == "video" else ""
        torch_compilable_check(
            num_placeholders == pooled.shape[0],
            lambda: (
                f"The prompt holds {num_placeholders} <{modality}> placeholder tokens but there are {pooled.shape[0]} "
                f"{modality} features{cost}. Give processor and model the same `tokens_per_frame` and pass everything "
                "that the processor returned."
            ),
        )
        pooled = pooled.to(inputs_embeds.device, inputs_embeds.dtype)
        mask = mask.unsqueeze(-1).to(inputs_embeds.device)
        return inputs_embeds.masked_scatter(mask, pooled)  # type: ignore[return-value]

    @can_return_tuple
    @auto_docstring
    def forward(  # type: ignore[misc]
        self,
        input_ids: torch.LongTensor | None = None,
        pixel_values: torch.FloatTensor | None = None,
        pixel_values_videos: torch.FloatTensor | None = None,
        video_frame_mask: torch.Tensor | None = None,
        tokens_per_frame: int | torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.LongTensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: torch.FloatTensor | None = None,
        use_cache: bool | None = None,
        mm_encoder_outputs: dict[str, FTFVFeaturesOutput] | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> tuple | FTFVModelOutputWithPast:
        r"""
        video_frame_mask (`torch.Tensor` of shape `(num_videos, num_frames)`, *optional*):
            1 for real frames, 0 for padding; only real frames reach the tower. All are real when not given.
        tokens_per_frame (`int` or `torch.LongTensor` of shape `(num_videos,)`, *optional*):
            Tokens that each frame of a video keeps, `config.tokens_per_frame` when not given.
        mm_encoder_outputs (`dict[str, FTFVFeaturesOutput]`, *optional*):
            Features computed before, under `"image"` and `"video"`, in place of the pixels of that kind; with
            `tokens_per_frame` those of videos are narrowed to it, see [`~FTFVModel.take_features`].
        """
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("You must specify exactly one of `input_ids` or `inputs_embeds`.")
        has_pixels = pixel_values is not None or pixel_values_videos is not None
        features = {}
        for modality, pixels in (("image", pixel_values), ("video", pixel_values_videos)):
            given = (mm_encoder_outputs or {}).get(modality)
            if given is not None and pixels is not None:
                raise ValueError(
                    f"You cannot specify pixels and `mm_encoder_outputs` at the same time for the {modality}s of a "
                    "call; pass one of them."
                )
            if given is not None:
                features[modality] = self.take_features(given, tokens_per_frame if modality == "video" else None)

        if inputs_embeds is None:
            inputs_embeds = self.get_input_embeddings()(input_ids)
        if self.training and not has_pixels and not features and _is_distributed():
            inputs_embeds = inputs_embeds + self.unused_frame().to(inputs_embeds.dtype)  # type: ignore[assignment]
        if has_pixels:
            features |= self.encode_media(pixel_values, pixel_values_videos, video_frame_mask, tokens_per_frame)
        if features:
            for modality in ("image", "video"):
                inputs_embeds = self.merge_features(
                    input_ids, inputs_embeds, modality, features.get(modality), tokens_per_frame
                )
        elif self.training:
            # Trainers that compute the loss by themselves, as TRL's does, call this model without labels.
            self.check_no_placeholders(input_ids, inputs_embeds)

        outputs = self.language_model(
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            use_cache=use_cache,
            **kwargs,
        )
        return FTFVModelOutputWithPast(
            last_hidden_state=outputs.last_hidden_state,
            past_key_values=outputs.past_key_values,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
            image_hidden_states=features["image"].pooler_output if features.get("image") else None,
            video_hidden_states=features["video"].pooler_output if features.get("video") else None,
        )


@auto_docstring(
    custom_intro="""
    The FTFV model with a language modeling head: answers questions about images and videos.
    """
)
class FTFVForConditionalGeneration(FTFVPreTrainedModel, GenerationMixin):
    _tied_weights_keys = {"lm_head.weight": "model.language_model.embed_tokens.weight"}
    _tp_plan = {"lm_head": "colwise_gather_output"}

    def __init__(self, config: FTFVConfig):
        super().__init__(config)
        self.model = FTFVModel(config)
        self.lm_head = nn.Linear(config.text_config.hidden_size, config.text_config.vocab_size, bias=False)
        self.post_init()

    def get_output_embeddings(self) -> nn.Module:
        return self.lm_head

    def _prepare_multimodal_encoder_kwargs_for_generation(self, model_kwargs: dict[str, Any]) -> dict[str, Any]:
        # `generate` changes features in place, for beams; the caller's are asked about again.
        features = dict(model_kwargs.get("mm_encoder_outputs") or {})
        for modality, given in features.items():
            tokens_per_frame = model_kwargs.get("tokens_per_frame") if modality == "video" else None
            features[modality] = None if given is None else self.model.take_features(given, tokens_per_frame)
        model_kwargs["mm_encoder_outputs"] = features
        prepared: Any = super()._prepare_multimodal_encoder_kwargs_for_generation(model_kwargs)  # type: ignore[misc]
        return prepared

    def prepare_inputs_for_generation(
        self,
        input_ids: torch.LongTensor,
        inputs_embeds: torch.FloatTensor | None = None,
        is_first_iteration: bool | None = False,
        **kwargs: Any,
    ) -> dict[str, Any]:
        model_inputs = super().prepare_inputs_for_generation(  # type: ignore[misc]
            input_ids, inputs_embeds=inputs_embeds, is_first_iteration=is_first_iteration, **kwargs
        )
        if is_first_iteration and not model_inputs.get("mm_encoder_outputs"):
            self.model.check_no_placeholders(model_inputs["input_ids"], model_inputs.get("inputs_embeds"))
        return model_inputs

    @can_return_tuple
    @auto_docstring(custom_intro="Features of images, as the language model reads them.")
    def get_image_features(
        self, pixel_values: torch.FloatTensor, **kwargs: Unpack[TransformersKwargs]
    ) -> tuple | FTFVFeaturesOutput:
        r"""
        pixel_values (`torch.FloatTensor` of shape `(num_images, 3, height, width)`):
            Images; their temporal encoding is none, and they keep all query tokens unless `config.sample_images`.
        """
        return self.model.get_image_features(pixel_values, **kwargs)

    @can_return_tuple
    @auto_docstring(custom_intro="Features of videos, as the language model reads them (paper section 3.2).")
    def get_video_features(
        self,
        pixel_values_videos: torch.FloatTensor,
        video_frame_mask: torch.Tensor | None = None,
        tokens_per_frame: int | torch.LongTensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> tuple | FTFVFeaturesOutput:
        r"""
        pixel_values_videos (`torch.FloatTensor` of shape `(num_videos, num_frames, 3, height, width)`):
            Frames of the videos, padded to the longest of the batch.
        video_frame_mask (`torch.Tensor` of shape `(num_videos, num_frames)`, *optional*):
            1 for real frames, 0 for padding; only real frames reach the tower. All are real when not given.
        tokens_per_frame (`int` or `torch.LongTensor` of shape `(num_videos,)`, *optional*):
            Tokens that each frame of a video keeps, `config.tokens_per_frame` when not given.
        """
        return self.model.get_video_features(pixel_values_videos, video_frame_mask, tokens_per_frame, **kwargs)

    @can_return_tuple
    @auto_docstring
    def forward(  # type: ignore[misc]
        self,
        input_ids: torch.LongTensor | None = None,
        pixel_values: torch.FloatTensor | None = None,
        pixel_values_videos: torch.FloatTensor | None = None,
        video_frame_mask: torch.Tensor | None = None,
        tokens_per_frame: int | torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.LongTensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: torch.FloatTensor | None = None,
        labels: torch.LongTensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | torch.Tensor = 0,
        mm_encoder_outputs: dict[str, FTFVFeaturesOutput] | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> tuple | FTFVCausalLMOutputWithPast:
        r"""
        video_frame_mask (`torch.Tensor` of shape `(num_videos, num_frames)`, *optional*):
            1 for real frames, 0 for padding; only real frames reach the tower. All are real when not given.
        tokens_per_frame (`int` or `torch.LongTensor` of shape `(num_videos,)`, *optional*):
            Tokens that each frame of a video keeps, `config.tokens_per_frame` when not given.
        mm_encoder_outputs (`dict[str, FTFVFeaturesOutput]`, *optional*):
            Features computed before, under `"image"` and `"video"`, in place of the pixels of that kind; with
            `tokens_per_frame` those of videos are narrowed to it, see [`~FTFVModel.take_features`].

        Example:

        ```python
        >>> from transformers import AutoModelForImageTextToText, AutoProcessor

        >>> model = AutoModelForImageTextToText.from_pretrained("org/ftfv-s4v", trust_remote_code=True)
        >>> processor = AutoProcessor.from_pretrained("org/ftfv-s4v", trust_remote_code=True)
        >>> content = [{"type": "video", "path": "clip.mp4"}, {"type": "text", "text": "What happens?"}]
        >>> inputs = processor.apply_chat_template(
        ...     [{"role": "user", "content": content}],
        ...     add_generation_prompt=True,
        ...     tokenize=True,
        ...     return_dict=True,
        ...     return_tensors="pt",
        ...     processor_kwargs={"tokens_per_frame": 16},
        ... )
        >>> generated_ids = model.generate(**inputs, max_new_tokens=64)
        >>> processor.decode(generated_ids[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        ```"""
        has_media = pixel_values is not None or pixel_values_videos is not None or mm_encoder_outputs
        if labels is not None and not has_media:
            # Lost on the way, they would be trained without notice.
            self.model.check_no_placeholders(input_ids, inputs_embeds)
        outputs = self.model(
            input_ids=input_ids,
            pixel_values=pixel_values,
            pixel_values_videos=pixel_values_videos,
            video_frame_mask=video_frame_mask,
            tokens_per_frame=tokens_per_frame,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            use_cache=use_cache,
            mm_encoder_outputs=mm_encoder_outputs,
            **kwargs,
        )
        logits = self.lm_head(slice_logits_to_keep(outputs.last_hidden_state, logits_to_keep))

        loss = None
        if labels is not None:
            loss = self.loss_function(
                logits=logits, labels=labels, vocab_size=self.config.text_config.vocab_size, **kwargs
            )
        return FTFVCausalLMOutputWithPast(
            loss=loss,
            logits=logits,
            past_key_values=outputs.past_key_values,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
            image_hidden_states=outputs.image_hidden_states,
            video_hidden_states=outputs.video_hidden_states,
        )


def _require_grad(module: nn.Module, args: tuple, output: torch.Tensor) -> None:
    output.requires_grad_(True)


def _start_gradient(module: nn.Module, args: tuple) -> tuple | None:
    """
    Forward pre-hook of a checkpointed layer: the hidden states that enter the first one with trainable weights become
    a leaf that requires gradients. Without, reentrant checkpointing gives those weights none; and the backward pass
    ends here.
    """
    hidden_states, *others = args
    trainable = any(parameter.requires_grad for parameter in module.parameters())
    if not trainable or hidden_states.requires_grad or not torch.is_grad_enabled():
        return None
    return hidden_states.detach().requires_grad_(True), *others


def _concatenate_layers(chunks: list[tuple[torch.Tensor, ...] | None]) -> tuple[torch.Tensor, ...] | None:
    return None if chunks[0] is None else tuple(torch.cat(layer) for layer in zip(*chunks, strict=True))


def _slice_all(tensors: tuple[torch.Tensor, ...] | None, rows: slice) -> tuple[torch.Tensor, ...] | None:
    return None if tensors is None else tuple(tensor[rows] for tensor in tensors)


def _split(items: list[torch.Tensor], lengths: list[int]) -> list[list[torch.Tensor]]:
    iterator = iter(items)
    return [[next(iterator) for _ in range(length)] for length in lengths]


def _scatter_frames(
    values: torch.Tensor, frame_indices: torch.LongTensor, shape: torch.Size, fill: int
) -> torch.Tensor:
    """
    From the real frames `(total_num_frames, ...)` to `(num_videos, num_frames, ...)`, padding filled with `fill`.
    """
    output = values.new_full((shape[0] * shape[1], *values.shape[1:]), fill)
    output[frame_indices] = values
    return output.unflatten(0, shape)


def _pad_and_stack(videos: list[torch.Tensor], fill: float) -> torch.Tensor:
    """From tensors of any shapes to one of the largest, `(num_videos, ...)`, padding filled with `fill`."""
    shape = [max(sizes) for sizes in zip(*(video.shape for video in videos), strict=True)]
    output = videos[0].new_full((len(videos), *shape), fill)
    for index, video in enumerate(videos):
        output[index][tuple(slice(size) for size in video.shape)] = video
    return output


def _is_distributed() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_initialized()


__all__ = [
    "FTFVAdapter",
    "FTFVForConditionalGeneration",
    "FTFVModel",
    "FTFVPreTrainedModel",
    "FTFVVisionModel",
]
