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
"""Benchmark results against one option that was swept, such as K, the number of frames or the sampler, as PNG."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from ..scores.measured import Measured
from .figure import new_figure, write_figure
from .style import CURVES, GREY, MAX_CURVES, tidy


# Of the height of the panel: room above and below what is drawn.
MARGIN = 0.08
# Share of a doubling, or of the distance of two categories, that the bars of neighbouring lines are apart.
STEP_ASIDE = 0.04
# Letters of all settings that fit side by side below the panel; more are slanted.
MOST_LETTERS = 60


@dataclass(frozen=True)
class Point:
    """
    What one setting of the option reached.

    Attributes:
        setting (`float` or `str`): The option's value: a number above 0, or the name of a category.
        measured (`Measured`): The result with its interval.
    """

    setting: float | str
    measured: Measured


def plot_sweep(
    path: str | os.PathLike,
    points: Mapping[str, Sequence[Point]],
    label: str,
    *,
    shuffled: Mapping[str, Sequence[Point]] | None = None,
    chance: Mapping[str, float] | None = None,
    value_label: str = "accuracy in %",
    title: str = "",
) -> None:
    """
    Draws one line for each column of a benchmark, with 95 % intervals; numbers on a logarithmic axis of base 2,
    categories in the order in which they first come up.

    Args:
        path (`str` or `os.PathLike`): The PNG to write.
        points (`Mapping[str, Sequence[Point]]`): For each column, such as `"MVBench Avg"`, what each setting reached.
        label (`str`): Name of the option, for the axis.
        shuffled (`Mapping[str, Sequence[Point]]`, *optional*): The same with shuffled frames, for some columns; drawn
            dashed.
        chance (`Mapping[str, float]`, *optional*): Chance level of columns; drawn dotted.
        value_label, title (`str`, *optional*): Label of the axis of values, which all columns share, and title.

    Raises:
        ValueError: there are no points or too many columns, a control belongs to no column, or settings are neither
            all categories nor all numbers above 0.
    """
    if not 0 < len(points) <= MAX_CURVES or not all(points.values()):
        raise ValueError(f"{len(points)} columns are to be drawn; expected 1 to {MAX_CURVES}, none of them empty.")
    shuffled, chance = shuffled or {}, chance or {}
    stray = [column for column in (*shuffled, *chance) if column not in points]
    if stray:
        raise ValueError(f"A control belongs to column {stray[0]!r}; expected one of {', '.join(points)}.")
    drawn = [point for column in points for point in (*points[column], *shuffled.get(column, ()))]
    settings: list[Any] = list(dict.fromkeys(point.setting for point in drawn))
    are_names = all(isinstance(setting, str) for setting in settings)
    are_numbers = not are_names and not any(isinstance(setting, str) or setting <= 0 for setting in settings)
    if not are_names and not are_numbers:
        raise ValueError(f"The settings are {settings}; expected names only, or numbers above 0 only.")

    figure = new_figure(9, 5.6)
    panel = figure.subplots()
    places = {setting: float(setting) if are_numbers else float(index) for index, setting in enumerate(settings)}
    for index, (column, (colour, marker)) in enumerate(zip(points, CURVES, strict=False)):
        # Moved apart a little, so that the bars of one line do not hide another's.
        aside = STEP_ASIDE * (index - (len(points) - 1) / 2)
        style = {"color": colour, "marker": marker}
        _draw_line(panel, points[column], places, aside, are_numbers, linestyle="-", **style)
        aside += STEP_ASIDE / 2
        style["markerfacecolor"] = "white"
        _draw_line(panel, shuffled.get(column, ()), places, aside, are_numbers, linestyle="--", **style)
        if column in chance:
            panel.axhline(chance[column], color=colour, linestyle=":", linewidth=1.3, zorder=1)
    if are_numbers:
        panel.set_xscale("log", base=2)
        panel.xaxis.set_minor_locator(NullLocator())
        ticks = sorted(places.values())
        panel.set_xlim(ticks[0] / 2**0.35, ticks[-1] * 2**0.35)
        panel.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    else:
        panel.set_xlim(-0.35, len(settings) - 0.65)
        panel.set_xticks(list(places.values()), [str(setting) for setting in places])
    if len("".join(map(str, settings))) > MOST_LETTERS:
        panel.tick_params(axis="x", labelrotation=25)
    panel.margins(y=MARGIN)
    panel.set_xlabel(f"{label} (log scale)" if are_numbers else label, fontsize=12)
    panel.set_ylabel(value_label, fontsize=12)
    tidy(panel)
    handles = [
        Line2D([], [], color=colour, marker=marker, label=f"{column}*" if _notes(points[column]) else column)
        for column, (colour, marker) in zip(points, CURVES, strict=False)
    ]
    if shuffled:
        handles.append(Line2D([], [], color=GREY, linestyle="--", label="frames shuffled (hollow marks)"))
    if chance:
        handles.append(Line2D([], [], color=GREY, linestyle=":", label="chance"))
    legend = figure.legend(
        handles=handles,
        title="\n".join([*([title] if title else []), "(bars: 95 % intervals)"]),
        title_fontsize=12,
        loc="outside upper center",
        ncols=min(len(handles), 4),
        frameon=False,
        fontsize=11,
    )
    legend.get_title().set_multialignment("center")
    notes = sorted(set().union(*map(_notes, points.values())))
    if notes:
        figure.supxlabel("* " + "; ".join(notes), fontsize=10)
    write_figure(figure, path)


def _notes(series: Sequence[Point]) -> set[str]:
    return {point.measured.note for point in series if point.measured.note}


def _draw_line(
    panel: Axes,
    series: Sequence[Point],
    places: Mapping[float | str, float],
    aside: float,
    are_numbers: bool,
    **style: Any,
) -> None:
    if not series:
        return
    series = sorted(series, key=lambda point: places[point.setting])
    reaches = [point.measured.reach for point in series]
    panel.errorbar(
        [places[point.setting] * 2**aside if are_numbers else places[point.setting] + aside for point in series],
        [point.measured.value for point in series],
        yerr=[[below for below, _ in reaches], [above for _, above in reaches]],
        markersize=6,
        linewidth=1.8,
        elinewidth=1.2,
        capsize=3,
        **style,
    )
