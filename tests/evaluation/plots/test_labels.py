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
"""Labels of points and levels that are close together."""

from itertools import combinations, pairwise

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ftfv.evaluation.plots.labels import POINT_RADIUS, label_points, spread


def build_axes():
    figure = Figure(figsize=(6, 4), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.set(xlim=(0, 10), ylim=(0, 10))
    return axes


def test_labels_of_a_crowd_lie_apart_and_inside():
    axes = build_axes()
    points = [(5 + 0.1 * (index % 3), 5 + 0.15 * (index // 3)) for index in range(9)] + [(9.9, 9.9), (0.1, 0.1)]
    boxes = label_points(axes, points, [f"method {index}" for index in range(11)], fontsize=9)
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))
    frame = axes.get_window_extent()
    assert all(
        frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1 for box in boxes
    )
    for x, y in axes.transData.transform(points):
        assert not any(box.x0 < x < box.x1 and box.y0 < y < box.y1 for box in boxes)
    # Those that had to go far are tied to their points by lines.
    assert 0 < len(axes.lines) < 11


def test_a_lone_label_stands_to_the_right():
    axes = build_axes()
    [box] = label_points(axes, [(5, 5)], ["alone"])
    [[x, y]] = axes.transData.transform([(5, 5)])
    assert x + POINT_RADIUS < box.x0 < x + 15 and (box.y0 + box.y1) / 2 == pytest.approx(y)
    assert axes.lines[:] == []


def test_a_bar_is_kept_off():
    bar = [(5.3, height / 4) for height in range(41)]
    axes = build_axes()
    [box] = label_points(axes, [(5, 5)], ["beside a bar"], avoid=bar)
    for x, y in axes.transData.transform(bar):
        assert not (box.x0 < x < box.x1 and box.y0 < y < box.y1)


def test_a_label_without_room_is_refused():
    with pytest.raises(ValueError, match="no room for the label 'wwww.*'; expected fewer points or shorter names"):
        label_points(build_axes(), [(5, 5)], ["w" * 200])


def test_labels_are_moved_apart_no_more_than_needed():
    assert spread([0.5, 0.25], 0.1, 0.0, 1.0) == [0.5, 0.25]
    assert spread([0.5, 0.48], 0.1, 0.0, 1.0) == pytest.approx([0.54, 0.44])
    assert spread([0.0, 0.0], 0.1, 0.0, 1.0) == pytest.approx([0.0, 0.1])
    moved = spread([0.95, 1.0, 0.97], 0.1, 0.0, 1.0)
    assert moved == pytest.approx([0.8, 1.0, 0.9])
    assert all(above - below > 0.0999 for below, above in pairwise(sorted(moved)))
    assert spread([], 0.1, 0.0, 1.0) == []
