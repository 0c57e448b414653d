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
"""What `ftfv doctor` finds out about a model and a video: files, memory, agreement, and a token of an answer."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .doctor_finding import Finding, examine
from .doctor_machine import choose_device, usable_decoders
from .model_folder import check_model_folder
from .modeling_ftfv.configuration_ftfv import FTFVConfig
from .modeling_ftfv.cost import CostCounter
from .modeling_ftfv.modeling_ftfv import FTFVForConditionalGeneration
from .processing.media_source_ftfv import open_source, split_clip
from .processing.pipeline_ftfv import check_agreement
from .processing.processing_ftfv import FTFVProcessor
from .processing.video_decoding_ftfv import READERS, read_video
from .processing.video_processing_ftfv import FTFVVideoProcessor


QUESTION = "what happens in the video ?"


def examine_model(
    model: str, video: str | None = None, tokens_per_frame: int | None = None, num_frames: int | None = None
) -> Iterator[Finding]:
    """
    Yields findings about a model, in the order in which one needs the other; what a bad one keeps from being looked at
    is left out.

    Args:
        model (`str`): model folder or Hub id.
        video (`str`, *optional*): path or URL of a video; noise instead when not given.
        tokens_per_frame (`int`, *optional*): tokens per frame K; the model's own when not given.
        num_frames (`int`, *optional*): frames T; the model's own when not given, fewer where a video is shorter.
    """
    loaded: dict[str, Any] = {}

    def load_config() -> str:
        check_model_folder(model)
        config = loaded["config"] = FTFVConfig.from_pretrained(model)
        return (
            f"{config.text_config.model_type} of {config.text_config.num_hidden_layers} layers, K = "
            f"{config.tokens_per_frame} of {config.adapter_config.num_query_tokens} queries, sampler "
            f"{config.token_sampler!r}."
        )

    def load_processor() -> str:
        processor = loaded["processor"] = FTFVProcessor.from_pretrained(model)
        template = "a" if processor.chat_template else "no"
        return f"{len(processor.tokenizer)} tokens, {template} chat template."

    def compare() -> str:
        check_agreement(loaded["config"], loaded["processor"])
        return "config.json and processor_config.json agree."

    yield examine("config.json", load_config, "save, convert or download the model again.")
    if "config" in loaded:
        yield examine("processor", load_processor, "save the processor into the model's folder, or download it again.")
    if "processor" in loaded:
        yield examine("agreement", compare, "save both from the same model, or correct one of the files.")
    if video is not None:
        yield examine(
            "video",
            lambda: check_video(video, loaded.get("processor"), num_frames),
            "check that it plays, or encode it again: `ffmpeg -i VIDEO -c:v libx264 again.mp4`.",
        )
    if "config" not in loaded:
        return
    config = loaded["config"]
    memory = examine(
        "memory",
        lambda: check_memory(config, tokens_per_frame, num_frames),
        "use a smaller --tokens-per-frame or --num-frames, load the model in 16 bits or quantised, or use another "
        "machine.",
    )
    yield memory
    if not (memory.good and "processor" in loaded):
        return

    def load_weights() -> str:
        return load_model(model, loaded)

    weights = examine("weights", load_weights, "save, merge or download the model again.")
    yield weights
    if weights.good:
        yield examine(
            "answer",
            lambda: answer(loaded["model"], loaded["processor"], video, tokens_per_frame, num_frames),
            "see the findings above; the line after the model's error names what to change.",
        )


def check_video(video: str, processor: Any, num_frames: int | None) -> str:
    """
    What a video holds and which decoders read it.

    Raises:
        ValueError: no decoder does.
    """
    sampler = FTFVVideoProcessor() if processor is None else processor.video_processor
    start = time.perf_counter()
    frames, metadata = read_video(
        split_clip(video)[0], lambda metadata: sampler.sample_frames(metadata, max_num_frames=num_frames)
    )
    seconds = time.perf_counter() - start
    rate = f" at {metadata.fps:.4g} frames per second" if metadata.fps else ""
    text = (
        f"{metadata.total_num_frames} frames{rate}, {frames.shape[2]} x {frames.shape[1]}; {len(frames)} of them read "
        f"in {seconds:.2f} s."
    )
    if metadata.video_backend not in READERS:
        return text  # frames kept as files
    verdicts = []
    for name in usable_decoders():
        try:
            READERS[name](open_source(split_clip(video)[0])).frames_at(np.asarray(metadata.frames_indices))
            verdicts.append(f"{name} reads it")
        except Exception as error:
            verdicts.append(f"{name} does not ({' '.join(str(error).split())[:100]})")
    return f"{text} Decoders: {', '.join(verdicts)}."


def check_memory(config: FTFVConfig, tokens_per_frame: int | None, num_frames: int | None) -> str:
    """
    Bytes of the weights and of the keys and values of a question, against those that are free.

    Raises:
        ValueError: they do not fit, or a number is out of range.
    """
    counter = CostCounter(config)
    counted = counter.next_question(num_frames=num_frames, tokens_per_frame=tokens_per_frame)
    # Both are counted in 16 bits.
    scale = (config.dtype or torch.float32).itemsize / 2
    needed = scale * (counter.weight_bytes + counted.kv_cache_bytes)
    free, where = free_memory()
    text = (
        f"{_size(scale * counter.weight_bytes)} of weights and {_size(scale * counted.kv_cache_bytes)} of keys and "
        f"values for {counted.num_frames} frames x {counted.tokens_per_frame} tokens and {counted.text_tokens} of "
        f"text; {_size(free)} are free on the {where}."
    )
    if needed > free:
        raise ValueError(text)
    return text


def free_memory() -> tuple[int, str]:
    """Free bytes of the device that a model would be loaded to, and its name."""
    if choose_device() == "cuda":
        return torch.cuda.mem_get_info()[0], "GPU"
    meminfo = Path("/proc/meminfo")
    if meminfo.is_file():
        fields = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
        return int(fields["MemAvailable"].split()[0]) * 1024, "CPU"
    # Elsewhere only the size of the memory is known.
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), "CPU"


def load_model(model: str, loaded: dict[str, Any]) -> str:
    """
    Loads the weights.

    Raises:
        ValueError: some are missing, or belong to no module.
    """
    start = time.perf_counter()
    loaded["model"], report = FTFVForConditionalGeneration.from_pretrained(model, output_loading_info=True)
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        names = sorted(map(str, report.get(kind) or ()))
        if names:
            raise ValueError(f"{len(names)} {kind.replace('_', ' ')} in the weights, such as {names[0]!r}.")
    loaded["model"].to(choose_device()).eval()
    dtype = str(loaded["model"].dtype).removeprefix("torch.")
    return f"complete, {dtype}, on {choose_device()} after {time.perf_counter() - start:.2f} s."


def answer(model: Any, processor: Any, video: str | None, tokens_per_frame: int | None, num_frames: int | None) -> str:
    """
    Generates the first token of an answer.

    Raises:
        ValueError: the video cannot be read, or the logits are no numbers.
    """
    num_frames = num_frames or processor.video_processor.max_num_frames or model.config.num_frames
    start = time.perf_counter()
    source: Any = video
    if source is None:
        source = np.random.default_rng(0).integers(0, 256, (num_frames, 64, 64, 3), dtype=np.uint8)
    asked = {"max_num_frames": num_frames}
    if tokens_per_frame is not None:
        asked["tokens_per_frame"] = tokens_per_frame
    if processor.chat_template:
        content = [{"type": "video", "video": source}, {"type": "text", "text": QUESTION}]
        inputs = processor.apply_chat_template(
            [{"role": "user", "content": content}],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            processor_kwargs=asked,
        )
    else:
        text = f"{processor.video_token} {QUESTION}"
        inputs = processor(text=text, videos=source, return_tensors="pt", **asked)
    prepared = time.perf_counter()
    inputs = inputs.to(model.device)
    output = model.generate(
        **inputs, max_new_tokens=1, do_sample=False, return_dict_in_generate=True, output_logits=True
    )
    seconds = time.perf_counter() - prepared
    if not bool(output.logits[0].isfinite().all()):
        raise ValueError("The logits are not finite; expected numbers.")
    token = processor.tokenizer.decode(output.sequences[0, -1:])
    tokens = int(inputs["tokens_per_frame"][0])
    return (
        f"the first token is {token!r}: {prepared - start:.2f} s for the frames, {seconds:.2f} s for the token, at "
        f"{int(inputs['video_frame_mask'].sum())} frames x {tokens} tokens, prompt {inputs['input_ids'].shape[1]}."
    )


def _size(num_bytes: float) -> str:
    return f"{num_bytes / 1e9:.2f} GB" if num_bytes >= 1e8 else f"{num_bytes / 1e6:.2f} MB"
