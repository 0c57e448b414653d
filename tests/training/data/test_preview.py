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
"""A row as training sees it: prompt, counts, loss mask, frames."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ftfv.training.data.dataset_folder import conversation_row, write_rows
from ftfv.training.data.preview import preview_row, read_row
from tests.tiny import IMAGE_SIZE, NUM_QUERIES, build_processor


def test_a_video_row(clip):
    row = conversation_row(clip, [("which way ?", "left ."), ("what moves ?", "the red circle")], id="r")
    preview = preview_row(row, 4, build_processor(tokens_per_frame=4))
    assert preview.prompt == (
        "<s>user: <video>\nwhich way ? assistant: left .</s>user: what moves ? assistant: the red circle</s>"
    )
    assert (preview.row, preview.id, preview.media) == (4, "r", clip)
    # 8 frames of 4 tokens; the words, <s>, two </s> and the colons
    assert preview.num_visual_tokens == 32
    assert preview.num_tokens == 32 + 1 + (2 + 3 + 2 + 2 + 1) + (2 + 3 + 2 + 3 + 1)
    assert preview.loss_on == ["left . </s>", "the red circle </s>"]
    assert preview.num_loss_tokens == 7
    # floor((i + 0.5) * 20 / 8)
    assert preview.frames == [1, 3, 6, 8, 11, 13, 16, 18]
    assert preview.original_size == (48, 64)
    assert preview.size == (8, 3, IMAGE_SIZE, IMAGE_SIZE)
    assert json.loads(json.dumps(preview.document()))["num_tokens"] == preview.num_tokens


def test_a_clip_of_a_video(clip):
    row = conversation_row(f"{clip}#t=1,2", [("which way ?", "left")])
    assert preview_row(row, 0, build_processor()).frames == [10, 11, 13, 14, 15, 16, 18, 19]


def test_a_picture_row_and_one_of_text_alone(tmp_path, monkeypatch):
    Image.fromarray(np.zeros((20, 30, 3), dtype=np.uint8)).save(tmp_path / "a.png")
    monkeypatch.setenv("FTFV_MEDIA_ROOT", str(tmp_path))
    preview = preview_row(conversation_row("a.png", [("what ?", "red")]), 0, build_processor())
    assert (preview.num_visual_tokens, preview.frames) == (NUM_QUERIES, None)
    assert (preview.original_size, preview.size) == ((20, 30), (3, IMAGE_SIZE, IMAGE_SIZE))
    text = preview_row(conversation_row(None, [("what ?", "red")]), 0, build_processor())
    assert (text.num_visual_tokens, text.media, text.size) == (0, None, None)
    assert text.loss_on == ["red </s>"]


def test_rows_are_read_by_number(tmp_path):
    rows = [conversation_row(None, [("a", str(number))], id=str(number)) for number in range(3)]
    write_rows(tmp_path, "train", rows, "")
    for path in (tmp_path, tmp_path / "train.jsonl"):
        assert [read_row(path, number) for number in range(3)] == [{**row, "length": 1} for row in rows]
    for number in (3, -1):
        with pytest.raises(ValueError, match=f"Row {number} is asked for but '.*train.jsonl' has 3; expected 0 to 2"):
            read_row(tmp_path, number)
    (tmp_path / "test.jsonl").touch()
    with pytest.raises(ValueError, match="has 2 .jsonl files; name the one"):
        read_row(tmp_path, 0)
    with pytest.raises(FileNotFoundError, match="No rows at '.*absent'"):
        read_row(Path(tmp_path / "absent"), 0)


def test_a_template_without_loss_is_refused(clip):
    processor = build_processor()
    processor.chat_template = processor.chat_template.replace("{%- generation -%}", "{%- if false -%}").replace(
        "{%- endgeneration -%}", "{%- endif -%}"
    )
    with pytest.raises(ValueError, match="No token of row 2 carries the loss|generation"):
        preview_row(conversation_row(clip, [("which way ?", "left")]), 2, processor)
