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
"""What the token sampler keeps of a clip: its frames, the attention of the kept queries, and the answers at each K."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch

from ...modeling_ftfv.modeling_ftfv import FTFVFeaturesOutput, FTFVForConditionalGeneration, FTFVModel
from ...processing.media_source_ftfv import split_clip
from ...processing.pipeline_ftfv import VideoTextToTextPipeline
from ...processing.processing_ftfv import FTFVProcessor
from ...processing.video_decoding_ftfv import read_video
from ..asking.rows import evaluating, generate, seeded


SEED = 0  # of random token samplers


@dataclass(frozen=True)
class KeptQueries:
    """
    What the sampler keeps of the T sampled frames of one clip, at one K or several.

    Attributes:
        video (`str`): Name of the file.
        frames (`np.ndarray` of shape `(T, height, width, 3)`): The frames, uint8.
        times (`list[float]`, *optional*): Time of each frame in seconds; None where the video has no frame rate.
        attention (`dict[int, torch.Tensor]`): For each K, the attention of the kept queries to the patches as
            [`kept_attention`] returns it, `(T, K, num_patches)`, in the order in which the language model reads them.
        queries (`dict[int, torch.Tensor]`): For each K, the indices of these queries, `(T, K)`.
        question (`str`, *optional*): What the model was asked.
        answers (`dict[int, str]`): What it said, for each K; empty if it was not asked.
    """

    video: str
    frames: np.ndarray
    times: list[float] | None
    attention: dict[int, torch.Tensor]
    queries: dict[int, torch.Tensor]
    question: str | None = None
    answers: dict[int, str] = field(default_factory=dict)


def gather_kept_queries(
    model: FTFVForConditionalGeneration,
    processor: FTFVProcessor,
    video: str | os.PathLike,
    *,
    tokens_per_frame: Sequence[int] | int | None = None,
    num_frames: int | None = None,
    question: str | None = None,
    max_new_tokens: int = 32,
    processor_kwargs: Mapping[str, Any] | None = None,
) -> KeptQueries:
    """
    Reads a video, lets the sampler choose at each K, and asks the model the question.

    Args:
        model (`FTFVForConditionalGeneration`): The model.
        processor (`FTFVProcessor`): Its processor.
        video (`str` or `os.PathLike`): Path or URL of the video.
        tokens_per_frame (`Sequence[int]` or `int`, *optional*): One K or several, the processor's own if not given.
        num_frames (`int`, *optional*): Frames to look at, the processor's own if not given; a shorter video gives all.
        question (`str`, *optional*): A question to answer at each K.
        max_new_tokens (`int`, *optional*, defaults to 32): Longest answer.
        processor_kwargs (`Mapping`, *optional*): Other arguments of the processor, such as the `size` of frames.

    Raises:
        ValueError: K is out of range, or the file is no complete video.
        FileNotFoundError: there is no such file.
    """
    video, video_processor = os.fspath(video), processor.video_processor
    if tokens_per_frame is None:
        tokens_per_frame = video_processor.tokens_per_frame
    counts = [tokens_per_frame] if isinstance(tokens_per_frame, int) else list(tokens_per_frame)
    decoded, metadata = read_video(
        video, partial(video_processor.sample_frames, max_num_frames=num_frames), video_processor.video_backend
    )
    frames = torch.as_tensor(decoded).permute(0, 3, 1, 2)
    content = [{"type": "video", "video": frames}, {"type": "text", "text": question or ""}]
    conversation: Any = [{"role": "user", "content": content}]
    attention, queries, answers = {}, {}, {}
    for count in counts:
        inputs: Any = processor.apply_chat_template(
            [conversation],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            processor_kwargs={**(processor_kwargs or {}), "do_sample_frames": False, "tokens_per_frame": count},
        )
        # A random sampler keeps the same for the picture as for the answer.
        with seeded(model, SEED):
            [attention[count]], [queries[count]] = kept_attention(
                model, inputs["pixel_values_videos"], inputs["video_frame_mask"], count
            )
        if question:
            [answer] = generate(model, processor, inputs, max_new_tokens=max_new_tokens, seed=SEED)
            answers[count] = answer.strip()
    return KeptQueries(
        video=os.path.basename(video),
        frames=frames.permute(0, 2, 3, 1).numpy(),
        times=metadata.timestamps if metadata.fps else None,
        attention=attention,
        queries=queries,
        question=question,
        answers=answers,
    )


def encode_kept_queries(
    pipe: VideoTextToTextPipeline,
    video: str | os.PathLike,
    counts: Sequence[int],
    **kwargs: Any,
) -> tuple[FTFVFeaturesOutput, KeptQueries]:
    """
    Encodes a video once, for questions at several K, and says what the sampler keeps at each.

    Args:
        pipe (`VideoTextToTextPipeline`): The model.
        video (`str` or `os.PathLike`): Path or URL of the video.
        counts (`Sequence[int]`): One K or several.
        kwargs: As in `encode` of the pipeline: `num_frames`, `clip` and arguments of the processor.

    Returns:
        `FTFVFeaturesOutput` with the tokens of the largest K, for the pipeline to ask with this or smaller ones, and
        `KeptQueries` without a question.

    Raises:
        ValueError: as in `encode`; or there are several K and the token sampler is not `"weighted"`, so that what a
            smaller K keeps is not among what a larger one does.
    """
    video = os.fspath(video)
    inputs = pipe.prepare_videos(video, tokens_per_frame=max(counts), **kwargs)
    [metadata] = inputs["video_metadata"]
    with seeded(pipe.model, SEED), recorded_attention(pipe.model) as recorded:
        features = pipe.encode_inputs(inputs)
    weights, kept = torch.cat(recorded), features.token_indices[0]
    attention, queries = {}, {}
    for count in counts:
        queries[count] = pipe.model.model.take_features(features, count).token_indices[0]
        # Where among the queries of the largest K these are.
        places = (kept[:, None] == queries[count][..., None]).int().argmax(dim=-1)
        attention[count] = weights.gather(1, places[..., None].expand(-1, -1, weights.shape[-1])).cpu()
    # The processor returns frames of the model's size and range; those of the file are meant for people.
    path, _ = split_clip(video)
    sampled = metadata.frames_indices
    frames, _ = read_video(path, lambda metadata: sampled, pipe.processor.video_processor.video_backend)
    return features, KeptQueries(
        video=os.path.basename(path),
        frames=torch.as_tensor(frames).numpy(),
        times=metadata.timestamps if metadata.fps else None,
        attention=attention,
        queries={count: indices.cpu() for count, indices in queries.items()},
    )


@torch.no_grad()
def kept_attention(
    model: FTFVModel | FTFVForConditionalGeneration,
    pixel_values_videos: torch.Tensor,
    video_frame_mask: torch.Tensor | None = None,
    tokens_per_frame: int | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    r"""
    Attention of the kept queries to the patches, as the adapter computes it for the tokens that the language model
    reads.

    Args:
        model (`FTFVModel` or `FTFVForConditionalGeneration`): The model.
        pixel_values_videos (`torch.Tensor` of shape `(num_videos, num_frames, 3, height, width)`): Frames.
        video_frame_mask (`torch.Tensor` of shape `(num_videos, num_frames)`, *optional*): 1 for real frames.
        tokens_per_frame (`int`, *optional*): K, the config's if not given.

    Returns:
        Attention averaged over the heads, fp32 of shape `(num_videos, num_frames, tokens_per_frame, num_patches)`, and
        the indices of the kept queries `(num_videos, num_frames, tokens_per_frame)`. Frames that only pad hold 0 and
        -1.
    """
    with recorded_attention(model) as recorded:
        base_model: Any = model.base_model
        features = base_model.get_video_features(
            pixel_values_videos.to(model.device),
            None if video_frame_mask is None else video_frame_mask.to(model.device),
            tokens_per_frame,
        )
    # The frames come in chunks; [total_num_frames, K, patches] for the real frames of all videos.
    weights = torch.cat(recorded)
    indices = features.token_indices
    attention = weights.new_zeros(*indices.shape[:2], *weights.shape[1:])
    attention[indices[..., 0] >= 0] = weights
    return attention, indices


@contextmanager
def recorded_attention(model: FTFVModel | FTFVForConditionalGeneration) -> Iterator[list[torch.Tensor]]:
    """
    Yields a list to which each pass through the adapter adds the attention of the queries it keeps, averaged over the
    heads, fp32 of shape `(total_num_frames, tokens_per_frame, num_patches)`.
    """
    base_model: Any = model.base_model
    adapter = base_model.multi_modal_projector
    recorded: list[torch.Tensor] = []
    # Other implementations than eager attention do not return weights.
    configured = adapter.config._attn_implementation
    hook = adapter.attention.register_forward_hook(
        lambda module, args, output: recorded.append(output[1].float().mean(dim=1))
    )
    try:
        with evaluating(model):
            adapter.set_attn_implementation("eager")
            yield recorded
    finally:
        hook.remove()
        adapter.set_attn_implementation(configured)
