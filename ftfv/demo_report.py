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
"""Turns the results of `ftfv demo` into its report, plot and picture."""

from pathlib import Path
from typing import Any

from .evaluation.pages.pictures import draw_kept_patches
from .evaluation.plots.accuracy import plot_accuracy_and_cost
from .evaluation.reports.training_report import write_report
from .evaluation.scores.scoring import scores_from_dict
from .modeling_ftfv.modeling_ftfv import FTFVForConditionalGeneration
from .processing.processing_ftfv import FTFVProcessor
from .training.data.moving_shapes import CHANCE


INTRODUCTION = (
    "A tiny model that knew pictures of coloured shapes and no videos was trained on clips alone (S4-V, the fourth "
    "stage of the paper), by plain `trl sft`. A frame of a clip gives 16 candidate tokens, and the language model "
    "gets to see K of them; K was drawn anew for each training batch, so one set of weights serves every K."
)


def write_demo_report(folder: Path, results: dict[str, Any]) -> dict[str, str]:
    """
    Writes `report.md`, `accuracy_and_cost.png` and `look.png` into `folder`.

    Returns:
        `dict[str, str]`: names of the three files.
    """
    measured, asked = results["tokens_per_frame"], results["ask"]
    tokens_per_frame, num_frames = measured["default_tokens_per_frame"], measured["num_frames"]
    plot, look = "accuracy_and_cost.png", "look.png"
    by_count = {
        sampler: {int(count): scores_from_dict(scores) for count, scores in counts.items()}
        for sampler, counts in measured["accuracy"].items()
    }
    plot_accuracy_and_cost(
        folder / plot,
        by_count["weighted"],
        {int(count): cost["visual_tokens"] for count, cost in measured["costs"].items()},
        random=by_count["random"],
        floor=scores_from_dict(results["after"]["floor"]),
        chance=CHANCE,
    )
    draw_kept_patches(
        FTFVForConditionalGeneration.from_pretrained(folder / "s4v" / "model"),
        FTFVProcessor.from_pretrained(folder / "s4v" / "model"),
        asked[0]["video"],
        folder / look,
        tokens_per_frame=[tokens_per_frame // 4, tokens_per_frame],
        question=asked[0]["question"],
        truth=asked[0]["truth"],
    )
    duration = results["s4v"]
    num_steps = duration["last_step"] - duration["first_step"]
    write_report(
        folder / "report.md",
        {
            "title": "The demo: an image model becomes a video model",
            "introduction": INTRODUCTION,
            "setup": {
                "model": f"{results['image_model']['num_parameters']:,} parameters, 16 query tokens per frame",
                "clips to learn from": f"{results['clips']['num_clips']:,}",
                "held-out questions per skill": results["clips"]["questions_per_skill"],
            },
            "num_frames": num_frames,
            "tokens_per_frame": tokens_per_frame,
            "chance": dict(CHANCE),
            "before": results["before"]["scores"],
            "after": results["after"]["scores"],
            "floor": results["after"]["floor"],
            "by_tokens_per_frame": [
                {
                    "tokens_per_frame": int(count),
                    **cost,
                    "top": measured["accuracy"]["weighted"][count],
                    "random": measured["accuracy"]["random"][count],
                }
                for count, cost in measured["costs"].items()
            ],
            "training": {
                "num_steps": num_steps,
                "seconds": duration["seconds"],
                "seconds_per_step": duration["seconds"] / num_steps,
                "batch_size": duration["batch_size"],
            },
            "questions": [{**answer, "video": Path(answer["video"]).name} for answer in asked],
            "pictures": [
                {
                    "path": plot,
                    "caption": "Accuracy and visual tokens against K, with the shuffled-frames floor and chance.",
                },
                {
                    "path": look,
                    "caption": "A held-out clip, and the patches that the kept queries of each frame look at.",
                },
            ],
        },
    )
    return {"report": "report.md", "plot": plot, "look": look}
