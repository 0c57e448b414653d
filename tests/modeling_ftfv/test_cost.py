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
"""The cost of a configuration against the paper's Table 5, measured counts and counted forward passes."""

from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from ftfv import FTFVConfig
from ftfv.modeling_ftfv.cost import cost, visual_tokens, weight_bytes
from tests.tiny import IMAGE_SIZE, NUM_QUERIES, build_config, build_model, video_prompt


# K: TFLOPs in Table 5 of the paper, and with attention counted, by `FlopCounterMode` on the model of that size.
TABLE_5 = {
    4: (32.14, 34.860),
    16: (33.47, 36.203),
    32: (35.24, 38.009),
    64: (38.79, 41.671),
    128: (45.88, 49.202),
    256: (60.07, 65.090),
}


@pytest.fixture(scope="module")
def paper() -> FTFVConfig:
    # Vicuna's own vocabulary, which the default grows by a few tokens.
    return FTFVConfig(text_config={"vocab_size": 32000})


@pytest.mark.parametrize("tokens_per_frame", TABLE_5)
def test_table_5(paper, tokens_per_frame):
    printed, with_attention = TABLE_5[tokens_per_frame]
    counted = cost(paper, tokens_per_frame=tokens_per_frame, lora_rank=128, all_query_outputs=True)
    assert abs(counted.linear_flops / 1e12 - printed) < 0.01
    assert counted.total_flops / 1e12 == pytest.approx(with_attention, rel=1e-3)


def test_the_parts_of_the_papers_model(paper):
    counted = cost(paper, tokens_per_frame=16, lora_rank=128, all_query_outputs=True)
    teraflops = {
        "vision_linear": 30.1667,
        "vision_attention": 2.6801,
        "adapter_linear": 0.8676,
        "adapter_attention": 0.0344,
        "language_attention": 0.0162,
        "vision_flops": 33.7487,
    }
    for name, expected in teraflops.items():
        assert getattr(counted, name) / 1e12 == pytest.approx(expected, abs=6e-5), name
    assert (counted.language_linear + counted.lm_head) / 1e12 == pytest.approx(2.438, abs=6e-4)
    assert counted.vision_share == pytest.approx(0.932, abs=5e-4)
    assert counted.kv_cache_bytes / 1e6 == pytest.approx(92.3, abs=0.05)
    merged = cost(paper, tokens_per_frame=16, all_query_outputs=True)
    assert merged.total_flops / 1e12 == pytest.approx(36.09, abs=0.005)
    assert weight_bytes(paper) / 2e9 == pytest.approx(8.67, abs=0.005)


def test_computing_only_the_kept_outputs_saves_what_was_measured(paper):
    """In the adapter 902 GFLOPs become 681 at K = 4, beside the projection of the queries, which happens once."""
    query_projection = 2 * 256 * 4096**2 / 1e9
    for tokens_per_frame, gigaflops in ((4, 681), (16, 689), (64, 722), (256, 850)):
        counted = cost(paper, tokens_per_frame=tokens_per_frame)
        adapter = (counted.adapter_linear + counted.adapter_attention) / 1e9
        assert adapter == pytest.approx(gigaflops + query_projection, abs=1)


LANGUAGE_MODELS: dict[str, dict[str, Any]] = {
    "llama": {},
    "grouped": {"num_key_value_heads": 1},
    "ungrouped": {"num_key_value_heads": 4, "head_dim": 16},
    "qwen2": {"model_type": "qwen2"},
    "mistral": {"model_type": "mistral"},
}
TOWERS: dict[str, dict[str, Any]] = {
    "ftfv": {},
    "another": {"hidden_size": 36, "intermediate_size": 100, "num_hidden_layers": 3, "num_attention_heads": 2},
}


@pytest.mark.parametrize(
    ("language_model", "tower", "tokens_per_frame", "tie_word_embeddings"),
    [
        ("llama", "ftfv", 1, False),
        ("llama", "ftfv", 4, True),
        ("llama", "another", NUM_QUERIES, False),
        ("grouped", "another", 4, False),
        ("ungrouped", "ftfv", NUM_QUERIES, True),
        ("qwen2", "ftfv", 4, False),
        ("mistral", "another", 1, True),
    ],
)
def test_flops_equal_those_of_a_forward_pass(language_model, tower, tokens_per_frame, tie_word_embeddings):
    config = build_config(
        text_config=LANGUAGE_MODELS[language_model],
        vision_config=TOWERS[tower],
        tie_word_embeddings=tie_word_embeddings,
        attn_implementation="eager",
    )
    model = build_model(config)
    input_ids = torch.tensor([video_prompt(3 * tokens_per_frame)])
    counted = cost(
        config,
        num_frames=3,
        tokens_per_frame=tokens_per_frame,
        num_text_tokens=input_ids.shape[1] - 3 * tokens_per_frame,
    )
    with FlopCounterMode(display=False) as counter:
        model(
            input_ids=input_ids,
            pixel_values_videos=torch.zeros(1, 3, 3, IMAGE_SIZE, IMAGE_SIZE),
            tokens_per_frame=tokens_per_frame,
        )
    by_module = {name: sum(parts.values()) for name, parts in counter.get_flop_counts().items()}
    parts = {
        "model.vision_tower": counted.vision_linear + counted.vision_attention,
        "model.multi_modal_projector": counted.adapter_linear + counted.adapter_attention,
        "model.language_model": counted.language_linear + counted.language_attention,
        "lm_head": counted.lm_head,
    }
    for name, expected in parts.items():
        # Rotary positions are a small matrix product that the count leaves out.
        assert by_module[f"FTFVForConditionalGeneration.{name}"] == pytest.approx(expected, rel=0.01), name
    assert counter.get_total_flops() == pytest.approx(counted.total_flops, rel=0.01)
    num_weights = sum(parameter.numel() for parameter in model.parameters()) + NUM_QUERIES * 32
    assert weight_bytes(config) == 2 * num_weights


def test_the_kv_cache_has_that_many_bytes():
    config = build_config()
    model = build_model(config).half().float()
    input_ids = torch.tensor([video_prompt(12)])
    cache = model(
        input_ids=input_ids, pixel_values_videos=torch.zeros(1, 3, 3, IMAGE_SIZE, IMAGE_SIZE)
    ).past_key_values
    numbers = sum(layer.keys.numel() + layer.values.numel() for layer in cache.layers)
    counted = cost(config, num_frames=3, num_text_tokens=input_ids.shape[1] - 12)
    assert counted.kv_cache_bytes == 2 * numbers


def test_unmerged_lora_of_a_rank():
    config = build_config()
    without, with_lora = cost(config), cost(config, lora_rank=8)
    # q, k, v, o, gate, up and down: inputs plus outputs, in two layers.
    weights = 2 * 8 * ((32 + 32) + 2 * (32 + 16) + (32 + 32) + 3 * (32 + 56))
    length = with_lora.visual_tokens + with_lora.text_tokens
    assert with_lora.language_linear - without.language_linear == 2 * weights * length
    assert with_lora.vision_flops == without.vision_flops


def test_defaults_come_from_the_config():
    config = build_config(tokens_per_frame=5, num_frames=6)
    assert visual_tokens(config) == 30 and visual_tokens(config, 2, 3) == 6
    assert cost(config) == cost(config, num_frames=6, tokens_per_frame=5, num_text_tokens=48)


def test_the_tower_costs_the_same_at_every_k():
    costs = [cost(build_config(), tokens_per_frame=count) for count in (1, 4, NUM_QUERIES)]
    assert len({row.vision_linear + row.vision_attention for row in costs}) == 1
    assert costs[0].language_flops < costs[1].language_flops < costs[2].language_flops


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tokens_per_frame": 0}, "`tokens_per_frame` is 0; expected 1 to 16"),
        ({"tokens_per_frame": 17}, "`tokens_per_frame` is 17; expected 1 to 16"),
        ({"num_frames": 0}, "`num_frames` is 0; expected at least 1"),
        ({"num_text_tokens": -1}, "`num_text_tokens` is -1 and `lora_rank` 0; expected numbers from 0 up"),
        ({"lora_rank": -8}, "`num_text_tokens` is 48 and `lora_rank` -8; expected numbers from 0 up"),
    ],
)
def test_numbers_out_of_range_raise(arguments, message):
    with pytest.raises(ValueError, match=message):
        cost(build_config(), **arguments)


def test_other_towers_are_counted_where_they_are_plain():
    sizes = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 3, "image_size": 42, "patch_size": 7}
    options = {name: value for name, value in build_config().to_dict().items() if name != "vision_config"}
    clip = {"model_type": "clip_vision_model", "intermediate_size": 40, **sizes}
    counted = cost(FTFVConfig(vision_config=clip, **options))
    assert counted.vision_linear == cost(build_config()).vision_linear
    with pytest.raises(ValueError, match="'dinov2' vision tower cannot be counted: .* number intermediate_size"):
        cost(FTFVConfig(vision_config={"model_type": "dinov2", **sizes}, **options))
