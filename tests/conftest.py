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
"""Fixtures that the tests of several rooms share."""

from pathlib import Path

import pytest
import torch
from transformers.utils import logging

from tests.tiny import build_model, build_processor, write_video


logging.disable_progress_bar()


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings of whoever runs the tests stay out of them."""
    for name in (
        "FTFV_MEDIA_ROOT",
        "FTFV_TOKENS_PER_FRAME_RANGE",
        "FTFV_TOKENS_PER_FRAME_SEED",
        "FTFV_MASK_BROKEN_MEDIA",
    ):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An H.264 mp4 file of 20 frames at 10 frames per second."""
    return write_video(tmp_path_factory.mktemp("clip") / "clip.mp4", 20)


@pytest.fixture(scope="session")
def saved_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model and its processor as `save_pretrained` writes them."""
    folder = tmp_path_factory.mktemp("saved") / "model"
    build_model().save_pretrained(folder)
    build_processor().save_pretrained(folder)
    return folder
