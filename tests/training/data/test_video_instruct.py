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
"""VideoInstruct-100K: rows from the real schema."""

RAW = {
    "VideoInstruct100K.json": [
        {"q": "What is the man doing?", "a": "He is fishing.", "video_id": "v_k_ZXmr8pmrs"},
        {"q": "Where? <video>", "a": "On a lake.\n", "video_id": "v_k_ZXmr8pmrs"},
        {"q": "Why?", "a": "", "video_id": "v_k_ZXmr8pmrs"},
        {"q": "Who?", "a": "A dog.", "video_id": "v_2.x"},
        {"q": "Who?", "a": "A cat.", "video_id": "v_gone"},
        {"q": "Who?", "a": "A cat."},
    ]
}


def test_rows(convert_files):
    converted = convert_files("video-instruct", RAW, ["v_k_ZXmr8pmrs.mkv", "v_2.x.webm"], skip_missing=True)
    assert converted.rows[0] == {
        "images": [],
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "video", "path": "MEDIA/v_k_ZXmr8pmrs.mkv"},
                    {"type": "text", "text": "What is the man doing?"},
                ],
            },
            {"role": "assistant", "content": [{"type": "text", "text": "He is fishing."}]},
        ],
        "id": "video_instruct/VideoInstruct100K.json[0]",
        "source": "video_instruct",
        "type": None,
        "video_id": "v_k_ZXmr8pmrs",
    }
    assert [row["messages"][0]["content"][1]["text"] for row in converted.rows] == [
        "What is the man doing?",
        "Where?",
        "Who?",
    ]
    assert converted.rows[1]["messages"][1]["content"][0]["text"] == "On a lake."
    assert converted.rows[2]["messages"][0]["content"][0]["path"] == "MEDIA/v_2.x.webm"
    report = converted.report
    assert (report.rows, report.pairs, report.videos, report.images) == (3, 3, 2, 0)
    assert report.malformed.first == [
        "VideoInstruct100K.json[2]: `a` is empty",
        "VideoInstruct100K.json[5]: no `video_id`",
    ]
    assert report.missing.count == 1
    assert report.missing.first[0].startswith(
        "VideoInstruct100K.json[4]: no file 'v_gone' with that or another suffix"
    )
