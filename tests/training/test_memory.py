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
"""Memory of a recipe: what autograd keeps is what the formulas say, and the sums are those of the paper's model."""

from collections.abc import Callable

import pytest
import torch
from peft import LoraConfig, get_peft_model

from ftfv import FTFVConfig, FTFVForConditionalGeneration
from ftfv.training.memory import (
    RESERVE,
    adapter_bytes,
    estimate_memory,
    language_layer_bytes,
    largest_batch,
    vision_layer_bytes,
)
from ftfv.training.preflight import check_recipe
from ftfv.training.stages import read_recipe


CONFIG = FTFVConfig(
    vision_config={
        "model_type": "ftfv_vision_model",
        "hidden_size": 96,
        "intermediate_size": 480,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "image_size": 112,
        "patch_size": 14,
        "num_position_embeddings": 64,
    },
    adapter_config={"num_query_tokens": 64, "num_attention_heads": 4},
    text_config={
        "model_type": "llama",
        "vocab_size": 200,
        "hidden_size": 128,
        "intermediate_size": 320,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
    },
    image_token_id=5,
    video_token_id=6,
    tokens_per_frame=4,
)


def kept_bytes(model: torch.nn.Module, forward: Callable) -> int:
    """Bytes of what a forward pass in mixed precision keeps for the backward pass, copies of weights left out."""
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    shapes = {tuple(shape) for parameter in model.parameters() for shape in (parameter.shape, parameter.shape[::-1])}
    kept = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights and tuple(tensor.shape) not in shapes:
            kept[storage.data_ptr()] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor), torch.autocast("cpu", torch.bfloat16):
        outputs = forward()
    assert outputs is not None
    return sum(storage.nbytes() for storage in kept.values())


@pytest.mark.parametrize("rank", [0, 8])
def test_what_a_layer_of_the_language_model_keeps(rank):
    model = FTFVForConditionalGeneration(CONFIG).requires_grad_(False)
    if rank:
        names = "q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj"
        lora = LoraConfig(r=rank, target_modules=rf".*language_model.*\.({names})", task_type="CAUSAL_LM")
        model = get_peft_model(model, lora).get_base_model()
    language = model.model.language_model
    hidden_states = torch.randn(2, 500, 128, requires_grad=True)
    positions = language.rotary_emb(hidden_states, torch.arange(500)[None])
    kept = kept_bytes(model, lambda: language.layers[1](hidden_states, position_embeddings=positions))
    # Beside them the rotary positions, which all layers share, and statistics: little where layers are wider.
    assert kept / 1000 == pytest.approx(language_layer_bytes(CONFIG.text_config, rank), rel=0.05)


def test_what_a_layer_of_the_tower_keeps():
    model = FTFVForConditionalGeneration(CONFIG)
    hidden_states = torch.randn(5, 64, 96, requires_grad=True)
    kept = kept_bytes(model, lambda: model.model.vision_tower.encoder.layers[1](hidden_states))
    assert kept / (5 * 64) == pytest.approx(vision_layer_bytes(CONFIG.vision_config), rel=0.03)


def test_what_the_adapter_keeps(monkeypatch):
    model = FTFVForConditionalGeneration(CONFIG)
    # Where as many queries are kept as in the recipes, the values of all patches are projected.
    monkeypatch.setattr(model.model.multi_modal_projector.attention, "_projects_values_last", lambda *_: False)
    hidden_states = torch.randn(50, 64, 96, requires_grad=True)
    kept = kept_bytes(model, lambda: model.model.multi_modal_projector(hidden_states, [1] * 50))
    # On a CPU autocast leaves what a normalisation reads in 16 bits.
    assert kept / (50 * 64) == pytest.approx(adapter_bytes(CONFIG) - 2 * 128, rel=0.03)


@pytest.fixture(scope="module")
def paper():
    return FTFVConfig()


def test_weights_gradients_and_optimiser_of_the_papers_model(paper):
    options = read_recipe("s4v_single_gpu")
    preflight = check_recipe(options, paper)
    memory = estimate_memory(options, paper, preflight=preflight)
    trained = 319_815_680 + 91_791_360 + 13_312 + 3 * 38_361_728
    assert preflight.num_trained == trained
    assert memory.weights == 4 * (preflight.num_parameters + trained)
    assert memory.gradients == 4 * trained and memory.optimizer == 8 * trained
    assert memory.reserve - RESERVE == pytest.approx(0.05 * (memory.total - memory.reserve), abs=1)
    halved = estimate_memory(options, paper, preflight=preflight, num_shards=2)
    assert halved.weights == memory.weights // 2 and halved.activations == memory.activations
    assert memory.total < 80 * 2**30


def test_a_quantised_language_model(paper):
    options = read_recipe("s4v_qlora")
    preflight = check_recipe(options, paper)
    memory = estimate_memory(options, paper, preflight=preflight)
    # All linear layers of 32 layers.
    assert preflight.num_quantized == 32 * (4 * 4096**2 + 3 * 4096 * 11008)
    rest = preflight.num_parameters - preflight.num_quantized
    quantized = preflight.num_quantized * (4 + 8 / 64 + 32 / (64 * 256)) / 8
    assert memory.weights == round(quantized + 2 * (rest + preflight.num_trained))
    # 32-bit weights, their gradients and two moments, and DeepSpeed's buffer.
    assert memory.optimizer == 16 * preflight.num_trained + 2 * 500_000_000
    assert memory.total < 24 * 2**30


def test_activations_grow_with_rows_frames_and_tokens(paper):
    options = read_recipe("s4v")
    preflight = check_recipe(options, paper)

    def activations(**sizes):
        return estimate_memory(options, paper, preflight=preflight, **{"batch_size": 1, **sizes}).activations

    assert activations(batch_size=2) > 1.5 * (activations() - 2 * preflight.num_trained)
    assert activations(num_frames=4) < activations() < activations(tokens_per_frame=256)
    without = {**options, "gradient_checkpointing": False}
    assert estimate_memory(without, paper, preflight=preflight).activations > 4 * activations(batch_size=4)


def test_the_largest_batch_is_the_one_that_fits(paper):
    options = read_recipe("s4v_single_gpu")
    sizes = {"preflight": check_recipe(options, paper)}
    limit = 80 * 2**30
    batch_size = largest_batch(options, paper, limit, **sizes)
    assert estimate_memory(options, paper, batch_size=batch_size, **sizes).total <= limit
    assert estimate_memory(options, paper, batch_size=2 * batch_size, **sizes).total > limit
    assert batch_size >= options["per_device_train_batch_size"]
    assert largest_batch(options, paper, 24 * 2**30, **sizes) is None


@pytest.mark.parametrize("sizes", [{"batch_size": 0}, {"num_text_tokens": 0}, {"num_shards": 0}])
def test_sizes_out_of_range_are_refused(sizes, paper):
    with pytest.raises(ValueError, match="expected numbers from 1 up"):
        estimate_memory(read_recipe("s4v"), paper, **sizes)
