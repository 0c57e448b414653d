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
Time and memory of one question about one video: FTFV with several numbers of tokens per frame against other video
models of transformers, all with random weights.

    PYTHONPATH=. python tests/benchmarks/bench_models.py --output bench.json

Every model takes its own frame size; text and frames are as many for each. A row has three timed parts: *vision*, from
pixels to the tokens that the language model reads; *prefill*, the language model over the whole prompt with those
tokens put in, its head on the last position alone, as in `generate`; *decode*, the steps after it, one token each.

Rows are measured in turn, round by round; seconds are medians of all rounds. On a CPU one thread computes, and its
seconds are those of the processor, which hold where other work takes the cores. At the reduced size all models are
held at once and take turns; at full size they do not fit in memory together, so each is built, measured and dropped,
and the list is gone through again so that drift shows. FLOPs are counted by `torch.utils.flop_counter` in a call that
is not timed: 2 per multiply-add, the masked half of an attention not discounted. Utilisation is what a part computes
per second, divided by what a product of large matrices of the same type does, measured before each row.

Peak memory includes the weights. On a GPU it is the allocator's; on a CPU it is what the live tensors hold, without
the scratch memory inside an operation.
"""

import argparse
import gc
import json
import os
import platform
import shlex
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
import transformers
from torch.utils.flop_counter import FlopCounterMode

from ftfv.evaluation.atomic_write import atomic_write
from tests.benchmarks.live_memory import LiveMemory
from tests.benchmarks.model_rows import PARTS, Row, table
from tests.benchmarks.video_models import FTFV, FULL, MODELS, REDUCED, VideoModel


SIZES = {"full": FULL, "reduced": REDUCED}
TOKENS_PER_FRAME = [4, 16, 32, 64, 128, 256]


class Subject:
    """A model that is built and ready to be asked, with its rows."""

    def __init__(self, kind: VideoModel, rows: list[Row], arguments: argparse.Namespace):
        self.kind, self.rows, self.arguments = kind, rows, arguments
        attention = arguments.attention
        # Kernels from outside torch are not counted, so those are put in afterwards.
        countable = attention if attention in ("eager", "sdpa") else "sdpa"
        size, dtype = SIZES[arguments.size], getattr(torch, arguments.dtype)
        self.model = kind.build(size, arguments.device, dtype, countable)
        self.video = kind.video(self.model, arguments.num_frames, arguments.text_tokens)
        # These calls warm up, too, unless something changes after them.
        self.prompts = [self.count(row) for row in rows]
        if attention != countable:
            self.model.set_attn_implementation(attention)
        if arguments.compile and isinstance(kind, FTFV):
            self.model.model.vision_tower.compile()
        if attention != countable or arguments.compile:
            for row, prompt in zip(rows, self.prompts, strict=True):
                self.ask(row, prompt)

    def count(self, row: Row) -> dict[str, Any]:
        """Fills in what does not depend on time, and returns the row's prompt."""
        kind, model, arguments = self.kind, self.model, self.arguments
        with LiveMemory([*model.parameters(), *model.buffers(), *self.video.values()]) as memory:
            features, row.vision_flops = counted(lambda: kind.encode(model, self.video, row.tokens_per_frame))
            tokens = features.pooler_output
            tokens = [tokens] if isinstance(tokens, torch.Tensor) else tokens
            row.visual_tokens = sum(token[..., 0].numel() for token in tokens)
            prompt = kind.prompt(model, arguments.num_frames, row.visual_tokens, arguments.text_tokens)
            cache, row.prefill_flops = counted(lambda: kind.prefill(model, features, prompt))
            _, row.decode_flops = counted(lambda: kind.decode(model, cache))
        row.prompt_tokens = prompt["input_ids"].shape[1]
        row.parameters = model.num_parameters()
        if arguments.device == "cpu":
            row.peak_memory = memory.peak
        return prompt

    def ask(self, row: Row, prompt: dict[str, Any]) -> dict[str, float]:
        """Seconds of each part."""
        kind, model, num_steps = self.kind, self.model, self.arguments.decode_tokens
        on_gpu = self.arguments.device == "cuda"
        if on_gpu:
            torch.cuda.reset_peak_memory_stats()
        features, vision = self.timed(lambda: kind.encode(model, self.video, row.tokens_per_frame))
        cache, prefill = self.timed(lambda: kind.prefill(model, features, prompt))
        _, decode = self.timed(lambda: [kind.decode(model, cache) for _ in range(num_steps)])
        if on_gpu:
            row.peak_memory = max(row.peak_memory, torch.cuda.max_memory_allocated())
        return {"vision": vision, "prefill": prefill, "decode": decode / num_steps}

    def timed(self, function: Callable[[], Any]) -> tuple[Any, float]:
        return timed(function, self.arguments.device)


def main(argv: list[str] | None = None) -> int:
    arguments = parse(argv)
    num_threads = torch.get_num_threads()
    if arguments.device == "cpu":
        torch.set_num_threads(1)
    try:
        rows, rates = measure(arguments)
        stamp = describe(arguments, rows, rates, sys.argv[1:] if argv is None else argv)
    finally:
        torch.set_num_threads(num_threads)
    if arguments.output:
        with atomic_write(arguments.output) as path:
            path.write_text(json.dumps({**stamp, "rows": [asdict(row) for row in rows]}, indent=1) + "\n")
    sys.stdout.write(table(rows, stamp))
    return 0


def parse(argv: list[str] | None) -> argparse.Namespace:
    names = [kind.name for kind in MODELS]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cuda", "cpu"), help="default: the GPU where there is one")
    parser.add_argument("--size", choices=tuple(SIZES), help="default: full on a GPU, reduced on a CPU")
    parser.add_argument("--models", nargs="+", choices=names, default=names, metavar="NAME", help=", ".join(names))
    parser.add_argument("--tokens-per-frame", type=int, nargs="+", default=TOKENS_PER_FRAME, metavar="K")
    parser.add_argument("--num-frames", type=int, default=8, help="frames of the video, an even number (default: 8)")
    parser.add_argument("--text-tokens", type=int, default=48, help="tokens of the question (default: 48)")
    parser.add_argument("--decode-tokens", type=int, default=8, help="tokens decoded in a round (default: 8)")
    parser.add_argument("--rounds", type=int, help="rounds of a pass that count (default: 5 on a GPU, 3 on a CPU)")
    parser.add_argument(
        "--passes", type=int, help="times through the list of models (default: 2 at full size, else 1)"
    )
    parser.add_argument(
        "--dtype", choices=("bfloat16", "float16", "float32"), help="default: bfloat16 on a GPU, else float32"
    )
    parser.add_argument("--attention", default="sdpa", help="attention of all models (default: sdpa)")
    parser.add_argument("--compile", action="store_true", help="compile FTFV's vision tower")
    parser.add_argument("--output", type=Path, metavar="FILE", help="also write everything measured there, as JSON")
    arguments = parser.parse_args(argv)
    if arguments.num_frames < 2 or arguments.num_frames % 2:
        parser.error(f"--num-frames is {arguments.num_frames}; expected an even number, as Qwen's towers pair frames")
    on_gpu = torch.cuda.is_available() if arguments.device is None else arguments.device == "cuda"
    arguments.device = "cuda" if on_gpu else "cpu"
    arguments.size = arguments.size or ("full" if on_gpu else "reduced")
    arguments.dtype = arguments.dtype or ("bfloat16" if on_gpu else "float32")
    arguments.rounds = arguments.rounds or (5 if on_gpu else 3)
    arguments.passes = arguments.passes or (2 if arguments.size == "full" else 1)
    return arguments


@torch.no_grad()
def measure(arguments: argparse.Namespace) -> tuple[list[Row], list[float]]:
    """All rows, and the device's matrix rate in FLOPs per second before each of them."""
    kinds = [kind for kind in MODELS if kind.name in arguments.models]
    rows = {
        kind.name: [
            Row(kind.name, tokens_per_frame)
            for tokens_per_frame in (arguments.tokens_per_frame if isinstance(kind, FTFV) else [None])
        ]
        for kind in kinds
    }
    together = [kinds] if arguments.size == "reduced" else [[kind] for kind in kinds]
    rates = []
    for _ in range(arguments.passes):
        for group in together:
            subjects = [Subject(kind, rows[kind.name], arguments) for kind in group]
            for subject in subjects:
                for row in subject.rows:
                    for part in PARTS:
                        row.seconds[part].append([])
            for _ in range(arguments.rounds):
                for subject in subjects:
                    for row, prompt in zip(subject.rows, subject.prompts, strict=True):
                        rates.append(matrix_rate(arguments.device, getattr(torch, arguments.dtype)))
                        for part, seconds in subject.ask(row, prompt).items():
                            row.seconds[part][-1].append(seconds)
            del subjects, subject
            # Compiled code would hold its model.
            torch.compiler.reset()
            gc.collect()
            if arguments.device == "cuda":
                torch.cuda.empty_cache()
    return [row for group in rows.values() for row in group], rates


def counted(function: Callable[[], Any]) -> tuple[Any, int]:
    """What the function returns, and its FLOPs."""
    with FlopCounterMode(display=False) as counter:
        result = function()
    return result, counter.get_total_flops()


def timed(function: Callable[[], Any], device: str) -> tuple[Any, float]:
    """What the function returns, and its seconds: until a GPU has done all of it, or those that a CPU spent on it."""
    if device == "cpu":
        start = time.process_time()
        result = function()
        return result, time.process_time() - start
    torch.cuda.synchronize()
    start = time.perf_counter()
    result = function()
    torch.cuda.synchronize()
    return result, time.perf_counter() - start


def matrix_rate(device: str, dtype: torch.dtype) -> float:
    """FLOPs per second of a product of large square matrices."""
    side, repeats = (8192, 10) if device == "cuda" else (1536, 1)
    left, right = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    left @ right
    _, seconds = timed(lambda: [left @ right for _ in range(repeats)], device)
    return repeats * 2 * side**3 / seconds


def describe(arguments: argparse.Namespace, rows: list[Row], rates: list[float], argv: list[str]) -> dict[str, Any]:
    """Where, when and how it was measured."""
    on_gpu = arguments.device == "cuda"
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "hardware": torch.cuda.get_device_name() if on_gpu else processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "command": "PYTHONPATH=. " + shlex.join(["python", "tests/benchmarks/bench_models.py", *argv]),
        "settings": {
            name: str(value) if isinstance(value, Path) else value for name, value in vars(arguments).items()
        },
        "divided_by": asdict(SIZES[arguments.size]),
        "matrix_rate": statistics.median(rates),
        "matrix_rates": rates,
        "spread": max(row.spread() for row in rows),
    }


def processor() -> str:
    """Name of the CPU."""
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


if __name__ == "__main__":
    sys.exit(main())
