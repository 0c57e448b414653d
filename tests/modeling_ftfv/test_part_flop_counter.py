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
"""The flop counter that tells parts and kinds apart."""

import torch
from torch import nn

from ftfv.modeling_ftfv.part_flop_counter import PartFlopCounter


def test_products_with_weights_are_linear_and_others_attention():
    model = nn.ModuleDict({"linear": nn.Linear(3, 5), "convolution": nn.Conv2d(2, 4, 2, stride=2)})
    states = torch.randn(2, 7, 3)
    with PartFlopCounter(model, "first") as counter, torch.no_grad():
        model["linear"](states)
        # Expanded and transposed, as a frozen weight may be for a batch that is not contiguous.
        torch.bmm(states, model["linear"].weight.t().expand(2, 3, 5))
        counter.part = "second"
        model["convolution"](torch.randn(1, 2, 4, 4))
        torch.bmm(states, states.transpose(1, 2))
        torch.mm(states[0], states[1].T)
    assert counter.flops == {
        ("first", "linear"): 2 * (2 * 2 * 7 * 3 * 5),
        ("second", "linear"): 2 * 2 * 2 * 4 * 2 * 2 * 2,
        ("second", "attention"): 2 * 2 * 7 * 7 * 3 + 2 * 7 * 7 * 3,
    }
    assert sum(counter.flops.values()) == counter.get_total_flops()


def test_gradients_of_weights_are_linear_and_parts_switch_on_the_way_back():
    model = nn.Sequential(nn.Linear(3, 5), nn.Linear(5, 2))
    states = torch.randn(7, 3)
    with PartFlopCounter(model, "first") as counter:
        hidden_states = model[0](states)
        counter.part = "second"
        scores = hidden_states @ hidden_states.T
        outputs = model[1](scores @ hidden_states)
        counter.switch_after(hidden_states, "first")
        counter.switch_after(states, "never")
        outputs.sum().backward()
    assert counter.part == "first"
    # Forward, and the gradient of the weight; of the second one also that of its input.
    assert counter.flops["first", "linear"] == 2 * (2 * 7 * 3 * 5)
    assert counter.flops["second", "linear"] == 3 * (2 * 7 * 5 * 2)
    assert counter.flops["second", "attention"] == 3 * 2 * (2 * 7 * 7 * 5)
    assert sum(counter.flops.values()) == counter.get_total_flops()


def test_rows_of_experts():
    experts = nn.Parameter(torch.randn(4, 16, 8, dtype=torch.bfloat16))
    with PartFlopCounter(nn.ParameterList([experts]), "language") as counter, torch.no_grad():
        offsets = torch.tensor([8, 16, 24, 32], dtype=torch.int32)
        torch._grouped_mm(torch.randn(32, 16, dtype=torch.bfloat16), experts, offs=offsets)
    assert counter.flops == {("language", "linear"): 2 * 32 * 16 * 8}
