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
"""The Markdown report of a training run: what a model can do before and after, what it costs, what is not shown."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..atomic_write import atomic_write
from ..formatting import format_quantity, format_table
from ..scores.scoring import Score, format_scores, scores_from_dict


REQUIRED = ("title", "num_frames", "tokens_per_frame", "chance", "before", "after")


def write_report(path: str | os.PathLike, results: Mapping[str, Any]) -> None:
    """
    Writes the report of a run.

    Args:
        path (`str` or `os.PathLike`): The Markdown file to write.
        results (`Mapping`): What was measured, in plain JSON types, so that a report can be written again from a file:

            - `title` (`str`): Title of the report.
            - `introduction` (`str`, *optional*): What was done, in a paragraph.
            - `setup` (`dict`, *optional*): Whatever else a reader should know, value by name.
            - `examples` (`dict[str, str]`, *optional*): A question of each skill, to show what its name means.
            - `num_frames`, `tokens_per_frame` (`int`): T and K that `before`, `after` and `floor` were measured with.
            - `chance` (`dict[str, float]`): Chance level of the skills, 0 to 1.
            - `before`, `after` (`dict`): Scores by skill, from [`scores_to_dict`], of the model that training started
              from and of the one that it ended with.
            - `floor` (`dict`, *optional*): Scores of the latter with shuffled frames; its skills are about clips.
            - `by_tokens_per_frame` (`list[dict]`, *optional*): For each K, `tokens_per_frame`, `visual_tokens` of a
              clip, `llm_flops` and `total_flops` of a question, `top` (scores by skill with the queries of highest
              response) and, where it was measured, `random` (the same with random queries).
            - `training` (`dict`, *optional*): `num_steps`, `seconds_per_step`, `seconds`, `batch_size`.
            - `pictures` (`list[dict]`, *optional*): `path` (from the folder of the report, or absolute) and `caption`.
            - `questions` (`list[dict]`, *optional*): `video`, `question`, `answer` and `truth`, asked through the
              pipeline.

    Raises:
        ValueError: `results` lacks a required key.
    """
    text = render_report(results, folder=Path(path).parent)
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def render_report(results: Mapping[str, Any], folder: str | os.PathLike = ".") -> str:
    """The text that [`write_report`] writes into a file in `folder`."""
    missing = [name for name in REQUIRED if name not in results]
    if missing:
        raise ValueError(f"`results` lacks {', '.join(missing)}; expected all of {', '.join(REQUIRED)}.")
    paragraphs = [
        *_introduction(results),
        *_learned(results),
        *_against_tokens_per_frame(results),
        *_cost(results),
        *_training(results),
        *_questions(results),
        *_pictures(results, folder),
        *_not_shown(results),
    ]
    return "\n\n".join(paragraphs) + "\n"


def separated(first: Mapping[str, Score], second: Mapping[str, Score]) -> list[str]:
    """Skills in which the whole 95 % interval of `first` lies above that of `second`."""
    return [skill for skill, score in first.items() if skill in second and score.low > second[skill].high]


def _introduction(results: Mapping[str, Any]) -> list[str]:
    paragraphs = [f"# {results['title']}"]
    if "introduction" in results:
        paragraphs.append(results["introduction"])
    paragraphs.append(
        "Every question below has one right answer, and only that very text counts as correct. The numbers are "
        "percentages of correct answers to questions about pictures and clips that the model was not trained on, "
        "each followed by its 95 % interval: with other questions of the same kind, the true accuracy would be "
        "expected within it."
    )
    if results.get("setup"):
        lines = [[name, str(value)] for name, value in results["setup"].items()]
        paragraphs += ["How it was run:", format_table(["setting", "value"], lines)]
    if results.get("examples"):
        lines = [[skill, _in_cell(question)] for skill, question in results["examples"].items()]
        paragraphs += ["What each skill asks, by an example:", format_table(["skill", "a question"], lines)]
    return paragraphs


def _learned(results: Mapping[str, Any]) -> list[str]:
    before, after, floor = (scores_from_dict(results.get(name, {})) for name in ("before", "after", "floor"))
    about_clips = [skill for skill in after if skill in floor] if floor else list(after)
    about_pictures = [skill for skill in after if skill not in about_clips]
    columns = {"before": before, "after": after}
    about_floor = ""
    if floor:
        columns["after, frames shuffled"] = floor
        about_floor = (
            " With *frames shuffled* the same clips are shown with their frames in a wrong order: what is still right "
            "then does not come from seeing the order of events, so this is the floor that a temporal skill has to be "
            "above."
        )
    paragraphs = [
        "## Before and after training",
        f"Questions about clips, of which the model sees {results['num_frames']} frames at K = "
        f"{results['tokens_per_frame']} tokens each. *Chance* is what guessing among the possible answers would reach."
        + about_floor,
        _scores_of(about_clips, columns, results["chance"]),
    ]
    if floor:
        above = separated({skill: after[skill] for skill in about_clips}, floor)
        paragraphs.append(
            f"After training, the interval lies wholly above that of the shuffled frames for: {_list(above)}."
            + (
                " For the other skills, these figures do not show that the model uses the order of the frames."
                if len(above) < len(about_clips)
                else ""
            )
        )
    if about_pictures:
        fallen = [skill for skill in separated(before, after) if skill in about_pictures]
        paragraphs += [
            "Questions about single pictures: do they show that training on clips kept what the image model could do?",
            _scores_of(about_pictures, {"before": before, "after": after}, results["chance"]),
            f"The interval is wholly lower after training than before for: {_list(fallen)}.",
        ]
    return paragraphs


def _against_tokens_per_frame(results: Mapping[str, Any]) -> list[str]:
    entries = results.get("by_tokens_per_frame", [])
    if not entries:
        return []
    top = {entry["tokens_per_frame"]: scores_from_dict(entry["top"]) for entry in entries}
    paragraphs = [
        "## Accuracy against the tokens kept per frame (K)",
        "One set of weights, asked the same questions while the language model gets to see fewer or more tokens of "
        "each frame. Here the K tokens of a frame are those of its queries of highest response, as in training.",
        format_scores({f"K = {count}": scores for count, scores in top.items()}, results["chance"]),
    ]
    random = {entry["tokens_per_frame"]: scores_from_dict(entry["random"]) for entry in entries if entry.get("random")}
    if random:
        comparisons = _compare(top, random)
        paragraphs += [
            "The same with K queries drawn at random for each frame. If choosing by response matters, it is lower.",
            format_scores({f"K = {count}": scores for count, scores in random.items()}, results["chance"]),
            "The interval of the highest responses lies wholly above that of random queries for: "
            f"{_list(comparisons[0])}; wholly below it for: {_list(comparisons[1])}; for the other pairs the "
            "intervals overlap.",
        ]
    return paragraphs


def _cost(results: Mapping[str, Any]) -> list[str]:
    entries = results.get("by_tokens_per_frame", [])
    if not entries:
        return []
    lines = [
        [
            str(entry["tokens_per_frame"]),
            str(entry["visual_tokens"]),
            format_quantity(entry["llm_flops"]),
            format_quantity(entry["total_flops"]),
        ]
        for entry in entries
    ]
    return [
        "## What K costs",
        f"Computed from the sizes of the model for one question about a clip of {results['num_frames']} frames. "
        "Visual tokens and the floating point operations (FLOPs) of the language model grow with K; those of the "
        "vision tower, which are part of the last column, do not. k, M, G and T stand for a thousand, a million and "
        "so on.",
        format_table(["K", "visual tokens", "language model FLOPs", "all FLOPs"], lines),
    ]


def _training(results: Mapping[str, Any]) -> list[str]:
    training = results.get("training")
    if not training:
        return []
    return [
        "## Time",
        "What training took on this machine; a step is one batch of clips, forward and backward.",
        format_table(
            ["", "steps", "clips per step", "seconds per step", "minutes in all"],
            [
                [
                    "training",
                    str(training["num_steps"]),
                    str(training["batch_size"]),
                    f"{training['seconds_per_step']:.3f}",
                    f"{training['seconds'] / 60:.1f}",
                ]
            ],
        ),
    ]


def _questions(results: Mapping[str, Any]) -> list[str]:
    questions = results.get("questions")
    if not questions:
        return []
    names = ("video", "question", "answer", "truth")
    return [
        "## Asked through the pipeline",
        "The saved model, loaded from its folder in a new process as anyone else would, asked about clips as video "
        "files.",
        format_table(list(names), [[_in_cell(each[name]) for name in names] for each in questions]),
    ]


def _pictures(results: Mapping[str, Any], folder: str | os.PathLike) -> list[str]:
    pictures = results.get("pictures")
    if not pictures:
        return []
    paragraphs = ["## Pictures"]
    for picture in pictures:
        path = os.path.relpath(picture["path"], folder) if os.path.isabs(picture["path"]) else picture["path"]
        paragraphs += [picture["caption"], f"![{picture['caption']}](<{Path(path).as_posix()}>)"]
    return paragraphs


def _not_shown(results: Mapping[str, Any]) -> list[str]:
    entries = [entry for entry in results.get("by_tokens_per_frame", []) if entry.get("random")]
    claims = [
        "All figures come from one training run. The intervals say how much they would vary with other questions, "
        "not with another seed, other data or another machine.",
        "Questions, pictures and clips of training and of this test come from the same kind of source, so nothing "
        "follows for others, nor for a model of another size.",
        "No model was trained without the temporal encoding E, so nothing here shows that E causes a skill: the "
        "language model can also tell the frames apart by the positions of their tokens.",
    ]
    if entries:
        top, random = ([scores_from_dict(entry[name]) for entry in entries] for name in ("top", "random"))
        if any(separated(first, second) for first, second in zip(top, random, strict=True)):
            claims.append(
                "Where random queries do worse than those of highest response, the cause may be that training only "
                "ever kept the latter; no model was trained with random queries to tell the two apart."
            )
        else:
            claims.append(
                "At no K is the interval of the highest responses wholly above that of random queries, so nothing "
                "here shows that choosing tokens by their response causes a skill."
            )
    else:
        claims.append("Nothing here compares the choice of tokens by response with another choice.")
    claims.append(
        "FLOPs are computed, not measured, and fewer of them are not always less time in the same proportion: the "
        "vision tower costs the same at every K."
    )
    return ["## What these figures do not show", " ".join(claims)]


def _scores_of(skills: list[str], columns: Mapping[str, Mapping[str, Score]], chance: Mapping[str, float]) -> str:
    chosen = {
        title: {skill: scores[skill] for skill in skills if skill in scores} for title, scores in columns.items()
    }
    return format_scores(chosen, chance)


def _compare(
    top: Mapping[int, Mapping[str, Score]], random: Mapping[int, Mapping[str, Score]]
) -> tuple[list[str], list[str]]:
    above, below = [], []
    for count in random:
        above += [f"{skill} at K = {count}" for skill in separated(top[count], random[count])]
        below += [f"{skill} at K = {count}" for skill in separated(random[count], top[count])]
    return above, below


def _list(names: list[str]) -> str:
    return ", ".join(names) or "none"


def _in_cell(text: str) -> str:
    """Text that does not break a table."""
    return " ".join(str(text).split()).replace("|", "\\|")
