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
"""The schema of LLaVA and Valley's use of it: rows from the real schema with the known holes."""

import pytest


def turns(row: dict) -> list[tuple[str, str]]:
    texts = [message["content"][-1]["text"] for message in row["messages"] if message["role"] != "system"]
    return list(zip(texts[::2], texts[1::2], strict=True))


def conversation(*texts: str) -> list[dict]:
    return [{"from": ("human", "gpt")[number % 2], "value": text} for number, text in enumerate(texts)]


def test_rows_of_llava_pretrain(convert_files):
    raw = [
        {
            "id": "004539375",
            "image": "00453/004539375.jpg",
            "conversations": conversation(
                "Render a clear summary.\n<image>", "select luxury furniture 3-inch mattress"
            ),
        },
        {"id": "1", "image": "00453/1.jpg", "conversations": conversation("<image>\nSay it.", "a shoe")},
    ]
    converted = convert_files("llava-pretrain", {"c.json": raw}, ["00453/004539375.jpg", "00453/1.png"])
    assert converted.rows[0] == {
        "images": [],
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "image", "image": "MEDIA/00453/004539375.jpg"},
                    {"type": "text", "text": "Render a clear summary."},
                ],
            },
            {"role": "assistant", "content": [{"type": "text", "text": "select luxury furniture 3-inch mattress"}]},
        ],
        "id": "llava_pretrain/004539375",
        "source": "llava_pretrain",
        "type": "simple_caption",
        "video_id": None,
    }
    assert converted.rows[1]["messages"][0]["content"][0] == {"type": "image", "image": "MEDIA/00453/1.png"}
    assert converted.report.images == 2


def test_rows_of_sharegpt4v_with_text_alone_and_bad_records(convert_files):
    good = conversation("<image>\nWhat?", "A cat.", "And?", "")
    raw = [
        {"id": "a", "image": "coco/train2017/1.jpg", "conversations": good},
        {"id": "text", "model": "", "conversations": conversation("Who wrote Faust?", "Goethe.")},
        {"id": "b", "image": "coco/train2017/1.jpg", "conversations": conversation("", "", "<image>", "Hi.")},
        {"id": "c", "image": ["1.jpg", "2.jpg"], "conversations": good},
        {"id": "d", "image": "coco/train2017/1.jpg", "conversations": [{"from": "gpt", "value": "Hello."}, *good]},
        {"id": "e", "image": "coco/train2017/1.jpg", "conversations": [{"from": "bing", "value": "Hello."}]},
        {"id": "f", "image": "coco/train2017/1.jpg", "video": "v.mp4", "conversations": good},
        {"id": "g", "image": "coco/train2017/1.jpg"},
        {
            "id": "h",
            "image": ["coco/train2017/1.jpg"],
            "conversations": [{"from": "system", "value": "Be brief."}, *conversation("<image>", "x", "Who?", "I.")],
        },
    ]
    converted = convert_files("sharegpt4v", {"mix.json": raw}, ["coco/train2017/1.jpg"])
    first, text, system = converted.rows
    assert turns(first) == [("What?", "A cat.")]
    assert text["messages"][0]["content"] == [{"type": "text", "text": "Who wrote Faust?"}]
    assert (text["images"], text["video_id"]) == ([], None)
    assert system["messages"][0] == {"role": "system", "content": [{"type": "text", "text": "Be brief."}]}
    assert system["messages"][1]["content"][0] == {"type": "image", "image": "MEDIA/coco/train2017/1.jpg"}
    assert turns(system) == [("Who?", "I.")]
    assert converted.report.malformed.count == 6
    assert converted.report.malformed.first == [
        "mix.json[2]: no question with an answer",
        "mix.json[3]: 2 files under `image`; a row has one",
        "mix.json[4]: the assistant speaks first",
        "mix.json[5]: message 0 is from 'bing', expected human or gpt",
        "mix.json[6]: both `image` and `video` are named; a row has one of them",
    ]


def test_captions_of_sharegpt4v_are_detailed_captions(convert_files):
    raw = [{"id": 7, "image": "sam/images/sa_1.jpg", "conversations": conversation("<image>\nDescribe.", "Long.")}]
    (row,) = convert_files("sharegpt4v-captions", {"c.json": raw}, ["sam/images/sa_1.jpg"]).rows
    assert (row["type"], row["id"]) == ("detailed_caption", "sharegpt4v_captions/7")


def test_rows_of_valley(convert_files):
    raw = [
        {
            "id": "1",
            "video": "000001_000050/1.mp4",
            "conversations": conversation("<video>\nWhat is it?\n<video>", "A cat."),
        },
        {"id": "2", "video": "000001_000050/2", "conversations": conversation("And this?\n<video>", "A dog.")},
        {
            "id": "3",
            "video": "3.mp4",
            "source": "jukinmedia",
            "conversations": conversation("Hm?", "So.", "Why?", "So."),
        },
    ]
    media = ["webvid/000001_000050/1.mp4", "000001_000050/2.webm", "jukinmedia/3.mp4"]
    converted = convert_files("valley", {"chat.json": raw}, media)
    blocks = [row["messages"][0]["content"] for row in converted.rows]
    assert [block[0] for block in blocks] == [{"type": "video", "path": f"MEDIA/{name}"} for name in media]
    assert [block[1]["text"] for block in blocks] == ["What is it?", "And this?", "Hm?"]
    assert [row["video_id"] for row in converted.rows] == ["000001_000050/1", "000001_000050/2", "3"]
    assert turns(converted.rows[2]) == [("Hm?", "So."), ("Why?", "So.")]
    assert (converted.report.rows, converted.report.pairs) == (3, 4)


def test_rows_of_video_llava(convert_files):
    raw = [
        {"id": "1", "video": "videochatgpt_tune/v_1.mkv", "conversations": conversation("<video>\nWhat?", "A cat.")},
        {"id": "2", "image": "llava_image/2.jpg", "conversations": conversation("<image>\nWhat?", "A dog.")},
        {"id": "3", "conversations": conversation("Who?", "Goethe.")},
    ]
    converted = convert_files("video-llava", {"a.json": raw}, ["videochatgpt_tune/v_1.mp4", "llava_image/2.jpg"])
    assert [row["messages"][0]["content"][0]["type"] for row in converted.rows] == ["video", "image", "text"]
    assert (converted.report.videos, converted.report.images) == (1, 1)


@pytest.mark.parametrize("conversations", ["text", [["human", "Hi"]], [{"from": "human"}]])
def test_conversations_of_another_form_are_malformed(convert_files, conversations):
    raw = [{"conversations": conversations}, {"conversations": conversation("a", "b")}]
    assert convert_files("video-llava", {"a.json": raw}).report.malformed.count == 1
