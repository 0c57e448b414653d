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
"""`ftfv cost`: what questions about a video, and training, cost for several numbers of tokens per frame."""

import argparse
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .trade_options import TRADES, add_trade_arguments, set_trades


if TYPE_CHECKING:
    from .modeling_ftfv.configuration_ftfv import FTFVConfig
    from .modeling_ftfv.cost import Cost, CostCounter


# TFLOPs that the paper prints for K, see docs/cost.md for what it counts.
TABLE_5 = {4: 32.14, 16: 33.47, 32: 35.24, 64: 38.79, 128: 45.88, 256: 60.07}
TABLE_5_LORA_RANK = 128
UNITS = (("TFLOPs", 1e12), ("GFLOPs", 1e9), ("MFLOPs", 1e6))
PARTS = {
    "tower linear": "tower_linear",
    "tower attention": "tower_attention",
    "adapter linear": "adapter_linear",
    "adapter attention": "adapter_attention",
    "language linear": "language_linear",
    "language attention": "language_attention",
    "lm_head": "lm_head",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `ftfv cost`."""
    parser.add_argument("--model", help="model folder or Hub id (default: the paper's 7B configuration)")
    parser.add_argument("--num-frames", type=int, help="frames of the video (default: the model's own, 8)")
    add_trade_arguments(parser)
    parser.add_argument(
        "--tokens-per-frame",
        type=_counts,
        nargs="+",
        metavar="K",
        help="tokens per frame, one line each, such as 4,16,32 (default: the model's own and those of the paper's "
        "Table 5)",
    )
    parser.add_argument("--text-tokens", type=int, default=48, help="tokens of the question (default: 48)")
    parser.add_argument("--lora-rank", type=int, help="rank of unmerged LoRA weights (default: 0, none)")
    parser.add_argument(
        "--last-position",
        action="store_true",
        help="run the language model's head at the last position of a prompt only, as generate() does",
    )
    parser.add_argument(
        "--recipe", help="count a step of training, too: a recipe such as s4v, or a YAML file of options of `trl sft`"
    )
    parser.add_argument(
        "--paper",
        action="store_true",
        help="count as Table 5 of the paper: linear layers only, the adapter's outputs for all queries, LoRA of rank "
        f"{TABLE_5_LORA_RANK} on the seven linear layers; the full count beside it",
    )
    parser.add_argument("--plot", metavar="FILE", help="PNG to draw the parts in, stacked for each K")
    parser.add_argument("--json", action="store_true", help="print a list with one object for each K")


def run(args: argparse.Namespace) -> list[dict[str, Any]] | None:
    """Prints the tables, or returns the document of `--json`."""
    from .model_folder import check_model_folder
    from .modeling_ftfv.configuration_ftfv import FTFVConfig
    from .modeling_ftfv.cost import CostCounter

    if args.paper and (args.recipe or args.last_position):
        raise ValueError(
            "--paper counts what Table 5 does, all positions of a prompt; leave out --recipe and --last-position."
        )
    if args.model is None:
        config = FTFVConfig()
    else:
        check_model_folder(args.model)
        config = FTFVConfig.from_pretrained(args.model)
    if args.paper and any(getattr(args, name) is not None for name in TRADES):
        raise ValueError(
            "--paper counts what Table 5 does, whole frames of the model's own size; leave out --frame-size, "
            "--skip-unchanged-patches, --merge-patches and --merge-layers."
        )
    set_trades(args, config)
    lora_rank = args.lora_rank
    if lora_rank is None:
        lora_rank = TABLE_5_LORA_RANK if args.paper else 0
    counter = CostCounter(config, lora_rank=lora_rank)
    if args.tokens_per_frame:
        counts = list(dict.fromkeys(count for group in args.tokens_per_frame for count in group))
    else:
        counts = _default_counts(config)
    train = _training(args, config) if args.recipe else None
    passes = [_count(args, counter, count, train) for count in counts]
    first = passes[0]["prefill"]
    if args.plot:
        _plot(args, passes)
    if args.json:
        return [{**_row(args, row), "lora_rank": lora_rank, "weight_bytes": counter.weight_bytes} for row in passes]

    size = f" of {args.frame_size} x {args.frame_size} pixels" if args.frame_size else ""
    spared = ""
    if config.skip_unchanged_patches:
        spared += f", {config.skip_unchanged_patches:.0%} of the patches of later frames skipped"
    if config.merge_patches:
        spared += f", {config.merge_patches:.0%} of the patches merged"
    print(f"{first.num_frames} frames{size}{spared}, {first.text_tokens} text tokens, LoRA rank {lora_rank}")
    if args.paper:
        _print_paper(args, passes)
    else:
        _print_passes(args, passes)
    print(f"\nweights in 16 bits: {_megabytes(counter.weight_bytes)} MB")
    return None


def _counts(text: str) -> list[int]:
    try:
        return [int(count) for count in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected whole numbers such as 4,16,32, not {text!r}") from None


def _default_counts(config: "FTFVConfig") -> list[int]:
    """The model's own number and, where it can choose, all queries and the numbers of the paper."""
    num_query_tokens = config.adapter_config.num_query_tokens
    counts = {config.tokens_per_frame}
    if config.token_sampler != "none":
        counts |= {num_query_tokens, *(count for count in TABLE_5 if count <= num_query_tokens)}
    return sorted(counts)


def _training(args: argparse.Namespace, config: "FTFVConfig") -> "Callable[[dict[str, Any]], Cost]":
    """Counts a step of the recipe for a row of given sizes."""
    from .training.compute import recipe_cost, row_sizes
    from .training.preflight import check_recipe
    from .training.stages import read_recipe

    options = read_recipe(args.recipe)
    preflight = check_recipe(options, config)
    fixed = row_sizes(preflight, config)
    known: dict[str, Cost] = {}

    def train(sizes: dict[str, Any]) -> "Cost":
        sizes = {**sizes, **fixed}
        key = str(sizes)
        if key not in known:
            known[key] = recipe_cost(options, config, preflight=preflight, **sizes)
        return known[key]

    return train


def _count(
    args: argparse.Namespace,
    counter: "CostCounter",
    tokens_per_frame: int,
    train: "Callable[[dict[str, Any]], Cost] | None",
) -> "dict[str, Cost]":
    """The passes that a row of the tables is made of."""
    video = {"num_frames": args.num_frames, "tokens_per_frame": tokens_per_frame}
    prompt = {**video, "num_text_tokens": args.text_tokens}
    if args.paper:
        seen = {**prompt, "frame_size": args.frame_size}
        return {"prefill": counter.prefill(**seen, all_query_outputs=True), "model": counter.prefill(**seen)}
    prompt["last_position_only"] = args.last_position
    passes = {
        "prefill": counter.prefill(**prompt, frame_size=args.frame_size),
        "next_question": counter.next_question(**prompt),
        "next_question_same_chat": counter.next_question(**prompt, same_chat=True),
    }
    del prompt["last_position_only"]
    passes["decode_step"] = counter.decode_step(**prompt)
    if train is not None:
        passes["training_step"] = train({**video, "frame_size": args.frame_size})
    return passes


def _row(args: argparse.Namespace, passes: "Mapping[str, Cost]") -> dict[str, Any]:
    """An object of the document of `--json`."""
    prefill = passes["prefill"]
    row: dict[str, Any] = {
        "tokens_per_frame": prefill.tokens_per_frame,
        "num_frames": prefill.num_frames,
        "visual_tokens": prefill.visual_tokens,
        "text_tokens": prefill.text_tokens,
    }
    if args.paper:
        return {
            **row,
            "total_tflops": prefill.linear_flops / 1e12,
            **_teraflops(prefill),
            "full_tflops": prefill.total_flops / 1e12,
            "model_tflops": passes["model"].total_flops / 1e12,
            "table_5_tflops": _printed(args, prefill),
            "kv_cache_bytes": prefill.kv_cache_bytes,
        }
    row |= {"total_tflops": prefill.total_flops / 1e12, **_teraflops(prefill)}
    row |= {"vision_share": prefill.vision_share, "kv_cache_bytes": prefill.kv_cache_bytes}
    for name, counted in passes.items():
        if name != "prefill":
            row[name] = {"total_tflops": counted.total_flops / 1e12, **_teraflops(counted)}
    return row


def _teraflops(counted: "Cost") -> dict[str, float]:
    return {f"{name}_tflops": getattr(counted, name) / 1e12 for name in PARTS.values()}


def _printed(args: argparse.Namespace, counted: "Cost") -> float | None:
    """What Table 5 prints, where this is what it counts."""
    is_paper = args.model is None and not args.frame_size and args.lora_rank in (None, TABLE_5_LORA_RANK)
    is_paper = is_paper and (counted.num_frames, counted.text_tokens) == (8, 48)
    return TABLE_5.get(counted.tokens_per_frame) if is_paper else None


def _print_paper(args: argparse.Namespace, passes: "Sequence[Mapping[str, Cost]]") -> None:
    unit, size = _unit(passes[0]["prefill"].total_flops)
    lines = []
    for row in passes:
        prefill, printed = row["prefill"], _printed(args, row["prefill"])
        flops = (prefill.linear_flops, prefill.total_flops, row["model"].total_flops)
        lines.append(
            [
                str(prefill.tokens_per_frame),
                str(prefill.visual_tokens),
                "" if printed is None else f"{printed:.2f}",
                *(f"{count / size:.3f}" for count in flops),
            ]
        )
    print(f"\n{unit} of reading video and question\n")
    _print_table(
        ["", "visual", "paper's", "its count,", "with", "this model's"],
        ["K", "tokens", "Table 5", "linear only", "attention", "own count"],
        lines,
    )


def _print_passes(args: argparse.Namespace, passes: "Sequence[Mapping[str, Cost]]") -> None:
    unit, size = _unit(passes[0]["prefill"].total_flops)
    print(f"\n{unit} of reading video and question\n")
    lines = [
        [
            str(row["prefill"].tokens_per_frame),
            str(row["prefill"].visual_tokens),
            *(f"{getattr(row['prefill'], name) / size:.3f}" for name in PARTS.values()),
            f"{row['prefill'].total_flops / size:.3f}",
            f"{row['prefill'].vision_share:.1%}",
        ]
        for row in passes
    ]
    heads = ["", "visual", "tower", "", "adapter", "", "language", "", "", "", "vision"]
    kinds = ["K", "tokens", "linear", "attention", "linear", "attention", "linear", "attention", "head", "total"]
    _print_table(heads, [*kinds, "share"], lines)

    again, chat, token = "next_question", "next_question_same_chat", "decode_step"
    units = {name: _unit(passes[-1][name].total_flops) for name in (again, chat, token)}
    lines = [
        [
            str(row["prefill"].tokens_per_frame),
            *(f"{row[name].total_flops / units[name][1]:.3f}" for name in units),
            _megabytes(row["prefill"].kv_cache_bytes),
        ]
        for row in passes
    ]
    print("\nafterwards, the video's features kept\n")
    _print_table(
        ["", "next question,", "next question,", "a token of", "keys, values"],
        ["K", f"{units[again][0]}", f"same chat, {units[chat][0]}", f"answer, {units[token][0]}", "MB"],
        lines,
    )
    if "training_step" in passes[0]:
        _print_training(args.recipe, passes)


def _print_training(recipe: str, passes: "Sequence[Mapping[str, Cost]]") -> None:
    steps = [row["training_step"] for row in passes]
    unit, size = _unit(steps[0].total_flops)
    print(f"\n{unit} of training by {recipe} on a row with {steps[0].text_tokens} text tokens, forward and back\n")
    lines = [
        [
            str(row["prefill"].tokens_per_frame),
            str(step.visual_tokens),
            *(f"{getattr(step, name) / size:.3f}" for name in PARTS.values()),
            f"{step.total_flops / size:.3f}",
        ]
        for row, step in zip(passes, steps, strict=True)
    ]
    heads = ["", "visual", "tower", "", "adapter", "", "language", "", "", ""]
    kinds = ["K", "tokens", "linear", "attention", "linear", "attention", "linear", "attention", "head", "total"]
    _print_table(heads, kinds, lines)


def _print_table(groups: Sequence[str], heads: Sequence[str], lines: Sequence[Sequence[str]]) -> None:
    """Two lines of headings and the lines of a table, in columns as wide as they need."""
    rows = [groups, heads, *lines]
    widths = [max(len(row[column]) for row in rows) for column in range(len(heads))]
    for row in rows:
        print("  ".join(f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True)))


def _plot(args: argparse.Namespace, passes: "Sequence[Mapping[str, Cost]]") -> None:
    from .evaluation.plots.cost import plot_cost_parts

    parts = {
        row["prefill"].tokens_per_frame: {
            name: getattr(row["prefill"], attribute)
            for name, attribute in PARTS.items()
            if not (args.paper and name.endswith("attention"))
        }
        for row in passes
    }
    first = passes[0]["prefill"]
    plot_cost_parts(
        args.plot,
        parts,
        title=f"FLOPs of reading {first.num_frames} frames and {first.text_tokens} tokens of text"
        + (", linear layers only" if args.paper else ""),
    )


def _unit(flops: int) -> tuple[str, float]:
    """The largest unit in which a number is not below one tenth; a miniature in TFLOPs would be a table of zeros."""
    return next(((name, size) for name, size in UNITS if flops >= size / 10), UNITS[-1])


def _megabytes(num_bytes: int) -> str:
    return f"{num_bytes / 1e6:,.{1 if num_bytes >= 1e7 else 3}f}"
