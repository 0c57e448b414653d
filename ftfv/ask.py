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
"""`ftfv ask`: a video and a question in, an answer out."""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `ftfv ask`."""
    parser.add_argument("video", metavar="VIDEO", help="path or URL of a video")
    parser.add_argument("question", metavar="QUESTION", help="what to ask about it")
    parser.add_argument("--model", required=True, help="model folder or Hub id")
    parser.add_argument("--tokens-per-frame", type=int, help="tokens per frame, K (default: the model's own)")
    parser.add_argument(
        "--num-frames", type=int, help="frames to look at (default: 8; fewer where a video is shorter)"
    )
    parser.add_argument("--max-new-tokens", type=int, default=64, help="longest answer in tokens (default: 64)")
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def run(args: argparse.Namespace) -> dict[str, object] | None:
    """Prints the answer, or returns it as the document of `--json`."""
    from transformers import pipeline
    from transformers.utils import logging

    from .model_folder import check_model_folder

    logging.set_verbosity_warning()
    logging.disable_progress_bar()
    check_model_folder(args.model)
    if args.num_frames is not None and args.num_frames < 1:
        raise ValueError(f"--num-frames is {args.num_frames}; expected at least 1.")
    if args.max_new_tokens < 1:
        raise ValueError(f"--max-new-tokens is {args.max_new_tokens}; expected at least 1.")
    pipe = pipeline("video-text-to-text", model=args.model)
    [answer] = pipe(
        videos=args.video,
        text=args.question,
        tokens_per_frame=args.tokens_per_frame,
        num_frames=args.num_frames,
        max_new_tokens=args.max_new_tokens,
        generate_kwargs={"do_sample": False},
        return_full_text=False,
    )
    text = answer["generated_text"].strip()
    if args.json:
        tokens_per_frame = args.tokens_per_frame or pipe.processor.video_processor.tokens_per_frame
        return {"video": args.video, "question": args.question, "answer": text, "tokens_per_frame": tokens_per_frame}
    print(text)
    return None
