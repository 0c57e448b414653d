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
"""Asks an FTFV model about a video: encodes it once for many questions, streams answers, counts what both cost."""

import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import TextIteratorStreamer, pipeline

from attention import recorded_attention


MAX_NEW_TOKENS = 128


class Refused(ValueError):
    """What a visitor can mend; the message says how."""


@dataclass
class Cost:
    """
    What a computation took.

    Attributes:
        flops (`int`): floating-point operations of matrix products, convolutions and attention, counted while they
            ran; a multiplication and an addition are two.
        seconds (`float`): wall-clock time.
    """

    flops: int = 0
    seconds: float = 0.0


@dataclass
class EncodedVideo:
    """
    A video that the model has seen.

    Attributes:
        path (`str`): its file.
        asked_frames (`int`): frames that were asked for; a shorter video gives all it has.
        frames (`np.ndarray` of shape `(num_frames, height, width, 3)`): those that were encoded, uint8.
        features: their tokens, see `VideoTextToTextPipeline.encode`.
        attention (`torch.Tensor` of shape `(num_frames, tokens_per_frame, num_patches)`): see [`recorded_attention`].
    """

    path: str
    asked_frames: int
    frames: np.ndarray
    features: Any
    attention: torch.Tensor

    @property
    def tokens_per_frame(self) -> int:
        return self.attention.shape[1]

    @property
    def times(self) -> list[float] | None:
        """Seconds to each frame, None where the file does not tell."""
        times = self.features.frame_times
        return None if times is None else times[0].tolist()


def load(model: str) -> Any:
    """The pipeline of a model folder or a repository of the Hub, by the code that comes with it."""
    return pipeline("video-text-to-text", model=model, trust_remote_code=True)


def token_counts(pipe: Any) -> list[int]:
    """The numbers of tokens per frame to choose from: powers of two, the model's own number, and all queries."""
    num_query_tokens = pipe.model.config.adapter_config.num_query_tokens
    if pipe.model.config.token_sampler == "none":
        return [num_query_tokens]
    powers = {2**exponent for exponent in range(num_query_tokens.bit_length())}
    return sorted({*powers, pipe.model.config.tokens_per_frame, num_query_tokens})


def encode(
    pipe: Any, path: str, num_frames: int, tokens_per_frame: int, earlier: EncodedVideo | None = None
) -> tuple[EncodedVideo, Cost | None]:
    """
    Encodes a video, unless what was encoded earlier serves: the same frames with as many tokens or, where the model
    keeps its best ones, more.

    Returns:
        The video and what it cost, None if nothing was computed.

    Raises:
        Refused: the file is no video that can be read to its end.
    """
    if earlier is not None and (earlier.path, earlier.asked_frames) == (path, num_frames):
        nested = pipe.model.config.token_sampler == "weighted"
        if earlier.tokens_per_frame == tokens_per_frame or (nested and earlier.tokens_per_frame > tokens_per_frame):
            return earlier, None
    start = time.perf_counter()
    video_processor = pipe.processor.video_processor
    try:
        frames, metadata = video_processor.fetch_videos(
            path, sample_indices_fn=partial(video_processor.sample_frames, max_num_frames=num_frames)
        )
    except (ValueError, OSError) as error:
        raise Refused(
            f"“{os.path.basename(path)}” cannot be read as a video: it is damaged, cut off, or something else. Check "
            "that it plays, or save it again as mp4."
        ) from error
    frames = torch.as_tensor(frames)
    inputs = pipe.prepare_videos(
        frames.permute(0, 3, 1, 2),
        video_metadata=[metadata],
        do_sample_frames=False,
        tokens_per_frame=tokens_per_frame,
    )
    with FlopCounterMode(display=False) as counter, recorded_attention(pipe.model) as attention:
        features = pipe.encode_inputs(inputs)
    video = EncodedVideo(path, num_frames, frames.numpy(), features, torch.cat(attention))
    return video, Cost(counter.get_total_flops(), time.perf_counter() - start)


def kept_attention(pipe: Any, video: EncodedVideo, tokens_per_frame: int) -> torch.Tensor:
    """Attention of the queries that are kept with a K as large as the video's or smaller."""
    features = video.features
    sampler = pipe.model.base_model.multi_modal_projector.sampler
    positions = sampler.narrow(features.responses, features.token_indices, tokens_per_frame)[0].cpu()
    return video.attention.gather(1, positions[..., None].expand(-1, -1, video.attention.shape[-1]))


def stream_answer(
    pipe: Any, video: EncodedVideo, tokens_per_frame: int, question: str
) -> Iterator[tuple[str, Cost | None]]:
    """
    Yields the answer as far as it has come, and at last the whole of it with what it cost.

    Raises:
        Refused: the model has no room for the question.
    """
    asked = {"type": "text", "text": question}
    _check_room(pipe, video, tokens_per_frame, asked)
    chat = [{"role": "user", "content": [{"type": "video", "video": video.features}, asked]}]
    streamer = TextIteratorStreamer(pipe.tokenizer, skip_prompt=True, skip_special_tokens=True)
    stopped = threading.Event()
    outcome: list[Cost | BaseException] = []

    def should_stop(input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> torch.Tensor:
        return torch.full((len(input_ids),), stopped.is_set(), device=input_ids.device)

    def generate() -> None:
        start = time.perf_counter()
        try:
            with FlopCounterMode(display=False) as counter:
                pipe(
                    text=chat,
                    tokens_per_frame=tokens_per_frame,
                    streamer=streamer,
                    generate_kwargs={
                        "do_sample": False,
                        "max_new_tokens": MAX_NEW_TOKENS,
                        "stopping_criteria": [should_stop],
                    },
                )
            outcome.append(Cost(counter.get_total_flops(), time.perf_counter() - start))
        except BaseException as error:  # raised again below, where somebody sees it
            outcome.append(error)
            streamer.end()

    thread = threading.Thread(target=generate)
    thread.start()
    text = ""
    try:
        for piece in streamer:
            text += piece
            yield text.strip(), None
    finally:
        # A visitor who has left needs no answer.
        stopped.set()
        thread.join()
    [result] = outcome
    if isinstance(result, BaseException):
        raise result
    yield text.strip(), result


def _check_room(pipe: Any, video: EncodedVideo, tokens_per_frame: int, question: dict[str, str]) -> None:
    """Language models give nonsense beyond the positions that they know, and no error."""
    processor = pipe.processor
    positions = getattr(pipe.model.config.text_config, "max_position_embeddings", None)
    limit = min(pipe.tokenizer.model_max_length, positions or pipe.tokenizer.model_max_length)
    prompt = processor.apply_chat_template(
        [{"role": "user", "content": [{"type": "video"}, question]}], add_generation_prompt=True
    )
    placeholders = processor.replace_features_token(
        video.features,
        tokens_per_frame=tokens_per_frame,
        frame_timestamps=processor.video_processor.frame_timestamps,
    )
    prompt = prompt.replace(processor.video_token, placeholders, 1)
    needed = len(pipe.tokenizer(prompt)["input_ids"]) + MAX_NEW_TOKENS
    if needed > limit:
        raise Refused(
            f"This needs {needed:,} tokens: {len(video.frames) * tokens_per_frame:,} of the video, {MAX_NEW_TOKENS} "
            f"for the answer, and the question. The model reads {limit:,}. Shorten the question, or choose fewer "
            "frames or fewer tokens per frame."
        )
