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
What training wastes: padding in its batches, and steps that wait for data.

    python tests/benchmarks/bench_training.py padding
    python tests/benchmarks/bench_training.py waiting

`padding` composes the batches of a recipe with the samplers of transformers' trainer, which know an estimate, the
column `length` of the rows, and counts their tokens: of rows of MovingShapes as the miniature's processor counts them,
and of rows of the paper's size, whose media are exact and whose text is drawn (`TEXTS`).

`waiting` trains the miniature by the recipe `miniature/s4v` and TRL's own script, from mp4 files and from decoded
frames, and times `Trainer.get_batch_samples`, which fetches the rows of an optimiser step. Settings are measured in
interleaved rounds, each in a process of its own; medians. Without a GPU it reports ratios and shares alone.
"""

import argparse
import json
import math
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from torch.utils.data import BatchSampler, RandomSampler
from transformers import Trainer
from transformers.trainer_pt_utils import BatchRebalanceSampler, LengthGroupedSampler

from ftfv import FTFVForConditionalGeneration, FTFVProcessor
from ftfv.demo import ASSETS
from ftfv.training.data.dataset_folder import CHARACTERS_PER_TOKEN, IMAGE_TOKENS, VIDEO_TOKENS, media_type, read_rows
from ftfv.training.data.frame_cache import cache_frames
from ftfv.training.data.moving_shapes import write_dataset
from ftfv.training.stages import read_recipe


ROOT = Path(__file__).resolve().parents[2]
STRATEGIES = ("random", "group_by_length", "batch_rebalance")

# Text of a row in tokens, log-normal: median and spread of the logarithm. Assumed, not counted: short questions with
# answers of a sentence or two for VideoInstruct, long captions and conversations for ShareGPT4V, anything for M3IT.
TEXTS = {"video_instruct": (100, 0.5), "sharegpt4v": (250, 0.6), "m3it": (60, 0.9)}
# Name, recipe, GPUs and rows of each set; of the sets of pictures a part, with more videos beside it than `s3iv` has.
PAPER_MIXTURES = (
    ("pictures alone", "instruct", 16, {"sharegpt4v": 6650, "m3it": 24000}),
    ("videos alone", "s4v", 2, {"video_instruct": 9827}),
    ("one picture in ten rows", "s4v_replay", 2, {"video_instruct": 9827, "sharegpt4v": 546, "m3it": 546}),
    ("one video in fifty rows", "s3iv", 16, {"video_instruct": 625, "sharegpt4v": 6650, "m3it": 24000}),
)
# Name, recipe whose batches are taken, GPUs, clips and pictures.
MINIATURE_MIXTURES = (
    ("videos alone", "s4v", 2, 640, 0),
    ("one picture in ten rows", "s4v_replay", 2, 576, 64),
    ("one video in ten rows", "s3iv", 16, 64, 576),
)


@dataclass(frozen=True)
class Setting:
    """How the rows of a step are fetched; all settings have 16 rows to a step."""

    frames: str
    workers: int
    accumulation: int = 1
    prefetch: int | None = None


SETTINGS = [
    *(Setting(frames, workers) for frames in ("mp4", "npy") for workers in (0, 1, 2)),
    *(Setting("mp4", 1, accumulation=8, prefetch=prefetch) for prefetch in (2, 8)),
]
ROWS_PER_STEP, WARM_UP = 16, 3


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("padding", "waiting"))
    parser.add_argument("--rounds", type=int, default=3, help="rounds of `waiting`")
    parser.add_argument("--steps", type=int, default=30, help="steps of a round that count, after three that do not")
    parser.add_argument("--recipe", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.recipe:
        sys.stderr.write(json.dumps(time_steps(arguments.recipe)) + "\n")
    elif arguments.part == "padding":
        print_padding()
    else:
        print_waiting(arguments.rounds, arguments.steps)
    return 0


def print_padding() -> None:
    sys.stdout.write(
        "| rows | sampler | padded | tokens computed | largest batch, tokens | steps of one kind |\n"
        "| --- | --- | ---: | ---: | ---: | ---: |\n"
    )
    for name, recipe, num_gpus, *counts in (*MINIATURE_MIXTURES, *PAPER_MIXTURES):
        rows = paper_rows(*counts) if isinstance(counts[0], dict) else miniature_rows(*counts)
        size = "paper" if isinstance(counts[0], dict) else "miniature"
        found = {strategy: padding(strategy, rows, recipe, num_gpus) for strategy in STRATEGIES}
        for strategy, (padded, computed, largest, uniform) in found.items():
            _, computed_at_random, largest_at_random, _ = found["random"]
            sys.stdout.write(
                f"| {name}, {size} | `{strategy}` | {padded:.1%} | {computed / computed_at_random:.2f} | "
                f"{largest / largest_at_random:.2f} | {uniform:.0%} |\n"
            )


Row = tuple[str, int, int]
"""Kind of media, true length and estimate."""


def miniature_rows(num_clips: int, num_images: int) -> list[Row]:
    """Rows of MovingShapes, as long as the miniature's processor makes them."""
    processor = FTFVProcessor.from_pretrained(ASSETS)
    with tempfile.TemporaryDirectory() as folder:
        write_dataset(folder, num_clips=num_clips, num_images=num_images, seed=0, progress=False)
        os.environ["FTFV_MEDIA_ROOT"] = folder
        return [
            (
                media_type(row),
                len(processor.apply_chat_template(row["messages"], tokenize=True, return_dict=True)["input_ids"][0]),
                row["length"],
            )
            for row in read_rows(folder)
        ]


def paper_rows(counts: dict[str, int]) -> list[Row]:
    """Rows of the paper's size; characters to a token vary by a tenth."""
    generator = random.Random(0)
    rows = []
    for name, count in counts.items():
        kind, media = ("video", VIDEO_TOKENS) if name.startswith("video") else ("image", IMAGE_TOKENS)
        median, spread = TEXTS[name]
        for _ in range(count):
            text = generator.lognormvariate(math.log(median), spread)
            characters = text * CHARACTERS_PER_TOKEN * generator.gauss(1, 0.1)
            rows.append((kind, media + round(text), media + math.ceil(characters / CHARACTERS_PER_TOKEN)))
    return rows


def padding(strategy: str, rows: Sequence[Row], recipe: str, num_gpus: int) -> tuple[float, int, int, float]:
    """
    Share of padded positions, positions with padding, those of the largest batch, and share of optimiser steps whose
    rows are all of one kind.
    """
    options = read_recipe(recipe)
    batch_size, accumulation = options["per_device_train_batch_size"], options["gradient_accumulation_steps"]
    torch.manual_seed(0)
    steps = list(compose(strategy, [estimate for *_, estimate in rows], batch_size, accumulation, num_gpus))
    batches = [[rows[index] for index in batch] for step in steps for batch in step]
    sizes = [len(batch) * max(length for _, length, _ in batch) for batch in batches]
    filled = sum(length for batch in batches for _, length, _ in batch)
    kinds = [{rows[index][0] for batch in step for index in batch} for step in steps]
    return 1 - filled / sum(sizes), sum(sizes), max(sizes), sum(len(kind) == 1 for kind in kinds) / len(steps)


def compose(
    strategy: str, lengths: list[int], batch_size: int, accumulation: int, num_gpus: int
) -> Iterator[list[list[int]]]:
    """Optimiser steps, each a list of batches of row numbers, as the trainer makes them on `num_gpus` processes."""
    per_step = accumulation * num_gpus
    if strategy == "batch_rebalance":
        shares = [
            BatchRebalanceSampler(lengths, batch_size * per_step, num_gpus, accumulation, rank=rank)
            for rank in range(num_gpus)
        ]
        batches = [batch for together in zip(*shares, strict=True) for batch in together]
    else:
        sampler = (
            RandomSampler(lengths)
            if strategy == "random"
            else LengthGroupedSampler(batch_size * accumulation, lengths=lengths)
        )
        batches = list(BatchSampler(sampler, batch_size, drop_last=True))
    for start in range(0, len(batches) - per_step + 1, per_step):
        yield batches[start : start + per_step]


def print_waiting(num_rounds: int, num_steps: int) -> None:
    has_gpu = torch.cuda.is_available()
    measured: dict[Setting, list[tuple[float, float]]] = {setting: [] for setting in SETTINGS}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        FTFVForConditionalGeneration.from_pretrained(ASSETS, dtype="float32").save_pretrained(folder / "model")
        FTFVProcessor.from_pretrained(ASSETS).save_pretrained(folder / "model")
        write_dataset(folder / "clips", num_clips=320, seed=0, progress=False)
        cache_frames(folder / "clips", progress=False)
        for _ in range(num_rounds):
            for setting, found in measured.items():
                recipe = write_recipe(folder, setting, num_steps, has_gpu)
                found.append(run(recipe))
    rates, shares = (
        {setting: statistics.median(pair[index] for pair in found) for setting, found in measured.items()}
        for index in (0, 1)
    )
    where = torch.cuda.get_device_name() if has_gpu else f"{os.cpu_count()} cores, {torch.get_num_threads()} threads"
    unit = "rows a second" if has_gpu else "rows a second, relative"
    sys.stdout.write(
        f"{ROWS_PER_STEP} rows a step, {num_steps} steps, {num_rounds} rounds, {where}\n\n"
        f"| media | workers | accumulated | prefetched by a worker | {unit} | waiting for data |\n"
        "| --- | ---: | ---: | ---: | ---: | ---: |\n"
    )
    for setting in SETTINGS:
        rate = f"{rates[setting]:.1f}" if has_gpu else f"{rates[setting] / rates[SETTINGS[0]]:.2f}"
        prefetch = "-" if not setting.workers else setting.prefetch or 2  # PyTorch's own
        sys.stdout.write(
            f"| {setting.frames} | {setting.workers} | {setting.accumulation} | {prefetch} | {rate} | "
            f"{shares[setting]:.1%} |\n"
        )


def write_recipe(folder: Path, setting: Setting, num_steps: int, has_gpu: bool) -> Path:
    data = folder / "clips" / ("cached" if setting.frames == "npy" else "")
    recipe = read_recipe("miniature/s4v")
    recipe |= {
        "model_name_or_path": str(folder / "model"),
        "dataset_name": str(data),
        "output_dir": str(folder / "training"),
        "max_steps": WARM_UP + num_steps + 1,
        "per_device_train_batch_size": ROWS_PER_STEP // setting.accumulation,
        "gradient_accumulation_steps": setting.accumulation,
        "dataloader_num_workers": setting.workers,
        "dataloader_pin_memory": has_gpu,
        "use_cpu": not has_gpu,
        "save_strategy": "no",
        "disable_tqdm": True,
        "env": {
            **recipe["env"],
            "FTFV_MEDIA_ROOT": str(data),
            "HF_DATASETS_CACHE": str(folder / f"cache_{setting.frames}"),
        },
    }
    if setting.prefetch is not None:
        recipe["dataloader_prefetch_factor"] = setting.prefetch
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe))
    return path


def run(recipe: Path) -> tuple[float, float]:
    """Rows a second and share of waiting, from `trl sft` in a new process."""
    command = [sys.executable, __file__, "waiting", "--recipe", str(recipe)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    finished = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if finished.returncode != 0:
        raise RuntimeError(f"`{' '.join(command)}` failed:\n{finished.stderr}")
    steps = json.loads(finished.stderr.splitlines()[-1])
    waiting, total = (sum(step[index] for step in steps) for index in (0, 1))
    return ROWS_PER_STEP / statistics.median(seconds for _, seconds in steps), waiting / total


def time_steps(recipe: str) -> list[tuple[float, float]]:
    """Trains by TRL's script; seconds that each step waited for its rows, and that it took in all."""
    from trl.scripts import sft

    fetches: list[tuple[float, float]] = []
    get_batch_samples = Trainer.get_batch_samples

    def timed(*arguments: Any) -> Any:
        if torch.cuda.is_available():
            # What the GPU still computes is no waiting.
            torch.cuda.synchronize()
        start = time.perf_counter()
        samples = get_batch_samples(*arguments)
        fetches.append((start, time.perf_counter()))
        return samples

    Trainer.get_batch_samples = timed
    sft.main(*sft.make_parser(prog="sft").parse_args_and_config(["--config", recipe]))
    following = zip(fetches[WARM_UP:], fetches[WARM_UP + 1 :], strict=False)
    return [(end - start, next_start - start) for (start, end), (next_start, _) in following]


if __name__ == "__main__":
    sys.exit(main())
