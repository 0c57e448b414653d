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
"""The report of `ftfv miniature`: what each stage reached, as Markdown."""

from pathlib import Path
from typing import Any

from .evaluation.atomic_write import atomic_write
from .evaluation.formatting import format_table
from .evaluation.scores.scoring import Score, format_score, format_scores, scores_from_dict
from .training.data.moving_shapes import CHANCE, IMAGE_SKILLS


IMAGE_STAGES = ("align", "pretrain", "instruct")


def write_miniature_report(path: Path, results: dict[str, Any]) -> None:
    """Writes the report from the results of the steps that are done; what is not says so."""
    sections = ["# The miniature: every stage from nothing", *_setting(results), *_image_stages(results)]
    sections += _video_stages(results) if "figures" in results else ["## Video stages", "Not measured."]
    sections += _durations(results)
    with atomic_write(path) as temporary:
        temporary.write_text("\n\n".join(sections) + "\n")


def _setting(results: dict[str, Any]) -> list[str]:
    if "join" not in results:
        return []
    return [
        f"{results['join']['num_parameters']:,} parameters, of which tower and language model were pretrained first; "
        f"{results['pictures']['num_pictures']:,} pictures of MovingShapes. Accuracy is in percent with its 95 % "
        f"interval, on {results['pictures']['questions_per_skill']} held-out questions a skill; chance is exact, as "
        "answers are balanced."
    ]


def _image_stages(results: dict[str, Any]) -> list[str]:
    done = [stage for stage in IMAGE_STAGES if stage in results]
    if not done:
        return []
    return [
        "## Image stages",
        "Pictures are asked about one at a time; clips are shown as 8 frames to a model that has never seen one.",
        format_scores({stage: scores_from_dict(results[stage]["scores"]) for stage in done}, CHANCE),
    ]


def _video_stages(results: dict[str, Any]) -> list[str]:
    figures = results["figures"]
    seeds = [name for name in figures if name.startswith("s4v")]
    return [
        "## Video stages",
        f"S4-V continues the image model (`instruct`) on {results['clips']['num_clips']:,} clips alone. S3-IV "
        f"continues `pretrain` on {results['clips']['num_joint_pictures']:,} pictures and "
        f"{results['clips']['num_joint_clips']:,} clips together. The floor is the same model shown the frames of "
        "each clip in a random order: what it still gets right there, it does not owe to their order.",
        format_scores(
            {
                **{f"S4-V, seed {seed}": _all_scores(figures[name]) for seed, name in enumerate(seeds)},
                "floor, seed 0": scores_from_dict(figures[seeds[0]]["floor"]),
                "S3-IV": _all_scores(figures["s3iv"]),
                "floor, S3-IV": scores_from_dict(figures["s3iv"]["floor"]),
            },
            CHANCE,
        ),
        "## Accuracy against K, one set of weights",
        "K tokens per frame of the 16 queries, drawn anew for each batch in training: the K of highest response, "
        "and K at random for comparison.",
        *(_tokens_per_frame_table(figures, seeds, skill) for skill in _skills(figures[seeds[0]])),
        "## Image skills after S4-V and after S3-IV",
        format_scores(
            {
                "before (instruct)": _image_scores(results["instruct"]),
                **{f"S4-V, seed {seed}": _image_scores(figures[name]) for seed, name in enumerate(seeds)},
                "S3-IV": _image_scores(figures["s3iv"]),
            },
            CHANCE,
        ),
    ]


def _durations(results: dict[str, Any]) -> list[str]:
    stages = [(stage, results[stage]) for stage in IMAGE_STAGES if stage in results]
    stages += list(results.get("figures", {}).items())
    if not stages:
        return []
    return [
        "## Time",
        format_table(
            ["stage", "steps", "seconds", "seconds a step"], [_duration(name, entry) for name, entry in stages]
        ),
        "Seconds include the start of `trl sft`; a stage that was interrupted shows its last part only. The video "
        "stages run two at a time, one thread each.",
    ]


def _skills(figures: dict[str, Any]) -> list[str]:
    return list(next(iter(figures["tokens_per_frame"]["weighted"].values())))


def _all_scores(result: dict[str, Any]) -> dict[str, Score]:
    return scores_from_dict(result["scores"])


def _image_scores(result: dict[str, Any]) -> dict[str, Score]:
    return {skill: score for skill, score in _all_scores(result).items() if skill in IMAGE_SKILLS}


def _tokens_per_frame_table(figures: dict[str, Any], seeds: list[str], skill: str) -> str:
    counts = figures[seeds[0]]["tokens_per_frame"]["weighted"]
    lines = []
    for token_sampler, title in (("weighted", "highest response"), ("random", "random")):
        for seed, name in enumerate(seeds):
            measured = figures[name]["tokens_per_frame"][token_sampler]
            scores = [format_score(scores_from_dict(measured[count])[skill]) for count in counts]
            lines.append([f"{title}, seed {seed}", *scores])
    return f"{skill}:\n\n" + format_table(["kept queries", *(f"K = {count}" for count in counts)], lines)


def _duration(name: str, entry: dict[str, Any]) -> list[str]:
    steps = entry["last_step"] - entry["first_step"]
    return [name, str(steps), f"{entry['seconds']:.0f}", f"{entry['seconds'] / steps:.2f}"]
