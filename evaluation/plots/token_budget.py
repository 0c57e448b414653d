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
"""Accuracy against the cost of a question, one point for each K, with the K that is enough marked, as PNG."""

import os
import textwrap

import numpy as np

from ..scores.token_budget import TokenBudget
from .figure import new_figure, write_figure
from .labels import label_points
from .style import BLUE, GREEN, GREY, tidy


# Characters of a line below the title of the plot.
LINE_LENGTH = 92


def plot_token_budget(path: str | os.PathLike, budget: TokenBudget, *, title: str = "Accuracy against cost") -> None:
    """
    Draws accuracy with its interval against the cost of a question, one point a K; the recommended K is ringed, and a
    line shows what the tolerance leaves of the best accuracy.

    Args:
        path (`str` or `os.PathLike`): The PNG to write.
        budget (`TokenBudget`): What to draw.
        title (`str`, *optional*): Title; the recommendation stands below it.
    """
    figure = new_figure(9, 5.8)
    panel = figure.subplots()
    costs = [each.tflops for each in budget.budgets]
    heights = [each.accuracy.value for each in budget.budgets]
    reaches = [each.accuracy.reach for each in budget.budgets]
    panel.errorbar(
        costs,
        heights,
        yerr=[[below for below, _ in reaches], [above for _, above in reaches]],
        color=BLUE,
        marker="o",
        markersize=6,
        linewidth=1.6,
        elinewidth=1.2,
        capsize=3,
        label="accuracy, bar: 95 % interval over videos",
    )
    [best] = [each for each in budget.budgets if each.tokens_per_frame == budget.best]
    panel.axhline(
        best.accuracy.value - budget.tolerance,
        color=GREY,
        linestyle="--",
        linewidth=1.1,
        zorder=1,
        label=f"{budget.tolerance:g} points below the best",
    )
    for each in budget.budgets:
        if each.tokens_per_frame == budget.recommended:
            panel.plot(
                each.tflops,
                each.accuracy.value,
                "o",
                markersize=13.5,
                markerfacecolor="none",
                markeredgewidth=2.2,
                markeredgecolor=GREEN,
                label="recommended",
            )
    panel.margins(x=0.12, y=0.15)
    panel.set_xlabel("TFLOPs of a question", fontsize=12)
    panel.set_ylabel("accuracy in %", fontsize=12)
    tidy(panel)
    panel.set_title(f"{title}\n{textwrap.fill(budget.answer(), LINE_LENGTH)}", fontsize=12)
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=10.5)
    names = [f"K = {each.tokens_per_frame}" for each in budget.budgets]
    bars = [
        (each.tflops, each.accuracy.value + share * reach)
        for each, (below, above) in zip(budget.budgets, reaches, strict=True)
        for reach in (-below, above)
        for share in np.linspace(0, 1, 12)
    ]
    curve = [
        (one[0] + share * (other[0] - one[0]), one[1] + share * (other[1] - one[1]))
        for one, other in zip(
            zip(costs, heights, strict=True), list(zip(costs, heights, strict=True))[1:], strict=False
        )
        for share in np.linspace(0, 1, 40)
    ]
    floor = [(cost, best.accuracy.value - budget.tolerance) for cost in np.linspace(*panel.get_xlim(), 100)]
    label_points(panel, list(zip(costs, heights, strict=True)), names, avoid=[*bars, *curve, *floor], fontsize=11)
    write_figure(figure, path)
