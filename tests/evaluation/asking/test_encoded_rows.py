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
"""Answers from features computed once are those of the plain path, for each K and token sampler."""

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from ftfv.evaluation.asking.encoded_rows import answer_encoded_rows, encode_rows, sampled_inputs
from ftfv.evaluation.asking.rows import batch_rows, load_prompts, seeded
from tests.plain_answers import answer_rows
from tests.tiny import NUM_QUERIES, build_model, build_processor


@pytest.fixture(scope="module")
def media_root(tmp_path_factory: pytest.TempPathFactory) -> str:
    root = tmp_path_factory.mktemp("media")
    rng = np.random.default_rng(0)
    for index, num_frames in enumerate((3, 8, 5, 12)):
        np.save(root / f"{index}.npy", rng.integers(0, 256, (num_frames, 42, 42, 3), dtype=np.uint8))
        Image.fromarray(rng.integers(0, 256, (42, 42, 3), dtype=np.uint8)).save(root / f"{index}.png")
    return str(root)


@pytest.fixture(scope="module")
def rows() -> list[dict]:
    """Videos of 3, 8, 5 and 8 sampled frames, pictures, one row with both, and one with neither."""
    blocks: list[list[dict]] = [[{"type": "video", "path": f"{index}.npy"}] for index in range(4)]
    blocks += [[{"type": "image", "image": f"{index}.png"}] for index in range(2)]
    blocks += [[*blocks[4], *blocks[0]], []]
    questions = ("which way does the red circle move ?", "what moves ?")
    return [
        {
            "id": str(index),
            "type": "vqa",
            "source": "tiny",
            "messages": [
                {"role": "user", "content": [*media, {"type": "text", "text": questions[index % 2]}]},
                {"role": "assistant", "content": [{"type": "text", "text": "left"}]},
            ],
        }
        for index, media in enumerate(blocks)
    ]


@pytest.mark.parametrize("shuffle_frames", [False, True])
@pytest.mark.parametrize("token_sampler", ["weighted", "random", "uniform", "first"])
def test_answers_and_logits_are_those_of_the_plain_path(processor, media_root, rows, token_sampler, shuffle_frames):
    model = build_model(token_sampler=token_sampler)
    options: dict[str, Any] = {"batch_size": 3, "progress": False, "shuffle_frames": shuffle_frames}
    encoded = encode_rows(model, processor, rows, media_root=media_root, **options)

    for tokens_per_frame in (1, 3, NUM_QUERIES):
        asked = {"tokens_per_frame": tokens_per_frame, "max_new_tokens": 5, "seed": 0}
        plain = answer_rows(model, processor, rows, media_root=media_root, **asked, **options)
        quick = answer_encoded_rows(model, processor, encoded, progress=False, **asked)
        assert quick == plain
        assert len({answer.answer for answer in plain}) > 3

        for indices, batch in zip(batch_rows(rows, 3), encoded.batches, strict=True):
            inputs = load_prompts(
                processor,
                [rows[index] for index in indices],
                media_root=media_root,
                tokens_per_frame=tokens_per_frame,
                shuffle_seed=0 if shuffle_frames else None,
            )
            sampled = sampled_inputs(model, processor, batch, tokens_per_frame, seed=7)
            assert torch.equal(sampled["input_ids"], inputs["input_ids"])
            assert torch.equal(sampled["attention_mask"], inputs["attention_mask"])
            with torch.no_grad(), seeded(model, 7):
                expected = model(**inputs).logits
            with torch.no_grad():
                logits = model(**sampled).logits
            torch.testing.assert_close(logits, expected, atol=1e-5, rtol=1e-5)


def test_the_token_sampler_can_be_another_than_the_configured_one(processor, media_root, rows):
    model = build_model()
    encoded = encode_rows(model, processor, rows, media_root=media_root, progress=False)
    asked = {"tokens_per_frame": 2, "token_sampler": "random", "max_new_tokens": 5, "seed": 3, "progress": False}

    quick = answer_encoded_rows(model, processor, encoded, **asked)

    assert quick == answer_rows(model, processor, rows, media_root=media_root, **asked)
    assert (model.config.token_sampler, model.config.tokens_per_frame) == ("weighted", 4)


@pytest.mark.parametrize("token_sampler", ["weighted", "random"])
def test_sampled_images_and_query_order(media_root, rows, token_sampler):
    model = build_model(sample_images=True, token_order="query", token_sampler=token_sampler)
    processor = build_processor(sample_images=True)
    encoded = encode_rows(model, processor, rows, media_root=media_root, progress=False)

    # Without a K, images and videos cost the processor's own 4.
    plain = answer_rows(model, processor, rows, media_root=media_root, max_new_tokens=5, progress=False)
    assert answer_encoded_rows(model, processor, encoded, max_new_tokens=5, progress=False) == plain


def test_the_tower_runs_when_encoding_and_never_after(processor, media_root, rows):
    model = build_model()
    calls = []
    model.model.vision_tower.register_forward_hook(lambda *_: calls.append(1))

    encoded = encode_rows(model, processor, rows, media_root=media_root, progress=False)
    num_calls = len(calls)
    for tokens_per_frame in (1, 4):
        answer_encoded_rows(model, processor, encoded, tokens_per_frame=tokens_per_frame, progress=False)

    # Four kinds of rows; the one with both media has them encoded apart.
    assert num_calls == len(calls) == 4


def test_features_are_kept_without_gradients_and_settings_come_back(processor, media_root, rows):
    model = build_model().train()

    encoded = encode_rows(model, processor, rows[:2], media_root=media_root, progress=False)

    media = encoded.batches[0].media["video"]
    assert media.tokens.shape == (3 + 8, NUM_QUERIES, 32) and not media.tokens.requires_grad
    assert media.responses.shape == (3 + 8, NUM_QUERIES)
    assert model.training and (model.config.token_sampler, model.config.tokens_per_frame) == ("weighted", 4)


def test_too_many_tokens_are_refused(processor, media_root, rows):
    model = build_model()
    encoded = encode_rows(model, processor, rows[:1], media_root=media_root, progress=False)

    with pytest.raises(ValueError, match="`tokens_per_frame` is 17; expected 1 to 16"):
        answer_encoded_rows(model, processor, encoded, tokens_per_frame=17, progress=False)
