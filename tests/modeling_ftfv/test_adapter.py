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
"""The adapter against `torch.nn.MultiheadAttention` in double precision and numpy position tables."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from ftfv import FTFVConfig
from ftfv.modeling_ftfv.modeling_ftfv import FTFVAdapter, interpolate_positions, sine_cosine_positions
from ftfv.modeling_ftfv.sampler_ftfv import FTFVTokenSampler
from tests.tiny import NUM_PATCHES, NUM_QUERIES, build_config, randomize


def build_adapter(attn_implementation: str = "sdpa", **options) -> FTFVAdapter:
    config = build_config(attn_implementation=attn_implementation, **options)
    adapter = FTFVAdapter(config.adapter_config, FTFVTokenSampler(config))
    randomize(adapter)
    return adapter.eval()


def random_patches(num_frames: int = 3, seed: int = 0) -> torch.Tensor:
    return torch.randn(num_frames, NUM_PATCHES, 24, generator=torch.Generator().manual_seed(seed))


def cubic_resize(table: np.ndarray, target_size: int) -> np.ndarray:
    """Bicubic resizing of a square grid `(size**2, channels)` by Keys' kernel with a = -0.75, borders repeated."""
    size = math.isqrt(len(table))

    def kernel(x: float, a: float = -0.75) -> float:
        x = abs(x)
        if x <= 1:
            return (a + 2) * x**3 - (a + 3) * x**2 + 1
        return a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a if x < 2 else 0.0

    weights = np.zeros((target_size, size))
    for target in range(target_size):
        source = (target + 0.5) * size / target_size - 0.5
        for neighbour in range(math.floor(source) - 1, math.floor(source) + 3):
            weights[target, min(max(neighbour, 0), size - 1)] += kernel(source - neighbour)
    grid = table.reshape(size, size, -1)
    return np.einsum("ar,bc,rcd->abd", weights, weights, grid).reshape(target_size**2, -1)


@torch.no_grad()
def reference(adapter: FTFVAdapter, hidden_states: torch.Tensor) -> SimpleNamespace:
    """Outputs of all queries in double precision, head-averaged attention and its maximum over the patches."""
    weights = {name: tensor.double() for name, tensor in adapter.state_dict().items()}
    width = adapter.config.hidden_size

    def norm(name: str, values: torch.Tensor) -> torch.Tensor:
        return nn.functional.layer_norm(values, (width,), weights[f"{name}.weight"], weights[f"{name}.bias"], 1e-6)

    attention = nn.MultiheadAttention(width, adapter.config.num_attention_heads, batch_first=True).double()
    parts = [f"attention.{part}_proj" for part in "qkv"]
    attention.in_proj_weight.copy_(torch.cat([weights[f"{part}.weight"] for part in parts]))
    attention.in_proj_bias.copy_(torch.cat([weights[f"{part}.bias"] for part in parts]))
    attention.out_proj.weight.copy_(weights["attention.out_proj.weight"])
    attention.out_proj.bias.copy_(weights["attention.out_proj.bias"])

    positions = weights["position_table"]
    key_value = norm("kv_norm", hidden_states.double() @ weights["kv_proj.weight"].T)
    keys = key_value + torch.from_numpy(cubic_resize(positions.numpy(), math.isqrt(hidden_states.shape[1])))
    queries = (norm("query_norm", weights["query_tokens"]) + positions).expand(len(hidden_states), -1, -1)
    output, attention_weights = attention(queries, keys, key_value, need_weights=True, average_attn_weights=True)
    return SimpleNamespace(
        tokens=norm("post_norm", output) @ weights["output_proj.weight"].T,
        attention=attention_weights,
        responses=attention_weights.max(dim=-1).values,
    )


def picks(responses: torch.Tensor, tokens_per_frame: int) -> list[list[int]]:
    return [sorted(range(len(row)), key=lambda i: (-row[i], i))[:tokens_per_frame] for row in responses.tolist()]


@pytest.mark.parametrize("attn_implementation", ["eager", "sdpa"])
@pytest.mark.parametrize("tokens_per_frame", [None, 1, 4, 9, NUM_QUERIES])
def test_outputs_responses_and_picks_equal_the_reference(attn_implementation, tokens_per_frame):
    adapter, hidden_states = build_adapter(attn_implementation), random_patches()
    expected = reference(adapter, hidden_states)
    assert expected.responses.std() > 0.02, "the responses must differ for the test to mean something"

    tokens, responses, indices = adapter(hidden_states, [tokens_per_frame] * 3)
    torch.testing.assert_close(responses.double(), expected.responses, rtol=0, atol=1e-6)
    all_in_order = [list(range(NUM_QUERIES))] * 3
    kept = all_in_order if tokens_per_frame is None else picks(expected.responses, tokens_per_frame)
    assert torch.stack(indices).tolist() == kept
    for frame in range(3):
        difference = tokens[frame].double() - expected.tokens[frame][kept[frame]]
        assert difference.abs().max() < 1e-6 * expected.tokens.abs().max()


@pytest.mark.parametrize("attn_implementation", ["eager", "sdpa"])
def test_bf16_follows_the_reference(attn_implementation):
    adapter = build_adapter(attn_implementation).bfloat16()
    hidden_states = random_patches().bfloat16()
    expected = reference(adapter, hidden_states)
    tokens, responses, _ = adapter(hidden_states, [None] * 3)
    tokens = torch.stack(tokens)
    assert tokens.dtype == torch.bfloat16 and responses.dtype == torch.float32
    # Outputs have a standard deviation of about 1 and pass six roundings of relative size 2**-8 each; responses lie
    # between 1/36 and 1.
    assert (tokens.double() - expected.tokens).abs().max() < 0.06
    assert (responses.double() - expected.responses).abs().max() < 0.01


def test_responses_are_fp32_under_autocast():
    adapter, hidden_states = build_adapter(), random_patches()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        tokens, responses, _ = adapter(hidden_states, [4] * 3)
        assert responses.dtype == torch.float32 and tokens[0].dtype == torch.bfloat16
    assert (responses.double() - reference(adapter, hidden_states).responses).abs().max() < 0.01

    # The scores themselves are not cast down: inside and outside of autocast the same states give the same bits.
    generator = torch.Generator().manual_seed(1)
    query_states = torch.randn(NUM_QUERIES, 4, 8, generator=generator)
    key_states = torch.randn(3, 4, NUM_PATCHES, 8, generator=generator)
    outside = adapter.attention.responses(query_states, key_states)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(adapter.attention.responses(query_states, key_states), outside)


@pytest.mark.parametrize("token_order", ["response", "query"])
def test_the_number_of_kept_queries_never_changes_their_features(token_order):
    adapter, hidden_states = build_adapter(token_order=token_order), random_patches()
    every, _, _ = adapter(hidden_states, [None] * 3)
    for tokens_per_frame in range(1, NUM_QUERIES + 1):
        tokens, _, indices = adapter(hidden_states, [tokens_per_frame] * 3)
        for frame in range(3):
            torch.testing.assert_close(tokens[frame], every[frame][indices[frame]], rtol=0, atol=1e-6)


def test_frames_that_keep_different_numbers_do_not_disturb_each_other():
    adapter, hidden_states = build_adapter(), random_patches(5)
    counts = [4, None, 1, NUM_QUERIES, 4]
    tokens, responses, indices = adapter(hidden_states, counts)
    for frame, count in enumerate(counts):
        alone, its_responses, its_indices = adapter(hidden_states[frame : frame + 1], [count])
        torch.testing.assert_close(tokens[frame], alone[0], rtol=0, atol=1e-6)
        torch.testing.assert_close(responses[frame], its_responses[0], rtol=0, atol=1e-6)
        assert torch.equal(indices[frame], its_indices[0])


def test_values_carry_no_position():
    """Patches in another order give other attention only through the keys: without positions the order is unseen."""
    adapter, hidden_states = build_adapter(), random_patches()
    shuffled = hidden_states[:, torch.randperm(NUM_PATCHES)]
    assert not torch.allclose(adapter(hidden_states, [4] * 3)[1], adapter(shuffled, [4] * 3)[1], atol=1e-3)
    adapter.position_table.zero_()
    torch.testing.assert_close(
        torch.stack(adapter(hidden_states, [None] * 3)[0]), torch.stack(adapter(shuffled, [None] * 3)[0])
    )


def test_responses_carry_no_gradient_but_the_tokens_do():
    adapter, hidden_states = build_adapter(), random_patches().requires_grad_()
    tokens, responses, _ = adapter(hidden_states, [4] * 3)
    assert not responses.requires_grad
    torch.stack(tokens).sum().backward()
    assert hidden_states.grad.abs().sum() > 0


# Values projected last, where few queries are kept: up to 8 of 16 here.


def gradients(adapter: FTFVAdapter, hidden_states: torch.Tensor, count: int) -> dict[str, torch.Tensor]:
    """Of a loss in which every output matters, by name; the patches' under "patches"."""
    adapter.zero_grad()
    hidden_states = hidden_states.clone().requires_grad_()
    tokens = torch.stack(adapter(hidden_states, [count] * len(hidden_states))[0])
    (tokens * torch.randn(tokens.shape, generator=torch.Generator().manual_seed(2))).sum().backward()
    found = {name: parameter.grad.clone() for name, parameter in adapter.named_parameters()}
    return {**found, "patches": hidden_states.grad}


@pytest.mark.parametrize("tokens_per_frame", [1, 4, 8])
def test_gradients_equal_those_of_eager_attention(tokens_per_frame):
    late, eager = build_adapter("sdpa"), build_adapter("eager")
    called = []
    for adapter in (late, eager):
        adapter.attention.v_proj.register_forward_hook(lambda module, *_: called.append(module))
    found, expected = (gradients(adapter, random_patches(), tokens_per_frame) for adapter in (late, eager))
    assert called == [eager.attention.v_proj]
    assert found.keys() == expected.keys()
    for name in found:
        torch.testing.assert_close(found[name], expected[name], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("count", "late"), [(117, True), (118, False)])
def test_values_are_projected_last_where_that_takes_fewer_products(count, late):
    """In the paper's sizes: K M H C + K C C against M C C + K M C."""
    with torch.device("meta"):
        config = FTFVConfig()
        attention = FTFVAdapter(config.adapter_config, FTFVTokenSampler(config)).attention
    patches, heads, width = 1024, 32, 4096
    fewer = count * patches * heads * width + count * width**2 < patches * width**2 + count * patches * width
    assert attention._projects_values_last(count, patches) == fewer == late


def test_layers_that_are_more_than_their_weight_are_called():
    """Such as one with LoRA: its weight alone would leave the rest out."""

    class WithMore(nn.Linear):
        def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
            return 2 * super().forward(hidden_states)

    adapter, doubled = build_adapter(), build_adapter()
    with torch.no_grad():
        doubled.attention.v_proj.weight.mul_(2)
        doubled.attention.v_proj.bias.mul_(2)
    more = WithMore(32, 32)
    more.load_state_dict(adapter.attention.v_proj.state_dict())
    adapter.attention.v_proj = more
    expected = torch.stack(doubled(random_patches(), [4] * 3)[0])
    torch.testing.assert_close(torch.stack(adapter(random_patches(), [4] * 3)[0]), expected, rtol=0, atol=1e-5)


def test_dropout_drops_the_same_weights_as_elsewhere():
    adapter = build_adapter(adapter_config={"attention_dropout": 0.5})
    with torch.no_grad():
        adapter.attention.v_proj.weight.zero_()
    assert torch.stack(adapter(random_patches(), [4] * 3)[0]).std(dim=1).max() < 1e-5
    # Values that are their bias alone still vary by how many patches are left.
    adapter.train()
    assert torch.stack(adapter(random_patches(), [4] * 3)[0]).std(dim=1).min() > 1e-3


class Products(TorchDispatchMode):
    """Records the operands of every matrix product."""

    def __init__(self):
        super().__init__()
        self.operands: list[torch.Tensor] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.overloadpacket in (torch.ops.aten.mm, torch.ops.aten.addmm, torch.ops.aten.bmm):
            self.operands += [operand for operand in args if isinstance(operand, torch.Tensor)]
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("trainable", [True, False])
@pytest.mark.parametrize("count", [4, NUM_QUERIES])
def test_no_weight_is_expanded_over_frames_or_patches(trainable, count):
    """`nn.MultiheadAttention` on frozen weights multiplies by a copy of them for each patch."""
    adapter = build_adapter().requires_grad_(trainable)
    num_frames = 7
    with Products() as products:
        adapter(random_patches(num_frames), [count] * num_frames)
    matrices = [parameter for parameter in adapter.parameters() if parameter.ndim == 2]
    storages = {parameter.untyped_storage().data_ptr() for parameter in matrices}
    used = [operand for operand in products.operands if operand.untyped_storage().data_ptr() in storages]
    assert len(used) >= 5
    assert all(0 not in operand.stride() and operand.numel() <= 32 * 32 for operand in used)
    # Nor is there a copy: nothing is larger than the patches of all frames.
    assert max(operand.numel() for operand in products.operands) <= num_frames * NUM_PATCHES * 32


def test_the_first_position_table_is_sine_and_cosine():
    size, width = 4, 32
    table = np.zeros((size * size, width))
    omega = 10000.0 ** (-np.arange(width // 4) / (width // 4))
    for row in range(size):
        for column in range(size):
            table[row * size + column] = np.concatenate(
                [np.sin(column * omega), np.cos(column * omega), np.sin(row * omega), np.cos(row * omega)]
            )
    np.testing.assert_allclose(sine_cosine_positions(size, width).numpy(), table, rtol=0, atol=1e-6)
    config = build_config()
    fresh = FTFVAdapter(config.adapter_config, FTFVTokenSampler(config))
    np.testing.assert_allclose(fresh.position_table.numpy(), table, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("source_size", "target_size"), [(4, 6), (5, 6), (16, 32), (6, 4), (4, 3), (2, 7), (1, 3)])
def test_positions_are_resized_by_bicubic_interpolation(source_size, target_size):
    table = torch.randn(source_size**2, 8)
    expected = cubic_resize(table.double().numpy(), target_size)
    resized = interpolate_positions(table, target_size**2)
    np.testing.assert_allclose(resized.numpy(), expected, rtol=0, atol=3e-6)


def test_positions_of_the_right_size_are_untouched():
    table = torch.randn(16, 8)
    assert interpolate_positions(table, 16) is table


def test_bf16_positions_are_resized_in_fp32():
    table = torch.randn(16, 8).bfloat16()
    resized = interpolate_positions(table, 36)
    assert resized.dtype == torch.bfloat16
    assert torch.equal(resized, interpolate_positions(table.float(), 36).bfloat16())


def test_a_frame_that_is_not_square_raises():
    with pytest.raises(ValueError, match="A frame has 24 patches; expected a square frame"):
        interpolate_positions(torch.randn(16, 8), 24)


def test_the_position_table_is_a_saved_buffer():
    adapter = build_adapter()
    assert "position_table" in adapter.state_dict()
    assert "position_table" not in dict(adapter.named_parameters())
