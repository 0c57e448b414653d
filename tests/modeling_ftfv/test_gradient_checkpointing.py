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
"""Gradient checkpointing: the same gradients, and no backward pass through layers that are frozen."""

from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import PreTrainedModel

from tests.backward import TOWER_LAYERS, backward
from tests.tiny import build_config, build_model


NUM_LAYERS = 6
# Without checkpointing, non-reentrant and reentrant.
MODES = [None, False, True]


def build(trainable: tuple[str, ...] | None = None) -> Any:
    """A model in training mode of which the named parts are trained, all of it by default."""
    model = build_model(build_config(vision_config={"num_hidden_layers": NUM_LAYERS})).train()
    if trainable is not None:
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(any(part in name for part in trainable))
    return model


def layers(*indices: int) -> tuple[str, ...]:
    return tuple(f"{TOWER_LAYERS}.{index}" for index in indices)


def assert_equal_gradients(actual: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert actual.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(actual[name], gradient, rtol=0, atol=1e-5)


@pytest.mark.parametrize("use_reentrant", [False, True])
@pytest.mark.parametrize(
    ("trainable", "reached"),
    [
        (None, set(range(NUM_LAYERS))),
        (("multi_modal_projector",), set()),
        (("language_model",), set()),
        (("multi_modal_projector", "temporal_encoding", "language_model", *layers(3, 4, 5)), {3, 4, 5}),
        (layers(1), {1, 2, 3, 4, 5}),
    ],
)
def test_gradients_are_those_without_it_and_stop_at_the_first_trainable_layer(trainable, reached, use_reentrant):
    _, expected = backward(build(trainable), None)
    visited, gradients = backward(build(trainable), use_reentrant)
    assert visited == reached
    assert_equal_gradients(gradients, expected)


def test_the_base_class_would_go_through_the_whole_tower():
    model = build(layers(4, 5))
    model.activation_checkpointing_enable({"use_reentrant": False})
    model.disable_input_require_grads()
    PreTrainedModel.enable_input_require_grads(model)
    assert backward(model, None)[0] == set(range(NUM_LAYERS))


@pytest.mark.parametrize("use_reentrant", MODES)
def test_lora_with_layers_of_the_tower_trained_whole(use_reentrant):
    """As the recipes train: LoRA in the language model, the adapter and the last layers of the tower in full."""

    def with_lora() -> Any:
        torch.manual_seed(0)
        model = get_peft_model(
            build(),
            LoraConfig(
                r=2,
                target_modules=r".*language_model.*\.(q_proj|v_proj)",
                modules_to_save=["multi_modal_projector", *layers(4, 5)],
                init_lora_weights=False,
            ),
        )
        model.enable_input_require_grads()  # as TRL does
        return model

    visited, gradients = backward(with_lora(), use_reentrant)
    assert visited == {4, 5}
    assert any("lora_A" in name for name in gradients)
    assert {name.split(f"{TOWER_LAYERS}.")[1][0] for name in gradients if TOWER_LAYERS in name} == {"4", "5"}
    assert_equal_gradients(gradients, backward(with_lora(), None)[1])


def test_switching_it_on_twice_and_off_leaves_no_hook():
    model = build()
    model.enable_input_require_grads()
    model.enable_input_require_grads()
    hooks = [module._forward_pre_hooks for module in model.model.vision_tower.encoder.layers]
    assert [len(hook) for hook in hooks] == [1] * NUM_LAYERS
    model.disable_input_require_grads()
    assert not any(hooks) and not model.get_input_embeddings()._forward_hooks
