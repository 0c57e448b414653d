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
"""`ftfv ask`: a conversation over one video, which is encoded once."""

import argparse
import sys
from collections.abc import Callable, Iterator
from typing import Any

from .trade_options import add_trade_arguments, set_trades


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `ftfv ask`."""
    parser.add_argument("video", metavar="VIDEO", help="path or URL of a video")
    parser.add_argument(
        "questions",
        metavar="QUESTION",
        nargs="*",
        help="what to ask about it; several are answered each by itself, and without any a conversation reads them "
        "from the terminal, one a line, until it ends (Ctrl-D)",
    )
    parser.set_defaults(open_list="questions")
    parser.add_argument("--model", required=True, help="model folder or Hub id")
    parser.add_argument("--tokens-per-frame", type=int, help="tokens per frame, K (default: the model's own)")
    parser.add_argument(
        "--num-frames", type=int, help="frames to look at (default: 8; fewer where a video is shorter)"
    )
    add_trade_arguments(parser)
    parser.add_argument("--max-new-tokens", type=int, default=64, help="longest answer in tokens (default: 64)")
    parser.add_argument("--cache", metavar="DIR", help="folder that keeps the features of videos for the next time")
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def run(args: argparse.Namespace) -> dict[str, object] | None:
    """Prints the answers, or returns them as the document of `--json`."""
    from transformers import pipeline
    from transformers.utils import logging

    from .feature_cache import FeatureCache
    from .model_folder import check_model_folder

    logging.set_verbosity_warning()
    logging.disable_progress_bar()
    check_model_folder(args.model)
    if args.num_frames is not None and args.num_frames < 1:
        raise ValueError(f"--num-frames is {args.num_frames}; expected at least 1.")
    if args.max_new_tokens < 1:
        raise ValueError(f"--max-new-tokens is {args.max_new_tokens}; expected at least 1.")
    if not all(question.strip() for question in args.questions):
        raise ValueError("The question is empty; expected text to answer, such as 'What happens in the video?'.")
    pipe = pipeline("video-text-to-text", model=args.model)
    processor_kwargs = set_trades(args, pipe.model.config)
    encode = pipe.encode if args.cache is None else FeatureCache(args.cache, pipe).encode
    features = encode(
        args.video, tokens_per_frame=args.tokens_per_frame, num_frames=args.num_frames, **processor_kwargs
    )

    def answer(chat: list[dict[str, Any]]) -> str:
        [output] = pipe(
            text=chat,
            max_new_tokens=args.max_new_tokens,
            generate_kwargs={"do_sample": False},
            return_full_text=False,
        )
        return output["generated_text"].strip()

    turns = []
    for question, text in converse(features, args.questions, answer):
        turns.append({"question": question, "answer": text})
        if not args.json:
            print(text, flush=True)
    if not args.json:
        return None
    document = {"video": args.video, "tokens_per_frame": features.token_indices.shape[-1]}
    return {**document, **turns[0]} if len(args.questions) == 1 else {**document, "answers": turns}


def converse(
    features: Any, questions: list[str], answer: Callable[[list[dict[str, Any]]], str]
) -> Iterator[tuple[str, str]]:
    """
    Questions with their answers: those given, each as a chat of its own, or those of the terminal as the turns of one.

    Args:
        features: the video, as `encode` of the pipeline returns it.
        questions (`list[str]`): what to ask; none for the terminal.
        answer (`Callable`): from a chat to the next turn of the assistant.
    """
    video = {"type": "video", "video": features}
    if questions:
        for question in questions:
            yield question, answer([{"role": "user", "content": [video, _text(question)]}])
        return
    chat: list[dict[str, Any]] = []
    for question in read_questions():
        content = [_text(question)] if chat else [video, _text(question)]
        chat.append({"role": "user", "content": content})
        text = answer(chat)
        chat.append({"role": "assistant", "content": [_text(text)]})
        yield question, text


def read_questions() -> Iterator[str]:
    """The lines of stdin that are not blank; a person is prompted for them on stderr."""
    while True:
        if sys.stdin.isatty():
            print("> ", end="", file=sys.stderr, flush=True)
        line = sys.stdin.readline()
        if not line:
            return
        if line.strip():
            yield line.strip()


def _text(text: str) -> dict[str, str]:
    return {"type": "text", "text": text}
