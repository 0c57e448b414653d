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
"""The parts of a cost as PNG, stacked for each number of tokens per frame."""

import os
from collections.abc import Mapping

from matplotlib.ticker import FuncFormatter

from ..formatting import format_quantity
from .figure import new_figure, write_figure


# From the palette of Okabe and Ito; the two kinds of a part share a colour, the second one is paler.
COLOURS = ("#0072B2", "#56B4E9", "#009E73", "#7FCEB9", "#D55E00", "#E69F00", "#555555")


def plot_cost_parts(path: str | os.PathLike, parts: Mapping[int, Mapping[str, float]], *, title: str) -> None:
    """
    Draws one bar for each K, its parts stacked and their sum above.

    Args:
        path (`str` or `os.PathLike`): The PNG to write.
        parts (`Mapping[int, Mapping[str, float]]`): For each K, FLOPs of each part, the same parts at every K and at
            most 7.
        title (`str`): Title.

    Raises:
        ValueError: `parts` is empty, or has too many parts.
    """
    names = list(next(iter(parts.values()), ()))
    if not 1 <= len(names) <= len(COLOURS):
        raise ValueError(f"`parts` holds {len(names)} parts; expected 1 to {len(COLOURS)} for at least one K.")
    figure = new_figure(10, 5.5)
    axes = figure.subplots()
    bottoms = [0.0] * len(parts)
    for name, colour in zip(names, COLOURS, strict=False):
        heights = [row[name] for row in parts.values()]
        axes.bar(range(len(parts)), heights, 0.66, bottom=bottoms, color=colour, label=name, edgecolor="white", lw=0.5)
        bottoms = [bottom + height for bottom, height in zip(bottoms, heights, strict=True)]
    for position, total in enumerate(bottoms):
        axes.annotate(
            format_quantity(total), (position, total), (0, 5), textcoords="offset points", ha="center", fontsize=11
        )
    axes.set_xticks(range(len(parts)), [str(count) for count in parts])
    axes.set_xlabel("K, tokens kept per frame", fontsize=12)
    axes.set_ylabel("FLOPs", fontsize=12)
    axes.set_ylim(0, 1.1 * max(bottoms))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: format_quantity(value)))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#DDDDDD", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=10.5)
    axes.set_title(title, fontsize=13)
    handles, labels = axes.get_legend_handles_labels()
    # From the top down, as the bars are.
    figure.legend(handles[::-1], labels[::-1], loc="outside right upper", frameon=False, fontsize=11)
    write_figure(figure, path)
