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
"""What `bench_models.py` measures of each model, and the table made of it."""

import statistics
from dataclasses import dataclass, field
from typing import Any


PARTS = ("vision", "prefill", "decode")
# Columns with times, and the parts that they add up.
TIMES = {
    "vision": ("vision",),
    "prefill": ("prefill",),
    "first token": ("vision", "prefill"),
    "each further token": ("decode",),
}


@dataclass
class Row:
    """
    A model, FTFV with one number of tokens per frame, and what was measured of it.

    Attributes:
        parameters (`int`): of the whole model.
        vision_flops, prefill_flops, decode_flops (`int`): of the video, of the prompt, of one further token.
        peak_memory (`int`): bytes, weights included.
        seconds (`dict[str, list[list[float]]]`): for each part, of each round of each pass; of decode, of one token.
    """

    model: str
    tokens_per_frame: int | None
    parameters: int = 0
    visual_tokens: int = 0
    prompt_tokens: int = 0
    vision_flops: int = 0
    prefill_flops: int = 0
    decode_flops: int = 0
    peak_memory: int = 0
    seconds: dict[str, list[list[float]]] = field(default_factory=lambda: {part: [] for part in PARTS})

    @property
    def label(self) -> str:
        return self.model if self.tokens_per_frame is None else f"{self.model}, K = {self.tokens_per_frame}"

    def rounds(self, column: str) -> list[float]:
        """Seconds of a column of `TIMES` in each round of all passes."""
        parts = [sum(self.seconds[part], []) for part in TIMES[column]]
        return [sum(seconds) for seconds in zip(*parts, strict=True)]

    def median(self, column: str) -> float:
        """Median of the rounds."""
        return statistics.median(self.rounds(column))

    def spread(self) -> float:
        """How far the rounds are apart in the time to the first token, as a share of the median."""
        seconds = self.rounds("first token")
        return (max(seconds) - min(seconds)) / statistics.median(seconds)


def table(rows: list[Row], stamp: dict[str, Any]) -> str:
    """
    Markdown, below where and how it was measured: milliseconds and gigabytes on a GPU; on a CPU, whose times say
    little about another, multiples of those of FTFV with K = 16, or of the first row without it.

    Args:
        rows (`list[Row]`): what was measured.
        stamp (`dict[str, Any]`): see `describe` in `bench_models.py`.
    """
    settings, rate = stamp["settings"], stamp["matrix_rate"]
    on_gpu = settings["device"] == "cuda"
    reference = next((row for row in rows if row.tokens_per_frame == 16), rows[0])
    flops_unit = 1e12 if on_gpu else 1e9
    if on_gpu:
        units = f"Times in ms, memory in GB, FLOPs in 10^12; a matrix product runs at {rate / 1e12:.0f} TFLOP/s."
    else:
        units = f"Processor times and memory as multiples of those of {reference.label}, FLOPs in 10^9."
    size = "full size"
    if settings["size"] != "full":
        size = "heads and widths divided by {width}, layers by {depth}, vocabularies by {vocabulary}".format(
            **stamp["divided_by"]
        )
    columns = [*TIMES, "memory", "FLOPs of vision", "of prefill", "utilisation in vision", "in prefill"]
    lines = [
        f"{stamp['hardware']} ({stamp['cores']} cores, threads used: {stamp['threads']}), {stamp['date']}, "
        f"torch {stamp['torch']}, transformers {stamp['transformers']}:",
        "",
        f"    {stamp['command']}",
        "",
        f"{settings['num_frames']} frames and {settings['text_tokens']} text tokens; {size}; {settings['dtype']}, "
        f"attention {settings['attention']}{', tower of FTFV compiled' if settings['compile'] else ''}; "
        f"{settings['passes']} x {settings['rounds']} rounds, up to {stamp['spread']:.0%} apart. {units}",
        "",
        "| " + " | ".join(["model", "visual tokens", *columns]) + " |",
        "| --- " + "| ---: " * (1 + len(columns)) + "|",
    ]
    for row in rows:
        cells = [row.label, f"{row.visual_tokens}"]
        for column in TIMES:
            seconds = row.median(column)
            cells.append(f"{1000 * seconds:.1f}" if on_gpu else f"{seconds / reference.median(column):.2f}")
        cells += [
            f"{row.peak_memory / 1e9:.1f}" if on_gpu else f"{row.peak_memory / reference.peak_memory:.2f}",
            f"{row.vision_flops / flops_unit:.2f}",
            f"{row.prefill_flops / flops_unit:.2f}",
            f"{row.vision_flops / row.median('vision') / rate:.0%}",
            f"{row.prefill_flops / row.median('prefill') / rate:.0%}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"
