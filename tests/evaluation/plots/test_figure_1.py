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
"""The paper's Figure 1, with and without results of one's own."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from ftfv.evaluation.plots import figure_1
from ftfv.evaluation.plots.figure_1 import STYLES, OwnPoint, plot_figure_1
from ftfv.evaluation.scores.measured import Measured


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list:
    """The panels with the points and names that are written beside them."""
    calls = []
    label_points = figure_1.label_points

    def spy(panel, points, names, **options):
        calls.append((panel, dict(zip(names, points, strict=True))))
        return label_points(panel, points, names, **options)

    monkeypatch.setattr(figure_1, "label_points", spy)
    return calls


def count_pixels(path: Path, colour: str) -> int:
    picture = np.asarray(Image.open(path).convert("RGB")).astype(int)
    for border in (picture[:2], picture[-2:], picture[:, :2], picture[:, -2:]):
        assert (border == 255).all()
    return int((np.abs(picture - 255 * np.array(to_rgb(colour))).max(axis=-1) < 3).sum())


def test_the_paper_alone_and_with_an_own_result(tmp_path, written):
    plot_figure_1(tmp_path / "paper.png")
    own = OwnPoint("mine", 9_800, 64, Measured(45.0, 43.0, 47.0), Measured(47.0, 42.0, 52.0, "10 of 13 sets"))
    plot_figure_1(tmp_path / "own.png", [own])

    (left, of_left), (right, of_right), (_, own_left), (_, own_right) = written
    assert (len(of_left), len(of_right)) == (14, 11)
    assert of_left["VideoChat2"] == (800_000, 49.1) and of_left["LLaMA-Adapter"] == (0, 34.2)
    assert of_left["FTFV-LLM S4-V 16"][1] == 48.44 and of_right["FTFV-LLM S4-V 16"][1] == 49.59
    assert of_right["Otter"] == (502_000, 37.5) and "VideoChat2" not in of_right
    for panel in (left, right):
        # 0 can be seen, and no further from 10k than 1M is.
        places = panel.transData.transform([(0, 40), (10_000, 40), (100_000, 40), (1_000_000, 40)])[:, 0]
        assert panel.get_xlim()[0] < 0 and (np.diff(places) > 150).all()
    assert own_left["mine"] == pytest.approx((9_800, 45.0), rel=0.15) and own_right["mine*"][1] == 47.0
    # 64 tokens come between 16 and 128, and take their style.
    assert count_pixels(tmp_path / "own.png", STYLES[2][0]) > 150


def test_only_one_of_the_panels_may_have_an_own_result(tmp_path, written):
    plot_figure_1(tmp_path / "own.png", [OwnPoint("mine", 0, 16, video_bench=Measured(50.0))])
    assert ["mine" in points for _, points in written] == [False, True]


def test_too_many_numbers_of_tokens_are_refused(tmp_path):
    own = [OwnPoint(str(count), 10_000, count, Measured(50.0)) for count in (1, 4, 8, 32, 64)]
    with pytest.raises(ValueError, match="There are 9 numbers of tokens per frame; expected at most 8"):
        plot_figure_1(tmp_path / "own.png", own)
    assert not list(tmp_path.iterdir())
