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
"""What the sampler keeps of a clip: the attention of the kept queries, and all that is shown with it."""

from typing import Any

import pytest
import torch

from ftfv.evaluation.asking.rows import generate
from ftfv.evaluation.pages.kept_queries import encode_kept_queries, gather_kept_queries, kept_attention
from ftfv.processing.pipeline_ftfv import VideoTextToTextPipeline
from tests.tiny import (
    NUM_PATCHES,
    NUM_QUERIES,
    build_model,
    build_processor,
    frame_indices,
    random_pixels,
)


QUESTION = "which way does the red circle move ?"


@pytest.fixture
def model() -> Any:
    return build_model()


@pytest.mark.parametrize("tokens_per_frame", [1, 4, NUM_QUERIES, None])
@pytest.mark.parametrize("token_order", ["response", "query"])
def test_attention_peaks_at_the_responses_of_the_kept_queries(tokens_per_frame, token_order):
    model = build_model(token_order=token_order)
    pixels = random_pixels(2, 3)

    attention, indices = kept_attention(model, pixels, tokens_per_frame=tokens_per_frame)

    with torch.no_grad():
        features = model.get_video_features(pixels, tokens_per_frame=tokens_per_frame)
    assert attention.shape == (2, 3, tokens_per_frame or 4, NUM_PATCHES)
    assert torch.equal(indices, features.token_indices)
    torch.testing.assert_close(attention.sum(dim=-1), torch.ones(attention.shape[:3]))
    torch.testing.assert_close(attention.amax(dim=-1), features.responses.gather(-1, indices))


def test_padded_frames_have_no_attention(model):
    mask = torch.tensor([[1, 1, 1], [1, 0, 0]])

    attention, indices = kept_attention(model, random_pixels(2, 3), mask, 2)
    alone, _ = kept_attention(model, random_pixels(2, 3)[1:, :1], None, 2)

    assert not attention[1, 1:].any() and (indices[1, 1:] == -1).all()
    torch.testing.assert_close(attention[1, :1], alone[0])


def test_the_base_model_has_the_same_attention(model):
    attention, _ = kept_attention(model, random_pixels(1, 2), None, 2)
    of_base, _ = kept_attention(model.model, random_pixels(1, 2), None, 2)
    assert torch.equal(attention, of_base)


@pytest.mark.parametrize("tokens_per_frame", [2, NUM_QUERIES + 1])
def test_the_model_is_left_as_it_was(model, tokens_per_frame):
    adapter = model.model.multi_modal_projector
    model.train()
    before = adapter.config._attn_implementation, model.model.vision_tower.config._attn_implementation

    try:
        kept_attention(model, random_pixels(1, 2), None, tokens_per_frame)
    except ValueError as error:
        assert tokens_per_frame > NUM_QUERIES and "expected 1 to 16" in str(error)

    assert before[0] != "eager"
    assert before == (adapter.config._attn_implementation, model.model.vision_tower.config._attn_implementation)
    assert model.training and not adapter.attention._forward_hooks


def test_the_attention_of_frames_encoded_in_chunks_is_the_same(model):
    pixels = random_pixels(2, 3)
    whole, indices = kept_attention(model, pixels, None, 2)

    model.model.frames_per_chunk = 4
    in_chunks, same_indices = kept_attention(model, pixels, None, 2)

    assert torch.equal(indices, same_indices)
    torch.testing.assert_close(in_chunks, whole)


def test_what_is_gathered_is_what_the_model_sees_and_says(clip):
    model, processor = build_model(seed=1), build_processor()
    kept = gather_kept_queries(model, processor, clip, tokens_per_frame=[8, 2], num_frames=5, question=QUESTION)

    # 20 frames at 10 per second: the middle ones of five parts
    assert kept.video == "clip.mp4" and kept.question == QUESTION
    assert kept.times == pytest.approx([0.2, 0.6, 1.0, 1.4, 1.8])
    levels = kept.frames.reshape(5, -1).mean(axis=1)
    assert ((levels - 16) / 8).round().tolist() == [2, 6, 10, 14, 18]
    assert list(kept.attention) == list(kept.queries) == list(kept.answers) == [8, 2]
    conversation = [{"role": "user", "content": [{"type": "video", "path": clip}, {"type": "text", "text": QUESTION}]}]
    for count in (8, 2):
        inputs = processor.apply_chat_template(
            [conversation],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            processor_kwargs={"max_num_frames": 5, "tokens_per_frame": count},
        )
        assert frame_indices(inputs["pixel_values_videos"][0]) == [2, 6, 10, 14, 18]
        [attention], [queries] = kept_attention(model, inputs["pixel_values_videos"], None, count)
        torch.testing.assert_close(kept.attention[count], attention)
        assert torch.equal(kept.queries[count], queries)
        [answer] = generate(model, processor, inputs, max_new_tokens=32, seed=0)
        assert kept.answers[count] == answer.strip() != ""


def test_without_a_question_there_is_no_answer(model, clip):
    kept = gather_kept_queries(model, build_processor(), clip)
    assert kept.answers == {} and kept.question is None
    assert kept.attention[4].shape == (8, 4, NUM_PATCHES)


def test_a_random_sampler_keeps_for_the_picture_what_it_keeps_for_the_answer(clip):
    model, seen = build_model(token_sampler="random"), []
    sampler = model.model.multi_modal_projector.sampler
    sampler.register_forward_hook(lambda module, args, output: seen.append(output))

    kept = gather_kept_queries(model, build_processor(), clip, question=QUESTION)

    of_picture, of_answer = seen
    assert torch.equal(of_picture, of_answer) and torch.equal(kept.queries[4], of_answer)


def test_a_missing_video_is_named(model):
    with pytest.raises(FileNotFoundError, match="none.mp4"):
        gather_kept_queries(model, build_processor(), "none.mp4")


def test_encoding_once_keeps_what_encoding_at_each_k_keeps(clip):
    model, processor = build_model(seed=1), build_processor()
    expected = gather_kept_queries(model, processor, clip, tokens_per_frame=[2, 8], num_frames=5)
    pipe = VideoTextToTextPipeline(model=model, processor=processor)

    features, kept = encode_kept_queries(pipe, clip, [2, 8], num_frames=5)

    assert features.pooler_output.shape[:2] == (1, 5 * 8)
    assert (kept.video, kept.times, kept.answers) == (expected.video, expected.times, {})
    assert (kept.frames == expected.frames).all()
    for count in (2, 8):
        assert torch.equal(kept.queries[count], expected.queries[count])
        torch.testing.assert_close(kept.attention[count], expected.attention[count])


def test_a_part_of_a_video_shows_its_own_frames(clip):
    pipe = VideoTextToTextPipeline(model=build_model(), processor=build_processor())
    _, kept = encode_kept_queries(pipe, clip, [4], num_frames=2, clip=(1.0, 2.0))
    # 10 frames from the tenth on: the middle ones of two halves
    levels = kept.frames.reshape(2, -1).mean(axis=1)
    assert ((levels - 16) / 8).round().tolist() == [12, 17]
    assert kept.times == pytest.approx([1.2, 1.7]) and kept.attention[4].shape == (2, 4, NUM_PATCHES)


def test_one_pass_for_several_k_takes_a_sampler_of_nested_choices(clip):
    pipe = VideoTextToTextPipeline(model=build_model(token_sampler="random"), processor=build_processor())
    with pytest.raises(ValueError, match="weighted"):
        encode_kept_queries(pipe, clip, [2, 4])
