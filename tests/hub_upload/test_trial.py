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
"""The trial of a folder: it passes as saved, and what only breaks for strangers is found."""

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from ftfv.hub_upload.trial import try_out


def test_a_saved_folder_passes_and_is_drawn(saved_folder, tmp_path):
    try_out(saved_folder, tmp_path / "picture.png")
    assert Image.open(tmp_path / "picture.png").width > 100


def test_other_answers_by_remote_code_are_found(saved_folder, tmp_path):
    """Code that loads well and computes something else."""
    folder = Path(shutil.copytree(saved_folder, tmp_path / "model"))
    code = folder / "modeling_ftfv.py"
    assert "logits = self.lm_head(" in code.read_text()
    code.write_text(code.read_text().replace("logits = self.lm_head(", "logits = -self.lm_head("))
    with pytest.raises(ValueError, match="By remote code the answer about the image is the tokens .*; expected"):
        try_out(folder)


def test_code_that_needs_the_package_is_found(saved_folder, tmp_path):
    folder = Path(shutil.copytree(saved_folder, tmp_path / "model"))
    code = folder / "sampler_ftfv.py"
    code.write_text(code.read_text() + "\n\nimport ftfv  # noqa\n")
    with pytest.raises(ValueError, match="A clean process without `ftfv` cannot use .*ftfv"):
        try_out(folder)


def test_the_token_of_whoever_pushes_stays_here(saved_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_" + "q" * 34)
    folder = Path(shutil.copytree(saved_folder, tmp_path / "model"))
    code = folder / "processing_ftfv.py"
    code.write_text(code.read_text() + "\n\nassert 'HF_TOKEN' not in os.environ, 'leaked'\n")
    try_out(folder)
    assert json.loads((folder / "config.json").read_text())["model_type"] == "ftfv"
