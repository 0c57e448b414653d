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
What smaller frames, skipped patches and merged patches cost in accuracy and save in compute: trained models, as they
are, asked the same questions with each.

    python tests/benchmarks/bench_trades.py miniature/video/s4v_seed0/model miniature/video/s4v_seed1/model \
        miniature/video/s4v_seed2/model --data miniature/data/test --output trades

The models are several seeds of one recipe, and the data a folder of `ftfv.training.data.moving_shapes`. FLOPs are
those of the paper's sizes, counted by running the default configuration on the meta device with frames smaller in the
same proportion. Writes `report.md`, `results.json` and `plot.png`; run again, it measures only what is missing there.
"""

import argparse
import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from transformers.image_utils import SizeDict

from ftfv import FTFVConfig, FTFVForConditionalGeneration, FTFVProcessor
from ftfv.evaluation.asking.encoded_rows import answer_encoded_rows, encode_rows
from ftfv.evaluation.atomic_write import atomic_write
from ftfv.evaluation.formatting import format_table
from ftfv.evaluation.plots.accuracy import plot_accuracy_against_cost
from ftfv.evaluation.scores.scoring import NORMAL_QUANTILE
from ftfv.modeling_ftfv.cost import cost
from ftfv.training.data.dataset_folder import read_rows
from ftfv.training.data.frame_cache import cache_frames
from ftfv.training.data.moving_shapes.questions import IMAGE_SKILLS, TEMPORAL_SKILLS


# Tokens per frame and of the question for which the paper's sizes are counted.
TOKENS_PER_FRAME, TEXT_TOKENS = 16, 48
# Points of accuracy that a trade may lose.
ALLOWANCE = 1.0


@dataclass(frozen=True)
class Trade:
    """
    A setting to measure.

    Attributes:
        kind (`str`): what it trades, a curve of the plot.
        scale (`float`): side of a frame as a share of the model's own.
        skip, merge (`float`): `skip_unchanged_patches` and `merge_patches`.
        depth (`float`): `merge_layers` as a share of the tower's layers.
    """

    kind: str
    scale: float = 1.0
    skip: float = 0.0
    merge: float = 0.0
    depth: float = 1.0

    @property
    def name(self) -> str:
        parts = [f"frames x {self.scale:.2g}"] if self.scale != 1 else []
        parts += [f"skip {self.skip:g}"] if self.skip else []
        early = f" in the first {self.depth:.0%} of layers" if self.depth < 1 else ""
        parts += [f"merge {self.merge:g}{early}"] if self.merge else []
        return ", ".join(parts) or "nothing"

    def frame_size(self, image_size: int, patch_size: int) -> int:
        """The nearest side in pixels that holds whole patches."""
        return round(self.scale * image_size / patch_size) * patch_size


TRADES = (
    Trade("nothing"),
    *(Trade("smaller frames", scale=scale) for scale in (5 / 6, 2 / 3, 1 / 2)),
    *(Trade("skipping", skip=share) for share in (0.25, 0.5, 0.75, 0.9, 0.92, 0.95)),
    *(Trade("merging", merge=share) for share in (0.25, 0.5, 0.75)),
    Trade("merging early", merge=0.5, depth=0.5),
    Trade("merging early", merge=0.75, depth=0.5),
    Trade("merging early", merge=0.5, depth=0.25),
    Trade("skipping and merging", skip=0.75, merge=0.5),
    Trade("skipping and merging", skip=0.9, merge=0.5),
    Trade("skipping and merging", skip=0.9, merge=0.75),
    Trade("skipping and merging early", skip=0.75, merge=0.5, depth=0.5),
    Trade("skipping and merging early", skip=0.9, merge=0.5, depth=0.5),
    Trade("skipping and merging early", skip=0.9, merge=0.55, depth=0.5),
    Trade("skipping and merging early", skip=0.9, merge=0.7, depth=0.75),
    Trade("skipping and merging early", skip=0.92, merge=0.5, depth=0.5),
    Trade("skipping and merging early", skip=0.95, merge=0.5, depth=0.5),
    Trade("smaller frames and others", scale=5 / 6, skip=0.75),
    Trade("smaller frames and others", scale=5 / 6, skip=0.9),
    Trade("smaller frames and others", scale=2 / 3, skip=0.75),
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", metavar="MODEL", help="folders, one a seed")
    parser.add_argument("--data", type=Path, required=True, help="held-out MovingShapes")
    parser.add_argument("--pictures", metavar="MODEL", help="image model to ask about pictures (default: none)")
    parser.add_argument("--questions", type=int, help="questions a skill (default: all)")
    parser.add_argument("--output", type=Path, default=Path("trades"), help="folder to write (default: trades)")
    arguments = parser.parse_args()
    data = cache_frames(arguments.data, progress=False)
    rows: dict[str, list[dict]] = {}
    for row in read_rows(data):
        rows.setdefault(row["skill"], []).append(row)
    rows = {skill: some[: arguments.questions] for skill, some in rows.items()}

    results_file = arguments.output / "results.json"
    results = json.loads(results_file.read_text()) if results_file.is_file() else {}
    asked = [(name, "clips", TEMPORAL_SKILLS, TRADES) for name in arguments.models]
    if arguments.pictures:
        # Of pictures no patch is skipped.
        asked.append((arguments.pictures, "pictures", IMAGE_SKILLS, tuple(t for t in TRADES if not t.skip)))
    for name, what, skills, trades in asked:
        model = FTFVForConditionalGeneration.from_pretrained(name, dtype="float32").eval()
        for trade in trades:
            found = results.setdefault(what, {}).setdefault(trade.name, {})
            if name not in found:
                asked_rows = [row for skill in skills for row in rows[skill]]
                found[name] = measure(model, name, trade, asked_rows, data)
            if what == "clips" and trade.kind == "nothing":
                # Others have nothing to lose.
                skills = tuple(skill for skill in skills if is_learned(found, skill))
            with atomic_write(results_file) as temporary:
                temporary.write_text(json.dumps(results))
    write_report(arguments.output, results)
    return 0


def measure(
    model: FTFVForConditionalGeneration, name: str, trade: Trade, rows: Sequence[Mapping[str, Any]], data: Path
) -> dict[str, Any]:
    """For each skill the outcomes in the order of its rows, 1 for a right answer, and those with shuffled frames."""
    processor: Any = FTFVProcessor.from_pretrained(name)
    config = model.config.vision_config
    side = trade.frame_size(config.image_size, config.patch_size)
    for part in (processor.image_processor, processor.video_processor):
        part.size = SizeDict(height=side, width=side)
    set_trade(model.config, trade)
    outcomes: dict[str, Any] = {"in order": {}}
    if trade.kind == "nothing" and rows[0]["skill"] in TEMPORAL_SKILLS:
        outcomes["shuffled"] = {}
    for order, by_skill in outcomes.items():
        encoded = encode_rows(
            model, processor, rows, media_root=data, shuffle_frames=order == "shuffled", description=trade.name
        )
        for answer in answer_encoded_rows(model, processor, encoded, progress=False):
            by_skill.setdefault(answer.skill, []).append(int(answer.correct))
    return outcomes


def set_trade(config: FTFVConfig, trade: Trade) -> None:
    """Sets the options of the vision tower."""
    config.skip_unchanged_patches, config.merge_patches = trade.skip, trade.merge
    config.merge_layers = round(trade.depth * config.vision_config.num_hidden_layers)


@cache
def count_teraflops(trade: Trade) -> dict[str, float]:
    """FLOPs of a question about a clip by part in 10^12, in the paper's sizes with LoRA merged."""
    config = FTFVConfig()
    set_trade(config, trade)
    side = trade.frame_size(config.vision_config.image_size, config.vision_config.patch_size)
    counted = cost(config, tokens_per_frame=TOKENS_PER_FRAME, frame_size=side, num_text_tokens=TEXT_TOKENS)
    parts = {
        "tower": counted.tower_linear + counted.tower_attention,
        "adapter": counted.adapter_linear + counted.adapter_attention,
        "language model": counted.language_linear + counted.language_attention,
        "head": counted.lm_head,
    }
    return {part: flops / 1e12 for part, flops in parts.items()}


def write_report(output: Path, results: Mapping[str, Any]) -> None:
    """Writes `report.md` and `plot.png`."""
    clips = results["clips"]
    learned = [skill for skill in TEMPORAL_SKILLS if is_learned(clips["nothing"], skill)]
    head = ["trade", "TFLOPs", "of which tower", *learned, "lost", "95 %", f"at most {ALLOWANCE:g} point lost"]
    lines = []
    points: dict[str, list[tuple[str, float, dict[str, list[float]]]]] = {}
    for trade in TRADES:
        if trade.name not in clips:
            continue
        runs, cost = clips[trade.name], count_teraflops(trade)
        total = sum(cost.values())
        scores = {skill: [mean(run["in order"][skill]) for run in runs.values()] for skill in learned}
        lost, low, high = points_lost(clips["nothing"], runs, learned)
        verdict = "yes" if high <= ALLOWANCE else "no" if low > ALLOWANCE else "not settled"
        accuracies = [format_seeds(scores[skill]) for skill in learned]
        interval = f"{low:.1f} to {high:.1f}"
        lines.append(
            [trade.name, f"{total:.2f}", f"{cost['tower']:.2f}", *accuracies, f"{lost:.1f}", interval, verdict]
        )
        points.setdefault(trade.kind, []).append((trade.name, total, scores))
    shuffled = [run["shuffled"] for run in clips["nothing"].values()]
    floor = [format_seeds([mean(run[skill]) for run in shuffled]) for skill in learned]
    lines.append(["nothing, frames shuffled", "", "", *floor, "", "", ""])
    paragraphs = ["## Clips", format_table(head, lines), "![Accuracy against cost](plot.png)"]
    if "pictures" in results:
        paragraphs += ["## Pictures", pictures_table(results["pictures"])]
    with atomic_write(output / "report.md") as temporary:
        temporary.write_text("\n\n".join(paragraphs) + "\n")
    plot_accuracy_against_cost(
        output / "plot.png",
        points,
        cost_label=f"TFLOPs of a question about 8 frames, paper's sizes, K = {TOKENS_PER_FRAME}",
        title="Accuracy of the miniature against compute",
    )


def pictures_table(pictures: Mapping[str, Any]) -> str:
    skills = list(next(iter(pictures["nothing"].values()))["in order"])
    lines = []
    for trade, runs in pictures.items():
        lost, low, high = points_lost(pictures["nothing"], runs, skills)
        scores = [format_seeds([mean(run["in order"][skill]) for run in runs.values()]) for skill in skills]
        lines.append([trade, *scores, f"{lost:.1f}", f"{low:.1f} to {high:.1f}"])
    return format_table(["trade", *skills, "lost", "95 %"], lines)


def is_learned(runs: Mapping[str, Any], skill: str) -> bool:
    """Whether the frames' order is worth more than ten points to a skill: others have nothing to lose."""
    worth = [mean(run["in order"][skill]) - mean(run["shuffled"][skill]) for run in runs.values()]
    return mean(worth) > 0.1


def points_lost(
    without: Mapping[str, Any], runs: Mapping[str, Any], skills: Sequence[str]
) -> tuple[float, float, float]:
    """
    Points of accuracy that a trade loses over all questions of some skills, with its 95 % interval. It is taken over
    the questions, each of which is answered with and without the trade and by every seed.
    """
    losses = []
    for skill in skills:
        by_seed = [
            [before - after for before, after in zip(without[name]["in order"][skill], outcomes, strict=True)]
            for name, run in runs.items()
            for outcomes in [run["in order"][skill]]
        ]
        losses += [100 * mean(question) for question in zip(*by_seed, strict=True)]
    middle = mean(losses)
    deviation = math.sqrt(sum((loss - middle) ** 2 for loss in losses) / (len(losses) - 1))
    reach = NORMAL_QUANTILE * deviation / math.sqrt(len(losses))
    return middle, middle - reach, middle + reach


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def format_seeds(values: Sequence[float]) -> str:
    """`95.1 (94.2 to 96.3)`, mean, lowest and highest in percent; a single value alone."""
    middle = f"{100 * mean(values):.1f}"
    return middle if len(values) == 1 else f"{middle} ({100 * min(values):.1f} to {100 * max(values):.1f})"


if __name__ == "__main__":
    sys.exit(main())
