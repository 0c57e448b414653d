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
"""VQAv2 and GQA: rows from the real schemas."""

import pytest


QUESTIONS = {
    "info": {"year": 2017},
    "data_subtype": "train2014",
    "questions": [
        {"image_id": 458752, "question": "What is this photo taken looking through?", "question_id": 458752000},
        {"image_id": 458752, "question": "What position is this man playing?", "question_id": 458752001},
        {"image_id": 3, "question": "Unanswered?", "question_id": 3000},
    ],
}
ANNOTATIONS = {
    "annotations": [
        {
            "question_type": "what is this",
            "multiple_choice_answer": "net",
            "answers": [{"answer": "net", "answer_confidence": "maybe", "answer_id": 1}],
            "image_id": 458752,
            "answer_type": "other",
            "question_id": 458752000,
        },
        {"multiple_choice_answer": "pitcher", "image_id": 458752, "question_id": 458752001},
    ],
}


@pytest.mark.parametrize("order", [1, -1])
def test_rows_of_vqav2_whichever_file_comes_first(convert_files, order):
    raw = dict([("questions.json", QUESTIONS), ("annotations.json", ANNOTATIONS)][::order])
    converted = convert_files("vqav2", raw, ["train2014/COCO_train2014_000000458752.jpg"])
    assert converted.rows[0] == {
        "images": [],
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "image", "image": "MEDIA/train2014/COCO_train2014_000000458752.jpg"},
                    {
                        "type": "text",
                        "text": "What is this photo taken looking through?\nAnswer with a word or a short phrase.",
                    },
                ],
            },
            {"role": "assistant", "content": [{"type": "text", "text": "net"}]},
        ],
        "id": "vqav2/458752000",
        "source": "vqav2",
        "type": "vqa",
        "video_id": None,
    }
    assert len(converted.rows) == 2
    assert (converted.report.pairs, converted.report.images) == (2, 1)
    assert converted.report.malformed.first == ["questions.json[2]: question 3000 is not in the annotations"]


def test_pictures_may_lie_beside_each_other(convert_files):
    raw = {"q.json": QUESTIONS, "a.json": ANNOTATIONS}
    rows = convert_files("vqav2", raw, ["COCO_val2014_000000458752.jpg"]).rows
    assert rows[0]["messages"][0]["content"][0]["image"] == "MEDIA/COCO_val2014_000000458752.jpg"


def test_both_files_are_needed(convert_files):
    with pytest.raises(ValueError, match="Only questions of VQAv2 were given"):
        convert_files("vqav2", {"q.json": QUESTIONS}, ["a.jpg"])
    with pytest.raises(ValueError, match="has neither `questions` nor `annotations`"):
        convert_files("vqav2", {"other.json": {"images": []}}, ["a.jpg"])


def test_rows_of_gqa(convert_files):
    raw = {
        "02930152": {
            "semantic": [{"operation": "select"}],
            "entailed": [],
            "question": "Is the sky dark?",
            "imageId": "2354786",
            "isBalanced": True,
            "answer": "yes",
            "fullAnswer": "Yes, the sky is dark.",
        },
        "07333408": {"question": "What is on the wall?", "imageId": "2375429"},
    }
    converted = convert_files("gqa", {"train.json": raw}, ["images/2354786.jpg"])
    (row,) = converted.rows
    assert row["messages"][0]["content"] == [
        {"type": "image", "image": "MEDIA/images/2354786.jpg"},
        {"type": "text", "text": "Is the sky dark?\nAnswer with a word or a short phrase."},
    ]
    assert row["messages"][1]["content"] == [{"type": "text", "text": "yes"}]
    assert row["id"] == "gqa/train.json[02930152]"
    assert converted.report.malformed.first == ["train.json[07333408]: no `answer`"]
