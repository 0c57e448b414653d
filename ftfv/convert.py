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
"""`ftfv convert`: turns public checkpoints into a model folder of FTFV."""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `ftfv convert`."""
    parser.add_argument("--qwen-vl", metavar="DIR", help="Qwen-VL or Qwen-VL-Chat, converted whole")
    parser.add_argument(
        "--vision",
        metavar="DIR",
        help="Qwen-VL, for its tower and adapter (the paper's start), or any vision transformer, with a new adapter",
    )
    parser.add_argument("--language", metavar="DIR", help="causal language model that goes with --vision")
    parser.add_argument("--output", metavar="DIR", required=True, help="folder to write; it must not exist yet")
    parser.add_argument("--num-query-tokens", type=int, help="queries of a new adapter (default: 256)")
    parser.add_argument(
        "--num-attention-heads", type=int, help="heads of a new adapter (default: as many as make them 128 wide)"
    )
    parser.add_argument(
        "--tokens-per-frame", type=int, metavar="K", help="tokens per frame (default: half of the queries)"
    )
    parser.add_argument("--num-frames", type=int, default=8, help="frames of a video (default: 8)")
    parser.add_argument(
        "--chat-template", choices=("vicuna", "plain", "chatml"), help="prompt with --language (default: vicuna)"
    )
    parser.add_argument(
        "--dtype",
        choices=("float32", "bfloat16", "float16"),
        help="type of the weights (default: each part keeps its own)",
    )
    parser.add_argument("--max-shard-size", type=float, default=5.0, metavar="GB", help="of a file (default: 5)")
    parser.add_argument("--seed", type=int, default=0, help="of new weights (default: 0)")
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def run(args: argparse.Namespace) -> dict[str, object] | None:
    """Converts, and prints what was written or returns it as the document of `--json`."""
    _check(args)

    from pathlib import Path

    import torch
    from transformers.utils import logging

    from .training.conversion.convert import ConversionOptions, convert_pair, convert_paper_start, convert_qwen_vl
    from .training.conversion.qwen_vl_config import read_qwen_vl_config

    logging.set_verbosity_error()
    options = ConversionOptions(
        dtype=None if args.dtype is None else getattr(torch, args.dtype),
        tokens_per_frame=args.tokens_per_frame,
        num_frames=args.num_frames,
        max_shard_size=int(args.max_shard_size * 1e9),
        seed=args.seed,
    )
    if args.qwen_vl is not None:
        report = convert_qwen_vl(args.qwen_vl, args.output, options)
    else:
        chat_template = args.chat_template or "vicuna"
        if read_qwen_vl_config(Path(args.vision)) is not None:
            given = [name for name in ("num_query_tokens", "num_attention_heads") if getattr(args, name) is not None]
            if given:
                raise ValueError(
                    f"--{given[0].replace('_', '-')} is for a new adapter, but the one of Qwen-VL in {args.vision!r} "
                    "is taken; leave it out."
                )
            report = convert_paper_start(args.vision, args.language, args.output, options, chat_template)
        else:
            report = convert_pair(
                args.vision,
                args.language,
                args.output,
                options,
                chat_template,
                num_query_tokens=256 if args.num_query_tokens is None else args.num_query_tokens,
                num_attention_heads=args.num_attention_heads,
            )
    if args.json:
        return report
    _print_report(report)
    return None


def _check(args: argparse.Namespace) -> None:
    if (args.qwen_vl is None) == (args.vision is None and args.language is None):
        raise ValueError("Expected either --qwen-vl DIR, or --vision DIR and --language DIR.")
    if args.qwen_vl is None and (args.vision is None or args.language is None):
        raise ValueError("--vision and --language go together; give both.")
    if args.qwen_vl is not None:
        for name in ("num_query_tokens", "num_attention_heads", "chat_template"):
            if getattr(args, name) is not None:
                raise ValueError(f"--{name.replace('_', '-')} is fixed by Qwen-VL; leave it out with --qwen-vl.")
    if args.max_shard_size <= 0:
        raise ValueError(f"--max-shard-size is {args.max_shard_size}; expected a positive number of gigabytes.")


def _print_report(report: dict) -> None:
    print(f"{'part':<24}{'tensors':>8}{'parameters':>16}{'MB':>10}  type")
    for name, part in report["parts"].items():
        size = f"{part['bytes'] / 1e6:,.1f}"
        print(f"{name:<24}{part['tensors']:>8}{part['parameters']:>16,}{size:>10}  {', '.join(part['dtypes'])}")
    for note in report["notes"]:
        print(note)
    files = "1 file" if len(report["files"]) == 1 else f"{len(report['files'])} files"
    print(
        f"{report['output']}: {report['num_parameters']:,} parameters, {report['bytes'] / 1e6:,.1f} MB in {files}, "
        f"{report['seconds']:.0f} s"
    )
