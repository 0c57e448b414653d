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
Converted models compute what the originals do: the goldens were computed by Qwen-VL's own code, and pass through the
real converter. Deliberate mistakes are seen.
"""

import pytest
import torch

from ftfv import FTFVForConditionalGeneration
from ftfv.modeling_ftfv.modeling_ftfv import interpolate_positions, sine_cosine_positions
from ftfv.training.conversion import convert, qwen_vl_keys
from tests.training.conversion.originals import (
    build_original_qwen_tokenizer,
    build_qwen_vl,
    read_golden,
    save_checkpoint,
    save_language_model,
)


# Absolute, fp32. The originals' own noise is 10 times less, the faintest mistake more.
TOLERANCES = {"vit_tokens": 1e-5, "attn_weights": 4e-6, "final_output": 5e-5, "sampled": 5e-5, "logits": 5e-5}
INPUTS = ("in112", "in56")
PROMPTS = ("short", "full", "leftpad")


@pytest.fixture(scope="module")
def visual_golden():
    return read_golden("qwen_vl_visual")


@pytest.fixture(scope="module")
def language_golden():
    return read_golden("qwen_lm")


def load(folder):
    return FTFVForConditionalGeneration.from_pretrained(folder, attn_implementation="eager").eval()


def convert_visual(golden, tmp_path):
    tensors, metadata = golden
    config, weights = build_qwen_vl(metadata["golden"]["vision_config"], {"hidden_size": 256})
    weights |= {key: tensor for key, tensor in tensors.items() if key.startswith("transformer.visual.")}
    convert.convert_paper_start(
        save_checkpoint(tmp_path / "original", config, weights),
        save_language_model(tmp_path / "language", hidden_size=256),
        tmp_path / "converted",
    )
    return load(tmp_path / "converted")


def convert_language(golden, tmp_path, monkeypatch):
    tensors, metadata = golden
    config, weights = build_qwen_vl({"output_dim": 128}, metadata["config"])
    weights |= {key: tensors[key] for key in weights if key in tensors}
    monkeypatch.setattr(convert, "convert_qwen_tokenizer", build_original_qwen_tokenizer)
    convert.convert_qwen_vl(save_checkpoint(tmp_path / "original", config, weights), tmp_path / "converted")
    model = load(tmp_path / "converted")
    # The prompts of the goldens are drawn from the whole vocabulary; none of their tokens stands for media.
    model.config.image_token_id = model.config.video_token_id = -1
    return model


@pytest.fixture(scope="module")
def visual_model(visual_golden, tmp_path_factory):
    return convert_visual(visual_golden, tmp_path_factory.mktemp("visual"))


@pytest.fixture(scope="module")
def language_model(language_golden, tmp_path_factory):
    with pytest.MonkeyPatch.context() as monkeypatch:
        return convert_language(language_golden, tmp_path_factory.mktemp("language"), monkeypatch)


@torch.no_grad()
def visual_differences(model, tensors):
    """Largest absolute difference of each quantity over both inputs, and whether the picks and their order agree."""
    worst = dict.fromkeys(("vit_tokens", "attn_weights", "final_output", "sampled"), 0.0)
    same_picks = True
    weights = []
    adapter = model.model.multi_modal_projector
    handle = adapter.attention.register_forward_hook(lambda module, args, output: weights.append(output[1]))
    for name in INPUTS:
        pixel_values = tensors[f"{name}.pixel_values"]
        features = model.get_image_features(pixel_values)
        found = {
            "vit_tokens": features.last_hidden_state,
            "attn_weights": weights[-1].mean(dim=1),
            "final_output": features.pooler_output,
        }
        for key, value in found.items():
            worst[key] = max(worst[key], (value - tensors[f"{name}.{key}"]).abs().max().item())
        for count in (4, 8):
            sampled = model.get_video_features(pixel_values[:, None], tokens_per_frame=count)
            expected = tensors[f"{name}.sampled_top{count}"]
            worst["sampled"] = max(worst["sampled"], (sampled.pooler_output - expected).abs().max().item())
            same_picks &= torch.equal(sampled.token_indices[:, 0], tensors[f"{name}.idx_top{count}"])
    handle.remove()
    return worst, same_picks


@torch.no_grad()
def logit_difference(model, tensors, name):
    mask = tensors.get(f"{name}.attention_mask", torch.ones_like(tensors[f"{name}.input_ids"]))
    logits = model(input_ids=tensors[f"{name}.input_ids"], attention_mask=mask).logits
    return (logits - tensors[f"{name}.logits"])[mask.bool()].abs().max().item()


def test_tower_and_adapter_equal_the_original(visual_model, visual_golden):
    worst, same_picks = visual_differences(visual_model, visual_golden[0])
    print("worst differences:", {key: f"{value:.2g}" for key, value in worst.items()})  # noqa: T201
    assert same_picks
    for key, value in worst.items():
        assert value <= TOLERANCES[key], key


def test_responses_and_their_whole_order_equal_the_original(visual_model, visual_golden):
    for name in INPUTS:
        responses = visual_model.get_image_features(visual_golden[0][f"{name}.pixel_values"]).responses
        torch.testing.assert_close(responses, visual_golden[0][f"{name}.r"], atol=4e-6, rtol=0)
        order = responses.argsort(descending=True, stable=True)
        assert torch.equal(order, visual_golden[0][f"{name}.order_desc"])


def test_the_language_model_equals_the_original(language_model, language_golden):
    differences = {name: logit_difference(language_model, language_golden[0], name) for name in PROMPTS}
    print("worst differences of logits:", {key: f"{value:.2g}" for key, value in differences.items()})  # noqa: T201
    assert max(differences.values()) <= TOLERANCES["logits"]


def test_greedy_tokens_equal_the_original(language_model, language_golden):
    input_ids = language_golden[0]["greedy.input_ids"]
    generated = language_model.generate(
        input_ids=input_ids, max_new_tokens=24, min_new_tokens=24, do_sample=False, eos_token_id=None
    )
    assert torch.equal(generated[:, input_ids.shape[1] :], language_golden[0]["greedy.new_tokens"])


def test_prompts_beyond_the_limit_would_be_wrong(language_model, language_golden):
    """Why the processor refuses them: the original stretches its rotary base, Qwen2 does not."""
    assert logit_difference(language_model, language_golden[0], "long200") > 1
    assert logit_difference(language_model, language_golden[0], "long200_plain") <= TOLERANCES["logits"]


def tanh_gelu(model):
    for layer in model.model.vision_tower.encoder.layers:
        layer.mlp.activation_fn = torch.nn.GELU(approximate="tanh")


def wide_eps(model):
    for module in model.model.vision_tower.modules():
        if isinstance(module, torch.nn.LayerNorm):
            module.eps = 1e-5


def recomputed_positions(model):
    table = model.model.multi_modal_projector.position_table
    table.copy_(sine_cosine_positions(round(len(table) ** 0.5), table.shape[1]))


@pytest.mark.parametrize(
    ("mistake", "quantity"),
    [(tanh_gelu, "vit_tokens"), (wide_eps, "vit_tokens"), (recomputed_positions, "attn_weights")],
)
def test_a_mistake_in_the_tower_or_adapter_is_seen(mistake, quantity, visual_golden, tmp_path):
    model = convert_visual(visual_golden, tmp_path)
    mistake(model)
    worst, _ = visual_differences(model, visual_golden[0])
    assert worst[quantity] > 4 * TOLERANCES[quantity]
    assert worst["final_output"] > 4 * TOLERANCES["final_output"]


def test_thirds_in_place_of_heads_are_seen(visual_golden, tmp_path, monkeypatch):
    monkeypatch.setattr(
        qwen_vl_keys, "take_head_third", lambda tensor, part, num_heads: qwen_vl_keys.take_third(tensor, part)
    )
    worst, _ = visual_differences(convert_visual(visual_golden, tmp_path), visual_golden[0])
    assert worst["vit_tokens"] > 0.1


def test_heads_in_place_of_thirds_are_seen(language_golden, tmp_path, monkeypatch):
    per_head = qwen_vl_keys.take_head_third
    monkeypatch.setattr(qwen_vl_keys, "take_third", lambda tensor, part: per_head(tensor, part, num_heads=4))
    assert logit_difference(convert_language(language_golden, tmp_path, monkeypatch), language_golden[0], "short") > 1


def test_swapped_w1_and_w2_are_seen(language_golden, tmp_path, monkeypatch):
    table = qwen_vl_keys.language_keys()
    up, gate = (f"model.language_model.layers.{{layer}}.mlp.{name}.weight" for name in ("up_proj", "gate_proj"))
    table[up], table[gate] = table[gate], table[up]
    monkeypatch.setattr(convert, "language_keys", lambda: table)
    assert logit_difference(convert_language(language_golden, tmp_path, monkeypatch), language_golden[0], "short") > 1


def test_a_wider_eps_in_the_language_model_is_seen(language_golden, tmp_path, monkeypatch):
    model = convert_language(language_golden, tmp_path, monkeypatch)
    for module in model.model.language_model.modules():
        if hasattr(module, "variance_epsilon"):
            module.variance_epsilon = 1e-5
    assert logit_difference(model, language_golden[0], "short") > 2 * TOLERANCES["logits"]


@pytest.mark.parametrize("side", [224, 336, 448])
@pytest.mark.parametrize("table_side", [16, 32])
def test_positions_at_any_square_size_are_torchs_bicubic_of_the_float_table(side, table_side):
    table = torch.randn(table_side**2, 6).bfloat16()
    grid = side // 14
    found = interpolate_positions(table, grid**2)
    if grid == table_side:
        assert found is table
        return
    square = table.float().view(1, table_side, table_side, 6).permute(0, 3, 1, 2)
    expected = torch.nn.functional.interpolate(
        square, size=(grid, grid), mode="bicubic", align_corners=False, antialias=False
    )
    assert torch.equal(found, expected.permute(0, 2, 3, 1).reshape(-1, 6).bfloat16())
    smoothed = torch.nn.functional.interpolate(square, size=(grid, grid), mode="bicubic", antialias=True)
    assert (smoothed.permute(0, 2, 3, 1).reshape(-1, 6) - found.float()).abs().max() > 0.01
