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
"""Features computed before: whole or narrowed to fewer tokens, alone or merged, they stand for the pixels."""

import math
from typing import Any

import pytest
import torch

from ftfv.modeling_ftfv.modeling_ftfv import FTFVFeaturesOutput
from tests.tiny import IMAGE_TOKEN_ID, NUM_QUERIES, VIDEO_TOKEN_ID, build_model, random_pixels, video_prompt


GREEDY: dict[str, Any] = {
    "do_sample": False,
    "max_new_tokens": 5,
    "min_new_tokens": 5,
    "suppress_tokens": [IMAGE_TOKEN_ID, VIDEO_TOKEN_ID],
}
# Three, one and two frames.
MASK = torch.tensor([[1, 1, 1], [1, 0, 0], [1, 1, 0]])


@torch.no_grad()
def encode(model: Any, tokens_per_frame: Any = 6) -> FTFVFeaturesOutput:
    return model.get_video_features(random_pixels(3, 3), MASK, tokens_per_frame)


def same(one: FTFVFeaturesOutput, other: FTFVFeaturesOutput) -> bool:
    """Whether two features are equal bit for bit."""
    tokens = zip(one.pooler_output, other.pooler_output, strict=True)
    return (
        all(torch.equal(*pair) for pair in tokens)
        and torch.equal(one.responses, other.responses)
        and torch.equal(one.token_indices, other.token_indices)
    )


def generate(model: Any, num_placeholders: int, **inputs: Any) -> list[int]:
    input_ids = torch.tensor([video_prompt(num_placeholders)])
    return model.generate(input_ids=input_ids, **{**GREEDY, **inputs})[0, input_ids.shape[1] :].tolist()


# Splitting and merging


def test_splitting_and_merging_give_the_same_without_tower_states():
    features = encode(build_model(), torch.tensor([6, 2, 4]))
    videos = features.split()
    assert [video.token_indices.shape for video in videos] == [(1, 3, 6), (1, 1, 2), (1, 2, 4)]
    assert [video.pooler_output.shape for video in videos] == [(1, 18, 32), (1, 2, 32), (1, 8, 32)]
    merged = FTFVFeaturesOutput.merge(videos)
    assert same(merged, features) and merged.last_hidden_state is None and merged.hidden_states is None


def test_frames_between_padding_are_kept_in_order():
    model, pixels = build_model(), random_pixels(1, 3)
    padded = torch.zeros(1, 5, *pixels.shape[2:])
    padded[:, [0, 2, 4]] = pixels
    spread = model.get_video_features(padded, torch.tensor([[1, 0, 1, 0, 1]]), 6)
    assert same(FTFVFeaturesOutput.merge(spread.split()), model.get_video_features(pixels, tokens_per_frame=6))


def test_times_of_frames_are_padded():
    videos = encode(build_model()).split()
    for video, times in zip(videos, ([0.5, 1.5, 2.5], [0.0], [1.0, 3.0]), strict=True):
        video.frame_times = torch.tensor([times], dtype=torch.float64)
    merged = FTFVFeaturesOutput.merge(videos)
    assert merged.frame_times.isnan().sum() == 3 and math.isnan(merged.frame_times[1, 1])
    assert [video.frame_times.tolist() for video in merged.split()] == [[[0.5, 1.5, 2.5]], [[0.0]], [[1.0, 3.0]]]


# Fewer tokens


@pytest.mark.parametrize("token_order", ["response", "query"])
@pytest.mark.parametrize("counts", [1, 3, 6, [6, 2, 4]])
def test_narrowing_is_encoding_with_fewer_tokens(token_order, counts):
    model = build_model(token_order=token_order)
    counts = counts if isinstance(counts, int) else torch.tensor(counts)
    narrowed, encoded = model.model.take_features(encode(model), counts), encode(model, counts)
    assert torch.equal(narrowed.token_indices, encoded.token_indices)
    assert torch.equal(narrowed.responses, encoded.responses)
    # The attention of fewer queries is another matrix product, which may round otherwise.
    for some, same_ones in zip(narrowed.pooler_output, encoded.pooler_output, strict=True):
        torch.testing.assert_close(some, same_ones, rtol=0, atol=1e-6)


def test_more_tokens_than_there_are_raise():
    model = build_model()
    with pytest.raises(
        ValueError, match="`tokens_per_frame` is 7 but the features hold 6 tokens per frame; expected 1"
    ):
        model.model.take_features(encode(model), 7)
    with pytest.raises(ValueError, match="is 0 but the features hold 6"):
        model.model.take_features(encode(model), 0)


@pytest.mark.parametrize("token_sampler", ["random", "uniform", "first"])
def test_other_samplers_are_not_narrowed(token_sampler):
    model = build_model(token_sampler=token_sampler)
    features = encode(model)
    assert same(model.model.take_features(features, 6), features)
    with pytest.raises(ValueError, match=f"which `token_sampler='{token_sampler}'` would choose anew"):
        model.model.take_features(features, 5)


def test_all_tokens_of_an_image_model_are_not_narrowed():
    model = build_model(token_sampler="none", tokens_per_frame=NUM_QUERIES)
    with pytest.raises(ValueError, match="which `token_sampler='none'` would choose anew"):
        model.model.take_features(encode(model, NUM_QUERIES), 6)


# In place of pixels


@torch.no_grad()
@pytest.mark.parametrize("tokens_per_frame", [6, 2])
def test_a_forward_pass_takes_them(tokens_per_frame):
    model, pixels = build_model(), random_pixels(1, 3)
    features = model.get_video_features(pixels, tokens_per_frame=6)
    input_ids = torch.tensor([video_prompt(3 * tokens_per_frame)])
    count = torch.tensor([tokens_per_frame])
    expected = model(input_ids=input_ids, pixel_values_videos=pixels, tokens_per_frame=count).logits
    given = {"input_ids": input_ids, "mm_encoder_outputs": {"video": features}}
    logits = model(**given, tokens_per_frame=count).logits
    torch.testing.assert_close(logits, expected, rtol=0, atol=0 if tokens_per_frame == 6 else 1e-5)
    if tokens_per_frame == 6:
        assert torch.equal(model(**given).logits, expected), "without a number, all that there are"


@torch.no_grad()
def test_images_may_come_as_pixels_beside_them():
    model, image, video = build_model(), random_pixels(1, seed=1), random_pixels(1, 2)
    input_ids = torch.tensor([[1, *[IMAGE_TOKEN_ID] * NUM_QUERIES, *[VIDEO_TOKEN_ID] * 8, 9]])
    expected = model(input_ids=input_ids, pixel_values=image, pixel_values_videos=video).logits
    features = {"video": model.get_video_features(video)}
    given = {"input_ids": input_ids, "pixel_values": image, "mm_encoder_outputs": features}
    # Alone, frames go through the tower in another batch, which may round otherwise.
    torch.testing.assert_close(model(**given).logits, expected, rtol=0, atol=1e-5)
    answer = model.generate(input_ids=input_ids, pixel_values=image, pixel_values_videos=video, **GREEDY)
    assert torch.equal(model.generate(**given, **GREEDY), answer) and set(features) == {"video"}
    with pytest.raises(ValueError, match="at the same time for the videos of a call; pass one of them"):
        model(**given, pixel_values_videos=video)


def test_each_call_gets_its_own_copy():
    """Beams repeat the features of a video, in place."""
    model, pixels = build_model(), random_pixels(1, 3)
    fresh = {
        beams: generate(model, 12, pixel_values_videos=pixels, num_beams=beams, num_return_sequences=1)
        for beams in (1, 3)
    }
    encoder_outputs = {"video": model.get_video_features(pixels)}
    before = encoder_outputs["video"].split()[0]
    for beams in (3, 1, 3):
        assert generate(model, 12, mm_encoder_outputs=encoder_outputs, num_beams=beams) == fresh[beams]
    assert set(encoder_outputs) == {"video"} and same(encoder_outputs["video"], before)
    assert encoder_outputs["video"].pooler_output.shape == (1, 12, 32)


@pytest.mark.parametrize("num_beams", [1, 2])
def test_generation_narrows_them(num_beams):
    model, pixels = build_model(), random_pixels(1, 3)
    features = model.get_video_features(pixels, tokens_per_frame=6)
    count = torch.tensor([2])
    expected = generate(model, 6, pixel_values_videos=pixels, tokens_per_frame=count, num_beams=num_beams)
    given = {"mm_encoder_outputs": {"video": features}, "tokens_per_frame": count}
    assert generate(model, 6, **given, num_beams=num_beams) == expected
