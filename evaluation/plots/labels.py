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
"""Labels of a plot, moved until none lies on another: names beside points, and values at the edge of a panel."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.transforms import Bbox


# Pixels between a point and its label where nothing is in the way, further distances that are tried, and room to keep.
DISTANCES = (13, 19, 27, 38, 52, 68, 86, 106, 130)
# From a distance of so many pixels on a line shows which point is meant.
LINED_FROM = 20
POINT_RADIUS = 7
ROOM = 1.5
# Degrees counter-clockwise from the right, in the order in which they are tried.
ANGLES = (0, 180, 30, -30, 150, -150, 60, -60, 120, -120, 90, -90)


def label_points(
    axes: Axes,
    points: Sequence[tuple[float, float]],
    labels: Sequence[str],
    *,
    avoid: Sequence[tuple[float, float]] = (),
    **text_options: Any,
) -> list[Bbox]:
    """
    Writes a label beside each point, as near as the others allow, and inside the axes. To be called last: limits and
    layout of the figure are fixed from then on.

    Args:
        axes (`Axes`): Of a figure whose canvas is Agg.
        points (`Sequence[tuple[float, float]]`): Their x and y, in the units of the axes. Earlier ones choose first.
        labels (`Sequence[str]`): A text for each.
        avoid (`Sequence[tuple[float, float]]`, *optional*): Further places that labels keep off, such as those along
            the bar of an interval.
        text_options: Options of `Axes.annotate`, such as `fontsize`.

    Returns:
        `list[Bbox]`: Where each label is, in pixels.

    Raises:
        ValueError: there is no room left for a label.
    """
    figure = axes.get_figure(root=True)
    assert figure is not None and isinstance(figure.canvas, FigureCanvasAgg)
    if figure.get_layout_engine() is not None:
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
    renderer = figure.canvas.get_renderer()
    places = axes.transData.transform(np.asarray(points, dtype=float).reshape(-1, 2))
    frame = axes.get_window_extent(renderer)
    kept_off = axes.transData.transform(np.asarray(avoid, dtype=float).reshape(-1, 2))
    taken = [_box(x, y, POINT_RADIUS, POINT_RADIUS) for x, y in [*places, *kept_off]]
    found = []
    for (x, y), place, label in zip(points, places, labels, strict=True):
        text = axes.annotate(
            label, (x, y), (0, 0), textcoords="offset pixels", va="center", ha="center", **text_options
        )
        size = text.get_window_extent(renderer)
        box, distance = _free_box(place, size.width / 2, size.height / 2, taken, frame)
        if box is None:
            raise ValueError(f"There is no room for the label {label!r}; expected fewer points or shorter names.")
        centre = ((box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2)
        text.set_position((centre[0] - place[0], centre[1] - place[1]))
        if distance >= LINED_FROM:
            # From the point to the side of the text that is nearest to it.
            end = (min(max(place[0], box.x0), box.x1), min(max(place[1], box.y0), box.y1))
            ends = axes.transData.inverted().transform([place, end])
            axes.plot(*ends.T, color="#888888", linewidth=0.7, zorder=1, scalex=False, scaley=False)
        taken.append(box)
        found.append(box)
    return found


def spread(values: Sequence[float], distance: float, low: float, high: float) -> list[float]:
    """
    Moves values apart, as little as that takes, until neighbours are at least `distance` apart and all within `low` to
    `high`.

    Returns:
        `list[float]`: The moved values, in the order of `values`.
    """
    order = sorted(range(len(values)), key=values.__getitem__)
    moved = list(values)
    for _ in range(100):
        for below, above in zip(order, order[1:], strict=False):
            overlap = distance - (moved[above] - moved[below])
            if overlap > 1e-9:
                moved[below] -= overlap / 2
                moved[above] += overlap / 2
        moved = [min(max(value, low), high) for value in moved]
    return moved


def _free_box(
    place: np.ndarray, half_width: float, half_height: float, taken: Sequence[Bbox], frame: Bbox
) -> tuple[Bbox | None, float]:
    for distance in DISTANCES:
        for angle in ANGLES:
            across, up = math.cos(math.radians(angle)), math.sin(math.radians(angle))
            # So that the gap between point and text is the distance, whichever side the text is on.
            x = place[0] + across * distance + _side(across) * half_width
            y = place[1] + up * distance + _side(up) * half_height
            box = _box(x, y, half_width + ROOM, half_height + ROOM)
            inside = frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1
            if inside and not any(box.overlaps(other) for other in taken):
                return box, distance
    return None, 0.0


def _side(share: float) -> float:
    return 0.0 if abs(share) < 1e-9 else math.copysign(1.0, share)


def _box(x: float, y: float, half_width: float, half_height: float) -> Bbox:
    return Bbox.from_extents(x - half_width, y - half_height, x + half_width, y + half_height)
