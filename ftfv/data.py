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
"""`ftfv data`: writes data sets in the form that `trl sft` trains on, and shows their rows."""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `ftfv data`: a subcommand for MovingShapes, for a preview and for every known data set."""
    from .training.data.sources import SOURCES

    subparsers = parser.add_subparsers(metavar="SOURCE", required=True)
    _add_moving_shapes(subparsers)
    _add_preview(subparsers)
    for name, source in SOURCES.items():
        _add_conversion(subparsers, name, source.summary, source.files, source.types)


def run(args: argparse.Namespace) -> dict[str, object] | None:
    """Runs the subcommand."""
    return args.run_data(args)


def _add_parser(
    subparsers: argparse._SubParsersAction, name: str, summary: str, example: str
) -> argparse.ArgumentParser:
    parser = subparsers.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.",
        epilog=f"example:\n  ftfv data {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--debug", action="store_true", default=argparse.SUPPRESS, help="show the traceback of an error"
    )
    return parser


def _add_moving_shapes(subparsers: argparse._SubParsersAction) -> None:
    parser = _add_parser(
        subparsers,
        "moving-shapes",
        "generated clips and pictures of coloured shapes",
        "moving-shapes --output shapes --clips 500 --images 500",
    )
    parser.add_argument("--output", required=True, help="folder to write; a rerun continues")
    parser.add_argument("--clips", type=int, default=0, help="clips to train on, or to test each temporal skill with")
    parser.add_argument("--images", type=int, default=0, help="pictures to train on, or to test each image skill with")
    parser.add_argument(
        "--skills",
        type=_read_weights,
        metavar="SKILL=WEIGHT,...",
        help="how often training clips show each skill, such as direction=4,turns=1 (default: all equally often)",
    )
    parser.add_argument(
        "--types", help="types of question about training clips, separated by commas (default: mostly conversations)"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of everything that is drawn (default: 0)")
    parser.add_argument(
        "--split",
        choices=("train", "validation", "test"),
        default="train",
        help="train: conversations; validation, test: one balanced question a row (default: train)",
    )
    parser.add_argument(
        "--cache", action="store_true", help="also decode the clips once, to OUTPUT/cached, to train on these"
    )
    parser.add_argument(
        "--as",
        dest="formats",
        metavar="FORMAT,...",
        type=lambda text: tuple(text.split(",")),
        default=(),
        help="write the clips of a validation or test split in these formats, too, each to OUTPUT/FORMAT, for `ftfv "
        "eval`: mvbench, video_qa, own",
    )
    parser.set_defaults(run_data=_write_moving_shapes)


def _add_preview(subparsers: argparse._SubParsersAction) -> None:
    parser = _add_parser(
        subparsers,
        "preview",
        "show prompt, tokens, loss mask and frames of a row, as training sees it",
        "preview instruct --model ftfv-image --row 3",
    )
    parser.add_argument("folder", metavar="FOLDER", help="data set folder, or a .jsonl file of rows")
    parser.add_argument("--model", required=True, help="model folder or Hub id; its processor prepares the row")
    parser.add_argument("--row", type=int, default=0, metavar="N", help="which row, from 0 (default: 0)")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.set_defaults(run_data=_preview)


def _add_conversion(
    subparsers: argparse._SubParsersAction, name: str, summary: str, files: str, types: tuple[str, ...] | None
) -> None:
    example = f"{name} raw/{name} --media-root media --output {name}-10 --fraction 0.1 --seed 0 --skip-missing"
    parser = _add_parser(subparsers, name, summary, example)
    parser.add_argument("files", nargs="+", metavar="FILE", help=f"{files}; or a folder with them")
    parser.add_argument("--output", required=True, help="folder to write: rows, data set card, what was asked for")
    parser.add_argument("--media-root", help="folder that the media paths in the files start from")
    parser.add_argument("--fraction", type=float, help="share of the videos to keep, such as 0.1 (default: all)")
    parser.add_argument(
        "--by",
        choices=("video", "row"),
        default="video",
        help="what --fraction counts: videos or pictures, each with all its rows, or rows (default: video)",
    )
    parser.add_argument(
        "--pairs", type=int, help="number of question-answer pairs to keep, at random from all that is asked for"
    )
    known = "the name of a folder data/<task>" if types is None else ", ".join(types)
    if types != ():
        parser.add_argument("--types", help=f"types of question to keep, separated by commas: {known} (default: all)")
    parser.add_argument("--seed", type=int, default=0, help="seed of everything that is drawn (default: 0)")
    parser.add_argument(
        "--skip-missing", action="store_true", help="leave out rows without a usable media file, instead of stopping"
    )
    parser.add_argument(
        "--check-decode", action="store_true", help="decode every media file as training would; broken ones count too"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.set_defaults(run_data=_convert, source=name, types=None)


def _read_types(text: str | None) -> tuple[str, ...] | None:
    if text is None:
        return None
    return tuple(name.strip().replace(" ", "_").replace("-", "_") for name in text.split(","))


def _read_weights(text: str) -> dict[str, float]:
    try:
        return {name.strip(): float(weight) for name, weight in (part.split("=") for part in text.split(","))}
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no list such as direction=4,turns=1") from None


def _write_moving_shapes(args: argparse.Namespace) -> None:
    from .training.data.frame_cache import cache_frames
    from .training.data.moving_shapes import write_dataset, write_evaluation_set
    from .training.data.moving_shapes.benchmark_files import FORMATS

    unknown = [name for name in args.formats if name not in FORMATS]
    if unknown:
        raise ValueError(f"--as is {unknown[0]!r}; expected some of {', '.join(FORMATS)}.")
    if args.formats and args.split == "train":
        raise ValueError("--as is for evaluation sets; give --split validation or --split test.")
    if args.split == "train":
        folder = write_dataset(
            args.output,
            num_clips=args.clips,
            num_images=args.images,
            seed=args.seed,
            clip_mix=args.skills,
            clip_types=_read_types(args.types),
        )
    elif args.skills is not None or args.types is not None:
        raise ValueError(
            f"--skills and --types are for training sets; --split {args.split} asks about all skills alike."
        )
    else:
        folder = write_evaluation_set(
            args.output,
            clips_per_skill=args.clips,
            images_per_skill=args.images,
            seed=args.seed,
            split=args.split,
        )
    for name in args.formats:
        print(FORMATS[name](folder, folder / name))
    if args.cache:
        folder = cache_frames(folder)
    print(folder)


def _preview(args: argparse.Namespace) -> dict[str, object] | None:
    import os
    from pathlib import Path

    from transformers.utils import logging

    from .model_folder import check_model_folder
    from .processing.media_source_ftfv import MEDIA_ROOT
    from .processing.processing_ftfv import FTFVProcessor
    from .training.data.preview import preview_row, read_row

    logging.set_verbosity_warning()
    row = read_row(args.folder, args.row)
    check_model_folder(args.model)
    folder = Path(args.folder)
    os.environ.setdefault(MEDIA_ROOT, str((folder if folder.is_dir() else folder.parent).resolve()))
    preview = preview_row(row, args.row, FTFVProcessor.from_pretrained(args.model))
    if args.json:
        return preview.document()
    print(f"row {preview.row}, id {preview.id}")
    print(f"\n{preview.prompt}\n")
    text = preview.num_tokens - preview.num_visual_tokens
    print(f"tokens: {preview.num_tokens} = {preview.num_visual_tokens} of pictures and videos + {text} of text")
    print(f"loss on {preview.num_loss_tokens} tokens:")
    for stretch in preview.loss_on:
        print(f"  {stretch!r}")
    if preview.media is None:
        print("no picture or video")
        return None
    print(f"media: {preview.media}")
    height, width = preview.original_size
    if preview.frames is not None:
        print(f"frames: {len(preview.frames)}, numbers {', '.join(map(str, preview.frames))}")
    print(f"size: {width}x{height} pixels, to the model as {preview.size[-1]}x{preview.size[-2]}")
    return None


def _convert(args: argparse.Namespace) -> dict[str, object] | None:
    from .training.data.convert import Subset, convert

    report = convert(
        args.source,
        args.files,
        args.output,
        media_root=args.media_root,
        subset=Subset(
            fraction=args.fraction, by=args.by, pairs=args.pairs, types=_read_types(args.types), seed=args.seed
        ),
        skip_missing=args.skip_missing,
        check_decode=args.check_decode,
    )
    if args.json:
        return report.document()
    contents = f"{report.videos:,} videos, {report.images:,} pictures"
    print(f"{report.folder}: {report.rows:,} rows with {report.pairs:,} question-answer pairs about {contents}")
    if report.not_chosen:
        print(f"not asked for: {report.not_chosen:,} records")
    for name, problems in (("malformed", report.malformed), ("missing", report.missing), ("broken", report.broken)):
        if problems.count:
            print(f"{name}: {problems.count:,}, the first:")
            for line in problems.first:
                print(f"  {line}")
    return None
