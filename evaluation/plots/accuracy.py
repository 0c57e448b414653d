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
"""Plots of accuracy as PNG: against the tokens per frame, beside and against the cost, and of models side by side."""

import os
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FuncFormatter, NullLocator, PercentFormatter

from ..formatting import format_quantity
from ..scores.scoring import Score
from .figure import new_figure, write_figure
from .labels import spread
from .style import BLUE, CURVES, GREEN, GREY, MAX_CURVES, ORANGE, tidy


# Least distance between the labels at the right of a panel, in units of accuracy.
LABEL_DISTANCE = 0.13


def plot_accuracy_and_cost(
    path: str | os.PathLike,
    top: Mapping[int, Mapping[str, Score]],
    cost: Mapping[int, float],
    *,
    random: Mapping[int, Mapping[str, Score]] | None = None,
    floor: Mapping[str, Score] | None = None,
    chance: Mapping[str, float] | None = None,
    skills: Sequence[str] | None = None,
    cost_label: str = "visual tokens\nper clip",
    title: str = "Accuracy and cost against the tokens kept per frame (K)",
) -> None:
    """
    Draws one panel per skill and one for the cost, all over the same axis of K.

    Args:
        path (`str` or `os.PathLike`): The PNG to write.
        top (`Mapping[int, Mapping[str, Score]]`): For each K, the scores of the queries of highest response.
        cost (`Mapping[int, float]`): For each K, what `cost_label` says.
        random (`Mapping[int, Mapping[str, Score]]`, *optional*): For each K, the scores of random queries.
        floor (`Mapping[str, Score]`, *optional*): Scores of the skills with shuffled frames.
        chance (`Mapping[str, float]`, *optional*): Chance level of the skills.
        skills (`Sequence[str]`, *optional*): Which skills to draw; all that `top` holds if not given.
        cost_label, title (`str`, *optional*): Label of the cost axis, and title.

    Raises:
        ValueError: `top` is empty, or lacks a skill at some K.
    """
    if not top:
        raise ValueError("`top` is empty; expected the scores by skill of at least one number of tokens per frame.")
    counts = sorted(top)
    if skills is None:
        skills = list(dict.fromkeys(skill for count in counts for skill in top[count]))
    missing = [(count, skill) for count in counts for skill in skills if skill not in top[count]]
    if missing or not skills:
        raise ValueError(f"`top` has no scores for (K, skill) {missing}; expected every skill at every K.")

    layout = ConstrainedLayoutEngine(h_pad=0.08, hspace=0.03)
    figure = new_figure(10, 1.9 * len(skills) + 3.0, layout=layout)
    panels = figure.subplots(
        len(skills) + 1, 1, sharex=True, squeeze=False, height_ratios=[*([1.0] * len(skills)), 0.85]
    )[:, 0]
    for panel, skill in zip(panels, skills, strict=False):
        _draw_skill(panel, skill, top, random or {}, (floor or {}).get(skill), (chance or {}).get(skill))
    _draw_cost(panels[-1], {count: cost[count] for count in counts}, cost_label)

    axis = panels[-1].xaxis
    panels[-1].set_xscale("log", base=2)
    panels[-1].set_xlim(counts[0] / 2**0.35, counts[-1] * 2**0.35)
    axis.set_minor_locator(NullLocator())
    panels[-1].set_xticks(counts, [str(count) for count in counts])
    panels[-1].set_xlabel("K, tokens kept per frame (log scale)", fontsize=12)
    for panel in panels[:-1]:
        panel.tick_params(labelbottom=False)
    handles, labels = panels[0].get_legend_handles_labels()
    bars = "bars: 95 % intervals" + ("; green band: that of the shuffled frames" if floor else "")
    legend = figure.legend(
        handles,
        labels,
        title=f"{title}\n({bars})",
        title_fontsize=13,
        loc="outside upper center",
        ncols=len(handles),
        frameon=False,
        fontsize=11,
    )
    legend.get_title().set_multialignment("center")
    write_figure(figure, path)


def plot_cells(
    path: str | os.PathLike,
    cells: Mapping[str, Mapping[str, Sequence[float]]],
    *,
    floor: Mapping[str, Mapping[str, Sequence[float]]] | None = None,
    title: str = "Accuracy",
) -> None:
    """
    Draws models side by side, one panel per skill and one line per model, with a mark for each seed.

    Args:
        path (`str` or `os.PathLike`): The PNG to write.
        cells (`Mapping[str, Mapping[str, Sequence[float]]]`): For each model, the accuracies of each skill, 0 to 1,
            one a seed.
        floor (`Mapping[str, Mapping[str, Sequence[float]]]`, *optional*): The same with shuffled frames.
        title (`str`, *optional*): Title.

    Raises:
        ValueError: `cells` is empty.
    """
    if not cells:
        raise ValueError("`cells` is empty; expected the accuracies of at least one model.")
    skills = list(next(iter(cells.values())))
    figure = new_figure(1.5 + 4.2 * len(skills), 1.4 + 0.36 * len(cells))
    panels = figure.subplots(1, len(skills), sharey=True, squeeze=False)[0]
    heights = range(len(cells))
    for panel, skill in zip(panels, skills, strict=True):
        for scores, label, colour, marker in (
            (cells, "frames in order", BLUE, "o"),
            (floor or {}, "frames shuffled", GREEN, "x"),
        ):
            for height, name in zip(heights, cells, strict=True):
                values = scores.get(name, {}).get(skill, [])
                if len(values) == 0:
                    continue
                panel.plot(values, [height] * len(values), marker, color=colour, markersize=5, alpha=0.65)
                panel.plot([sum(values) / len(values)] * 2, [height - 0.32, height + 0.32], color=colour, linewidth=2)
            if scores:
                panel.plot([], [], marker, color=colour, label=f"{label}, a seed each; line: mean")
        panel.set_xlim(-0.03, 1.03)
        panel.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        panel.set_title(skill.replace("_", " "), fontsize=12)
        panel.set_yticks(heights, list(cells))
        tidy(panel)
    panels[0].invert_yaxis()
    handles, labels = panels[0].get_legend_handles_labels()
    legend = figure.legend(
        handles, labels, title=title, title_fontsize=13, loc="outside upper center", ncols=2, frameon=False
    )
    legend.get_title().set_multialignment("center")
    write_figure(figure, path)


def plot_cells_by_tokens_per_frame(
    path: str | os.PathLike,
    skills: Mapping[str, Mapping[str, Mapping[int, Sequence[float]]]],
    *,
    title: str = "Accuracy against K",
) -> None:
    """
    Draws a curve of accuracy against K per model, one panel per skill; its band goes from the lowest to the highest
    seed.

    Args:
        path (`str` or `os.PathLike`): The PNG to write.
        skills (`Mapping[str, Mapping[str, Mapping[int, Sequence[float]]]]`): For each skill and model, the accuracies
            at each K, 0 to 1, one a seed.
        title (`str`, *optional*): Title.

    Raises:
        ValueError: there are more models than colours, [`MAX_CURVES`].
    """
    names = list(next(iter(skills.values()), {}))
    if not 0 < len(names) <= MAX_CURVES:
        raise ValueError(f"{len(names)} models are to be drawn; expected 1 to {MAX_CURVES}.")
    figure = new_figure(1.0 + 4.6 * len(skills), 4.6)
    panels = figure.subplots(1, len(skills), sharey=True, squeeze=False)[0]
    for panel, (skill, curves) in zip(panels, skills.items(), strict=True):
        for (name, curve), (colour, marker) in zip(curves.items(), CURVES, strict=False):
            counts = sorted(curve)
            means = [sum(curve[count]) / len(curve[count]) for count in counts]
            panel.plot(counts, means, color=colour, marker=marker, markersize=5, linewidth=1.8, label=name)
            low, high = ([bound(curve[count]) for count in counts] for bound in (min, max))
            panel.fill_between(counts, low, high, color=colour, alpha=0.12, linewidth=0)
        panel.set_xscale("log", base=2)
        panel.xaxis.set_minor_locator(NullLocator())
        panel.set_xticks(counts, [str(count) for count in counts])
        panel.set_ylim(-0.03, 1.05)
        panel.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        panel.set_xlabel("K, tokens kept per frame (log scale)")
        panel.set_title(skill.replace("_", " "), fontsize=12)
        tidy(panel)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, title=title, title_fontsize=13, loc="outside upper center", ncols=4, frameon=False)
    write_figure(figure, path)


def plot_accuracy_against_cost(
    path: str | os.PathLike,
    points: Mapping[str, Sequence[tuple[str, float, Mapping[str, Sequence[float]]]]],
    *,
    cost_label: str,
    title: str = "Accuracy against cost",
) -> None:
    """
    Draws settings of a model by their cost, one panel per skill and one curve per kind of setting; a bar goes from the
    lowest to the highest seed.

    Args:
        path (`str` or `os.PathLike`): The PNG to write.
        points (`Mapping[str, Sequence[tuple]]`): For each kind, its settings: name, cost, and for each skill the
            accuracies, 0 to 1, one a seed.
        cost_label, title (`str`): Label of the cost axis, and title.

    Raises:
        ValueError: there are no settings, or more kinds than colours, [`MAX_CURVES`].
    """
    if not 0 < len(points) <= MAX_CURVES or not all(points.values()):
        raise ValueError(f"{len(points)} kinds of settings are to be drawn; expected 1 to {MAX_CURVES}, none empty.")
    skills = list(next(iter(points.values()))[0][2])
    figure = new_figure(1.0 + 6.0 * len(skills), 5.4)
    panels = figure.subplots(1, len(skills), sharey=True, squeeze=False)[0]
    for panel, skill in zip(panels, skills, strict=True):
        for (kind, settings), (colour, marker) in zip(points.items(), CURVES, strict=False):
            settings = sorted(settings, key=lambda setting: setting[1])
            costs = [cost for _, cost, _ in settings]
            seeds = [scores[skill] for _, _, scores in settings]
            means = [sum(values) / len(values) for values in seeds]
            reach = [[middle - min(values) for middle, values in zip(means, seeds, strict=True)]]
            reach.append([max(values) - middle for middle, values in zip(means, seeds, strict=True)])
            panel.errorbar(
                costs,
                means,
                yerr=reach,
                label=kind,
                color=colour,
                marker=marker,
                markersize=6,
                linewidth=1.6,
                elinewidth=1.0,
                capsize=2,
            )
        panel.set_xlim(left=0)
        panel.set_ylim(-0.03, 1.05)
        panel.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        panel.set_xlabel(cost_label)
        panel.set_title(skill.replace("_", " "), fontsize=12)
        tidy(panel)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, title=title, title_fontsize=13, loc="outside upper center", ncols=4, frameon=False)
    write_figure(figure, path)


def _draw_skill(
    panel: Axes,
    skill: str,
    top: Mapping[int, Mapping[str, Score]],
    random: Mapping[int, Mapping[str, Score]],
    floor: Score | None,
    chance: float | None,
) -> None:
    # Moved apart a little, so that one curve's bars do not hide the other's.
    for scores, label, colour, style, marker, shift in (
        (top, "K queries of highest response", BLUE, "-", "o", 2**-0.03),
        (random, "K random queries", ORANGE, "--", "s", 2**0.03),
    ):
        points = {count: scores[count][skill] for count in sorted(scores) if skill in scores[count]}
        if points:
            panel.errorbar(
                [count * shift for count in points],
                [score.accuracy for score in points.values()],
                yerr=[
                    [score.accuracy - score.low for score in points.values()],
                    [score.high - score.accuracy for score in points.values()],
                ],
                label=label,
                color=colour,
                linestyle=style,
                marker=marker,
                markersize=5,
                linewidth=1.8,
                elinewidth=1.2,
                capsize=3,
            )
    levels = []
    if floor is not None:
        levels.append((floor.accuracy, f"frames shuffled {floor.accuracy:.0%}", GREEN, "-."))
        panel.axhspan(floor.low, floor.high, color=GREEN, alpha=0.08, linewidth=0)
    if chance is not None:
        levels.append((chance, f"chance {chance:.0%}", GREY, ":"))
    for level, _, colour, style in levels:
        panel.axhline(level, color=colour, linestyle=style, linewidth=1.1, zorder=1)
    heights = spread([level for level, *_ in levels], LABEL_DISTANCE, 0.0, 1.0)
    for height, (_, text, colour, _) in zip(heights, levels, strict=True):
        panel.text(1.01, height, text, color=colour, transform=panel.get_yaxis_transform(), va="center", fontsize=10.5)
    panel.set_ylim(-0.03, 1.05)
    panel.set_yticks([0, 0.25, 0.5, 0.75, 1.0])
    panel.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    panel.set_ylabel(skill.replace("_", " "), fontsize=12)
    tidy(panel)


def _draw_cost(panel: Axes, cost: Mapping[int, float], label: str) -> None:
    panel.plot(list(cost), list(cost.values()), color=GREY, marker="D", markersize=5, linewidth=1.8)
    for count, value in cost.items():
        panel.annotate(
            format_quantity(value), (count, value), (0, 7), textcoords="offset points", ha="center", fontsize=10.5
        )
    panel.set_ylim(0, 1.3 * max(cost.values()))
    panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: format_quantity(value)))
    panel.set_ylabel(label, fontsize=12)
    tidy(panel)
