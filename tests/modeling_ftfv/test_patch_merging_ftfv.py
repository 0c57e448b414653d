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
"""Merging of patches inside the vision tower, against plain arithmetic over all of them."""

import re
from typing import Any

import pytest
import torch
from torch.nn.functional import cosine_similarity

from ftfv import FTFVModel
from ftfv.modeling_ftfv.patch_merging_ftfv import merge_groups, merging_schedule, start_groups
from ftfv.modeling_ftfv.unchanged_patches_ftfv import find_changed_patches
from tests.backward import backward
from tests.tiny import NUM_PATCHES, PATCH_SIZE, build_config, build_model, random_pixels


SHARE = 0.5


def build(**options: Any) -> Any:
    return build_model(model_class=FTFVModel, **{"merge_patches": SHARE, **options})


def plain_merge(keys: list[torch.Tensor], members: list[list[int]], count: int) -> list[list[int]]:
    """Groups of patches after a merge, from the mean key of each."""
    if count == 0:
        return members
    givers, takers = range(0, len(members), 2), range(1, len(members), 2)
    best = []
    for giver in givers:
        similar = [float(cosine_similarity(keys[giver], keys[taker], dim=0)) for taker in takers]
        best.append((max(similar), takers[similar.index(max(similar))]))
    chosen = sorted(sorted(range(len(best)), key=lambda index: -best[index][0])[:count])
    merged = {givers[index]: best[index][1] for index in chosen}
    result = [members[giver] for giver in givers if giver not in merged]
    return result + [
        members[taker] + [patch for giver in merged if merged[giver] == taker for patch in members[giver]]
        for taker in takers
    ]


# The schedule


def test_every_layer_merges_the_same_share():
    assert merging_schedule(1024, 0.75, 2) == [512, 256]
    assert merging_schedule(36, 0.75, 4) == [10, 8, 5, 4]
    assert merging_schedule(36, 0.01, 4) == [0, 0, 0, 0]
    left, counts = 1024, merging_schedule(1024, 0.9, 48)
    assert len(counts) == 48 and sum(counts) == 921
    for count in counts:
        assert count / left == pytest.approx(1 - 0.1 ** (1 / 48), abs=1 / left)
        left -= count


def test_more_than_half_of_what_a_layer_sees_cannot_be_merged():
    message = (
        "`merge_patches` is 0.8, for which one of 2 merging layers would make 17 of 36 patches; expected at least "
        "half. Choose a lower share, or let more layers merge."
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        merging_schedule(36, 0.8, 2)


# One merge


def test_a_merge_by_hand():
    """Patch 0 is like patch 3, patch 2 like patch 1 but less so, and patch 4 like none."""
    keys = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 3, 1], [2, 0, 0], [0, 0, -1]])[None, None]
    states = torch.tensor([[1.0], [2], [3], [5], [8]])[None]
    one = merge_groups(states, keys, *start_groups(states), 1)
    assert one[0][0, :, 0].tolist() == [3, 8, 2, 3] and one[1].tolist() == [[1, 1, 1, 2]]
    assert one[2].tolist() == [[3, 2, 0, 3, 1]]
    two = merge_groups(states, keys, *start_groups(states), 2)
    assert two[0][0, :, 0].tolist() == [8, 2.5, 3] and two[1].tolist() == [[1, 2, 2]]
    assert two[2].tolist() == [[2, 1, 1, 2, 0]]
    # Means are those of the patches: 3 is of two.
    three = merge_groups(two[0], torch.tensor([[[[0.0, 1], [0, 1], [1, 0]]]]), *two[1:], 1)
    assert three[0][0, :, 0].tolist() == pytest.approx([3, (8 + 2 + 3) / 3]) and three[1].tolist() == [[2, 3]]


@pytest.mark.parametrize("num_patches", [11, 12])
def test_merges_equal_plain_arithmetic(num_patches):
    generator = torch.Generator().manual_seed(num_patches)
    states = torch.randn(3, num_patches, 5, generator=generator)
    merged, sizes, groups = states, *start_groups(states)
    members = [[[patch] for patch in range(num_patches)] for _ in range(3)]
    for count in (3, 4, 2):
        keys = torch.randn(3, 2, merged.shape[1], 4, generator=generator)
        merged, sizes, groups = merge_groups(merged, keys, sizes, groups, count)
        members = [plain_merge(list(key), old, count) for key, old in zip(keys.mean(dim=1), members, strict=True)]
    for frame, of_frame in enumerate(members):
        assert sizes[frame].tolist() == [len(group) for group in of_frame]
        for index, group in enumerate(of_frame):
            torch.testing.assert_close(merged[frame, index], states[frame, group].mean(dim=0), rtol=0, atol=1e-6)
            assert groups[frame, group].tolist() == [index] * len(group)


# The tower


@torch.no_grad()
@pytest.mark.parametrize("attn_implementation", ["eager", "sdpa"])
@pytest.mark.parametrize(("share", "merge_layers"), [(0.25, None), (0.5, 1), (0.5, None), (0.7, 2), (0.7, None)])
def test_the_tower_equals_one_that_runs_all_patches_with_equal_states_in_a_group(
    share, merge_layers, attn_implementation
):
    """A group with the logarithm of its size as bias draws and gives what its patches would, were they all alike."""
    tower = build(attn_implementation=attn_implementation, vision_config={"num_hidden_layers": 3}).vision_tower
    pixels = random_pixels(2)
    actual = tower(pixels, merge_patches=share, merge_layers=merge_layers).last_hidden_state
    counts = [*merging_schedule(NUM_PATCHES, share, merge_layers or 3), 0, 0]
    for frame in range(2):
        states = tower.pre_layernorm(tower.embeddings(pixels[frame : frame + 1]))
        members = [[patch] for patch in range(NUM_PATCHES)]
        for layer, count in zip(tower.encoder.layers, counts, strict=False):
            output, _, keys = layer.self_attn(layer.layer_norm1(states))
            states = states + output
            of_groups = [keys[0, group[0]].mean(dim=0) for group in members]
            members = plain_merge(of_groups, members, count)
            for group in members:
                states[:, group] = states[:, group].mean(dim=1, keepdim=True)
            states = states + layer.mlp(layer.layer_norm2(states))
        assert len(members) == NUM_PATCHES - int(share * NUM_PATCHES)
        torch.testing.assert_close(actual[frame], states[0], rtol=0, atol=2e-5)


@torch.no_grad()
def test_nothing_is_merged_by_default_and_images_are_merged_too():
    model, pixels = build(merge_patches=0.0), random_pixels(2)
    expected = model.vision_tower(pixels).last_hidden_state
    assert torch.equal(model.get_image_features(pixels).last_hidden_state, expected)
    model.config.merge_patches = SHARE
    states = model.get_image_features(pixels).last_hidden_state
    assert states.shape == expected.shape
    assert [len(frame.unique(dim=0)) for frame in states] == [NUM_PATCHES - int(SHARE * NUM_PATCHES)] * 2


@torch.no_grad()
def test_merged_while_others_are_skipped():
    """Patches of a changed frame stay by themselves, and attend to what became of the others."""
    model, pixels = build(skip_unchanged_patches=0.5), random_pixels(1, 3)
    actual = model.get_video_features(pixels).last_hidden_state[0]
    found = find_changed_patches(pixels[0], PATCH_SIZE, [3], 18)
    tower = model.vision_tower
    states = list(tower.pre_layernorm(tower.embeddings(pixels[0])))
    kept = [list(range(NUM_PATCHES)), *found.patch_indices.tolist()]
    members = [[[patch] for patch in of_frame] for of_frame in kept]
    for frame in (1, 2):
        states[frame] = fill_up(states[frame - 1], states[frame], kept[frame])
    for layer, count in zip(tower.encoder.layers, (10, 8), strict=True):
        attended = [layer.self_attn(layer.layer_norm1(frame[None])) for frame in states]
        for frame, (output, _, keys) in enumerate(attended):
            updated = states[frame] + output[0]
            of_groups = [keys[0, group[0]].mean(dim=0) for group in members[frame]]
            members[frame] = plain_merge(of_groups, members[frame], 0 if frame else count)
            for group in members[frame]:
                updated[group] = updated[group].mean(dim=0)
            updated = updated + layer.mlp(layer.layer_norm2(updated))
            states[frame] = fill_up(states[frame - 1], updated, kept[frame]) if frame else updated
    assert [len(of_frame) for of_frame in members] == [18, 18, 18]
    torch.testing.assert_close(actual, torch.stack(states), rtol=0, atol=2e-5)


def fill_up(old: torch.Tensor, new: torch.Tensor, kept: list[int]) -> torch.Tensor:
    """Old states, but new ones of the kept patches."""
    filled = old.clone()
    filled[kept] = new[kept]
    return filled


@pytest.mark.parametrize("use_reentrant", [False, True])
def test_gradients_are_those_without_checkpointing(use_reentrant):
    config = build_config(merge_patches=SHARE, skip_unchanged_patches=SHARE, vision_config={"num_hidden_layers": 4})
    _, expected = backward(build_model(config).train(), None)
    model = build_model(config).train()
    _, gradients = backward(model, use_reentrant)
    assert gradients.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(gradients[name], gradient, rtol=0, atol=1e-5)


def test_gradients_reach_every_patch():
    pixels = random_pixels(1).requires_grad_()
    build().get_image_features(pixels).pooler_output.square().sum().backward()
    assert (pixels.grad.unfold(2, 7, 7).unfold(3, 7, 7).abs().sum(dim=(1, 4, 5)) > 0).all()


@torch.no_grad()
def test_low_precision():
    model, pixels = build(), random_pixels(1, 2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert model.get_video_features(pixels).pooler_output.isfinite().all()
    states = model.to(torch.bfloat16).get_video_features(pixels.to(torch.bfloat16)).last_hidden_state
    assert states.dtype == torch.bfloat16 and states.isfinite().all()


# Refused


def test_attention_without_a_bias_is_refused():
    model = build()
    model.vision_tower.config._attn_implementation = "flash_attention_2"
    message = (
        "`merge_patches` is 0.5 but the vision tower's attention is 'flash_attention_2', which takes no bias; "
        "expected one of sdpa, eager. Load the model with one of them as `attn_implementation`."
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        model.get_image_features(random_pixels(1))
