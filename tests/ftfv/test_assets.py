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
"""The shipped image model: whole, small, and still giving the logits it gave when it was made."""

import hashlib
import json

import numpy as np
import pytest
import torch

from ftfv import FTFVForConditionalGeneration, FTFVProcessor
from ftfv.demo import ASSETS
from ftfv.miniature_assets import MAX_BYTES, write_assets
from ftfv.processing.pipeline_ftfv import check_agreement
from tests.tiny import ROOT


@pytest.fixture(scope="module")
def model():
    return FTFVForConditionalGeneration.from_pretrained(ASSETS, dtype=torch.float32).eval()


def test_the_folder_is_small_and_holds_no_code():
    files = list(ASSETS.iterdir())
    assert not [path for path in files if path.suffix == ".py"]
    assert sum(path.stat().st_size for path in files) <= MAX_BYTES


def test_the_checksum_is_that_of_the_weights():
    digest, name = (ASSETS / "SHA256SUMS").read_text().split()
    assert hashlib.sha256((ASSETS / name).read_bytes()).hexdigest() == digest


def test_the_weights_are_bfloat16():
    assert FTFVForConditionalGeneration.from_pretrained(ASSETS).dtype == torch.bfloat16


def test_model_and_processor_agree(model):
    check_agreement(model.config, FTFVProcessor.from_pretrained(ASSETS))


def test_the_figures_are_those_of_the_docs():
    figures = json.loads((ASSETS / "figures.json").read_text())["scores"]
    report = (ROOT / "docs" / "miniature.md").read_text()
    for skill, score in figures.items():
        assert f"{100 * score['accuracy']:.1f} ({100 * score['low']:.1f} to {100 * score['high']:.1f})" in report, (
            skill
        )


@torch.no_grad()
def test_the_logits_are_those_of_the_day_it_was_made(model):
    """A renamed or lost key, another order of axes or another default would move them."""
    processor = FTFVProcessor.from_pretrained(ASSETS)
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (4, 84, 84, 3), dtype=np.uint8)
    content = [{"type": "video", "video": frames}, {"type": "text", "text": "which way does the red circle move ?"}]
    inputs = processor.apply_chat_template(
        [{"role": "user", "content": content}],
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
        processor_kwargs={"tokens_per_frame": 3, "do_sample_frames": False},
    )
    logits = model(**inputs).logits[0, -1]
    expected = torch.tensor(json.loads((ROOT / "tests" / "ftfv" / "miniature_logits.json").read_text()))
    torch.testing.assert_close(logits[: len(expected)], expected, atol=1e-3, rtol=0)


def test_assets_are_written_whole_or_not_at_all(saved_folder, tmp_path):
    (tmp_path / "results").mkdir()
    with pytest.raises(FileNotFoundError):
        write_assets(saved_folder, tmp_path / "assets", tmp_path / "results")
    assert not (tmp_path / "assets").exists()
    (tmp_path / "results" / "instruct.json").write_text('{"scores": {}}')
    folder = write_assets(saved_folder, tmp_path / "assets", tmp_path / "results")
    assert {"config.json", "model.safetensors", "SHA256SUMS", "README.md", "figures.json"} <= {
        path.name for path in folder.iterdir()
    }
