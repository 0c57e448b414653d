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
The adapter with its sampler against `nn.MultiheadAttention(need_weights=True)`, in the paper's sizes on a CPU.

    python tests/benchmarks/bench_sampler.py

Both take the patches of 8 frames (1,024 of width 1,664) to the kept tokens of width 4,096, with 32 heads and 256
queries, in fp32 on one thread and without gradients. The plain way is batch-first and contiguous, its weights are
trainable (frozen ones fall into a slower product), and it takes the kept queries out as soon as it knows them. Seconds
are medians of interleaved rounds; memory is the highest above that of the process before the first call, in a process
of its own. The picks must be equal, and the tokens within 5e-6 of their largest. `--profile` prints the products with
their shapes.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from ftfv import FTFVConfig
from ftfv.modeling_ftfv.modeling_ftfv import FTFVAdapter, interpolate_positions
from ftfv.modeling_ftfv.sampler_ftfv import FTFVTokenSampler


ROOT = Path(__file__).resolve().parents[2]
COUNTS = (16, 128, 256)
NUM_FRAMES = 8


class PlainAdapter(nn.Module):
    """The adapter as it is usually written, with the same weights."""

    def __init__(self, adapter: FTFVAdapter):
        super().__init__()
        self.adapter = adapter
        width, own = adapter.config.hidden_size, adapter.attention
        self.attention = nn.MultiheadAttention(width, adapter.config.num_attention_heads, batch_first=True)
        with torch.no_grad():
            self.attention.in_proj_weight.copy_(torch.cat([own.q_proj.weight, own.k_proj.weight, own.v_proj.weight]))
            self.attention.in_proj_bias.copy_(torch.cat([own.q_proj.bias, own.k_proj.bias, own.v_proj.bias]))
        self.attention.out_proj = own.out_proj

    def forward(self, hidden_states: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        adapter, num_frames = self.adapter, len(hidden_states)
        patches = adapter.kv_norm(adapter.kv_proj(hidden_states))
        keys = patches + interpolate_positions(adapter.position_table, patches.shape[1])
        queries = (adapter.query_norm(adapter.query_tokens) + adapter.position_table).repeat(num_frames, 1, 1)
        output, weights = self.attention(queries, keys, patches, need_weights=True)
        kept = weights.amax(dim=-1).sort(dim=-1, descending=True, stable=True).indices[:, :count]
        output = output.gather(1, kept[..., None].expand(-1, -1, output.shape[-1]))
        return adapter.output_proj(adapter.post_norm(output)), kept


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="rounds measured, after one that is not")
    parser.add_argument("--profile", action="store_true", help="print the matrix products and their shapes instead")
    parser.add_argument("--memory", nargs=2, metavar=("WAY", "K"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    if arguments.memory:
        way, count = arguments.memory
        sys.stdout.write(json.dumps(measure_memory(way, int(count))))
        return 0
    if arguments.profile:
        profile(build("ours"), COUNTS[0])
        return 0
    ways = {"plain": build("plain"), "ours": build("ours")}
    hidden_states = random_patches()
    check(ways, hidden_states)
    seconds: dict[tuple[str, int], list[float]] = {(way, count): [] for count in COUNTS for way in ways}
    for round_ in range(1 + arguments.rounds):
        for (way, count), measured in seconds.items():
            start = time.perf_counter()
            ways[way](hidden_states, count)
            if round_:
                measured.append(time.perf_counter() - start)
    del ways
    sys.stdout.write(
        f"{NUM_FRAMES} frames, fp32, one thread, {arguments.rounds} rounds\n\n"
        "| K | time, share of the plain way | memory, share of the plain way | MiB | MiB of the plain way |\n"
        "| ---: | ---: | ---: | ---: | ---: |\n"
    )
    for count in COUNTS:
        medians = {way: statistics.median(seconds[way, count]) for way in ("plain", "ours")}
        memory = {way: run_memory(way, count) for way in ("plain", "ours")}
        sys.stdout.write(
            f"| {count} | {medians['ours'] / medians['plain']:.2f} | {memory['ours'] / memory['plain']:.2f} | "
            f"{memory['ours']:.0f} | {memory['plain']:.0f} |\n"
        )
        sys.stdout.flush()
    return 0


def build(way: str) -> Callable[[torch.Tensor, int], tuple[torch.Tensor, torch.Tensor]]:
    """A function of patches and K to tokens and kept queries, with random weights that are the same both ways."""
    config = FTFVConfig(attn_implementation="sdpa")
    torch.manual_seed(1)
    adapter = FTFVAdapter(config.adapter_config, FTFVTokenSampler(config)).eval()
    with torch.no_grad():
        for name, parameter in adapter.named_parameters():
            if "q_proj.weight" in name:
                # Sharper than at birth, where queries respond much alike; much sharper, every head looks at one patch
                # alone, and responses are equal.
                parameter.mul_(4)
    if way == "plain":
        plain = PlainAdapter(adapter).eval()
        return torch.no_grad()(lambda hidden_states, count: plain(hidden_states, count))

    def ours(hidden_states: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        tokens, _, kept = adapter(hidden_states, [count] * len(hidden_states))
        return torch.stack(tokens), torch.stack(kept)

    return torch.no_grad()(ours)


def random_patches() -> torch.Tensor:
    config = FTFVConfig().vision_config
    num_patches = (config.image_size // config.patch_size) ** 2
    return torch.randn(NUM_FRAMES, num_patches, config.hidden_size, generator=torch.Generator().manual_seed(2))


def check(ways: dict[str, Callable], hidden_states: torch.Tensor) -> None:
    """
    Raises:
        RuntimeError: the two ways keep other queries, or their tokens differ.
    """
    for count in COUNTS:
        (tokens, kept), (expected, expected_kept) = (ways[way](hidden_states, count) for way in ("ours", "plain"))
        difference = float((tokens - expected).abs().max() / expected.abs().max())
        if not torch.equal(kept, expected_kept) or difference > 5e-6:
            raise RuntimeError(
                f"K = {count}: {int((kept != expected_kept).sum())} of {kept.numel()} picks differ, tokens by "
                f"{difference:.1e} of the largest; expected the same picks and at most 5e-6."
            )
        sys.stdout.write(f"K = {count}: the same {kept.numel()} picks, tokens within {difference:.1e}\n")


def run_memory(way: str, count: int) -> float:
    """MiB, measured in a new process."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, __file__, "--memory", way, str(count)]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout)


def measure_memory(way: str, count: int) -> float:
    """Highest MiB above what the process holds before the call (Linux)."""
    call, hidden_states = build(way), random_patches()
    # Forgets the highest memory so far.
    Path("/proc/self/clear_refs").write_text("5")
    before = read_status("VmRSS")
    call(hidden_states, count)
    return (read_status("VmHWM") - before) / 2**10


def read_status(name: str) -> int:
    """KiB under a name in /proc/self/status."""
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(f"{name}:")]
    return int(line.split()[1])


def profile(call: Callable, count: int) -> None:
    """Prints the matrix products of a call with their shapes."""
    hidden_states = random_patches()
    with torch.profiler.profile(record_shapes=True) as profiler:
        call(hidden_states, count)
    for event in profiler.key_averages(group_by_input_shape=True):
        if event.key in ("aten::mm", "aten::addmm", "aten::bmm"):
            sys.stdout.write(f"{event.count:>4} x {event.key:<12} {event.input_shapes}\n")


if __name__ == "__main__":
    sys.exit(main())
