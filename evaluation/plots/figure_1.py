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
"""The paper's Figure 1 with a result of one's own: accuracy against the video data used for instruction tuning."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from ..scores.measured import Measured
from ..scores.paper_results import TABLE_4, TABLE_5
from .figure import new_figure, write_figure
from .labels import label_points
from .style import BLUE, GREEN, GREY, ORANGE, tidy


PANELS = {"ActivityNet-QA Acc": "ActivityNet-QA", "Video-Bench All": "Video-Bench, all levels"}
# From the palette of Okabe and Ito, without its yellow, which is faint on white; shapes tell them apart as well.
STYLES = (
    ("#CC79A7", "v"),
    (BLUE, "o"),
    (ORANGE, "^"),
    (GREEN, "D"),
    ("#E69F00", "P"),
    ("#56B4E9", "X"),
    ("#000000", "p"),
    ("#7B3F00", "h"),
)
UNKNOWN_STYLE = (GREY, "s")
# The axis is logarithmic from here on, and linear down to 0.
LINEAR_UP_TO = 3_000
STEP_ASIDE = 1.12


@dataclass(frozen=True)
class OwnPoint:
    """
    A result to set beside those of the paper.

    Attributes:
        name (`str`): What to call it.
        num_pairs (`int`): Video question-answer pairs it was instruction-tuned with.
        tokens_per_frame (`int`): K.
        activitynet_qa, video_bench (`Measured`, *optional*): Accuracy on ActivityNet-QA, and on all of Video-Bench,
            in percent; None where it was not measured.
    """

    name: str
    num_pairs: int
    tokens_per_frame: int
    activitynet_qa: Measured | None = None
    video_bench: Measured | None = None


def plot_figure_1(path: str | os.PathLike, own: Sequence[OwnPoint] = ()) -> None:
    """
    Draws accuracy on ActivityNet-QA and on Video-Bench against the video question-answer pairs of instruction tuning,
    for the methods of the paper's Table 4, for K = 16 of its Table 5, and for one's own, which are stars.

    Args:
        path (`str` or `os.PathLike`): The PNG to write.
        own (`Sequence[OwnPoint]`, *optional*): Results of one's own.

    Raises:
        ValueError: the points have more numbers of tokens per frame than there are colours, or too many names to fit.
    """
    [s4v] = [row for row in TABLE_4 if row.method == "FTFV-LLM S4-V"]
    [of_k_16] = [row for row in TABLE_5 if row.tokens_per_frame == 16]
    # Rows of Table 5 are that of Table 4 with another K, so trained on the same data; a little to the left, as another
    # method with as much data would be hidden.
    methods = [*((row, float(row.instruct)) for row in TABLE_4), (of_k_16, s4v.instruct / STEP_ASIDE)]
    counts = {row.tokens_per_frame for row, _ in methods} | {point.tokens_per_frame for point in own}
    known = sorted(count for count in counts if count is not None)
    if len(known) > len(STYLES):
        raise ValueError(f"There are {len(known)} numbers of tokens per frame; expected at most {len(STYLES)}.")
    styles: dict[int | None, tuple[str, str]] = dict(zip(known, STYLES, strict=False)) | {None: UNKNOWN_STYLE}

    figure = new_figure(15, 7)
    panels = figure.subplots(1, len(PANELS))
    named: list[tuple[Axes, list[tuple[float, float]], list[str], list[tuple[float, float]]]] = []
    for panel, (column, title) in zip(panels, PANELS.items(), strict=True):
        points, names, bars = [], [], []
        for index, point in enumerate(own, start=1):
            measured = point.activitynet_qa if column == "ActivityNet-QA Acc" else point.video_bench
            if measured is None:
                continue
            below, above = measured.reach
            # A little to the right, so that stars hide neither each other nor a method with as much data.
            position = point.num_pairs * STEP_ASIDE**index + 200 * index
            panel.errorbar(
                position,
                measured.value,
                yerr=[[below], [above]],
                color=styles[point.tokens_per_frame][0],
                marker="*",
                markersize=15,
                markeredgecolor="black",
                capsize=4,
                zorder=4,
            )
            points.append((position, measured.value))
            bars += [(position, height) for height in np.linspace(measured.value - below, measured.value + above, 15)]
            names.append(f"{point.name}*" if measured.note else point.name)
        for row, num_pairs in methods:
            if column not in row.scores:
                continue
            colour, marker = styles[row.tokens_per_frame]
            panel.plot(
                num_pairs, row.scores[column], marker, color=colour, markersize=8, markeredgecolor="white", zorder=3
            )
            points.append((num_pairs, row.scores[column]))
            names.append(row.method)
        panel.set_xscale("symlog", linthresh=LINEAR_UP_TO, linscale=0.6)
        most = max(num_pairs for num_pairs, _ in points)
        ticks = {0: "0", 10_000: "10k", 100_000: "100k", 1_000_000: "1M", 10_000_000: "10M"}
        panel.set_xticks(list(ticks), list(ticks.values()))
        panel.set_xlim(-LINEAR_UP_TO / 2, max(2_000_000, 4 * most))
        panel.xaxis.set_minor_locator(NullLocator())
        panel.margins(y=0.12)
        panel.set_xlabel("video question-answer pairs of instruction tuning (log scale from 3k on)", fontsize=11)
        panel.set_ylabel("accuracy in %", fontsize=11)
        panel.set_title(title, fontsize=13)
        tidy(panel)
        named.append((panel, points, names, bars))

    handles = [
        Line2D([], [], color=styles[count][0], marker=styles[count][1], linestyle="", markersize=8, label=str(count))
        for count in known
    ]
    handles.append(Line2D([], [], color=GREY, marker=UNKNOWN_STYLE[1], linestyle="", markersize=8, label="not stated"))
    if own:
        star = Line2D([], [], color="white", markeredgecolor="black", marker="*", linestyle="", markersize=15)
        star.set_label("own result, bar: 95 % interval")
        handles.append(star)
    incomplete = {
        measured.note
        for point in own
        for measured in (point.activitynet_qa, point.video_bench)
        if measured is not None and measured.note
    }
    if incomplete:
        figure.supxlabel("* " + "; ".join(sorted(incomplete)), fontsize=10)
    figure.legend(
        handles=handles,
        title="Tokens per frame",
        title_fontsize=12,
        loc="outside upper center",
        ncols=len(handles),
        frameon=False,
        fontsize=11,
    )
    for panel, points, names, bars in named:
        label_points(panel, points, names, avoid=bars, fontsize=10)
    write_figure(figure, path)
