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
"""What the Space computes: videos encoded once, attention of the kept queries, streamed answers, counted costs."""

import importlib
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from ftfv import VideoTextToTextPipeline
from ftfv.evaluation.pages import kept_queries
from ftfv.modeling_ftfv.cost import cost
from tests.test_house import ROOT, SPACE
from tests.tiny import NUM_PATCHES, build_config, build_model, build_processor, write_video


QUESTION = "which way does the red circle move ?"


@pytest.fixture(scope="module")
def answering() -> Iterator[Any]:
    """The module, imported as `python app.py` imports it, from the folder that it lies in."""
    sys.path.insert(0, str(ROOT / SPACE))
    yield importlib.import_module("answering")
    sys.path.remove(str(ROOT / SPACE))
    for name in ("answering", "attention"):
        del sys.modules[name]


@pytest.fixture(scope="module")
def attention(answering: Any) -> Any:
    return importlib.import_module("attention")


@pytest.fixture(scope="module")
def pipe() -> VideoTextToTextPipeline:
    """Of a model that goes on talking: no token that is skipped, and no end."""
    model = build_model()
    model.generation_config.suppress_tokens = list(range(6))
    return VideoTextToTextPipeline(model=model, processor=build_processor())


@pytest.fixture(scope="module")
def encoded(answering: Any, pipe: VideoTextToTextPipeline, clip: str) -> tuple[Any, Any]:
    """Five frames with 8 tokens each, and what they cost."""
    return answering.encode(pipe, clip, 5, 8)


@pytest.mark.parametrize(
    ("sampler", "num_query_tokens", "tokens_per_frame", "counts"),
    [
        ("weighted", 16, 4, [1, 2, 4, 8, 16]),
        ("weighted", 100, 48, [1, 2, 4, 8, 16, 32, 48, 64, 100]),
        ("none", 16, 16, [16]),
    ],
)
def test_the_numbers_of_tokens_come_from_the_model(answering, sampler, num_query_tokens, tokens_per_frame, counts):
    config = SimpleNamespace(
        token_sampler=sampler,
        tokens_per_frame=tokens_per_frame,
        adapter_config=SimpleNamespace(num_query_tokens=num_query_tokens),
    )
    assert answering.token_counts(SimpleNamespace(model=SimpleNamespace(config=config))) == counts


def test_the_features_are_those_of_the_pipeline(pipe, clip, encoded):
    video, _ = encoded
    expected = pipe.encode(clip, num_frames=5, tokens_per_frame=8)
    assert torch.equal(video.features.token_indices, expected.token_indices)
    torch.testing.assert_close(video.features.pooler_output, expected.pooler_output, atol=1e-6, rtol=1e-5)
    # The middle frames of five parts of 20, at 10 frames per second.
    assert video.times == pytest.approx([0.2, 0.6, 1.0, 1.4, 1.8])
    assert video.frames.shape == (5, 48, 64, 3) and video.frames.dtype == np.uint8


def test_the_cost_of_encoding_is_that_of_eager_attention(pipe, encoded):
    """Which is what tells where the queries look."""
    _, spent = encoded
    config = build_config(attn_implementation="eager", tokens_per_frame=pipe.model.config.tokens_per_frame)
    expected = cost(config, num_frames=5, tokens_per_frame=8).vision_flops
    assert spent.flops == expected and spent.seconds > 0


def test_the_attention_is_that_of_the_kept_queries(answering, pipe, clip, encoded):
    video, _ = encoded
    inputs = pipe.prepare_videos(clip, num_frames=5, tokens_per_frame=8)
    expected, _ = kept_queries.kept_attention(pipe.model, inputs["pixel_values_videos"], inputs["video_frame_mask"], 8)
    assert video.attention.shape == (5, 8, NUM_PATCHES)
    torch.testing.assert_close(video.attention.float(), expected[0], atol=1e-3, rtol=0)  # 16 bits


def test_another_question_or_fewer_tokens_encode_nothing(answering, pipe, clip, encoded):
    video, _ = encoded
    assert answering.encode(pipe, clip, 5, 8, video) == (video, None)
    assert answering.encode(pipe, clip, 5, 3, video) == (video, None)


def test_the_attention_of_fewer_tokens_is_as_if_they_had_been_encoded(answering, pipe, clip, encoded):
    video, _ = encoded
    fewer, _ = answering.encode(pipe, clip, 5, 3)
    assert torch.equal(answering.kept_attention(pipe, video, 3), fewer.attention)
    assert torch.equal(answering.kept_attention(pipe, video, 8), video.attention)


def test_more_tokens_other_frames_and_another_file_are_encoded(answering, pipe, clip, encoded, tmp_path):
    video, _ = encoded
    other = write_video(tmp_path / "other.mp4", 20)
    for path, num_frames, count in ((clip, 5, 9), (clip, 4, 8), (other, 5, 8)):
        again, spent = answering.encode(pipe, path, num_frames, count, video)
        assert spent.flops > 0 and again.attention.shape == (num_frames, count, NUM_PATCHES)


def test_choices_that_are_not_nested_are_made_anew(answering, clip):
    pipe = VideoTextToTextPipeline(model=build_model(token_sampler="uniform"), processor=build_processor())
    video, _ = answering.encode(pipe, clip, 2, 8)
    assert answering.encode(pipe, clip, 2, 8, video) == (video, None)
    again, spent = answering.encode(pipe, clip, 2, 4, video)
    assert spent is not None and again.tokens_per_frame == 4


def test_the_model_is_left_as_it_was(pipe, encoded):
    adapter = pipe.model.base_model.multi_modal_projector
    assert adapter.config._attn_implementation == "sdpa" and not adapter.attention._forward_hooks


def test_a_short_video_gives_all_its_frames(answering, pipe, tmp_path):
    video, _ = answering.encode(pipe, write_video(tmp_path / "short.mp4", 3), 8, 4)
    assert len(video.frames) == 3 and video.asked_frames == 8


@pytest.mark.parametrize("kind", ["text", "cut off", "empty"])
def test_a_file_that_is_no_video_is_refused(kind, answering, pipe, clip, tmp_path):
    whole = Path(clip).read_bytes()
    path = tmp_path / "holiday.mp4"
    path.write_bytes({"text": b"Not a video.\n" * 20, "cut off": whole[: len(whole) // 2], "empty": b""}[kind])
    with pytest.raises(answering.Refused, match="“holiday.mp4” cannot be read as a video: it is damaged") as refused:
        answering.encode(pipe, str(path), 5, 8)
    assert str(tmp_path) not in str(refused.value)


# Answers


def test_the_answer_is_that_of_the_pipeline_and_grows(answering, pipe, encoded):
    video, _ = encoded
    pieces = list(answering.stream_answer(pipe, video, 3, QUESTION))
    [expected] = pipe(
        videos=video.features,
        text=QUESTION,
        tokens_per_frame=3,
        do_sample=False,
        max_new_tokens=answering.MAX_NEW_TOKENS,
        return_full_text=False,
    )
    texts = [text for text, _ in pieces]
    assert texts[-1] == expected["generated_text"].strip() != "" and len(texts) > 2
    assert all(later.startswith(earlier) for earlier, later in zip(texts, texts[1:], strict=False))
    assert [spent is None for _, spent in pieces] == [True] * (len(pieces) - 1) + [False]


def test_the_cost_of_an_answer_is_that_of_the_language_model(answering, pipe, encoded, monkeypatch):
    """With one token to generate, one forward pass over prompt and video."""
    monkeypatch.setattr(answering, "MAX_NEW_TOKENS", 1)
    *_, (_, spent) = answering.stream_answer(pipe, encoded[0], 3, QUESTION)
    chat = [{"role": "user", "content": [{"type": "video"}, {"type": "text", "text": QUESTION}]}]
    prompt = pipe.processor.apply_chat_template(chat, add_generation_prompt=True)
    num_text_tokens = len(pipe.tokenizer(prompt)["input_ids"]) - 1
    expected = cost(pipe.model.config, num_frames=5, tokens_per_frame=3, num_text_tokens=num_text_tokens)
    # The head runs for the last position only.
    head = expected.lm_head // (expected.visual_tokens + expected.text_tokens)
    assert spent.flops == expected.language_linear + expected.language_attention + head


def test_an_error_while_generating_is_raised(answering, pipe, encoded, monkeypatch):
    def fail(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("the model is gone")

    monkeypatch.setattr(pipe.model, "generate", fail)
    with pytest.raises(RuntimeError, match="the model is gone"):
        list(answering.stream_answer(pipe, encoded[0], 8, QUESTION))


def test_a_visitor_who_leaves_ends_the_answer(answering, pipe, encoded):
    threads = threading.active_count()
    pieces = answering.stream_answer(pipe, encoded[0], 8, QUESTION)
    next(pieces)
    assert threading.active_count() == threads + 1
    pieces.close()
    assert threading.active_count() == threads


def test_a_question_for_which_there_is_no_room_is_refused(answering, pipe, encoded):
    fits = " ".join(["red"] * 300)
    assert next(answering.stream_answer(pipe, encoded[0], 8, fits))
    message = (
        r"This needs \d+ tokens: 40 of the video, 128 for the answer, .* The model reads 512\. Shorten the question"
    )
    with pytest.raises(answering.Refused, match=message):
        next(answering.stream_answer(pipe, encoded[0], 8, f"{fits} {fits}"))


def test_the_limit_of_the_tokenizer_counts_too(answering, encoded):
    processor = build_processor()
    processor.tokenizer.model_max_length = 160
    pipe = VideoTextToTextPipeline(model=build_model(build_config()), processor=processor)
    with pytest.raises(answering.Refused, match="The model reads 160"):
        next(answering.stream_answer(pipe, encoded[0], 8, QUESTION))


# Pictures


def test_light_falls_on_what_the_most_attentive_query_looks_at(attention):
    frames = np.full((2, 30, 60, 3), 100, dtype=np.uint8)
    weights = torch.zeros(2, 3, 4)
    weights[0, 1, 3] = 0.8  # lower right patch
    weights[0, 2, 3] = 0.2
    weights[1, 0, 0] = 0.4  # half as much
    first, second = attention.draw_attention(frames, weights)
    assert first.size == second.size == (448, 224)
    dark = round(0.4 * 100)
    full = tuple(round(0.5 * 100 + 0.5 * channel) for channel in (255, 190, 40))
    half = tuple(round(0.75 * 0.7 * 100 + 0.25 * channel) for channel in (255, 190, 40))
    for picture, place, colour in (
        (first, (447, 223), full),
        (first, (224, 112), full),
        (first, (223, 112), (dark,) * 3),
        (second, (0, 0), half),
        (second, (447, 223), (dark,) * 3),
    ):
        assert np.abs(np.subtract(picture.getpixel(place), colour)).max() <= 1
