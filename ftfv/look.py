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
"""`ftfv look`: draws clips with the patches that the kept queries look at, as a picture, a page or a sheet of many."""

import argparse
import os
from pathlib import Path

from .trade_options import add_trade_arguments, set_trades


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `ftfv look`."""
    parser.add_argument(
        "video",
        metavar="VIDEO",
        help="path or URL of a video; or a folder with videos and a file questions.jsonl, which makes a sheet of "
        "questions with the answers at each K, in lines such as "
        '{"video": "a.mp4", "question": "What happens?", "ability": "caption"}',
    )
    parser.add_argument("--model", required=True, help="model folder or Hub id")
    parser.add_argument(
        "--output",
        default="look.png",
        help="file to write: a picture if its name ends in .png, a page to click through, or a sheet, if in .html "
        "(default: look.png)",
    )
    parser.add_argument(
        "--tokens-per-frame",
        type=int,
        nargs="+",
        metavar="K",
        help="tokens per frame; one row of the picture, one view of the page or one answer of the sheet for each "
        "(default: the model's own)",
    )
    parser.add_argument(
        "--num-frames", type=int, help="frames to look at (default: 8; fewer where a video is shorter)"
    )
    add_trade_arguments(parser)
    parser.add_argument("--question", help="question to ask; it and its answer are written above")


def run(args: argparse.Namespace) -> None:
    """
    Writes the picture, the page or the sheet and prints its path.

    Raises:
        ValueError: the name of the file to write ends in neither .png nor .html, or a sheet is asked to be another
            file than .html or to answer one more question.
    """
    suffix = Path(args.output).suffix.lower()
    if suffix not in (".png", ".html"):
        raise ValueError(f"--output is {args.output!r}; expected a name that ends in .png or .html.")
    if os.path.isfile(os.path.join(args.video, "questions.jsonl")):
        _write_sheet(args, suffix)
        print(args.output)
        return

    from transformers.utils import logging

    from .evaluation.pages.look_page import write_look_page
    from .evaluation.pages.pictures import draw_kept_patches
    from .model_folder import check_model_folder
    from .modeling_ftfv.modeling_ftfv import FTFVForConditionalGeneration
    from .processing.processing_ftfv import FTFVProcessor

    logging.set_verbosity_warning()
    logging.disable_progress_bar()
    check_model_folder(args.model)
    write = draw_kept_patches if suffix == ".png" else write_look_page
    model = FTFVForConditionalGeneration.from_pretrained(args.model)
    processor_kwargs = set_trades(args, model.config)
    write(
        model,
        FTFVProcessor.from_pretrained(args.model),
        args.video,
        args.output,
        tokens_per_frame=args.tokens_per_frame,
        num_frames=args.num_frames,
        question=args.question,
        processor_kwargs=processor_kwargs,
    )
    print(args.output)


def _write_sheet(args: argparse.Namespace, suffix: str) -> None:
    if suffix != ".html":
        raise ValueError(f"--output is {args.output!r}; expected a name that ends in .html for a folder of questions.")
    if args.question is not None:
        raise ValueError("--question is given for a folder of questions; expected it in questions.jsonl.")

    from transformers import pipeline
    from transformers.utils import logging

    from .evaluation.pages.qualitative_sheet import read_cases, write_sheet
    from .model_folder import check_model_folder

    logging.set_verbosity_warning()
    logging.disable_progress_bar()
    cases = read_cases(args.video)
    check_model_folder(args.model)
    pipe = pipeline("video-text-to-text", model=args.model)
    write_sheet(
        args.output,
        cases,
        pipe,
        processor_kwargs=set_trades(args, pipe.model.config),
        tokens_per_frame=args.tokens_per_frame,
        num_frames=args.num_frames,
    )
