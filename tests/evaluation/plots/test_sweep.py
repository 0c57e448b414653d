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
"""The plot of one swept option."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from ftfv.evaluation.plots.style import CURVES, MAX_CURVES
from ftfv.evaluation.plots.sweep import Point, plot_sweep
from ftfv.evaluation.scores.measured import Measured


def point(setting: float | str, value: float, note: str = "") -> Point:
    return Point(setting, Measured(value, value - 2, value + 3, note))


def count_pixels(path: Path, column: int) -> int:
    picture = np.asarray(Image.open(path).convert("RGB")).astype(int)
    for border in (picture[:2], picture[-2:], picture[:, :2], picture[:, -2:]):
        assert (border == 255).all()
    return int((np.abs(picture - 255 * np.array(to_rgb(CURVES[column][0]))).max(axis=-1) < 3).sum())


BY_COUNT = {"MSVD-QA Acc": [point(4, 50), point(16, 55), point(64, 56)], "MVBench Avg": [point(4, 40), point(64, 44)]}


def test_every_column_has_a_line_and_controls_add_to_it(tmp_path):
    plot_sweep(tmp_path / "plain.png", BY_COUNT, "K")
    plot_sweep(
        tmp_path / "controls.png",
        BY_COUNT,
        "K",
        shuffled={"MVBench Avg": [point(4, 30), point(64, 31)]},
        chance={"MVBench Avg": 27.3},
        title="A title",
    )
    assert all(count_pixels(tmp_path / "plain.png", column) > 800 for column in (0, 1))
    assert count_pixels(tmp_path / "plain.png", 2) == 0
    assert count_pixels(tmp_path / "controls.png", 1) > 1.5 * count_pixels(tmp_path / "plain.png", 1)


def test_a_higher_value_is_drawn_higher_and_a_larger_setting_further_right(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr("matplotlib.axes.Axes.errorbar", lambda axes, x, y, **options: drawn.append((x, y, options)))
    plot_sweep(tmp_path / "plot.png", {"one": [point(64, 56), point(4, 50), point(16, 55)]}, "K")
    plot_sweep(tmp_path / "names.png", {"one": [point("weighted", 44), point("random", 41)]}, "sampler")
    (places, values, options), (of_names, _, _) = drawn
    assert places == [4, 16, 64] and values == [50, 55, 56] and of_names == [0, 1]
    assert options["yerr"] == [[2, 2, 2], [3, 3, 3]]


def test_names_with_notes_fit(tmp_path):
    names = [f"a sampler with the long name {index}" for index in range(4)]
    columns = {f"column {index}": [point(name, 40 + index, "10 of 13 sets") for name in names] for index in range(2)}
    plot_sweep(tmp_path / "plot.png", columns, "token sampler")
    assert all(count_pixels(tmp_path / "plot.png", column) > 300 for column in (0, 1))


def test_what_cannot_be_drawn_is_refused(tmp_path):
    path = tmp_path / "plot.png"
    with pytest.raises(ValueError, match=f"9 columns are to be drawn; expected 1 to {MAX_CURVES}, none of"):
        plot_sweep(path, {str(index): [point(1, 1)] for index in range(9)}, "K")
    with pytest.raises(ValueError, match="1 columns are to be drawn; .* none of them empty"):
        plot_sweep(path, {"one": []}, "K")
    with pytest.raises(ValueError, match="A control belongs to column 'other'; expected one of one"):
        plot_sweep(path, {"one": [point(1, 1)]}, "K", chance={"other": 25.0})
    for settings in ([1, "two"], [0, 1]):
        with pytest.raises(ValueError, match="expected names only, or numbers above 0 only"):
            plot_sweep(path, {"one": [point(setting, 1) for setting in settings]}, "K")
    assert not list(tmp_path.iterdir())
