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
"""Skipping unchanged patches: which are chosen, whose states they keep, and the model around it."""

import re
from typing import Any

import pytest
import torch

from ftfv import FTFVModel
from ftfv.modeling_ftfv.unchanged_patches_ftfv import MAX_CLIP_LENGTH, clip_lengths, find_changed_patches
from tests.tiny import NUM_PATCHES, PATCH_SIZE, VIDEO_TOKEN_ID, build_model, random_pixels, video_prompt


SHARE = 0.75
NUM_KEPT = 9  # of 36 patches


def frames_of(*patches: list[float]) -> torch.Tensor:
    """Frames of 2 x 2 patches of 2 x 2 pixels, from the value of each patch in row-major order."""
    grid = torch.tensor(patches).view(-1, 1, 2, 2)
    return grid.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3).expand(-1, 3, -1, -1)


def build(**options: Any) -> Any:
    return build_model(model_class=FTFVModel, **{"skip_unchanged_patches": SHARE, **options})


def tower_states(model: Any, pixel_values_videos: torch.Tensor, mask: Any = None) -> torch.Tensor:
    return model.get_video_features(pixel_values_videos, mask).last_hidden_state


def count_tower_calls(model: Any) -> list[tuple[int, int]]:
    """Grows by the number of frames of each call, and the number of rows that its layers run."""
    calls: list[tuple[int, int]] = []
    model.vision_tower.encoder.layers[0].mlp.register_forward_hook(
        lambda module, args, output: calls.append(output[..., 0].numel())
    )
    model.vision_tower.register_forward_hook(
        lambda module, args, output: calls.append((len(output.last_hidden_state), calls.pop()))
    )
    return calls


# Choosing


def test_the_most_changed_patch_is_seen_and_one_left_behind_is_seen_next():
    pixels = frames_of([0, 0, 0, 0], [1, 3, 2, 0], [1, 3, 2, 0], [1, 3, 2, 9])
    found = find_changed_patches(pixels, 2, [4], 1)
    assert (found.whole_frames, found.changed_frames) == ([0], [1, 2, 3])
    # Patch 2 changed from frame 0 to 1, but less than patch 1, and waits for frame 2.
    assert found.patch_indices.tolist() == [[1], [2], [3]]
    assert found.sources.tolist() == [[0, 1, 2, 3], [0, 4, 2, 3], [0, 4, 5, 3], [0, 4, 5, 6]]


def test_patches_that_fill_up_the_number_keep_their_states():
    pixels = frames_of([5, 5, 5, 5], [5, 5, 5, 6])
    found = find_changed_patches(pixels, 2, [2], 3)
    assert found.patch_indices.tolist() == [[0, 1, 3]], "equal differences go to the lower index"
    assert found.sources.tolist() == [[0, 1, 2, 3], [0, 1, 2, 6]]


def test_clips_of_several_lengths():
    still = frames_of([7, 7, 7, 7])
    long = frames_of([0, 0, 0, 0], [0, 0, 4, 0], [8, 0, 4, 0])
    short = frames_of([0, 1, 2, 3], [0, 1, 9, 3])
    found = find_changed_patches(torch.cat([still, long, still, short]), 2, [1, 3, 1, 2], 1)
    assert (found.whole_frames, found.changed_frames) == ([0, 1, 4, 5], [2, 3, 6])
    assert found.patch_indices.tolist() == [[2], [0], [2]]
    assert found.sources[[2, 3, 6]].tolist() == [[4, 5, 16, 7], [17, 5, 16, 7], [12, 13, 18, 15]]


def test_images_and_pieces_of_long_videos_are_clips():
    assert clip_lengths(5, [3, 1]) == [1, 3, 1]
    long = 2 * MAX_CLIP_LENGTH
    assert clip_lengths(2 + long + 1, [long, 1]) == [1, 1, MAX_CLIP_LENGTH, MAX_CLIP_LENGTH, 1]
    assert clip_lengths(long + 5, [long + 5]) == [MAX_CLIP_LENGTH, MAX_CLIP_LENGTH, 5]


def test_the_choice_equals_plain_arithmetic():
    lengths, pixels = [4, 3], random_pixels(7)
    found = find_changed_patches(pixels, PATCH_SIZE, lengths, NUM_KEPT)
    expected, start = [], 0
    for length in lengths:
        seen = pixels[start].clone()
        for frame in range(start + 1, start + length):
            windows = [
                (slice(None), slice(row, row + PATCH_SIZE), slice(column, column + PATCH_SIZE))
                for row in range(0, pixels.shape[-2], PATCH_SIZE)
                for column in range(0, pixels.shape[-1], PATCH_SIZE)
            ]
            changes = [float((pixels[frame][window] - seen[window]).abs().mean()) for window in windows]
            kept = sorted(sorted(range(NUM_PATCHES), key=lambda index: -changes[index])[:NUM_KEPT])
            for index in kept:
                seen[windows[index]] = pixels[frame][windows[index]]
            expected.append(kept)
        start += length
    assert found.patch_indices.tolist() == expected


# In the model


@torch.no_grad()
def test_nothing_is_skipped_by_default():
    model, pixels = build(skip_unchanged_patches=0.0), random_pixels(1, 3)
    calls = count_tower_calls(model)
    expected = model.vision_tower(pixels[0]).last_hidden_state
    assert torch.equal(tower_states(model, pixels)[0], expected) and calls == [(3, 3 * NUM_PATCHES)] * 2
    model.config.skip_unchanged_patches = 0.5 / NUM_PATCHES  # less than one patch
    assert torch.equal(tower_states(model, pixels)[0], expected)


@torch.no_grad()
@pytest.mark.parametrize("attn_implementation", ["eager", "sdpa"])
def test_the_tower_equals_one_in_which_skipped_patches_have_their_old_states_in_every_layer(attn_implementation):
    model, pixels = build(attn_implementation=attn_implementation), random_pixels(1, 4)
    calls = count_tower_calls(model)
    actual = tower_states(model, pixels)[0]
    assert calls == [(4, NUM_PATCHES + 3 * NUM_KEPT)]
    found = find_changed_patches(pixels[0], PATCH_SIZE, [4], NUM_KEPT)
    tower = model.vision_tower
    states = list(tower.pre_layernorm(tower.embeddings(pixels[0])))
    for layer in (None, *tower.encoder.layers):
        if layer is not None:
            states = [layer(frame[None])[0] for frame in states]
        for frame, kept in zip(found.changed_frames, found.patch_indices, strict=True):
            old = states[frame - 1].clone()
            old[kept] = states[frame][kept]
            states[frame] = old
    torch.testing.assert_close(actual, torch.stack(states), rtol=0, atol=2e-5)


@torch.no_grad()
@pytest.mark.parametrize("share", [0.5, 0.99])
def test_a_still_video_gives_the_output_of_its_first_frame(share):
    model, pixels = build(skip_unchanged_patches=share), random_pixels(1, 1).expand(-1, 4, -1, -1, -1)
    states = tower_states(model, pixels)
    first = model.vision_tower(pixels[0, :1]).last_hidden_state
    assert torch.equal(states[0], first.expand_as(states[0]))


@torch.no_grad()
def test_ragged_videos_equal_single_ones_and_images_stay_whole():
    model, pixels, images = build(), random_pixels(3, 3), random_pixels(2, seed=1)
    mask = torch.tensor([[1, 1, 1], [1, 0, 0], [0, 1, 1]])
    together = model.encode_media(images, pixels, mask)
    for video in range(3):
        real = mask[video].bool()
        alone = model.get_video_features(pixels[video : video + 1, real])
        for name, atol in (("last_hidden_state", 1e-5), ("responses", 1e-6)):
            torch.testing.assert_close(together["video"][name][video, real], alone[name][0], rtol=0, atol=atol)
    model.config.skip_unchanged_patches = 0.0
    expected = model.get_image_features(images)
    torch.testing.assert_close(together["image"].last_hidden_state, expected.last_hidden_state, rtol=0, atol=1e-5)


@torch.no_grad()
def test_chunks_equal_all_at_once(monkeypatch):
    model, pixels = build(), random_pixels(2, 5)
    expected = model.get_video_features(pixels)
    calls = count_tower_calls(model)
    monkeypatch.setattr(FTFVModel, "frames_per_chunk", 3)
    features = model.get_video_features(pixels)
    assert calls == [(5, NUM_PATCHES + 4 * NUM_KEPT)] * 2, "a clip is not cut"
    for name in ("last_hidden_state", "pooler_output"):
        torch.testing.assert_close(features[name], expected[name], rtol=0, atol=1e-5)


@torch.no_grad()
def test_a_long_video_is_run_clip_by_clip():
    model, pixels = build(), random_pixels(1, MAX_CLIP_LENGTH + 2)
    calls = count_tower_calls(model)
    states = tower_states(model, pixels)[0]
    assert calls == [(MAX_CLIP_LENGTH, NUM_PATCHES + 31 * NUM_KEPT), (2, NUM_PATCHES + NUM_KEPT)]
    expected = tower_states(model, pixels[:, MAX_CLIP_LENGTH:])[0]
    torch.testing.assert_close(states[MAX_CLIP_LENGTH:], expected, rtol=0, atol=1e-5)


def test_gradients_reach_the_patches_that_are_run_alone():
    model, pixels = build().train(), random_pixels(1, 2).requires_grad_()
    model.get_video_features(pixels).pooler_output.square().sum().backward()
    gradient = pixels.grad[0].unfold(2, PATCH_SIZE, PATCH_SIZE).unfold(3, PATCH_SIZE, PATCH_SIZE)
    reached = gradient.abs().sum(dim=(1, 4, 5)).flatten(1) > 0
    kept = find_changed_patches(pixels[0], PATCH_SIZE, [2], NUM_KEPT).patch_indices[0]
    assert reached[0].all() and reached[1].nonzero()[:, 0].tolist() == kept.tolist()
    assert all(parameter.grad is not None for parameter in model.vision_tower.parameters())


def test_every_rank_of_a_training_calls_the_tower_once():
    """Whatever it is shown, and without media."""
    model, images = build().train(), random_pixels(2)
    calls = count_tower_calls(model)
    model.get_image_features(images)
    model.encode_media(images, random_pixels(2, 3))
    model.unused_frame()
    assert calls == [(2, 2 * NUM_PATCHES), (8, 4 * NUM_PATCHES + 4 * NUM_KEPT), (1, NUM_PATCHES)]


@pytest.mark.parametrize("merge_patches", [0.0, 0.5])
def test_a_forward_pass_on_meta_and_compiled(merge_patches):
    options = {"skip_unchanged_patches": SHARE, "merge_patches": merge_patches}
    with torch.device("meta"):
        states = tower_states(FTFVModel(build(**options).config), torch.empty(2, 3, 3, 42, 42))
    assert states.is_meta and states.shape == (2, 3, NUM_PATCHES, 24)
    model, pixels = build(**options), random_pixels(1, 3)
    with torch.no_grad():
        compiled = torch.compile(tower_states, backend="eager", fullgraph=True)(model, pixels)
        torch.testing.assert_close(compiled, tower_states(model, pixels), rtol=0, atol=1e-5)


def test_bf16_and_generation():
    model = build_model(skip_unchanged_patches=SHARE).to(torch.bfloat16)
    input_ids = torch.tensor([video_prompt(12)])
    given = {"input_ids": input_ids, "pixel_values_videos": random_pixels(1, 3).to(torch.bfloat16)}
    generated = model.generate(**given, max_new_tokens=3, min_new_tokens=3, suppress_tokens=[VIDEO_TOKEN_ID])
    assert generated.shape[1] == input_ids.shape[1] + 3


def test_loading_sets_it_and_saving_keeps_it(tmp_path):
    build().save_pretrained(tmp_path)
    assert FTFVModel.from_pretrained(tmp_path).config.skip_unchanged_patches == SHARE
    model = FTFVModel.from_pretrained(tmp_path, skip_unchanged_patches=0.5)
    calls = count_tower_calls(model)
    model.get_video_features(random_pixels(1, 2))
    assert calls == [(2, NUM_PATCHES + NUM_PATCHES // 2)]


# Refused


def test_values_set_on_a_model_are_checked_when_it_runs():
    model = build()
    model.config.skip_unchanged_patches = 1.0
    with pytest.raises(ValueError, match="`skip_unchanged_patches` is 1.0; expected a share from 0 to less than 1"):
        model.get_video_features(random_pixels(1, 2))


@pytest.mark.parametrize("option", ["skip_unchanged_patches", "merge_patches"])
@pytest.mark.parametrize("recorded", ["output_hidden_states", "output_attentions"])
def test_states_of_layers_that_do_not_see_all_patches_are_refused(option, recorded):
    model = build(**{"skip_unchanged_patches": 0.0, option: 0.5}, attn_implementation="eager")
    message = re.escape("a vision tower that does not run all patches in all layers; expected neither. Leave them out")
    with pytest.raises(ValueError, match=message):
        model.get_video_features(random_pixels(1, 2), **{recorded: True})
