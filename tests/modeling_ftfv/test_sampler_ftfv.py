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
"""The token sampler against Eq. 2 of the paper written out in plain Python."""

import pytest
import torch

from ftfv.modeling_ftfv.sampler_ftfv import FTFVTokenSampler
from tests.tiny import NUM_QUERIES, build_config


def build_sampler(**options) -> FTFVTokenSampler:
    return FTFVTokenSampler(build_config(**options))


def brute_force(row: list[float], tokens_per_frame: int) -> list[int]:
    """Eq. 2 with Python's own sort: descending response, and the lower index first where responses are equal."""
    return sorted(range(len(row)), key=lambda index: (-row[index], index))[:tokens_per_frame]


def random_responses(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, NUM_QUERIES, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("tokens_per_frame", range(1, NUM_QUERIES + 1))
def test_weighted_is_equation_2(tokens_per_frame):
    responses = random_responses(20)
    kept = build_sampler()(responses, tokens_per_frame)
    assert kept.dtype == torch.long
    assert kept.tolist() == [brute_force(row, tokens_per_frame) for row in responses.tolist()]


@pytest.mark.parametrize("levels", [1, 2, 3])
def test_ties_go_to_the_lower_index(levels):
    # 200 frames whose 16 responses take only so many values; one value makes them all equal.
    responses = (random_responses(200) * levels).floor() / levels
    for tokens_per_frame in (1, 5, 15, 16):
        kept = build_sampler()(responses, tokens_per_frame)
        assert kept.tolist() == [brute_force(row, tokens_per_frame) for row in responses.tolist()]


def test_bf16_ties_are_kept_as_ties():
    responses = 0.5 + random_responses(50) / 64
    rounded = responses.bfloat16()
    assert len(set(rounded.flatten().tolist())) < 8, "the test needs ties"
    kept = build_sampler()(rounded, 6)
    assert kept.tolist() == [brute_force(row, 6) for row in rounded.tolist()]
    # The unrounded responses are all different and give another choice: nothing finer than the input decides.
    assert kept.tolist() != build_sampler()(responses, 6).tolist()


@pytest.mark.parametrize("token_sampler", ["weighted", "first"])
@pytest.mark.parametrize("token_order", ["response", "query"])
def test_the_sets_are_nested(token_sampler, token_order):
    sampler = build_sampler(token_sampler=token_sampler, token_order=token_order)
    responses = (random_responses(30) * 6).floor()
    for smaller in range(1, NUM_QUERIES):
        fewer, more = sampler(responses, smaller), sampler(responses, smaller + 1)
        assert all(set(a) < set(b) for a, b in zip(fewer.tolist(), more.tolist(), strict=True))


def test_query_order_keeps_the_set_and_sorts_it():
    responses = (random_responses(30) * 6).floor()
    by_response = build_sampler(token_order="response")(responses, 7)
    by_query = build_sampler(token_order="query")(responses, 7)
    assert by_query.tolist() == [sorted(row) for row in by_response.tolist()]
    assert by_query.tolist() != by_response.tolist()


def test_none_keeps_all_in_query_order():
    sampler = build_sampler(token_sampler="none", tokens_per_frame=NUM_QUERIES)
    assert sampler(random_responses(2, 3), NUM_QUERIES).tolist() == [[list(range(NUM_QUERIES))] * 3] * 2


@pytest.mark.parametrize("tokens_per_frame", range(1, NUM_QUERIES + 1))
def test_uniform_takes_the_middle_of_equal_parts(tokens_per_frame):
    sampler = build_sampler(token_sampler="uniform", token_order="query")
    expected = [int((i + 0.5) * NUM_QUERIES / tokens_per_frame) for i in range(tokens_per_frame)]
    assert sampler(random_responses(2), tokens_per_frame).tolist() == [expected] * 2


def test_first_takes_the_first():
    sampler = build_sampler(token_sampler="first", token_order="query")
    assert sampler(random_responses(2), 5).tolist() == [[0, 1, 2, 3, 4]] * 2


def test_random_takes_different_queries_in_every_frame_each_equally_often():
    sampler = build_sampler(token_sampler="random", token_order="query")
    kept = sampler(random_responses(4000), 4)
    assert all(len(set(row)) == 4 for row in kept[:50].tolist())
    assert len({tuple(row) for row in kept.tolist()}) > 500
    counts = torch.bincount(kept.flatten(), minlength=NUM_QUERIES)
    # 4000 draws of probability 1/4: a standard deviation of 27.4, so five of them on either side.
    assert len(counts) == NUM_QUERIES and (counts - 1000).abs().max() < 137


def test_random_follows_the_seed_of_torch():
    sampler = build_sampler(token_sampler="random")
    torch.manual_seed(5)
    first = sampler(random_responses(10), 4)
    assert not torch.equal(first, sampler(random_responses(10), 4))
    torch.manual_seed(5)
    assert torch.equal(first, sampler(random_responses(10), 4))


@pytest.mark.parametrize("token_sampler", ["random", "uniform", "first"])
def test_the_baselines_follow_the_token_order(token_sampler):
    responses = random_responses(10)
    kept = build_sampler(token_sampler=token_sampler, token_order="response")(responses, 6)
    chosen = responses.gather(1, kept)
    assert torch.equal(chosen, chosen.sort(dim=1, descending=True).values)


@pytest.mark.parametrize("token_sampler", ["weighted", "random", "uniform", "first"])
@pytest.mark.parametrize("shape", [(), (1,), (5,), (2, 3), (0,)])
def test_batch_shapes(token_sampler, shape):
    kept = build_sampler(token_sampler=token_sampler)(random_responses(*shape), 3)
    assert kept.shape == (*shape, 3)


@pytest.mark.parametrize("token_sampler", ["weighted", "none", "random", "uniform", "first"])
@pytest.mark.parametrize("tokens_per_frame", [-1, 0, NUM_QUERIES + 1])
def test_a_number_out_of_range_raises(token_sampler, tokens_per_frame):
    sampler = build_sampler(token_sampler=token_sampler, tokens_per_frame=NUM_QUERIES)
    with pytest.raises(ValueError, match=f"is {tokens_per_frame}; expected 1 to {NUM_QUERIES}"):
        sampler(random_responses(2), tokens_per_frame)


def test_none_refuses_fewer_than_all():
    sampler = build_sampler(token_sampler="none", tokens_per_frame=NUM_QUERIES)
    with pytest.raises(ValueError, match=f"keeps all {NUM_QUERIES} query tokens but `tokens_per_frame` is 5"):
        sampler(random_responses(2), 5)


def test_choosing_carries_no_gradient_and_has_no_weights():
    sampler = build_sampler()
    responses = random_responses(2).requires_grad_()
    assert not sampler(responses, 3).requires_grad
    assert not list(sampler.parameters()) and not list(sampler.buffers())


def test_infinite_and_zero_responses_are_ordered():
    responses = torch.zeros(1, NUM_QUERIES)
    responses[0, 9], responses[0, 4] = float("inf"), 1.0
    assert build_sampler()(responses, 3).tolist() == [[9, 4, 0]]


# Choosing among the kept


@pytest.mark.parametrize("token_order", ["response", "query"])
def test_narrowing_keeps_what_a_smaller_number_keeps(token_order):
    sampler = build_sampler(token_order=token_order)
    responses = (random_responses(3, 40) * 6).floor()  # with ties
    for kept_tokens in (NUM_QUERIES, 9, 2, 1):
        kept = sampler(responses, kept_tokens)
        for tokens_per_frame in range(1, kept_tokens + 1):
            positions = sampler.narrow(responses, kept, tokens_per_frame)
            assert torch.equal(kept.gather(-1, positions), sampler(responses, tokens_per_frame))


@pytest.mark.parametrize("tokens_per_frame", [0, 6])
def test_narrowing_to_a_number_out_of_range_raises(tokens_per_frame):
    sampler, responses = build_sampler(), random_responses(2)
    with pytest.raises(ValueError, match=f"is {tokens_per_frame} but the features hold 5 .* expected 1 to 5"):
        sampler.narrow(responses, sampler(responses, 5), tokens_per_frame)


@pytest.mark.parametrize("token_sampler", ["random", "uniform", "first"])
def test_only_the_weighted_choice_is_narrowed(token_sampler):
    sampler, responses = build_sampler(token_sampler=token_sampler), random_responses(2)
    kept = sampler(responses, 5)
    assert torch.equal(kept.gather(-1, sampler.narrow(responses, kept, 5)), kept)
    with pytest.raises(ValueError, match="Encode the video again with 4; only 'weighted' keeps its best ones"):
        sampler.narrow(responses, kept, 4)
