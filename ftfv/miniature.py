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
`ftfv miniature`: makes the shipped tiny model from nothing, through all four stages, and measures what each reaches.
"""

import argparse
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from .steps import Step, run_steps


NUM_PICTURES = 20_000
NUM_CLIPS = 3_000
NUM_JOINT_PICTURES = 8_000
NUM_JOINT_CLIPS = 2_000
QUESTIONS_PER_SKILL = 240
TOKENS_PER_FRAME = (1, 2, 4, 8, 16)
VIDEO_SKILLS = ("direction", "appears_first")
CLIP_MIX = {"direction": 4, "appears_first": 4, "moves_first": 1, "turns": 1}
SEEDS = (0, 1, 2)
# Longer than the demo's; the recipe's own number is the demo's.
S4V_STEPS = 1_500


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `ftfv miniature`."""
    parser.add_argument("--output", default="miniature", help="folder to work in (default: miniature)")
    parser.add_argument("--stop-after", help="last step to run; a rerun continues")
    parser.add_argument("--assets", help="folder to write the shipped model to, such as ftfv/assets/miniature")


def run(args: argparse.Namespace) -> None:
    """Runs all steps that are not done yet and writes report.md about those that are."""
    from .miniature_report import write_miniature_report

    folder = Path(args.output).resolve()
    results = run_steps(folder, STEPS, args.stop_after)
    write_miniature_report(folder / "report.md", results)
    if args.assets:
        from .miniature_assets import write_assets

        write_assets(folder / "image" / "instruct" / "model", Path(args.assets), folder / "results")
        print(args.assets)
    print(folder / "report.md")


def _make_parts(folder: Path, results: dict[str, Any]) -> dict[str, Any]:
    """The stand-ins for Qwen-VL's vision tower and Vicuna."""
    for part in ("vision", "language"):
        # two threads each: the order in which a sum is taken, and so the weights, depend on their number
        command = [sys.executable, "-m", "ftfv.training.pretrained_parts", part, "--threads", "2"]
        process = subprocess.run([*command, "--output", str(folder / "parts")], check=False)  # noqa: S603
        if process.returncode:
            raise RuntimeError(
                f"`{' '.join(command)}` ended with exit code {process.returncode}; its own message is above."
            )
    return _read_reports(folder / "parts")


def _read_reports(parts: Path) -> dict[str, Any]:
    import json

    return {
        name: json.loads((parts / name / "pretraining.json").read_text())
        for name in ("vision_tower", "language_model")
    }


def _write_pictures(folder: Path, results: dict[str, Any]) -> dict[str, Any]:
    from .training.data.frame_cache import cache_frames
    from .training.data.moving_shapes import write_dataset, write_evaluation_set

    write_dataset(folder / "data" / "pictures", num_images=NUM_PICTURES, seed=0)
    write_evaluation_set(
        folder / "data" / "test",
        clips_per_skill=QUESTIONS_PER_SKILL,
        images_per_skill=QUESTIONS_PER_SKILL,
        seed=0,
        split="test",
    )
    cache_frames(folder / "data" / "test")
    return {"num_pictures": NUM_PICTURES, "questions_per_skill": QUESTIONS_PER_SKILL}


def _join_parts(folder: Path, results: dict[str, Any]) -> dict[str, Any]:
    import shutil

    from transformers import AutoTokenizer

    from .training.conversion.pair import join, read_chat_template

    parts, start = folder / "parts", folder / "image" / "start"
    shutil.rmtree(start, ignore_errors=True)
    model, processor = join(
        parts / "vision_tower",
        parts / "language_model",
        AutoTokenizer.from_pretrained(parts / "tokenizer"),
        chat_template=read_chat_template("plain"),
        num_query_tokens=16,
        num_attention_heads=4,
        tokens_per_frame=8,
    )
    model.save_pretrained(start)
    processor.save_pretrained(start)
    return {"num_parameters": model.num_parameters()}


def _image_stage(name: str, before: str) -> Step:
    def work(folder: Path, results: dict[str, Any]) -> dict[str, Any]:
        from .moving_shapes_figures import measure_skills
        from .training.stages import read_duration, run_stage

        stage = folder / "image" / name
        start = folder / "image" / before
        start = start if before == "start" else start / "model"
        model = run_stage(f"miniature/{name}", start, folder / "data" / "pictures", stage, dtype="float32")
        return {**measure_skills(model, folder / "data" / "test" / "cached"), **read_duration(stage)}

    return Step(name, f"Image stage {name}, by trl sft", work)


def _write_clips(folder: Path, results: dict[str, Any]) -> dict[str, Any]:
    from .training.data.frame_cache import cache_frames
    from .training.data.moving_shapes import write_dataset

    write_dataset(folder / "data" / "clips", num_clips=NUM_CLIPS, clip_mix=CLIP_MIX, seed=0)
    cache_frames(folder / "data" / "clips")
    # S3-IV: pictures and clips in one set
    joint = folder / "data" / "joint"
    write_dataset(joint, num_images=NUM_JOINT_PICTURES, num_clips=NUM_JOINT_CLIPS, clip_mix=CLIP_MIX, seed=1)
    cache_frames(joint)
    return {
        "num_clips": NUM_CLIPS,
        "clip_mix": CLIP_MIX,
        "num_joint_pictures": NUM_JOINT_PICTURES,
        "num_joint_clips": NUM_JOINT_CLIPS,
    }


def _video_runs(folder: Path, results: dict[str, Any]) -> dict[str, Any]:
    """S4-V with three seeds and S3-IV, two processes of one thread at a time."""
    from .training.stages import run_stage

    data, image = folder / "data", folder / "image"
    jobs = {
        f"s4v_seed{seed}": (
            "miniature/s4v",
            image / "instruct" / "model",
            data / "clips" / "cached",
            {"seed": seed, "data_seed": seed, "max_steps": S4V_STEPS},
        )
        for seed in SEEDS
    }
    jobs["s3iv"] = ("miniature/s3iv", image / "pretrain" / "model", data / "joint" / "cached", {})
    with ThreadPoolExecutor(max_workers=2) as pool:
        futures = [
            pool.submit(
                run_stage,
                recipe,
                model,
                dataset,
                folder / "video" / name,
                overrides=overrides,
                environment={"OMP_NUM_THREADS": "1"},
                dtype="float32",
            )
            for name, (recipe, model, dataset, overrides) in jobs.items()
        ]
        for future in futures:
            future.result()
    return {"runs": list(jobs)}


def _measure_video(folder: Path, results: dict[str, Any]) -> dict[str, Any]:
    from .moving_shapes_figures import measure_skills, measure_tokens_per_frame
    from .training.stages import read_duration

    measured = {}
    for name in results["video"]["runs"]:
        model = folder / "video" / name / "model"
        measured[name] = {
            **measure_skills(model, folder / "data" / "test" / "cached", floor=True),
            "tokens_per_frame": measure_tokens_per_frame(
                model, folder / "data" / "test" / "cached", skills=VIDEO_SKILLS, tokens_per_frame=TOKENS_PER_FRAME
            ),
            **read_duration(folder / "video" / name),
        }
    return measured


STEPS = (
    Step("parts", "Vision tower and language model, pretrained from nothing", _make_parts),
    Step("pictures", "Pictures to learn from, clips and pictures to be tested on", _write_pictures),
    Step("join", "An image model with a new adapter", _join_parts),
    _image_stage("align", "start"),
    _image_stage("pretrain", "align"),
    _image_stage("instruct", "pretrain"),
    Step("clips", "Clips to learn from, decoded once", _write_clips),
    Step("video", "S4-V with three seeds, and S3-IV, by trl sft", _video_runs),
    Step("figures", "What the video models reach", _measure_video),
)
