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
"""The cost of a configuration against the paper's Table 5, hand formulas and counted passes of models with weights."""

from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch.utils.flop_counter import FlopCounterMode

from ftfv import FTFVConfig
from ftfv.modeling_ftfv import cost as cost_module
from ftfv.modeling_ftfv.cost import CostCounter, cost, training_cost, visual_tokens, weight_bytes
from tests.tiny import IMAGE_SIZE, NUM_QUERIES, build_config, build_model, random_pixels, video_prompt


# What the paper prints, the same with attention, and what this model itself computes.
TABLE_5 = {
    4: (32.14, 34.860, 34.383),
    16: (33.47, 36.203, 35.762),
    32: (35.24, 38.009, 37.616),
    64: (38.79, 41.671, 41.375),
    128: (45.88, 49.202, 49.074),
    256: (60.07, 65.090, 65.047),
}


@pytest.fixture(scope="module")
def paper() -> CostCounter:
    # Vicuna's own vocabulary, which the default grows by a few tokens.
    return CostCounter(FTFVConfig(text_config={"vocab_size": 32000}), lora_rank=128)


@pytest.mark.parametrize("tokens_per_frame", TABLE_5)
def test_table_5(paper, tokens_per_frame):
    printed, with_attention, own = TABLE_5[tokens_per_frame]
    counted = paper.prefill(tokens_per_frame=tokens_per_frame, all_query_outputs=True)
    assert abs(counted.linear_flops / 1e12 - printed) < 0.01
    assert counted.total_flops / 1e12 == pytest.approx(with_attention, abs=1e-3)
    assert paper.prefill(tokens_per_frame=tokens_per_frame).total_flops / 1e12 == pytest.approx(own, abs=1e-3)


def test_the_parts_of_the_papers_model(paper):
    """ViT-bigG, Qwen-VL's adapter and Vicuna-7B by hand, 2 FLOPs for each multiply-add of a product of matrices."""
    counted = paper.prefill(tokens_per_frame=16, all_query_outputs=True)
    frames, patches, width, queries, hidden, length = 8, 1024, 1664, 256, 4096, 176
    layer = 4 * width**2 + 2 * width * 8192
    assert counted.tower_linear == 2 * frames * patches * (3 * 14**2 * width + 48 * layer)
    assert counted.tower_attention == 48 * 2 * 2 * frames * patches**2 * width
    # kv_proj, keys, values; queries and both projections of the outputs, for every query of every frame.
    adapter = patches * (width * hidden + 2 * hidden**2) + 3 * queries * hidden**2
    assert counted.adapter_linear == 2 * frames * adapter
    assert counted.adapter_attention == 2 * 2 * frames * queries * patches * hidden
    weights = 4 * hidden**2 + 3 * hidden * 11008
    lora = 128 * (4 * 2 * hidden + 3 * (hidden + 11008))
    assert counted.language_linear == 2 * 32 * length * (weights + lora)
    assert counted.language_attention == 32 * 2 * 2 * length**2 * hidden
    assert counted.lm_head == 2 * length * hidden * 32000
    assert counted.kv_cache_bytes == 2 * 32 * 2 * length * hidden
    assert counted.vision_share == pytest.approx(0.932, abs=5e-4)
    # LoRA is not held against the model.
    assert paper.weight_bytes / 2e9 == pytest.approx(8.67, abs=0.005)


def test_a_step_of_the_papers_model(paper):
    step = paper.decode_step(tokens_per_frame=16)
    weights = 4 * 4096**2 + 3 * 4096 * 11008 + 128 * (4 * 2 * 4096 + 3 * (4096 + 11008))
    assert step.language_linear == 2 * 32 * weights
    assert step.language_attention == 32 * 2 * 2 * 177 * 4096
    assert step.lm_head == 2 * 4096 * 32000
    assert step.kv_cache_bytes == 2 * 32 * 2 * 177 * 4096
    assert step.vision_flops == 0


def count_parts(model, run) -> dict[str, int]:
    """FLOPs of the parts of a model with weights, by the names of its modules."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        run()
    counts = {name: sum(parts.values()) for name, parts in counter.get_flop_counts().items()}
    name = type(model).__name__
    return {
        "tower": counts.get(f"{name}.model.vision_tower", 0),
        "adapter": counts.get(f"{name}.model.multi_modal_projector", 0),
        "language": counts.get(f"{name}.model.language_model", 0),
        "lm_head": counts[f"{name}.lm_head"],
        "all": counter.get_total_flops(),
    }


def parts_of(counted) -> dict[str, int]:
    return {
        "tower": counted.tower_linear + counted.tower_attention,
        "adapter": counted.adapter_linear + counted.adapter_attention,
        "language": counted.language_linear + counted.language_attention,
        "lm_head": counted.lm_head,
        "all": counted.total_flops,
    }


def options_without(*parts: str) -> dict[str, Any]:
    options = {name: value for name, value in build_config().to_dict().items() if name not in parts}
    return {**options, "adapter_config": {"num_query_tokens": NUM_QUERIES, "num_attention_heads": 4}}


LANGUAGE_MODELS: dict[str, dict[str, Any]] = {
    "llama": {},
    "deep": {"num_hidden_layers": 6},
    "grouped": {"num_key_value_heads": 1},
    "wide": {"num_key_value_heads": 4, "head_dim": 16},
    "qwen2": {"model_type": "qwen2", "num_hidden_layers": 4},
    "windowed": {"model_type": "mistral", "sliding_window": 8, "num_hidden_layers": 5},
    "mixed": {"model_type": "gemma2", "head_dim": 8, "sliding_window": 8, "num_hidden_layers": 5},
    "gpt2": {"model_type": "gpt2", "num_hidden_layers": 5},
    "opt": {"model_type": "opt", "ffn_dim": 56, "word_embed_proj_dim": 32},
}
CLIP = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 3, "image_size": IMAGE_SIZE, "patch_size": 7}
TOWERS: dict[str, dict[str, Any]] = {
    "ftfv": {},
    "another": {"hidden_size": 36, "intermediate_size": 100, "num_hidden_layers": 3, "num_attention_heads": 2},
    "clip": {"model_type": "clip_vision_model", "intermediate_size": 40, **CLIP},
    "siglip": {"model_type": "siglip_vision_model", "intermediate_size": 40, **CLIP},
    "dinov2": {"model_type": "dinov2", **CLIP},
}


def other_config(language_model: str, tower: str, **overrides: Any) -> FTFVConfig:
    if "model_type" not in TOWERS[tower]:
        return build_config(text_config=LANGUAGE_MODELS[language_model], vision_config=TOWERS[tower], **overrides)
    options = {**options_without("vision_config"), **overrides}
    options["text_config"] = {**options["text_config"], **LANGUAGE_MODELS[language_model]}
    return FTFVConfig(vision_config=TOWERS[tower], **options)


@pytest.mark.parametrize(
    ("language_model", "tower", "tokens_per_frame", "overrides"),
    [
        ("llama", "ftfv", 1, {}),
        ("deep", "ftfv", 4, {"tie_word_embeddings": True}),
        ("llama", "another", NUM_QUERIES, {"attn_implementation": "eager"}),
        ("grouped", "clip", 4, {}),
        ("wide", "ftfv", NUM_QUERIES, {"attn_implementation": "eager"}),
        ("qwen2", "siglip", 4, {}),
        ("windowed", "dinov2", 1, {}),
        ("mixed", "ftfv", 4, {}),
        ("gpt2", "ftfv", 4, {}),
        ("opt", "clip", 4, {}),
    ],
)
def test_passes_equal_those_of_a_model_with_weights(language_model, tower, tokens_per_frame, overrides):
    config = other_config(language_model, tower, **overrides)
    model = build_model(config)
    num_placeholders = 3 * tokens_per_frame
    input_ids = torch.tensor([video_prompt(num_placeholders)])
    sizes = {"num_frames": 3, "tokens_per_frame": tokens_per_frame}
    sizes["num_text_tokens"] = num_text_tokens = input_ids.shape[1] - num_placeholders
    counter = CostCounter(config)
    video = {"pixel_values_videos": random_pixels(1, 3), "tokens_per_frame": tokens_per_frame}
    features: dict[str, Any] = {}

    def keep(outputs):
        features["cache"] = outputs.past_key_values

    assert parts_of(counter.prefill(**sizes)) == count_parts(model, lambda: model(input_ids=input_ids, **video))
    last = counter.prefill(**sizes, last_position_only=True)
    assert parts_of(last) == count_parts(model, lambda: model(input_ids=input_ids, logits_to_keep=1, **video))

    given = {"video": model.get_video_features(**video)}
    again = count_parts(model, lambda: keep(model(input_ids=input_ids, mm_encoder_outputs=given)))
    assert parts_of(counter.next_question(**sizes)) == again and again["tower"] == again["adapter"] == 0
    cache = features["cache"]
    states = [state for layer in cache.layers for state in (layer.keys, layer.values)]
    assert counter.prefill(**sizes).kv_cache_bytes == sum(2 * state.numel() for state in states)
    step = count_parts(model, lambda: model(input_ids=input_ids[:, -1:], past_key_values=cache))
    assert parts_of(counter.decode_step(**sizes)) == step

    count_parts(model, lambda: keep(model(input_ids=input_ids, mm_encoder_outputs=given)))
    text = torch.ones(1, num_text_tokens, dtype=torch.long)
    chat = count_parts(model, lambda: model(input_ids=text, past_key_values=features["cache"]))
    assert parts_of(counter.next_question(**sizes, same_chat=True)) == chat

    num_weights = sum(parameter.numel() for parameter in model.parameters()) + NUM_QUERIES * 32
    assert weight_bytes(config) == counter.weight_bytes == 2 * num_weights


@pytest.mark.parametrize("language_model", ["deep", "windowed", "gpt2"])
def test_layers_that_are_alike_are_counted_by_one_of_them(language_model, monkeypatch):
    config = other_config(language_model, "ftfv")
    lora: dict[str, Any] = {} if language_model == "gpt2" else {"lora_modules": ["*.mlp.*_proj"], "lora_rank": 2}
    by_one = CostCounter(config, **lora)
    assert by_one._repeated is not None
    monkeypatch.setattr(cost_module, "_repeated_layers", lambda language_model: None)
    whole = CostCounter(config, **lora)
    assert by_one.prefill() == whole.prefill()
    assert by_one.decode_step() == whole.decode_step()
    assert by_one.next_question(same_chat=True) == whole.next_question(same_chat=True)


def test_layers_that_differ_are_all_counted():
    assert CostCounter(other_config("mixed", "ftfv"))._repeated is None
    assert CostCounter(build_config())._repeated is None, "too few to tell"


def test_the_experts_of_a_mixture_count_those_that_a_token_asks():
    text_config = {"model_type": "mixtral", "num_local_experts": 8, "num_experts_per_tok": 2}
    counted = cost(build_config(text_config=text_config), num_frames=2, tokens_per_frame=4, num_text_tokens=5)
    # Queries and output, keys and values, the router, and two experts with three linear layers, in two layers.
    weights = 2 * (2 * 32 * 32 + 2 * 32 * 16 + 32 * 8 + 2 * 3 * 32 * 56)
    assert counted.language_linear == 2 * 13 * weights


@pytest.mark.parametrize("frame_size", [28, 84])
def test_frames_of_another_size(frame_size):
    config = build_config()
    model = build_model(config)
    pixel_values = torch.zeros(1, 8, 3, frame_size, frame_size)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model.get_video_features(pixel_values)
    assert cost(config, frame_size=frame_size).vision_flops == counter.get_total_flops()
    assert cost(config, frame_size=IMAGE_SIZE) == cost(config)


def test_linear_layers_and_attention_are_told_apart():
    counted = cost(build_config(), num_frames=1, num_text_tokens=6)
    assert counted.tower_linear == 2 * 36 * (3 * 7**2 * 24 + 2 * (4 * 24**2 + 2 * 24 * 40))
    assert counted.tower_attention == 2 * 2 * 2 * 36**2 * 24
    assert counted.language_linear == 2 * 10 * 2 * (2 * 32**2 + 2 * 32 * 16 + 3 * 32 * 56)
    assert counted.language_attention == 2 * 2 * 2 * 10**2 * 32


def test_unmerged_lora_costs_what_pefts_does():
    config = build_config()
    model = build_model(config)
    input_ids = torch.tensor([video_prompt(32)])
    pixel_values = random_pixels(1, 8)
    targets = r".*language_model.*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)"
    adapted = get_peft_model(model, LoraConfig(r=8, target_modules=targets, task_type="CAUSAL_LM")).eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        adapted(input_ids=input_ids, pixel_values_videos=pixel_values)
    sizes = {"num_text_tokens": input_ids.shape[1] - 32}
    counted = cost(config, lora_rank=8, **sizes)
    assert counted.total_flops == counter.get_total_flops()
    # q, k, v, o, gate, up and down: inputs plus outputs, in two layers.
    weights = 2 * 8 * ((32 + 32) + 2 * (32 + 16) + (32 + 32) + 3 * (32 + 56))
    assert counted.language_linear - cost(config, **sizes).language_linear == 2 * weights * input_ids.shape[1]
    one = cost(config, lora_modules=["model.language_model.layers.1.self_attn.q_proj"], lora_rank=8, **sizes)
    assert one.language_linear - cost(config, **sizes).language_linear == 2 * 8 * 64 * input_ids.shape[1]


def test_defaults_come_from_the_config():
    config = build_config(tokens_per_frame=5, num_frames=6)
    assert visual_tokens(config) == 30 and visual_tokens(config, 2, 3) == 6
    assert cost(config) == cost(config, num_frames=6, tokens_per_frame=5, num_text_tokens=48)


def test_a_counter_answers_as_new_ones_do():
    counter = CostCounter(build_config())
    for sizes in ({"tokens_per_frame": 1}, {"tokens_per_frame": NUM_QUERIES}, {"num_frames": 40}, {"frame_size": 28}):
        assert counter.prefill(**sizes) == cost(build_config(), **sizes)
        assert counter.prefill(**sizes) == cost(build_config(), **sizes)
    assert "forward" not in vars(counter.model.model.vision_tower)


def test_a_whole_model_trains_at_three_passes():
    config = build_config()
    forward = cost(config, num_text_tokens=9)
    sizes = {"num_text_tokens": 9, "gradient_checkpointing": False}
    trained = training_cost(config, trained_modules=[""], **sizes)
    # Responses and what comes before the first weight have no gradient.
    patches = 2 * 8 * 36 * 3 * 7**2 * 24
    scores = 2 * 8 * 36 * NUM_QUERIES * 32
    assert trained.tower_linear == 3 * forward.tower_linear - patches
    assert trained.tower_attention == 3 * forward.tower_attention
    # Values are projected last and head by head, which hides that one product is for the gradient of their weight.
    of_values = 2 * 8 * 4 * 32**2
    assert trained.adapter_linear == 3 * forward.adapter_linear - of_values
    assert trained.adapter_attention == 3 * (forward.adapter_attention - scores) + scores + of_values
    assert trained.language_linear == 3 * forward.language_linear
    assert trained.language_attention == 3 * forward.language_attention
    # The head runs at the text alone.
    assert trained.lm_head == 3 * forward.lm_head * 9 // (8 * 4 + 9)


def test_frozen_parts_cost_what_lies_behind_something_trained():
    config = build_config()
    sizes = {"num_text_tokens": 9, "gradient_checkpointing": False}
    forward = cost(config, num_text_tokens=9)
    adapter = training_cost(config, trained_modules=["model.multi_modal_projector"], **sizes)
    assert adapter.tower_linear == forward.tower_linear
    assert adapter.language_linear == 2 * forward.language_linear
    head = training_cost(config, trained_modules=["lm_head"], **sizes)
    assert (head.vision_flops, head.language_linear) == (forward.vision_flops, forward.language_linear)
    nothing = training_cost(config, trained_modules=[], **sizes)
    assert nothing.language_linear == forward.language_linear
    with pytest.raises(ValueError, match="'model.adapter' is to be trained but names no module"):
        training_cost(config, trained_modules=["model.adapter"])
    with pytest.raises(ValueError, match="`num_text_tokens` is 0; expected at least 1, to train on"):
        training_cost(config, trained_modules=[""], num_text_tokens=0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tokens_per_frame": 0}, "`tokens_per_frame` is 0; expected 1 to 16"),
        ({"tokens_per_frame": 17}, "`tokens_per_frame` is 17; expected 1 to 16"),
        ({"num_frames": 0}, "`num_frames` is 0; expected at least 1"),
        ({"frame_size": 0}, "`frame_size` is 0; expected a number of pixels from 1 up"),
        ({"num_text_tokens": -1}, "`num_text_tokens` is -1; expected a number from 0 up"),
        ({"lora_rank": -8}, "`lora_rank` is -8; expected a number from 0 up"),
        ({"lora_modules": ["*.c_attn"], "lora_rank": 8}, "counted on '\\*.c_attn', which matches no linear layer"),
    ],
)
def test_numbers_out_of_range_raise(arguments, message):
    with pytest.raises(ValueError, match=message):
        cost(build_config(), **arguments)


def test_a_model_that_depends_on_values_is_refused(monkeypatch):
    counter = CostCounter(build_config())
    tower = counter.model.model.vision_tower
    monkeypatch.setattr(tower.encoder, "forward", lambda states, *options: states * states.sum().item())
    with pytest.raises(ValueError, match="cannot be counted: its tower depends on values.*on meta tensors"):
        counter.prefill()


def test_errors_of_other_kinds_stay(monkeypatch):
    counter = CostCounter(build_config())
    monkeypatch.setattr(counter.model.lm_head, "weight", torch.nn.Parameter(torch.empty(40, 7, device="meta")))
    with pytest.raises(RuntimeError, match="inner dimensions must match|must have same reduction dim"):
        counter.prefill()


def test_a_tower_without_a_size_needs_one():
    tower = {"model_type": "siglip2_vision_model", "intermediate_size": 40, **CLIP}
    del tower["image_size"]
    config = FTFVConfig(vision_config=tower, **options_without("vision_config"))
    with pytest.raises(ValueError, match="'siglip2_vision_model' vision tower has no `image_size`; pass `frame_size`"):
        cost(config)
