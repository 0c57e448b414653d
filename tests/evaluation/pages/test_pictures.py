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
"""Where kept queries look, as a picture."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from ftfv.evaluation.pages.pictures import draw_attention, draw_kept_patches
from tests.tiny import build_model, build_processor


@pytest.fixture
def model() -> Any:
    return build_model()


def read_picture(path: Path) -> np.ndarray:
    picture = np.asarray(Image.open(path).convert("RGB"))
    for border in (picture[:2], picture[-2:], picture[:, :2], picture[:, -2:]):
        assert (border == 255).all()
    return picture


def random_attention(num_frames: int, count: int, num_patches: int) -> torch.Tensor:
    return torch.randn(num_frames, count, num_patches, generator=torch.Generator().manual_seed(0)).softmax(dim=-1)


def test_a_picture_has_a_row_for_the_frames_and_one_for_each_k(tmp_path):
    frames = np.random.default_rng(0).integers(0, 256, (4, 84, 84, 3), dtype=np.uint8)
    heights = []
    for counts in ((1,), (1, 4), (1, 4, 16)):
        draw_attention(tmp_path / "look.png", frames, {count: random_attention(4, count, 36) for count in counts})
        heights.append(read_picture(tmp_path / "look.png").shape[0])

    # 224 pixels of a frame and the gap below it
    assert heights[1] - heights[0] == pytest.approx(heights[2] - heights[1], abs=1) == pytest.approx(230, abs=2)


def test_the_patch_that_a_query_looks_at_is_the_bright_one(tmp_path):
    frames = np.full((1, 84, 84, 3), 60, dtype=np.uint8)
    attention = torch.full((1, 1, 36), 0.01)
    # second row, fifth column of the 6 x 6 patches
    attention[0, 0, 6 + 4] = 0.65
    draw_attention(tmp_path / "look.png", frames, {1: attention})

    picture = read_picture(tmp_path / "look.png").astype(int)
    # The frame of 224 pixels begins after the label; the colour bar beside it is as bright.
    bright = (picture[..., 0] > 150) & (picture[..., 0] - picture[..., 2] > 60)
    rows, columns = np.nonzero(bright[:, :320])
    top = picture.shape[0] - round((0.35 + 0.06) * 110) - 224
    left = round(0.8 * 110)
    assert rows.min() == pytest.approx(top + 1 * 224 / 6, abs=4) and rows.max() == pytest.approx(
        top + 2 * 224 / 6, abs=4
    )
    assert columns.min() == pytest.approx(left + 4 * 224 / 6, abs=4)
    assert columns.max() == pytest.approx(left + 5 * 224 / 6, abs=4)


def test_many_frames_take_further_lines_and_large_ones_are_shrunk(tmp_path):
    rng = np.random.default_rng(0)
    sizes = []
    for num_frames, height, width in ((8, 90, 160), (9, 90, 160), (8, 450, 800)):
        frames = rng.integers(0, 256, (num_frames, height, width, 3), dtype=np.uint8)
        draw_attention(tmp_path / "look.png", frames, {2: random_attention(num_frames, 2, 36)})
        sizes.append(read_picture(tmp_path / "look.png").shape[:2])

    assert sizes[1][0] > 1.5 * sizes[0][0] and sizes[1][1] == sizes[0][1]
    assert sizes[2] == sizes[0]


def test_the_patches_of_a_full_size_model_can_be_drawn(tmp_path):
    frames = np.random.default_rng(0).integers(0, 256, (2, 448, 448, 3), dtype=np.uint8)
    texts = {"question": "what happens ?", "answer": "a long story " * 100, "truth": None}
    draw_attention(tmp_path / "look.png", frames, {16: random_attention(2, 16, 1024)}, times=[0.5, 1.5], texts=texts)

    assert read_picture(tmp_path / "look.png").std() > 20


def test_attention_of_other_frames_is_refused(tmp_path):
    frames = np.zeros((2, 84, 84, 3), dtype=np.uint8)
    with pytest.raises(ValueError, match="`attention` is empty"):
        draw_attention(tmp_path / "look.png", frames, {})
    with pytest.raises(ValueError, match=r"`attention\[4\]` has shape \(3, 4, 36\); expected \(2, 4, num_patches\)"):
        draw_attention(tmp_path / "look.png", frames, {4: random_attention(3, 4, 36)})
    assert not list(tmp_path.iterdir())


def test_a_video_file_becomes_a_picture(model, clip, tmp_path):
    processor = build_processor()

    sizes = []
    for tokens_per_frame in (None, 2, [1, 4]):
        draw_kept_patches(
            model,
            processor,
            clip,
            tmp_path / "look.png",
            tokens_per_frame=tokens_per_frame,
            num_frames=5,
            question="which way does the red circle move ?",
            truth="left",
        )
        sizes.append(read_picture(tmp_path / "look.png").shape[:2])

    # The title, which tells the answers at each K, may take another line.
    assert sizes[0][0] <= sizes[1][0] < sizes[2][0]
    assert sizes[0][1] == sizes[1][1] == sizes[2][1]
