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
"""The configuration: the paper's defaults, round trips, and values that are refused."""

import json

import pytest
from transformers import AutoConfig, CLIPVisionConfig, LlamaConfig, Qwen2Config

from ftfv import FTFVAdapterConfig, FTFVConfig, FTFVVisionConfig
from tests.tiny import build_config


def test_the_defaults_are_the_papers():
    config = FTFVConfig()
    vision, adapter, text = config.vision_config, config.adapter_config, config.text_config
    assert isinstance(vision, FTFVVisionConfig) and isinstance(text, LlamaConfig)
    assert (vision.num_hidden_layers, vision.hidden_size, vision.num_attention_heads) == (48, 1664, 16)
    assert (vision.intermediate_size, vision.image_size, vision.patch_size) == (8192, 448, 14)
    assert (adapter.num_query_tokens, adapter.num_attention_heads) == (256, 32)
    assert (adapter.hidden_size, adapter.vision_hidden_size) == (4096, 1664)
    assert (text.num_hidden_layers, text.hidden_size, text.intermediate_size) == (32, 4096, 11008)
    assert (config.num_frames, config.tokens_per_frame) == (8, 128)
    assert (config.token_sampler, config.token_order, config.sample_images) == ("weighted", "response", False)
    assert (config.skip_unchanged_patches, config.merge_patches, config.merge_layers) == (0, 0, None)


def test_round_trips(tmp_path):
    config = build_config(token_order="query", sample_images=True, num_frames=5)
    config.save_pretrained(tmp_path)
    assert FTFVConfig.from_pretrained(tmp_path).to_dict() == config.to_dict()
    assert AutoConfig.from_pretrained(tmp_path).to_diff_dict() == config.to_diff_dict()
    assert FTFVConfig.from_dict(json.loads(config.to_json_string(use_diff=False))).to_dict() == config.to_dict()
    assert FTFVConfig.from_json_file(tmp_path / "config.json").to_diff_dict() == config.to_diff_dict()


def test_a_saved_config_names_its_code_and_its_pipeline(tmp_path):
    build_config().save_pretrained(tmp_path)
    saved = json.loads((tmp_path / "config.json").read_text())
    assert saved["model_type"] == "ftfv"
    assert saved["auto_map"]["AutoModelForImageTextToText"] == "modeling_ftfv.FTFVForConditionalGeneration"
    assert saved["auto_map"]["AutoModel"] == "modeling_ftfv.FTFVModel"
    assert saved["custom_pipelines"]["video-text-to-text"]["impl"] == "pipeline_ftfv.VideoTextToTextPipeline"


def test_sub_configs_load_from_the_whole(tmp_path):
    config = build_config()
    config.save_pretrained(tmp_path)
    assert FTFVVisionConfig.from_pretrained(tmp_path).to_dict() == config.vision_config.to_dict()
    assert FTFVAdapterConfig.from_pretrained(tmp_path).to_dict() == config.adapter_config.to_dict()
    changed = FTFVConfig.from_pretrained(tmp_path, text_config={"rms_norm_eps": 1e-3}).to_dict()
    expected = config.to_dict()
    expected["text_config"]["rms_norm_eps"] = 1e-3
    assert changed == expected


def test_sub_configs_are_taken_as_dicts_and_as_objects():
    text, vision = Qwen2Config(hidden_size=64), CLIPVisionConfig(hidden_size=96, num_attention_heads=4)
    config = FTFVConfig(text_config=text, vision_config=vision)
    assert config.text_config is text and config.vision_config is vision
    assert (config.adapter_config.hidden_size, config.adapter_config.vision_hidden_size) == (64, 96)
    config = FTFVConfig(text_config={"model_type": "qwen2", "hidden_size": 64}, vision_config=vision.to_dict())
    assert isinstance(config.text_config, Qwen2Config) and isinstance(config.vision_config, CLIPVisionConfig)


def test_the_attention_implementation_reaches_every_part():
    config = build_config(attn_implementation="eager")
    parts = (config.vision_config, config.adapter_config, config.text_config)
    assert [part._attn_implementation for part in parts] == ["eager"] * 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"token_sampler": "best"}, "'best'; expected one of weighted, none, random, uniform, first"),
        ({"token_order": "sorted"}, "'sorted'; expected one of response, query"),
        ({"tokens_per_frame": 0}, "is 0; expected 1 to 16"),
        ({"tokens_per_frame": 17}, "is 17; expected 1 to 16"),
        ({"token_sampler": "none"}, "keeps all 16 query tokens but `tokens_per_frame` is 4"),
        ({"num_frames": 0}, "`num_frames` is 0; expected at least 1"),
        ({"adapter_config": {"hidden_size": 64}}, "`adapter_config.hidden_size` is 64; expected 32"),
        ({"adapter_config": {"vision_hidden_size": 8}}, "`adapter_config.vision_hidden_size` is 8; expected 24"),
        ({"adapter_config": {"num_query_tokens": 15}}, "`num_query_tokens` is 15; expected a square number"),
        ({"adapter_config": {"num_query_tokens": 0}}, "`num_query_tokens` is 0; expected a square number"),
        ({"adapter_config": {"num_attention_heads": 3}}, r"\(32\) must be a multiple of `num_attention_heads` \(3\)"),
        (
            {
                "text_config": {"hidden_size": 36, "num_attention_heads": 6},
                "adapter_config": {"num_attention_heads": 8},
            },
            r"\(36\) must be a multiple of `num_attention_heads` \(8\)",
        ),
        ({"vision_config": {"num_attention_heads": 5}}, r"\(24\) must be a multiple of `num_attention_heads` \(5\)"),
        ({"vision_config": {"image_size": 43}}, r"\(43\) must be a multiple of `patch_size` \(7\)"),
        ({"vision_config": {"num_position_embeddings": 24}}, "`num_position_embeddings` is 24; expected a square"),
        ({"skip_unchanged_patches": 1}, "`skip_unchanged_patches` is 1; expected a share from 0 to less than 1"),
        ({"merge_patches": -0.5}, "`merge_patches` is -0.5; expected a share from 0 to less than 1"),
        ({"merge_layers": 3}, "`merge_layers` is 3; expected 1 to 2, the layers of the vision tower, or None for all"),
        ({"tokens_per_frame": "4"}, "tokens_per_frame"),
        ({"sample_images": "yes"}, "sample_images"),
    ],
)
def test_refused_values(options, message):
    # Wrong types are refused by the strict config class, whose errors are no ValueErrors.
    with pytest.raises(Exception, match=message) as refused:
        build_config(**options)
    assert type(refused.value).__name__.startswith(("ValueError", "Strict"))


@pytest.mark.parametrize("option", ["skip_unchanged_patches", "merge_patches"])
def test_other_vision_towers_cannot_be_spared_patches(option):
    vision = CLIPVisionConfig(hidden_size=96, num_attention_heads=4)
    with pytest.raises(Exception, match=f"`{option}` is 0.5 but the vision tower is of type 'clip_vision_model'"):
        build_config(vision_config=vision, **{option: 0.5})
