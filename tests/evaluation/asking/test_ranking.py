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
"""How likely options are as answers, against the model itself on one option at a time."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from ftfv.evaluation.asking.batches import see_batches
from ftfv.evaluation.asking.ranking import RankedOption, rank_options
from ftfv.evaluation.asking.setting import Setting
from ftfv.evaluation.benchmarks.benchmark import Question
from tests.tiny import build_model


# One word, two words, many.
OPTIONS = ("left", "red circle", "the red circle moves left")
PROMPT = "which way does the red circle move ?"


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A frame cache and a picture."""
    folder = tmp_path_factory.mktemp("media")
    pixels = np.random.default_rng(0).integers(0, 256, (8, 42, 42, 3), dtype=np.uint8)
    np.save(folder / "clip.npy", pixels)
    Image.fromarray(pixels[0]).save(folder / "0.png")
    return folder


def about(media: Any, modality: str, options: tuple[str, ...] = OPTIONS) -> Question:
    path = {"video": {"video": str(media / "clip.npy")}, "image": {"image": str(media / "0.png")}}.get(modality, {})
    return Question("0", "moves", PROMPT, "A", options, **path)


def rank(model: Any, processor: Any, question: Question, setting: Setting, **options: Any) -> Any:
    [(_, _, [(_, seen)])] = see_batches(model, processor, [question], [setting], batch_size=1, progress=False)
    return rank_options(model, processor, question, seen, setting, question.question, **options)


def expected(model: Any, processor: Any, question: Question, **arguments: Any) -> list[RankedOption]:
    """One forward pass over pixels and words for each option."""
    block = {"video": question.video} if question.video else {"image": question.image}
    ranked = []
    for option in question.options:
        user = {"role": "user", "content": [{"type": next(iter(block)), **block}, {"type": "text", "text": PROMPT}]}
        if question.media is None:
            user["content"] = user["content"][1:]
        answer = {"role": "assistant", "content": [{"type": "text", "text": option}]}
        inputs = processor.apply_chat_template(
            [user, answer],
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            continue_final_message=True,
            processor_kwargs=arguments,
        )
        count = len(option.split())
        with torch.no_grad():
            logits = model(**inputs).logits[0, -count - 1 : -1]
        tokens = inputs["input_ids"][0, -count:]
        assert processor.tokenizer.convert_ids_to_tokens(tokens) == option.split()
        log_probs = logits.log_softmax(-1)[torch.arange(count), tokens]
        ranked.append(RankedOption(log_probs.mean().item(), bool((logits.argmax(-1) == tokens).all())))
    return ranked


@pytest.mark.parametrize("batch_size", [1, 2, 16])
@pytest.mark.parametrize(
    ("modality", "setting", "arguments"),
    [
        ("video", Setting(), {}),
        ("video", Setting(tokens_per_frame=2, num_frames=4), {"tokens_per_frame": 2, "num_frames": 4}),
        ("image", Setting(), {}),
        ("nothing", Setting(), {}),
    ],
)
def test_options_are_as_likely_as_the_model_says(model, processor, media, modality, setting, arguments, batch_size):
    question = about(media, modality)
    ranked = rank(model, processor, question, setting, batch_size=batch_size)
    wanted = expected(model, processor, question, **arguments)
    assert [one.log_prob for one in ranked] == pytest.approx([one.log_prob for one in wanted], abs=2e-5)
    assert [one.is_greedy for one in ranked] == [one.is_greedy for one in wanted]
    assert len({round(one.log_prob, 4) for one in ranked}) == len(OPTIONS)


def test_what_greedy_decoding_says_is_greedy(processor, media):
    model = build_model()
    with torch.no_grad():
        # Words alone have positive logits, so that words are said.
        model.lm_head.weight[processor.tokenizer.all_special_ids] = 0
    clip = {"type": "video", "video": str(media / "clip.npy")}
    inputs = processor.apply_chat_template(
        [{"role": "user", "content": [clip, {"type": "text", "text": PROMPT}]}],
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
        add_generation_prompt=True,
    )
    generated = model.generate(**inputs, max_new_tokens=2, do_sample=False)[0, inputs["input_ids"].shape[1] :]
    said = processor.decode(generated)
    first, second = said.split()
    other = next(word for word in ("left", "right") if word != first)
    ranked = rank(model, processor, about(media, "video", (said, first, f"{other} {second}")), Setting())
    assert [one.is_greedy for one in ranked] == [True, True, False]


def test_all_options_see_the_same_random_tokens(model, processor, media):
    setting = Setting(tokens_per_frame=2, token_sampler="random")
    twice = about(media, "video", ("red circle", "red circle"))
    for batch_size in (1, 2):
        first, second = rank(model, processor, twice, setting, batch_size=batch_size, seed=3)
        assert first.log_prob == pytest.approx(second.log_prob, abs=1e-6)
    other, _ = rank(model, processor, twice, setting, seed=4)
    assert abs(other.log_prob - first.log_prob) > 1e-6


def test_every_question_draws_random_tokens_of_its_own(model, processor, media):
    setting = Setting(tokens_per_frame=2, token_sampler="random")
    question = about(media, "video")
    first, other = (rank(model, processor, replace(question, id=name), setting)[0] for name in ("0", "1"))
    assert abs(first.log_prob - other.log_prob) > 1e-6


def test_log_probabilities_that_are_no_numbers_are_refused(processor, media):
    model = build_model()
    with torch.no_grad():
        model.lm_head.weight.fill_(float("inf"))
    with pytest.raises(ValueError, match="for question '0' are not finite.* bfloat16 or float32"):
        rank(model, processor, about(media, "video"), Setting())


def test_shuffled_frames_are_another_video(model, processor, media):
    question = about(media, "video")
    straight, shuffled = (rank(model, processor, question, Setting(shuffle_frames=way)) for way in (False, True))
    assert abs(straight[0].log_prob - shuffled[0].log_prob) > 1e-6


@pytest.mark.parametrize("options", [(), ("left", ""), ("left", " "), ("left", "xylophone")])
def test_options_that_cannot_be_written_are_not_ranked(model, processor, media, options):
    assert rank(model, processor, about(media, "video", options), Setting()) is None
