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
"""`ftfv cost`: what a question about a video costs, for several numbers of tokens per frame."""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `ftfv cost`."""
    parser.add_argument("--model", help="model folder or Hub id (default: the paper's 7B configuration)")
    parser.add_argument("--num-frames", type=int, help="frames of the video (default: the model's own, 8)")
    parser.add_argument(
        "--tokens-per-frame",
        type=int,
        nargs="+",
        metavar="K",
        help="tokens per frame, one line each (default: the model's own, all, and quarters of them down to 4)",
    )
    parser.add_argument("--text-tokens", type=int, default=48, help="tokens of the question (default: 48)")
    parser.add_argument("--lora-rank", type=int, default=0, help="rank of unmerged LoRA weights (default: 0, none)")
    parser.add_argument(
        "--table-5",
        action="store_true",
        help="count as Table 5 of the paper: linear layers only, the adapter's outputs for all queries, and LoRA of "
        "rank 128 unless --lora-rank says otherwise",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def run(args: argparse.Namespace) -> dict[str, object] | None:
    """Prints the table, or returns the document of `--json`, in FLOPs and bytes."""
    from dataclasses import asdict

    from .model_folder import check_model_folder
    from .modeling_ftfv.configuration_ftfv import FTFVConfig
    from .modeling_ftfv.cost import cost, weight_bytes

    if args.model is None:
        config = FTFVConfig()
    else:
        check_model_folder(args.model)
        config = FTFVConfig.from_pretrained(args.model)
    lora_rank = args.lora_rank or (128 if args.table_5 else 0)
    costs = [
        cost(
            config,
            num_frames=args.num_frames,
            tokens_per_frame=count,
            num_text_tokens=args.text_tokens,
            lora_rank=lora_rank,
            all_query_outputs=args.table_5,
        )
        for count in args.tokens_per_frame
        or _default_counts(config.tokens_per_frame, config.adapter_config.num_query_tokens)
    ]
    if args.json:
        rows = [
            {
                **asdict(row),
                "vision_flops": row.vision_flops,
                "language_flops": row.language_flops,
                "linear_flops": row.linear_flops,
                "total_flops": row.total_flops,
                "vision_share": row.vision_share,
            }
            for row in costs
        ]
        return {"model": args.model, "lora_rank": lora_rank, "weight_bytes": weight_bytes(config), "costs": rows}

    # A miniature in TFLOPs would be a table of zeros.
    unit, size = ("TFLOPs", 1e12) if costs[0].total_flops >= 1e11 else ("GFLOPs", 1e9)
    setting = f"{costs[0].num_frames} frames, {args.text_tokens} text tokens, LoRA rank {lora_rank}"
    print(f"{setting}; {unit} of one forward pass")
    columns = ["K", "tokens", "tower", "adapter", "language model", "total", "vision share", "KV cache MB"]
    print("  ".join(f"{column:>8}" for column in columns))
    for row in costs:
        if args.table_5:
            tower, adapter, language = row.vision_linear, row.adapter_linear, row.language_linear + row.lm_head
        else:
            tower = row.vision_linear + row.vision_attention
            adapter, language = row.adapter_linear + row.adapter_attention, row.language_flops
        total = tower + adapter + language
        cells = [
            str(row.tokens_per_frame),
            str(row.visual_tokens),
            *(f"{flops / size:.3f}" for flops in (tower, adapter, language, total)),
            f"{(tower + adapter) / total:.1%}",
            _megabytes(row.kv_cache_bytes),
        ]
        print("  ".join(f"{cell:>{max(8, len(column))}}" for cell, column in zip(cells, columns, strict=True)))
    print(f"weights in 16 bits: {_megabytes(weight_bytes(config))} MB")
    return None


def _default_counts(tokens_per_frame: int, num_query_tokens: int) -> list[int]:
    """The model's own number, all queries, a quarter of them, and so on down to 4."""
    counts = {tokens_per_frame, num_query_tokens}
    while num_query_tokens // 4 >= 4:
        num_query_tokens //= 4
        counts.add(num_query_tokens)
    return sorted(counts)


def _megabytes(num_bytes: int) -> str:
    return f"{num_bytes / 1e6:,.{1 if num_bytes >= 1e7 else 3}f}"
