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
"""Training rows that cannot be learned from: named, masked where that is asked for, and never too many."""

import logging as python_logging
from pathlib import Path

import pytest
import torch
from transformers.utils import logging

from ftfv.processing import training_rows_ftfv
from tests.tiny import VIDEO_TOKEN_ID, build_processor


TRAINING = {
    "tokenize": True,
    "return_dict": True,
    "return_tensors": "pt",
    "return_assistant_tokens_mask": True,
    "processor_kwargs": {"padding": True, "padding_side": "right"},
}


@pytest.fixture
def broken(tmp_path, clip):
    path = tmp_path / "broken.mp4"
    path.write_bytes(Path(clip).read_bytes()[:500])
    return str(path)


def row(question, answer, **media):
    blocks = [{"type": kind, "path" if kind == "video" else kind: path} for kind, path in media.items()]
    return [
        {"role": "user", "content": [*blocks, {"type": "text", "text": question}]},
        {"role": "assistant", "content": [{"type": "text", "text": answer}]},
    ]


def test_a_broken_clip_stops_training_and_names_file_and_row(clip, broken):
    batch = [row("what moves ?", "a circle", video=clip), row("which way ?", "left", video=broken)]
    message = (
        "broken.mp4' cannot be decoded .* row 2 of a batch of 2, with the question 'which way \\?'.*--check-decode"
    )
    with pytest.raises(ValueError, match=message):
        build_processor().apply_chat_template(batch, **TRAINING)


def test_a_missing_file_and_a_broken_image_are_named_too(clip, tmp_path):
    with pytest.raises(ValueError, match="No file 'gone.mp4'.* row 1 of a batch of 1, with the question 'what \\?'"):
        build_processor().apply_chat_template([row("what ?", "left", video="gone.mp4")], **TRAINING)
    picture = tmp_path / "broken.png"
    picture.write_bytes(b"no picture")
    batch = [row("what ?", "left", video=clip), row("the shape ?", "left", image=str(picture))]
    with pytest.raises(ValueError, match="broken.png' cannot be read as an image.* row 2 of a batch of 2"):
        build_processor().apply_chat_template(batch, **TRAINING)


def test_in_use_the_decoder_speaks_for_itself(broken):
    with pytest.raises(ValueError, match="check that it plays, or encode it again.$"):
        build_processor().apply_chat_template(row("what ?", "left", video=broken), tokenize=True, return_dict=True)


def test_a_masked_row_keeps_its_place_and_loses_its_answer(clip, broken, monkeypatch):
    monkeypatch.setenv("FTFV_MASK_BROKEN_MEDIA", "1")
    processor = build_processor()
    batch = [row("what moves ?", "a circle", video=clip), row("which way ?", "left", video=broken)]
    inputs = processor.apply_chat_template(batch, **TRAINING)
    sound = processor.apply_chat_template(batch[:1], **TRAINING)
    assert inputs["assistant_masks"].sum(dim=1).tolist() == [3, 0]
    assert (inputs["input_ids"] == VIDEO_TOKEN_ID).sum(dim=1).tolist() == [32, 0]
    torch.testing.assert_close(inputs["pixel_values_videos"], sound["pixel_values_videos"], rtol=0, atol=0)
    length = sound["input_ids"].shape[1]
    assert inputs["input_ids"][0, :length].tolist() == sound["input_ids"][0].tolist()
    assert inputs["assistant_masks"][0, :length].tolist() == sound["assistant_masks"][0].tolist()


def test_a_batch_may_be_broken_as_a_whole(broken, monkeypatch):
    monkeypatch.setenv("FTFV_MASK_BROKEN_MEDIA", "1")
    inputs = build_processor().apply_chat_template([row("what ?", "left", video=broken)], **TRAINING)
    assert inputs["assistant_masks"].sum() == 0 and "pixel_values_videos" not in inputs


@pytest.mark.parametrize("value", ["0", ""])
def test_masking_is_asked_for_by_another_value_than_0(value, broken, monkeypatch):
    monkeypatch.setenv("FTFV_MASK_BROKEN_MEDIA", value)
    with pytest.raises(ValueError, match="row 1 of a batch of 1"):
        build_processor().apply_chat_template([row("what ?", "left", video=broken)], **TRAINING)


def test_masked_rows_are_counted_and_stop_the_run_above_one_percent(clip, broken, monkeypatch, caplog):
    monkeypatch.setenv("FTFV_MASK_BROKEN_MEDIA", "1")
    monkeypatch.setattr(training_rows_ftfv, "MIN_ROWS", 200)
    logging.enable_propagation()
    processor = build_processor()
    with caplog.at_level(python_logging.WARNING):
        for _ in range(2):  # 2 of the first 200 rows are 1 %
            processor.apply_chat_template([row("which way ?", "left", video=broken)], **TRAINING)
        assert "'which way ?' is left out of the loss, row 2 of 2 in this process" in caplog.text
        with pytest.raises(
            RuntimeError, match="3 of 3 rows have media that cannot be read.* allows 1% of at least 200"
        ):
            processor.apply_chat_template([row("which way ?", "left", video=broken)], **TRAINING)
    logging.disable_propagation()


def test_counts_are_not_saved(broken, monkeypatch, tmp_path):
    monkeypatch.setenv("FTFV_MASK_BROKEN_MEDIA", "1")
    processor = build_processor()
    processor.apply_chat_template([row("what ?", "left", video=broken)], **TRAINING)
    before = build_processor()
    processor.save_pretrained(tmp_path / "after")
    before.save_pretrained(tmp_path / "before")
    after, before = ((tmp_path / name / "processor_config.json").read_text() for name in ("after", "before"))
    assert after == before


def test_another_error_passes_through(clip):
    batch = [row("what ? <video>", "left", video=clip)]
    with pytest.raises(ValueError, match="Found|should be the same"):
        build_processor().apply_chat_template(batch, sanitize_control_tokens=False, **TRAINING)


def test_an_answer_that_max_length_cuts_off_is_an_error():
    batch = [row("what ?", "left"), row("what shape does the red circle move ?", "two")]
    arguments = {**TRAINING["processor_kwargs"], "truncation": True}
    processor = build_processor()
    message = "`max_length` is 11, which leaves nothing of the answer to 'what shape does the red circle move \\?'"
    with pytest.raises(ValueError, match=message):
        processor.apply_chat_template(batch, **{**TRAINING, "processor_kwargs": {**arguments, "max_length": 11}})
    # One token of an answer of two is left.
    inputs = processor.apply_chat_template(batch, **{**TRAINING, "processor_kwargs": {**arguments, "max_length": 14}})
    assert inputs["assistant_masks"].sum(dim=1).tolist() == [2, 1]
