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
What a model costs: visual tokens, FLOPs and memory of a configuration, counted by running its modules without weights.

The modules run on PyTorch's meta device, where tensors have shapes and no numbers, under its flop counter: 2 FLOPs per
multiply-add of matrix products and convolutions; the masked half of an attention is not discounted; normalisations,
activations and softmax count nothing.
"""

import contextlib
import copy
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from transformers.cache_utils import DynamicCache
from transformers.utils import logging

from .configuration_ftfv import FTFVConfig
from .modeling_ftfv import FTFVAdapter, FTFVForConditionalGeneration
from .part_flop_counter import PartFlopCounter


LORA_LINEARS = tuple(
    f"model.language_model.*.{name}"
    for name in ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
)
"""The linear layers of a Llama-like language model that the paper's Table 5 counts LoRA on."""

Flops = Counter[tuple[str, str]]
"""FLOPs by part (`"tower"`, `"adapter"`, `"language"`, `"lm_head"`) and kind (`"linear"`, `"attention"`)."""


@dataclass(frozen=True)
class Cost:
    """
    Cost of one pass through the model, batch size 1.

    Attributes:
        num_frames, tokens_per_frame (`int`): the video that the prompt holds.
        visual_tokens, text_tokens (`int`): tokens of the prompt; their sum is its length.
        tower_linear, tower_attention (`int`): FLOPs of the vision tower.
        adapter_linear, adapter_attention (`int`): FLOPs of the adapter.
        language_linear, language_attention (`int`): FLOPs of the language model without its head, LoRA included.
        lm_head (`int`): FLOPs of the language model's head.
        kv_cache_bytes (`int`): keys and values, or other states, that the language model holds after the pass, in 16
            bits; 0 in training.
    """

    num_frames: int
    tokens_per_frame: int
    visual_tokens: int
    text_tokens: int
    tower_linear: int
    tower_attention: int
    adapter_linear: int
    adapter_attention: int
    language_linear: int
    language_attention: int
    lm_head: int
    kv_cache_bytes: int

    @property
    def vision_flops(self) -> int:
        """FLOPs of the vision tower and the adapter."""
        return self.tower_linear + self.tower_attention + self.adapter_linear + self.adapter_attention

    @property
    def language_flops(self) -> int:
        """FLOPs of the language model with its head."""
        return self.language_linear + self.language_attention + self.lm_head

    @property
    def linear_flops(self) -> int:
        """FLOPs of linear layers and convolutions alone, which Table 5 of the paper counts."""
        return self.tower_linear + self.adapter_linear + self.language_linear + self.lm_head

    @property
    def total_flops(self) -> int:
        return self.vision_flops + self.language_flops

    @property
    def vision_share(self) -> float:
        """Share of `vision_flops` in `total_flops`, 0 to 1."""
        return self.vision_flops / self.total_flops


def visual_tokens(config: FTFVConfig, num_frames: int | None = None, tokens_per_frame: int | None = None) -> int:
    """
    Number of tokens that a video costs in the language model.

    Args:
        config (`FTFVConfig`): the model.
        num_frames (`int`, *optional*, defaults to `config.num_frames`): frames T.
        tokens_per_frame (`int`, *optional*, defaults to `config.tokens_per_frame`): tokens K of each frame.

    Raises:
        ValueError: a number is out of range.
    """
    num_frames = config.num_frames if num_frames is None else num_frames
    tokens_per_frame = config.tokens_per_frame if tokens_per_frame is None else tokens_per_frame
    num_query_tokens = config.adapter_config.num_query_tokens
    if num_frames < 1:
        raise ValueError(f"`num_frames` is {num_frames}; expected at least 1.")
    if not 1 <= tokens_per_frame <= num_query_tokens:
        raise ValueError(
            f"`tokens_per_frame` is {tokens_per_frame}; expected 1 to {num_query_tokens}, the adapter's number of "
            "query tokens."
        )
    return num_frames * tokens_per_frame


def weight_bytes(config: FTFVConfig) -> int:
    """Bytes of a model's weights in 16 bits, tied ones once and the adapter's position table included."""
    return _weight_bytes(_build(config, (), 0))


def cost(config: FTFVConfig, *, lora_modules: Sequence[str] = LORA_LINEARS, lora_rank: int = 0, **sizes: Any) -> Cost:
    """
    Cost of a question about a video: [`CostCounter.prefill`] with `sizes`, for callers that ask once.

    Args:
        config (`FTFVConfig`): the model.
        lora_modules, lora_rank (*optional*): as in [`CostCounter`].
    """
    return CostCounter(config, lora_modules=lora_modules, lora_rank=lora_rank).prefill(**sizes)


class CostCounter:
    """
    Counts what questions about videos cost. The vision tower runs once for each size of a video, so that asking for
    several numbers of tokens per frame takes little longer than for one.

    Args:
        config (`FTFVConfig`):
            The model, of any vision tower and language model whose forward pass does not depend on values.
        lora_modules (`Sequence[str]`, *optional*, defaults to `LORA_LINEARS`):
            Patterns of the names of the linear layers with LoRA, in which `*` stands for anything.
        lora_rank (`int`, *optional*, defaults to 0):
            Rank of the unmerged LoRA weights on each of them; 0 for none.

    Raises:
        ValueError: a number is out of range, or a pattern matches no linear layer.
    """

    def __init__(self, config: FTFVConfig, *, lora_modules: Sequence[str] = LORA_LINEARS, lora_rank: int = 0):
        self.config = config
        self.model = _build(config, lora_modules, lora_rank)
        self.weight_bytes = _weight_bytes(self.model)
        self._repeated = _repeated_layers(self.model.model.language_model)
        self._tower_runs: dict[tuple[int, int | None], tuple[list[Any], Flops]] = {}
        self._language_runs: dict[tuple[int, int, int | None], tuple[Flops, Any]] = {}

    def prefill(
        self,
        *,
        num_frames: int | None = None,
        tokens_per_frame: int | None = None,
        frame_size: int | None = None,
        num_text_tokens: int = 48,
        last_position_only: bool = False,
        all_query_outputs: bool = False,
    ) -> Cost:
        """
        Cost of reading a video and a question.

        Args:
            num_frames (`int`, *optional*, defaults to `config.num_frames`):
                Frames T.
            tokens_per_frame (`int`, *optional*, defaults to `config.tokens_per_frame`):
                Tokens K of each frame.
            frame_size (`int`, *optional*, defaults to `config.vision_config.image_size`):
                Height and width of the frames in pixels.
            num_text_tokens (`int`, *optional*, defaults to 48):
                Tokens of the prompt beside those of the video. With 48 the paper's Table 5 comes out.
            last_position_only (`bool`, *optional*, defaults to `False`):
                Whether the head runs at the last position only, as `generate` has it, or at all of them.
            all_query_outputs (`bool`, *optional*, defaults to `False`):
                Count the adapter as Table 5 does: each frame projects all queries and computes the outputs of all of
                them, most of which are dropped. This model's own adapter does neither.

        Raises:
            ValueError: a number is out of range, or a module's forward pass depends on values.
        """
        prompt = _prompt(self.config, num_frames, tokens_per_frame, num_text_tokens)
        flops = self._vision(prompt["num_frames"], prompt["tokens_per_frame"], frame_size, all_query_outputs)
        length = prompt["visual_tokens"] + num_text_tokens
        return self._with_language(prompt, flops, length, 0, last_position_only)

    def next_question(
        self,
        *,
        num_frames: int | None = None,
        tokens_per_frame: int | None = None,
        num_text_tokens: int = 48,
        last_position_only: bool = False,
        same_chat: bool = False,
    ) -> Cost:
        """
        Cost of another question about a video whose features are kept, so without tower and adapter.

        Args:
            num_frames, tokens_per_frame, num_text_tokens, last_position_only (*optional*):
                As in [`~CostCounter.prefill`].
            same_chat (`bool`, *optional*, defaults to `False`):
                Whether the question goes on from the keys and values of the first one, which is as long, so that only
                its own tokens are read; otherwise the whole prompt is read anew.

        Raises:
            ValueError: a number is out of range, or a module's forward pass depends on values.
        """
        prompt = _prompt(self.config, num_frames, tokens_per_frame, num_text_tokens)
        length = prompt["visual_tokens"] + num_text_tokens
        length, num_cached = (num_text_tokens, length) if same_chat else (length, 0)
        return self._with_language(prompt, Counter(), length, num_cached, last_position_only)

    def decode_step(
        self,
        *,
        num_frames: int | None = None,
        tokens_per_frame: int | None = None,
        num_text_tokens: int = 48,
    ) -> Cost:
        """
        Cost of one token of the answer, the first that follows a prompt of the given sizes.

        Args:
            num_frames, tokens_per_frame, num_text_tokens (*optional*): as in [`~CostCounter.prefill`].

        Raises:
            ValueError: a number is out of range, or a module's forward pass depends on values.
        """
        prompt = _prompt(self.config, num_frames, tokens_per_frame, num_text_tokens)
        return self._with_language(prompt, Counter(), 1, prompt["visual_tokens"] + num_text_tokens, True)

    def _with_language(
        self, prompt: dict[str, int], flops: Flops, length: int, num_cached: int, last_position_only: bool
    ) -> Cost:
        flops = flops.copy()
        kv_cache_bytes = 0
        if length:
            language, kv_cache_bytes = self._language(length, num_cached)
            flops += language
            flops += self._head(1 if last_position_only else length)
        return _cost(prompt, flops, kv_cache_bytes)

    def _vision(
        self, num_frames: int, tokens_per_frame: int, frame_size: int | None, all_query_outputs: bool
    ) -> Flops:
        pixel_values = _frames(self.config, num_frames, frame_size)
        with torch.no_grad(), self._counting("tower") as counter, _watch_adapter(self.model, counter):
            with self._tower_runs_once(counter, (num_frames, frame_size)):
                features = self.model.model.encode_media(
                    pixel_values_videos=pixel_values, tokens_per_frame=tokens_per_frame
                )["video"]
        if not all_query_outputs:
            return counter.flops
        with torch.no_grad(), self._counting("adapter") as adapter_counter:
            _adapt_all_queries(self.model.model.multi_modal_projector, features.last_hidden_state[0])
        return _of_tower(counter.flops) + adapter_counter.flops

    @contextlib.contextmanager
    def _tower_runs_once(self, counter: PartFlopCounter, video: tuple[int, int | None]) -> Iterator[None]:
        """What the tower does, does not depend on K: later runs are given the outputs and FLOPs of the first one."""
        tower = self.model.model.vision_tower
        if video not in self._tower_runs:
            outputs: list[Any] = []
            with tower.register_forward_hook(lambda module, args, output: outputs.append(output)):
                yield
            self._tower_runs[video] = outputs, _of_tower(counter.flops)
            return
        outputs, flops = self._tower_runs[video]
        replayed = iter(outputs)
        tower.forward = lambda *args, **kwargs: next(replayed)
        try:
            yield
        finally:
            del tower.forward
        counter.flops.update({key: count - counter.flops[key] for key, count in flops.items()})

    def _language(self, length: int, num_cached: int) -> tuple[Flops, int]:
        """FLOPs of reading `length` tokens behind `num_cached` others, and bytes of keys and values afterwards."""
        if self._repeated is None:
            flops, cache = self._run_language(length, num_cached, None)
            return flops, _cache_bytes(cache)
        # The first and the last layer may differ by what is around them; each one between costs the same.
        (two, two_cache), (three, three_cache) = (self._run_language(length, num_cached, number) for number in (2, 3))
        two_bytes, three_bytes = _cache_bytes(two_cache), _cache_bytes(three_cache)
        between = len(getattr(*self._repeated)) - 2
        flops = Counter({key: two[key] + between * (three[key] - two[key]) for key in three})
        return flops, two_bytes + between * (three_bytes - two_bytes)

    def _run_language(self, length: int, num_cached: int, num_layers: int | None) -> tuple[Flops, Any]:
        """FLOPs and cache of a run, with the first `num_layers` of layers that are alike; none happens twice."""
        run = length, num_cached, num_layers
        if run not in self._language_runs:
            # What is read next is written into the cache, which more may be read behind.
            cache = copy.deepcopy(self._run_language(num_cached, 0, num_layers)[1]) if num_cached else None
            inputs_embeds = _meta(1, length, self.config.text_config.hidden_size)
            with torch.no_grad(), self._first_layers(num_layers), self._counting("language") as counter:
                outputs = self.model.model.language_model(
                    inputs_embeds=inputs_embeds, past_key_values=cache, use_cache=True
                )
            self._language_runs[run] = counter.flops, outputs.past_key_values
        return self._language_runs[run]

    @contextlib.contextmanager
    def _first_layers(self, num_layers: int | None) -> Iterator[None]:
        """The language model with the first of its layers alone."""
        if num_layers is None:
            yield
            return
        parent, name = self._repeated
        layers = getattr(parent, name)
        setattr(parent, name, layers[:num_layers])
        try:
            yield
        finally:
            setattr(parent, name, layers)

    def _head(self, num_positions: int) -> Flops:
        with torch.no_grad(), self._counting("lm_head") as counter:
            self.model.lm_head(_meta(1, num_positions, self.config.text_config.hidden_size))
        return counter.flops

    def _counting(self, part: str) -> contextlib.AbstractContextManager[PartFlopCounter]:
        return _counting(self.model, part)


def training_cost(
    config: FTFVConfig,
    *,
    trained_modules: Sequence[str],
    lora_modules: Sequence[str] = (),
    lora_rank: int = 0,
    gradient_checkpointing: bool = True,
    num_frames: int | None = None,
    tokens_per_frame: int | None = None,
    frame_size: int | None = None,
    num_text_tokens: int = 256,
) -> Cost:
    """
    Cost of training on one row with a video: a forward pass, what gradient checkpointing computes again, and the
    backward pass as far as autograd goes, so not through frozen layers that nothing trained lies before.

    The head runs at the tokens of text, since placeholders are never an answer. A fused attention computes its scores
    once more in its backward pass, which is not counted.

    Args:
        config (`FTFVConfig`):
            The model.
        trained_modules (`Sequence[str]`):
            Names of the modules that train in full; `""` is the whole model.
        lora_modules, lora_rank (*optional*):
            As in [`CostCounter`], by default none.
        gradient_checkpointing (`bool`, *optional*, defaults to `True`):
            Whether layers are computed again in the backward pass.
        num_frames, tokens_per_frame, frame_size (*optional*):
            As in [`CostCounter.prefill`]; 1 frame and all tokens for an image.
        num_text_tokens (`int`, *optional*, defaults to 256):
            Tokens of the row beside those of its video.

    Raises:
        ValueError: a number is out of range, a name matches no module, or a module's forward pass depends on values.
    """
    if num_text_tokens < 1:
        raise ValueError(f"`num_text_tokens` is {num_text_tokens}; expected at least 1, to train on.")
    prompt = _prompt(config, num_frames, tokens_per_frame, num_text_tokens)
    model = _build(config, lora_modules, lora_rank)
    names = dict(model.named_modules())
    for name in trained_modules:
        if name not in names:
            raise ValueError(f"{name!r} is to be trained but names no module of the model.")
        names[name].requires_grad_(True)
    model.train()
    if gradient_checkpointing:
        model.activation_checkpointing_enable({"use_reentrant": False})
        model.enable_input_require_grads()  # as TRL does
    with _quiet(), _counting(model, "tower") as counter, _watch_adapter(model, counter):
        features = model.model.encode_media(
            pixel_values_videos=_frames(config, prompt["num_frames"], frame_size),
            tokens_per_frame=prompt["tokens_per_frame"],
        )["video"]
        counter.part = "language"
        text = model.get_input_embeddings()(_meta(1, num_text_tokens, dtype=torch.long))
        inputs_embeds = torch.cat([features.pooler_output, text], dim=1)
        # Without a cache, transformers would look at the values of the positions for several sequences in one.
        cache = DynamicCache(config=model.model.language_model.config)
        outputs = model.model.language_model(inputs_embeds=inputs_embeds, past_key_values=cache, use_cache=False)
        hidden_states = outputs.last_hidden_state[:, -num_text_tokens:]
        counter.part = "lm_head"
        logits = model.lm_head(hidden_states)
        counter.switch_after(hidden_states, "language")
        counter.switch_after(inputs_embeds, "adapter")
        if logits.requires_grad:
            logits.sum().backward()
    return _cost(prompt, counter.flops, 0)


def _build(config: FTFVConfig, lora_modules: Sequence[str], lora_rank: int) -> FTFVForConditionalGeneration:
    """The model without weights, frozen but for LoRA."""
    if lora_rank < 0:
        raise ValueError(f"`lora_rank` is {lora_rank}; expected a number from 0 up.")
    with torch.device("meta"):
        model = FTFVForConditionalGeneration(config).eval().requires_grad_(False)
        if lora_rank:
            _add_lora(model, lora_modules, lora_rank)
    return model


def _add_lora(model: nn.Module, patterns: Sequence[str], rank: int) -> None:
    linears = {name: module for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    for pattern in patterns:
        found = [name for name in linears if fnmatchcase(name, pattern)]
        if not found:
            raise ValueError(f"LoRA is to be counted on {pattern!r}, which matches no linear layer of the model.")
        for name in found:
            linear = linears[name]
            linear.lora_A = nn.Linear(linear.in_features, rank, bias=False)
            linear.lora_B = nn.Linear(rank, linear.out_features, bias=False)
            linear.register_forward_hook(_add_lora_output)


def _add_lora_output(linear: Any, args: tuple[torch.Tensor], output: torch.Tensor) -> torch.Tensor:
    return output + linear.lora_B(linear.lora_A(args[0]))


def _weight_bytes(model: FTFVForConditionalGeneration) -> int:
    lora = sum(p.numel() for name, p in model.named_parameters() if ".lora_" in name)
    return 2 * (model.num_parameters() - lora + model.model.multi_modal_projector.position_table.numel())


def _prompt(
    config: FTFVConfig, num_frames: int | None, tokens_per_frame: int | None, num_text_tokens: int
) -> dict[str, int]:
    if num_text_tokens < 0:
        raise ValueError(f"`num_text_tokens` is {num_text_tokens}; expected a number from 0 up.")
    return {
        "num_frames": config.num_frames if num_frames is None else num_frames,
        "tokens_per_frame": config.tokens_per_frame if tokens_per_frame is None else tokens_per_frame,
        "visual_tokens": visual_tokens(config, num_frames, tokens_per_frame),
        "text_tokens": num_text_tokens,
    }


def _cost(prompt: dict[str, int], flops: Flops, kv_cache_bytes: int) -> Cost:
    return Cost(
        **prompt,
        tower_linear=flops["tower", "linear"],
        tower_attention=flops["tower", "attention"],
        adapter_linear=flops["adapter", "linear"],
        adapter_attention=flops["adapter", "attention"],
        language_linear=flops["language", "linear"],
        language_attention=flops["language", "attention"],
        lm_head=flops["lm_head", "linear"],
        kv_cache_bytes=kv_cache_bytes,
    )


def _of_tower(flops: Flops) -> Flops:
    return Counter({key: count for key, count in flops.items() if key[0] == "tower"})


def _meta(*shape: int, dtype: torch.dtype | None = None) -> torch.Tensor:
    return torch.empty(*shape, dtype=dtype, device="meta")


def _frames(config: FTFVConfig, num_frames: int, frame_size: int | None) -> torch.Tensor:
    """Frames without numbers `(1, num_frames, num_channels, height, width)`."""
    vision_config = config.vision_config
    if frame_size is None:
        frame_size = getattr(vision_config, "image_size", None)
        if frame_size is None:
            raise ValueError(
                f"The config of the {vision_config.model_type!r} vision tower has no `image_size`; pass `frame_size`, "
                "the height and width of the frames in pixels."
            )
    height, width = (frame_size, frame_size) if isinstance(frame_size, int) else frame_size
    if height < 1 or width < 1:
        raise ValueError(f"`frame_size` is {frame_size}; expected a number of pixels from 1 up.")
    return _meta(1, num_frames, getattr(vision_config, "num_channels", 3), height, width)


@contextlib.contextmanager
def _counting(model: FTFVForConditionalGeneration, part: str) -> Iterator[PartFlopCounter]:
    counter = PartFlopCounter(model, part)
    try:
        # Index tensors that a module makes on the way are of the same device as its weights.
        with torch.device("meta"), _FastResizing(), counter:
            yield counter
    except RuntimeError as error:
        if "meta" not in str(error).lower():
            raise
        raise ValueError(
            f"The model cannot be counted: its {counter.part.replace('_', ' ')} depends on values, of which there are "
            f"none without weights ({' '.join(str(error).split())[:200]})."
        ) from error


class _FastResizing(TorchFunctionMode):
    """
    Resizes grids to a size by something of that shape. No FLOPs are counted for it either way, and what PyTorch does
    on the meta device takes longer than a layer.
    """

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None) -> Any:
        kwargs = kwargs or {}
        if func is nn.functional.interpolate and args and kwargs.get("size") is not None:
            # As resizing does, it is for autograd a function of the grid, and shares no storage with it.
            return args[0].mean((-2, -1), keepdim=True).expand(*args[0].shape[:2], *kwargs["size"])
        return func(*args, **kwargs)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps transformers from warning that gradient checkpointing leaves a cache unused."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)


@contextlib.contextmanager
def _watch_adapter(model: FTFVForConditionalGeneration, counter: PartFlopCounter) -> Iterator[None]:
    """Tells the counter when the adapter begins and ends, forwards and backwards."""

    def enter(module: nn.Module, args: tuple, kwargs: dict[str, Any]) -> None:
        counter.part = "adapter"
        counter.switch_after(args[0] if args else kwargs["hidden_states"], "tower")

    def leave(module: nn.Module, args: tuple, output: Any) -> None:
        counter.part = "tower"

    adapter = model.model.multi_modal_projector
    with adapter.register_forward_pre_hook(enter, with_kwargs=True), adapter.register_forward_hook(leave):
        yield


def _adapt_all_queries(adapter: FTFVAdapter, hidden_states: torch.Tensor) -> None:
    """The adapter without what this model saves: every frame projects all queries and computes all outputs."""
    attention = adapter.attention
    key_value = adapter.kv_proj(hidden_states)
    queries = adapter.query_tokens.expand(len(hidden_states), -1, -1)
    query_states, key_states, value_states = (
        states.unflatten(-1, (-1, attention.head_dim)).transpose(1, 2)
        for states in (attention.q_proj(queries), attention.k_proj(key_value), attention.v_proj(key_value))
    )
    outputs = query_states @ key_states.transpose(-1, -2) @ value_states
    adapter.output_proj(attention.out_proj(outputs.transpose(1, 2).flatten(2)))


def _repeated_layers(language_model: nn.Module) -> tuple[nn.Module, str] | None:
    """
    Where the layers of a language model are, as module and name of its list, if they are all alike and so cost the
    same; None if they are not, or not found.
    """
    config: Any = language_model.config
    if len(set(getattr(config, "layer_types", None) or ())) > 1:
        return None
    for module in language_model.modules():
        for name, layers in module.named_children():
            if isinstance(layers, nn.ModuleList) and len(layers) == config.num_hidden_layers > 3:
                return (module, name) if len({_signature(layer) for layer in layers}) == 1 else None
    return None


def _signature(layer: nn.Module) -> tuple:
    """All of a layer that may tell it from another one but its own index."""
    shapes = tuple((name, tuple(weight.shape)) for name, weight in layer.named_parameters())
    settings = tuple(
        (name, type(module), key, value)
        for name, module in layer.named_modules()
        for key, value in sorted(vars(module).items())
        if key != "layer_idx" and isinstance(value, (int, float, str))
    )
    return shapes, settings


def _cache_bytes(cache: Any) -> int:
    """Bytes of the states in a cache, in 16 bits."""
    states = [state for layer in cache.layers for state in vars(layer).values()]
    # Layers with linear attention hold theirs by number.
    states += [state for group in states if isinstance(group, dict) for state in group.values()]
    return sum(2 * state.numel() for state in states if isinstance(state, torch.Tensor) and state.is_floating_point())
