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
"""The plots: complete, readable in size, with nothing cut off."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from ftfv.evaluation.plots.accuracy import (
    plot_accuracy_against_cost,
    plot_accuracy_and_cost,
    plot_cells,
    plot_cells_by_tokens_per_frame,
)
from ftfv.evaluation.plots.style import BLUE, GREEN, MAX_CURVES, ORANGE
from ftfv.evaluation.scores.scoring import Score


COUNTS = (1, 2, 4, 8, 16)
SKILLS = ("direction", "appears_first")
TOP = {count: {skill: Score.from_counts(100 + 5 * count, 200) for skill in SKILLS} for count in COUNTS}
RANDOM = {count: {skill: Score.from_counts(90 + 5 * count, 200) for skill in SKILLS} for count in COUNTS[:-1]}
COST = {count: 8 * count for count in COUNTS}


def read_picture(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def has_colour(picture: np.ndarray, colour: str) -> bool:
    return bool((np.abs(picture - 255 * np.array(to_rgb(colour))).max(axis=-1) < 3).sum() > 50)


def test_the_plot_shows_both_samplers_floor_and_chance(tmp_path):
    path = tmp_path / "plot.png"
    floor = {skill: Score.from_counts(60, 200) for skill in SKILLS}
    plot_accuracy_and_cost(path, TOP, COST, random=RANDOM, floor=floor, chance={"direction": 0.25})

    picture = read_picture(path)
    assert picture.shape[1] >= 1000 and picture.shape[0] >= 600
    assert all(has_colour(picture, colour) for colour in (BLUE, ORANGE, GREEN))
    assert list(tmp_path.iterdir()) == [path]


def test_nothing_reaches_the_border(tmp_path):
    path = tmp_path / "plot.png"
    floor = {skill: Score.from_counts(0, 200) for skill in SKILLS}
    cost = {count: 123456789012 * count for count in COUNTS}
    plot_accuracy_and_cost(
        path,
        TOP,
        cost,
        random=RANDOM,
        floor=floor,
        chance=dict.fromkeys(SKILLS, 0.0),
        cost_label="language model FLOPs",
    )

    picture = read_picture(path)
    for border in (picture[:2], picture[-2:], picture[:, :2], picture[:, -2:]):
        assert (border == 255).all()


def test_one_skill_and_one_sampler_are_enough(tmp_path):
    plot_accuracy_and_cost(tmp_path / "plot.png", {4: TOP[4]}, {4: 32}, skills=["direction"])

    picture = read_picture(tmp_path / "plot.png")
    assert has_colour(picture, BLUE) and not has_colour(picture, ORANGE) and not has_colour(picture, GREEN)


def test_missing_scores_are_refused(tmp_path):
    with pytest.raises(ValueError, match="`top` is empty"):
        plot_accuracy_and_cost(tmp_path / "plot.png", {}, {})
    with pytest.raises(ValueError, match=r"no scores for \(K, skill\) \[\(2, 'turns'\)\]"):
        plot_accuracy_and_cost(tmp_path / "plot.png", {1: {"turns": TOP[1]["direction"]}, 2: {}}, COST)
    assert not list(tmp_path.iterdir())


def test_cells_show_seeds_and_floor_with_nothing_cut_off(tmp_path):
    names = [f"a strategy with a long name, {number} %" for number in range(12)]
    cells = {name: {skill: [0.0, 0.5, 1.0] for skill in SKILLS} for name in names}
    plot_cells(tmp_path / "plot.png", cells, floor={names[0]: {"direction": [0.3]}}, title="Strategies")

    picture = read_picture(tmp_path / "plot.png")
    assert has_colour(picture, BLUE) and has_colour(picture, GREEN)
    for border in (picture[:2], picture[-2:], picture[:, :2], picture[:, -2:]):
        assert (border == 255).all()
    with pytest.raises(ValueError, match="`cells` is empty"):
        plot_cells(tmp_path / "empty.png", {})
    assert not (tmp_path / "empty.png").exists()


def test_a_curve_for_each_cell(tmp_path):
    curves = {f"K = {count}": {2: [0.2, 0.4], 8: [0.9, 1.0]} for count in range(MAX_CURVES)}
    plot_cells_by_tokens_per_frame(tmp_path / "plot.png", dict.fromkeys(SKILLS, curves))

    picture = read_picture(tmp_path / "plot.png")
    assert all(has_colour(picture, colour) for colour in (BLUE, ORANGE, GREEN))
    for border in (picture[:2], picture[-2:], picture[:, :2], picture[:, -2:]):
        assert (border == 255).all()
    with pytest.raises(ValueError, match="9 models are to be drawn; expected 1 to 8"):
        plot_cells_by_tokens_per_frame(tmp_path / "more.png", {"direction": {**curves, "one more": {2: [0.1]}}})


def test_settings_are_drawn_by_their_cost(tmp_path):
    path = tmp_path / "trades.png"
    points = {
        "nothing": [("as it is", 35.9, {"direction": [0.97, 0.98], "turns": [0.5, 0.6]})],
        "skipping": [("half", 20.9, {"direction": [0.96, 0.98], "turns": [0.4, 0.6]})],
        "merging": [("half", 27.2, {"direction": [0.5, 0.9], "turns": [0.3, 0.3]})],
    }
    plot_accuracy_against_cost(path, points, cost_label="TFLOPs", title="Trades")
    picture = read_picture(path)
    assert all(has_colour(picture, colour) for colour in ("#000000", BLUE, ORANGE))
    for border in (picture[:2], picture[-2:], picture[:, :2], picture[:, -2:]):
        assert (border == 255).all()
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(ValueError, match=f"0 kinds of settings are to be drawn; expected 1 to {MAX_CURVES}"):
        plot_accuracy_against_cost(path, {}, cost_label="TFLOPs")
