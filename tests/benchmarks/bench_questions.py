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
Time of ten questions about one clip, every other one with three beams: encoded once against encoded for each.

    python tests/benchmarks/bench_questions.py

Both ways are measured side by side, round by round, after one round that is not counted; the answers must be equal.
The weights are random. The sizes are small but leave most of the work to the vision tower, as the paper's do; `--full`
takes the paper's own, for a GPU.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from ftfv import FTFVConfig
from ftfv.processing.pipeline_ftfv import VideoTextToTextPipeline
from tests.tiny import WORDS, build_config, build_model, build_processor, write_video


QUESTIONS = [
    f"{start} {subject} ?"
    for start in ("what", "which way", "does the", "what does the", "which")
    for subject in ("red circle move", "blue square")
]
FRAME_SIZE, NUM_QUERIES = 224, 256


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="rounds measured")
    parser.add_argument("--tokens-per-frame", type=int, default=16, metavar="K")
    parser.add_argument("--max-new-tokens", type=int, default=8, help="tokens of each answer")
    parser.add_argument("--full", action="store_true", help="the paper's sizes in bf16")
    arguments = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    pipe = build_pipeline(arguments.full, device)
    calls = count_calls(pipe.model.model.vision_tower)
    seconds: dict[str, list[float]] = {"each": [], "once": []}
    encoded = {}
    with tempfile.TemporaryDirectory() as folder:
        clip = write_video(Path(folder) / "clip.mp4", 80)
        for round_ in range(1 + arguments.rounds):
            answers = {}
            for way in seconds:
                calls.clear()
                start = time.perf_counter()
                answers[way] = ask(pipe, clip, way, arguments.tokens_per_frame, arguments.max_new_tokens)
                if round_:
                    seconds[way].append(time.perf_counter() - start)
                encoded[way] = len(calls)
            if answers["once"] != answers["each"]:
                raise RuntimeError("The answers differ; expected the same tokens both ways.")
    medians = {way: statistics.median(measured) for way, measured in seconds.items()}
    where = torch.cuda.get_device_name() if device == "cuda" else f"{os.cpu_count()} cores"
    sys.stdout.write(
        f"{len(QUESTIONS)} questions, 8 frames, K = {arguments.tokens_per_frame}, {where}, "
        f"{arguments.rounds} rounds\n\n| the clip is encoded | calls of the tower | seconds | ratio |\n"
        "| --- | ---: | ---: | ---: |\n"
    )
    for way, name in (("each", "for each question"), ("once", "once")):
        ratio = medians[way] / medians["each"]
        sys.stdout.write(f"| {name} | {encoded[way]} | {medians[way]:.2f} | {ratio:.2f} |\n")
    return 0


def build_pipeline(full: bool, device: str) -> VideoTextToTextPipeline:
    """A pipeline with random weights."""
    if full:
        config = FTFVConfig(image_token_id=WORDS.index("<image>"), video_token_id=WORDS.index("<video>"))
    else:
        config = build_config(
            vision_config={
                "hidden_size": 512,
                "intermediate_size": 2048,
                "num_hidden_layers": 12,
                "num_attention_heads": 8,
                "image_size": FRAME_SIZE,
                "patch_size": 14,
                "num_position_embeddings": 256,
            },
            adapter_config={"num_query_tokens": NUM_QUERIES, "num_attention_heads": 8},
            text_config={
                "hidden_size": 512,
                "intermediate_size": 1408,
                "num_hidden_layers": 8,
                "num_attention_heads": 8,
                "num_key_value_heads": 8,
            },
            tokens_per_frame=128,
        )
    with torch.device(device):
        model = build_model(config)
    processor = build_processor(tokens_per_frame=config.tokens_per_frame)
    processor.num_query_tokens = config.adapter_config.num_query_tokens
    size = config.vision_config.image_size
    processor.video_processor.size = {"height": size, "width": size}
    return VideoTextToTextPipeline(model=model.to(torch.bfloat16 if full else torch.float32), processor=processor)


def count_calls(module: torch.nn.Module) -> list[int]:
    """A list that grows with each call of the module."""
    calls: list[int] = []
    module.register_forward_hook(lambda *_: calls.append(1))
    return calls


def ask(pipe: Any, clip: str, way: str, tokens_per_frame: int, max_new_tokens: int) -> list[list[int]]:
    """Token ids of the answers, all of the same length."""
    videos = pipe.encode(clip, tokens_per_frame=tokens_per_frame) if way == "once" else clip
    answers = []
    for index, question in enumerate(QUESTIONS):
        generate_kwargs = {
            "do_sample": False,
            "num_beams": 1 + 2 * (index % 2),
            "max_new_tokens": max_new_tokens,
            "min_new_tokens": max_new_tokens,
        }
        [answer] = pipe(
            videos=videos,
            text=question,
            tokens_per_frame=tokens_per_frame,
            generate_kwargs=generate_kwargs,
            return_tensors=True,
        )
        answers.append([int(token) for token in answer["generated_token_ids"]])
    return answers


if __name__ == "__main__":
    sys.exit(main())
