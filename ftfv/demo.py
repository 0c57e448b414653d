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
"""
`ftfv demo`: the whole way at tiny size: clips, an image model, S4-V by `trl sft`, figures before and after, an answer.
"""

import argparse
import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

from .steps import Step, run_steps


ASSETS = Path(__file__).parent / "assets" / "miniature"
NUM_CLIPS = 1_500
CLIP_MIX = {"direction": 4, "appears_first": 4, "moves_first": 1, "turns": 1}
# Answers of every skill are balanced in multiples of 12.
QUESTIONS_PER_SKILL = 120
TOKENS_PER_FRAME = (1, 2, 4, 8, 16)
VIDEO_SKILLS = ("direction", "appears_first")
# A question with its turn marks, rounded, for the cost.
NUM_TEXT_TOKENS = 16


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `ftfv demo`."""
    parser.add_argument("--output", default="demo", help="folder to work in (default: demo)")
    parser.add_argument("--stop-after", help="last step to run, such as clips; a rerun continues")
    parser.add_argument("--clips", type=int, default=NUM_CLIPS, help=f"clips to train on (default: {NUM_CLIPS})")
    parser.add_argument(
        "--questions-per-skill",
        type=int,
        default=QUESTIONS_PER_SKILL,
        help=f"questions to test each skill with, a multiple of 12 (default: {QUESTIONS_PER_SKILL})",
    )
    parser.add_argument("--json", action="store_true", help="print the results as one JSON document")


def run(args: argparse.Namespace) -> dict[str, Any] | None:
    """Runs all steps that are not done yet; says where the report lies, or returns the results for `--json`."""
    folder = Path(args.output).resolve()
    write_clips = partial(_write_clips, num_clips=args.clips, questions_per_skill=args.questions_per_skill)
    steps = (Step("clips", "Clips to learn from and to be tested on", write_clips), *LATER_STEPS)
    results = run_steps(folder, steps, args.stop_after)
    if args.json:
        return results
    for answer in results.get("ask", []):
        print(f"Q: {answer['question']}\nA: {answer['answer']}   (truth: {answer['truth']}, {answer['video']})")
    if "report" in results:
        print(f"Report: {folder / results['report']['report']}\nModel:  {folder / 's4v' / 'model'}")
    return None


def _write_clips(folder: Path, results: dict[str, Any], num_clips: int, questions_per_skill: int) -> dict[str, Any]:
    from .training.data.frame_cache import cache_frames
    from .training.data.moving_shapes import write_dataset, write_evaluation_set

    write_dataset(folder / "clips", num_clips=num_clips, clip_mix=CLIP_MIX, seed=0)
    cache_frames(folder / "clips")
    write_evaluation_set(
        folder / "held_out",
        clips_per_skill=questions_per_skill,
        images_per_skill=questions_per_skill,
        seed=1,
        split="test",
    )
    cache_frames(folder / "held_out")
    return {"num_clips": num_clips, "clip_mix": CLIP_MIX, "questions_per_skill": questions_per_skill}


def _copy_image_model(folder: Path, results: dict[str, Any]) -> dict[str, Any]:
    """The shipped folder holds no Python files; `trl sft`, which does not import this package, needs them."""
    from .modeling_ftfv.modeling_ftfv import FTFVForConditionalGeneration
    from .processing.processing_ftfv import FTFVProcessor

    model = FTFVForConditionalGeneration.from_pretrained(ASSETS, dtype="float32")
    model.save_pretrained(folder / "image_model")
    FTFVProcessor.from_pretrained(ASSETS).save_pretrained(folder / "image_model")
    return {"num_parameters": model.num_parameters()}


def _measure_before(folder: Path, results: dict[str, Any]) -> dict[str, Any]:
    from .moving_shapes_figures import measure_skills

    return measure_skills(folder / "image_model", folder / "held_out" / "cached")


def _train(folder: Path, results: dict[str, Any]) -> dict[str, Any]:
    from .training.stages import read_duration, run_stage

    run_stage("miniature/s4v", folder / "image_model", folder / "clips" / "cached", folder / "s4v", dtype="float32")
    return read_duration(folder / "s4v")


def _measure_after(folder: Path, results: dict[str, Any]) -> dict[str, Any]:
    from .moving_shapes_figures import measure_skills

    return measure_skills(folder / "s4v" / "model", folder / "held_out" / "cached", floor=True)


def _measure_tokens_per_frame(folder: Path, results: dict[str, Any]) -> dict[str, Any]:
    from .modeling_ftfv.configuration_ftfv import FTFVConfig
    from .modeling_ftfv.cost import CostCounter
    from .moving_shapes_figures import measure_tokens_per_frame

    model = folder / "s4v" / "model"
    config = FTFVConfig.from_pretrained(model)
    counter, costs = CostCounter(config), {}
    for count in TOKENS_PER_FRAME:
        counted = counter.prefill(tokens_per_frame=count, num_text_tokens=NUM_TEXT_TOKENS)
        costs[str(count)] = {
            "visual_tokens": counted.visual_tokens,
            "llm_flops": counted.language_flops,
            "total_flops": counted.total_flops,
        }
    accuracy = measure_tokens_per_frame(
        model, folder / "held_out" / "cached", skills=VIDEO_SKILLS, tokens_per_frame=TOKENS_PER_FRAME
    )
    return {
        "accuracy": accuracy,
        "costs": costs,
        "default_tokens_per_frame": config.tokens_per_frame,
        "num_frames": config.num_frames,
    }


def _ask(folder: Path, results: dict[str, Any]) -> list[dict[str, str]]:
    """Three held-out clips, asked about in a process that has only the saved folder and its own code."""
    from .training.data.dataset_folder import media_path, read_rows

    rows = {row["skill"]: row for row in reversed(read_rows(folder / "held_out"))}
    asked = [
        {
            "video": str(folder / "held_out" / media_path(rows[skill])),
            "question": rows[skill]["messages"][0]["content"][-1]["text"],
            "truth": rows[skill]["messages"][-1]["content"][0]["text"],
        }
        for skill in ("direction", "appears_first", "turns")
    ]
    process = subprocess.run(  # noqa: S603
        [sys.executable, "-I", "-c", _ASK_BY_REMOTE_CODE, str(folder / "s4v" / "model"), json.dumps(asked)],
        cwd=folder,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if process.returncode != 0:
        raise RuntimeError(
            f"Loading {folder / 's4v' / 'model'} in a fresh process failed with exit code {process.returncode}; its "
            "own message is above."
        )
    answers = json.loads(process.stdout.splitlines()[-1])
    return [{**row, "answer": answer} for row, answer in zip(asked, answers, strict=True)]


# What a stranger would write, who has transformers and the folder and not this package.
_ASK_BY_REMOTE_CODE = """
import json, sys
sys.modules["ftfv"] = None
from transformers import pipeline

pipe = pipeline("video-text-to-text", model=sys.argv[1], trust_remote_code=True)
answers = []
for row in json.loads(sys.argv[2]):
    [output] = pipe(
        videos=row["video"], text=row["question"], tokens_per_frame=8, max_new_tokens=8, return_full_text=False
    )
    answers.append(output["generated_text"].strip())
print(json.dumps(answers))
"""


def _write_report(folder: Path, results: dict[str, Any]) -> dict[str, Any]:
    from .demo_report import write_demo_report

    return write_demo_report(folder, results)


LATER_STEPS = (
    Step("image_model", "The shipped image model, with its code", _copy_image_model),
    Step("before", "What the image model can do, shown single pictures and 8 frames", _measure_before),
    Step("s4v", "S4-V: training on videos alone, by trl sft", _train),
    Step("after", "What the video model can do", _measure_after),
    Step("tokens_per_frame", "Accuracy and cost against K", _measure_tokens_per_frame),
    Step("ask", "Three questions, in a fresh process with remote code", _ask),
    Step("report", "Report", _write_report),
)
