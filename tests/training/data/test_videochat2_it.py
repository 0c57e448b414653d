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
"""VideoChat2-IT: types by folder, instructions, captions, clips."""

import pytest

from ftfv.training.data.convert import Subset


RAW = {
    "video/reasoning/next_qa/train.json": [
        {
            "video": "1164/3238737531.mp4",
            "QA": [{"i": "Select the answer.", "q": "why did she stop", "a": "Answer: tired"}],
        },
        {"video": "absent.mp4", "QA": [{"i": "Select the answer.", "q": "who", "a": "she"}]},
    ],
    "video/caption/videochat/train.json": [
        {"video": "1.mp4", "QA": [{"i": "Describe the video in detail.", "q": "", "a": "A long text."}]},
        {"video": "1.mp4", "QA": [{"i": "Describe the video in detail.", "q": "", "a": ""}]},
    ],
    "video/caption/webvid/train.json": [{"video": "2.mp4", "QA": [{"i": "Describe.", "q": "", "a": "Short."}]}],
    "video/conversation/videochat1/train.json": [
        {
            "video": "3.mp4",
            "start": 1.5,
            "end": 4,
            "QA": [{"i": "Converse.", "q": "What?", "a": "A."}, {"i": "", "q": "And?", "a": "B."}],
        },
        {"video": "3.mp4", "start": 4, "end": 1.5, "QA": [{"i": "Converse.", "q": "What?", "a": "A."}]},
    ],
    "video/conversation/videochat1/test.json": "no JSON",
}
MEDIA = ["next_qa/1164/3238737531.mp4", "videochat/1.mp4", "2.webm", "videochat1/3.mp4"]


def test_rows(convert_files):
    converted = convert_files("videochat2-it", RAW, MEDIA, files=["video"], skip_missing=True)
    rows = {row["type"]: row for row in converted.rows}
    assert len(converted.rows) == 4
    assert rows["reasoning"] == {
        "images": [],
        "messages": [
            {"role": "system", "content": [{"type": "text", "text": "Select the answer."}]},
            {
                "role": "user",
                "content": [
                    {"type": "video", "path": "MEDIA/next_qa/1164/3238737531.mp4"},
                    {"type": "text", "text": "why did she stop"},
                ],
            },
            {"role": "assistant", "content": [{"type": "text", "text": "Answer: tired"}]},
        ],
        "id": "videochat2_it/reasoning/next_qa/train.json[0]",
        "source": "videochat2_it/next_qa",
        "type": "reasoning",
        "video_id": "next_qa/1164/3238737531",
    }
    # a caption has no question: the instruction asks
    assert rows["detailed_caption"]["messages"][0]["role"] == "user"
    assert rows["detailed_caption"]["messages"][0]["content"][1]["text"] == "Describe the video in detail."
    assert rows["simple_caption"]["messages"][0]["content"][0]["path"] == "MEDIA/2.webm"
    conversation = rows["conversation"]["messages"]
    assert [message["role"] for message in conversation] == ["system", *["user", "assistant"] * 2]
    assert conversation[1]["content"][0] == {"type": "video", "path": "MEDIA/videochat1/3.mp4#t=1.5,4"}
    assert converted.report.malformed.first == [
        "caption/videochat/train.json[1]: no question with an answer",
        "conversation/videochat1/train.json[1]: `start` 4 and `end` 1.5 are no part of a video",
    ]
    assert converted.report.missing.count == 1


def test_types_are_chosen_by_name(convert_files):
    chosen = convert_files(
        "videochat2-it",
        RAW,
        MEDIA,
        files=["video"],
        skip_missing=True,
        subset=Subset(types=("reasoning", "conversation")),
    )
    assert {row["type"] for row in chosen.rows} == {"reasoning", "conversation"}
    assert chosen.report.not_chosen == 2


def test_an_image_and_a_path_from_the_root(convert_files, tmp_path):
    (tmp_path / "k710.mp4").write_bytes(b"x")
    raw = {
        "classification/k710/train.json": [
            {"video": str(tmp_path / "k710.mp4"), "QA": [{"i": "Name it.", "q": "", "a": "juggling"}]},
            {"image": "a.jpg", "QA": [{"i": "Name it.", "q": "", "a": "juggling"}]},
        ]
    }
    rows = convert_files("videochat2-it", raw, ["k710/a.jpg"]).rows
    assert rows[0]["messages"][0]["content"][0] == {"type": "video", "path": str(tmp_path / "k710.mp4")}
    assert rows[1]["messages"][0]["content"][0] == {"type": "image", "image": "MEDIA/k710/a.jpg"}


def test_an_unknown_set_is_refused(convert_files):
    with pytest.raises(
        ValueError, match="lies in a folder 'mine', which tells no type; expected <type>/<set>/train.json"
    ):
        convert_files("videochat2-it", {"vqa/mine/train.json": []}, ["a.mp4"])


@pytest.mark.parametrize("pair", ["text", {"i": 3, "q": "a", "a": "b"}])
def test_questions_of_another_form_are_malformed(convert_files, pair):
    raw = {
        "vqa/webvid_qa/train.json": [
            {"video": "1.mp4", "QA": [pair]},
            {"video": "1.mp4", "QA": [{"q": "a", "a": "b"}]},
        ]
    }
    assert convert_files("videochat2-it", raw, ["1.mp4"]).report.malformed.count == 1
