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
"""What the pipeline is given becomes chats, and what the processor makes of them a batch."""

import re

import pytest
import torch
from transformers.pipelines.any_to_any import Chat

from ftfv.processing.pipeline_rows_ftfv import as_chat, collate_rows, pair_media


CHAT = [{"role": "user", "content": [{"type": "video", "path": "a.mp4"}, {"type": "text", "text": "what ?"}]}]


def blocks(row) -> list[dict]:
    (message,) = as_chat(row).messages
    assert message["role"] == "user"
    return message["content"]


def test_rows_of_every_form_become_chats():
    for row in (CHAT, tuple(CHAT), Chat(CHAT), {"messages": CHAT, "images": [], "id": 3}):
        assert as_chat(row).messages == CHAT
    question = {"type": "text", "text": "what ?"}
    video, other = ({"type": "video", "video": name} for name in ("a.mp4", "b.mp4"))
    assert blocks({"text": "what ?", "videos": "a.mp4"}) == blocks({"text": "what ?", "video": "a.mp4"})
    assert blocks({"text": "what ?", "videos": "a.mp4", "images": None}) == [video, question]
    assert blocks({"text": "what ?", "videos": ["a.mp4", "b.mp4"]}) == [video, other, question]
    image = {"type": "image", "image": "a.png"}
    assert blocks({"text": "what ?", "images": "a.png", "videos": "a.mp4"}) == [image, video, question]
    for prompt in ("<video> what ?", ["what ?", "which ?"], {"text": "what ?", "images": None, "videos": None}):
        assert as_chat(prompt) == prompt


def test_empty_keys_of_a_dataset_are_left_out():
    row = [
        {"role": "user", "content": [{"type": "text", "text": "what ?", "path": None}, {"type": "video", "path": "a"}]}
    ]
    assert as_chat(row).messages[0]["content"] == [{"type": "text", "text": "what ?"}, {"type": "video", "path": "a"}]
    assert row[0]["content"][0] == {"type": "text", "text": "what ?", "path": None}
    assert as_chat([{"role": "user", "content": "what ?"}]).messages == [{"role": "user", "content": "what ?"}]


@pytest.mark.parametrize(
    ("row", "error", "message"),
    [
        ({"text": " ", "videos": "a.mp4"}, ValueError, "The question is empty"),
        ({"text": 3, "videos": "a.mp4"}, ValueError, "(`text` is of type int)"),
        (
            {"question": "what ?", "videos": "a.mp4"},
            ValueError,
            "A row has the keys question, videos; expected `messages`",
        ),
        ([], ValueError, "A chat is empty"),
        (3, TypeError, "A row is of type int; expected a chat"),
        ([{"role": "user"}], ValueError, "'role' and 'content'"),
    ],
)
def test_rows_that_are_none_raise(row, error, message):
    with pytest.raises(error, match=re.escape(message)):
        as_chat(row)


def test_questions_go_with_their_media():
    assert pair_media("what ?", {"videos": "a.mp4"}) == {"text": "what ?", "videos": "a.mp4"}
    rows = pair_media(["what ?", "which ?"], {"videos": ["a.mp4", "b.mp4"], "images": ["a.png", "b.png"]})
    assert rows == [
        {"text": "what ?", "videos": "a.mp4", "images": "a.png"},
        {"text": "which ?", "videos": "b.mp4", "images": "b.png"},
    ]
    for text, media, message in (
        (
            ["what ?"],
            {"videos": ["a.mp4", "b.mp4"]},
            "`text` holds 1 questions for 2 videos; expected one question per",
        ),
        (["what ?"], {"images": ["a.png", "b.png"]}, "for 2 images; expected one question per image"),
        ("what ?", {"videos": ["a.mp4", "b.mp4"]}, "`text` is one question for 2 videos; expected a list"),
        (CHAT, {"videos": "a.mp4"}, "`text` holds chats and `videos` is given beside it"),
    ):
        with pytest.raises(ValueError, match=re.escape(message)):
            pair_media(text, media)


def test_rows_are_padded_where_it_does_no_harm():
    rows = [
        {
            "input_ids": torch.tensor([[5, 6]]),
            "attention_mask": torch.tensor([[1, 1]]),
            "pixel_values_videos": torch.ones(2, 1, 3, 2, 2),
            "video_frame_mask": torch.ones(2, 1),
            "tokens_per_frame": torch.tensor([4, 4]),
        },
        {"input_ids": torch.tensor([[7, 8, 9]]), "attention_mask": torch.tensor([[1, 1, 1]])},
        {
            "input_ids": torch.tensor([[4]]),
            "attention_mask": torch.tensor([[1]]),
            "pixel_values": torch.zeros(1, 3, 2, 2),
            "pixel_values_videos": torch.ones(1, 3, 3, 2, 2),
            "video_frame_mask": torch.ones(1, 3),
            "tokens_per_frame": torch.tensor([2]),
        },
    ]
    batch = collate_rows(rows, pad_token_id=99)
    assert batch["input_ids"].tolist() == [[99, 5, 6], [7, 8, 9], [99, 99, 4]]
    assert batch["attention_mask"].tolist() == [[0, 1, 1], [1, 1, 1], [0, 0, 1]]
    assert batch["video_frame_mask"].tolist() == [[1, 0, 0], [1, 0, 0], [1, 1, 1]]
    assert batch["pixel_values_videos"].sum(dim=(1, 2, 3, 4)).tolist() == [12, 12, 36]
    assert batch["tokens_per_frame"].tolist() == [4, 4, 2] and batch["pixel_values"].shape == (1, 3, 2, 2)


def test_features_and_videos_in_one_batch_raise():
    prompt = {"input_ids": torch.tensor([[5]])}
    rows = [{**prompt, "mm_encoder_outputs": {}}, {**prompt, "pixel_values_videos": torch.ones(1, 1, 3, 2, 2)}]
    with pytest.raises(ValueError, match="features in one row and a video in another"):
        collate_rows(rows, 0)
