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
"""The ChatML template: the exact prompt of Qwen-VL-Chat, its numbered media, and the loss mask."""

import json
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.tiny import NUM_QUERIES, ROOT, build_frames, build_processor, build_qwen_tokenizer


GOLDEN = json.loads((ROOT / "tests/golden/tiny_tokenizer.json").read_text(encoding="utf-8"))
# The prompt of the original code for one image and a question, and its ids.
PROMPT = next(case for case in GOLDEN["cases"] if case["text"].startswith("<|im_start|>system"))
SYSTEM = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
IMAGE = {"type": "image", "image": Image.fromarray(np.zeros((30, 40, 3), dtype=np.uint8))}
VIDEO = {"type": "video", "video": build_frames(5)}


@pytest.fixture(scope="module")
def processor():
    return build_processor("chatml", tokenizer=build_qwen_tokenizer())


def user(text: str, *media: dict[str, Any]) -> dict[str, Any]:
    return {"role": "user", "content": [*media, {"type": "text", "text": text}]}


def assistant(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": [{"type": "text", "text": text}]}


def test_one_image_and_a_question(processor):
    conversation = [user("What is it?", IMAGE)]
    rendered = processor.apply_chat_template(conversation, add_generation_prompt=True)
    assert rendered == PROMPT["text"].replace("/a/b.png", "<imgpad>")
    inputs = processor.apply_chat_template(conversation, add_generation_prompt=True, tokenize=True, return_dict=True)
    ids = PROMPT["ids"]
    start, end = (ids.index(processor.tokenizer.convert_tokens_to_ids(tag)) for tag in ("<img>", "</img>"))
    # The original puts the path of the image between the tags and then overwrites it with the features.
    expected = [*ids[: start + 1], *[processor.image_token_id] * NUM_QUERIES, *ids[end:]]
    assert inputs["input_ids"][0] == expected


def test_two_turns_with_an_image_each(processor):
    conversation = [user("What is it?", IMAGE), assistant("A dog."), user("And this?", IMAGE), assistant("A cat.")]
    assert processor.apply_chat_template(conversation) == (
        f"{SYSTEM}<|im_start|>user\nPicture 1: <img><imgpad></img>\nWhat is it?<|im_end|>\n"
        "<|im_start|>assistant\nA dog.<|im_end|>\n"
        "<|im_start|>user\nPicture 2: <img><imgpad></img>\nAnd this?<|im_end|>\n"
        "<|im_start|>assistant\nA cat.<|im_end|>\n"
    )


def test_videos_are_counted_apart_from_images(processor):
    conversation = [user("Compare.", VIDEO, IMAGE, VIDEO)]
    assert processor.apply_chat_template(conversation) == (
        f"{SYSTEM}<|im_start|>user\nVideo 1: <img><video></img>\nPicture 1: <img><imgpad></img>\n"
        "Video 2: <img><video></img>\nCompare.<|im_end|>\n"
    )
    ids = processor.apply_chat_template(conversation, tokenize=True, return_dict=True)["input_ids"][0]
    assert ids.count(processor.video_token_id) == 2 * 5 * 4 and ids.count(processor.image_token_id) == NUM_QUERIES


def test_every_conversation_of_a_batch_counts_from_one(processor):
    rendered = processor.apply_chat_template([[user("a", IMAGE)], [user("b", IMAGE, VIDEO)]])
    assert ["Picture 1: " in text and "2: " not in text for text in rendered] == [True, True]


def test_text_alone_with_a_system_sentence_of_its_own(processor):
    for wrap in (lambda text: text, lambda text: [{"type": "text", "text": text}]):
        conversation = [
            {"role": "system", "content": wrap("Be brief.")},
            {"role": "user", "content": wrap("Hello.")},
        ]
        assert processor.apply_chat_template(conversation, add_generation_prompt=True) == (
            "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHello.<|im_end|>\n<|im_start|>assistant\n"
        )


@pytest.mark.parametrize("padding_side", ["left", "right"])
def test_the_loss_mask_covers_the_answers_and_the_end_of_their_turns(processor, padding_side):
    conversations = [
        [user("What is it?", IMAGE), assistant("A dog."), user("And this?", VIDEO), assistant("A cat\nasleep.")],
        [user("Hello."), assistant("Hi.")],
    ]
    inputs = processor.apply_chat_template(
        conversations,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
        return_assistant_tokens_mask=True,
        processor_kwargs={"padding": True, "padding_side": padding_side},
    )
    masked = [
        processor.decode(ids[mask.bool()])
        for ids, mask in zip(inputs["input_ids"], inputs["assistant_masks"], strict=True)
    ]
    assert masked == ["A dog.<|im_end|>A cat\nasleep.<|im_end|>", "Hi.<|im_end|>"]


def test_a_prompt_is_the_beginning_of_the_whole_conversation(processor):
    """What the model is asked with is what it was trained after, token by token."""
    arguments = {"tokenize": True, "return_dict": True}
    question = [user("What is it?", VIDEO)]
    prompt = processor.apply_chat_template(question, add_generation_prompt=True, **arguments)["input_ids"][0]
    whole = processor.apply_chat_template([*question, assistant("A dog.")], **arguments)["input_ids"][0]
    assert whole[: len(prompt)] == prompt and processor.decode(whole[len(prompt) :]) == "A dog.<|im_end|>\n"
