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
Compares the answers of vLLM's transformers backend with those of transformers, greedy and in float32.

    python -m ftfv.vllm_check MODEL VIDEO [--tokens-per-frame K ...]

It exits with 0 if the tokens are the same for every K, with 1 if they differ, and with 2 where vLLM is not installed.
"""

import argparse
import gc
import importlib.util
import sys
from collections.abc import Sequence
from typing import Any

import torch
from transformers import AutoProcessor

from .model_folder import check_model_folder
from .modeling_ftfv.modeling_ftfv import FTFVForConditionalGeneration


QUESTION = "what happens in the video ?"
NOT_INSTALLED = 2


def main() -> int:
    """Runs the comparison and prints a line for each K."""
    parser = argparse.ArgumentParser(prog="python -m ftfv.vllm_check", description=__doc__.split("\n\n")[0])
    parser.add_argument("model", metavar="MODEL", help="model folder or Hub id")
    parser.add_argument("video", metavar="VIDEO", help="path of a video")
    parser.add_argument(
        "--tokens-per-frame", type=int, nargs="+", metavar="K", help="tokens per frame (default: the model's own)"
    )
    parser.add_argument("--max-new-tokens", type=int, default=32, help="longest answer in tokens (default: 32)")
    args = parser.parse_args()
    if importlib.util.find_spec("vllm") is None:
        print(
            "vLLM is not installed here, so nothing was compared; install it in an environment of its own "
            "(`pip install vllm av`, then `pip install --no-deps ftfv`) and run this there.",
            file=sys.stderr,
        )
        return NOT_INSTALLED
    check_model_folder(args.model)
    processor: Any = AutoProcessor.from_pretrained(args.model)
    counts = args.tokens_per_frame or [processor.video_processor.tokens_per_frame]
    content = [{"type": "video", "video": args.video}, {"type": "text", "text": QUESTION}]
    chat = [{"role": "user", "content": content}]
    prompt = processor.apply_chat_template(chat, add_generation_prompt=True)
    # As tokens, because vLLM would put another beginning before a text.
    prompt = processor.tokenizer(prompt, add_special_tokens=False)["input_ids"]
    expected = generate_by_transformers(args.model, processor, chat, counts, args.max_new_tokens)
    found = generate_by_vllm(args.model, processor, prompt, args.video, counts, args.max_new_tokens)
    for count, reference, tokens in zip(counts, expected, found, strict=True):
        verdict = "equal" if tokens == reference else f"differ: {reference} by transformers, {tokens} by vLLM"
        print(f"K = {count}: {len(reference)} tokens, {verdict}")
    return 0 if found == expected else 1


def generate_by_transformers(
    model_name: str, processor: Any, chat: list[dict[str, Any]], counts: list[int], max_new_tokens: int
) -> list[list[int]]:
    """Tokens of the answer for each K. The model is freed before vLLM asks for the memory."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = FTFVForConditionalGeneration.from_pretrained(model_name, dtype=torch.float32).to(device).eval()
    answers = []
    for count in counts:
        inputs = processor.apply_chat_template(
            chat,
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            # The transformers that vLLM asks for lacks what this takes, and nobody typed the question.
            sanitize_control_tokens=False,
            processor_kwargs={"tokens_per_frame": count},
        ).to(device)
        output = model.generate(**inputs, max_new_tokens=max_new_tokens, do_sample=False)
        answers.append(without_end(output[0, inputs["input_ids"].shape[1] :].tolist(), processor))
    del model
    gc.collect()
    torch.cuda.empty_cache()
    return answers


def generate_by_vllm(
    model_name: str, processor: Any, prompt: list[int], video: str, counts: list[int], max_new_tokens: int
) -> list[list[int]]:
    """Tokens of the answer for each K, of the same frames."""
    from vllm import LLM, SamplingParams

    # Sampled here, as vLLM's own loader takes other frames; see the documentation for a server.
    frames, metadata = processor.video_processor.fetch_videos(video, processor.video_processor.sample_frames)
    known = {
        "fps": metadata.fps,
        "duration": metadata.duration,
        "total_num_frames": len(frames),
        "frames_indices": list(range(len(frames))),
        "video_backend": metadata.video_backend,
        "do_sample_frames": False,
    }
    engine = LLM(
        model=model_name,
        model_impl="transformers",
        dtype="float32",
        enforce_eager=True,
        limit_mm_per_prompt={"video": 1},
    )
    settings = SamplingParams(temperature=0.0, max_tokens=max_new_tokens)
    answers = []
    for count in counts:
        request = {
            "prompt_token_ids": prompt,
            "multi_modal_data": {"video": [(torch.as_tensor(frames).numpy(), known)]},
            "mm_processor_kwargs": {"tokens_per_frame": count},
        }
        [output] = engine.generate([request], settings)
        answers.append(without_end(output.outputs[0].token_ids, processor))
    return answers


def without_end(tokens: Sequence[int], processor: Any) -> list[int]:
    """The tokens of an answer without the one that ends it, which not every library returns."""
    return [token for token in tokens if token != processor.tokenizer.eos_token_id]


if __name__ == "__main__":
    sys.exit(main())
