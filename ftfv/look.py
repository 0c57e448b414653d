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
"""`ftfv look`: draws a clip with the patches that the kept queries look at."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING


if TYPE_CHECKING:
    from .modeling_ftfv.modeling_ftfv import FTFVForConditionalGeneration
    from .processing.processing_ftfv import FTFVProcessor


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `ftfv look`."""
    parser.add_argument("video", metavar="VIDEO", help="path or URL of a video")
    parser.add_argument("--model", required=True, help="model folder or Hub id")
    parser.add_argument("--output", default="look.png", help="picture to write (default: look.png)")
    parser.add_argument(
        "--tokens-per-frame",
        type=int,
        nargs="+",
        metavar="K",
        help="tokens per frame; one row of the picture for each (default: the model's own)",
    )
    parser.add_argument("--num-frames", type=int, help="frames to look at (default: 8; fewer where a video is shorter)")
    parser.add_argument("--question", help="question to ask; it and its answer are written above the picture")


def run(args: argparse.Namespace) -> None:
    """Writes the picture and prints its path."""
    from transformers import AutoModelForImageTextToText, AutoProcessor
    from transformers.utils import logging

    from .model_folder import check_model_folder

    logging.set_verbosity_warning()
    logging.disable_progress_bar()
    check_model_folder(args.model)
    draw_look(
        AutoModelForImageTextToText.from_pretrained(args.model),
        AutoProcessor.from_pretrained(args.model),
        args.video,
        args.output,
        tokens_per_frame=args.tokens_per_frame,
        num_frames=args.num_frames,
        question=args.question or "",
    )
    print(args.output)


def draw_look(
    model: "FTFVForConditionalGeneration",
    processor: "FTFVProcessor",
    video: str,
    output: str | Path,
    *,
    tokens_per_frame: Sequence[int] | None = None,
    num_frames: int | None = None,
    question: str = "",
    truth: str = "",
) -> None:
    """
    Draws the sampled frames of a video and what the kept queries look at.

    Args:
        model (`FTFVForConditionalGeneration`): the model.
        processor (`FTFVProcessor`): its processor.
        video (`str`): path or URL.
        output (`str` or `Path`): PNG to write.
        tokens_per_frame (`Sequence[int]`, *optional*): K of each row, the processor's own by default.
        num_frames (`int`, *optional*): frames to look at, the processor's own by default; fewer where a video is shorter.
        question (`str`, *optional*): asked with the first K; it and the answer go into the title.
        truth (`str`, *optional*): the right answer, for the title.

    Raises:
        ValueError: K is out of range, or the video cannot be decoded.
    """
    from .evaluation.pictures import draw_kept_patches, kept_attention
    from .processing.pipeline_ftfv import VideoTextToTextPipeline
    from .processing.video_decoding_ftfv import read_video

    video_processor = processor.video_processor
    counts = list(tokens_per_frame or [video_processor.tokens_per_frame])
    for count in counts:
        if not 1 <= count <= processor.num_query_tokens:
            raise ValueError(f"`tokens_per_frame` is {count}; expected 1 to {processor.num_query_tokens}.")
    frames, metadata = read_video(
        video, lambda metadata: video_processor.sample_frames(metadata, max_num_frames=num_frames)
    )
    pixel_values = video_processor([frames], do_sample_frames=False, return_tensors="pt")["pixel_values_videos"]
    attention = {
        count: kept_attention(model, pixel_values.to(model.dtype), tokens_per_frame=count)[0][0] for count in counts
    }
    answer = ""
    if question:
        pipe = VideoTextToTextPipeline(model=model, processor=processor)
        options = {"tokens_per_frame": counts[0], "num_frames": num_frames, "return_full_text": False}
        answer = pipe(videos=video, text=question, max_new_tokens=64, do_sample=False, **options)[0]["generated_text"]
    draw_kept_patches(
        output,
        frames.permute(0, 2, 3, 1).numpy() if hasattr(frames, "permute") else frames,
        attention,
        times=metadata.timestamps if metadata.fps else None,
        clip=Path(video).name,
        question=question,
        answer=answer.strip(),
        truth=truth,
    )
