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
"""The media of one question, decoded and encoded once, for every K, token sampler and order of frames asked for."""

from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers.video_utils import VideoMetadata

from ...modeling_ftfv.modeling_ftfv import FTFVFeaturesOutput, FTFVForConditionalGeneration
from ...processing.frame_source_ftfv import list_frame_files
from ...processing.media_source_ftfv import make_list_of_videos
from ...processing.processing_ftfv import FTFVProcessor
from ...processing.video_processing_ftfv import frames_within
from ..benchmarks.benchmark import Question
from .encoded_rows import EncodedMedia
from .rows import evaluating, random_generator, shuffled_order


@dataclass(frozen=True)
class Looking:
    """
    What is looked at, on which everything before the token sampler depends.

    Attributes:
        num_frames (`int`, *optional*): Frames of a video, the processor's own number if not given; a shorter video
            gives all it has.
        frame_size (`int`, *optional*): Side of frames and images in pixels, the processor's own if not given.
        as_image (`bool`): Whether one random frame of a video goes in as an image: no temporal encoding and, unless
            the model samples images, all tokens (FTFV_image in Table 4 of the paper).
    """

    num_frames: int | None = None
    frame_size: int | None = None
    as_image: bool = False

    @property
    def size(self) -> dict[str, Any]:
        """Argument of the processors for the frame size."""
        return {} if self.frame_size is None else {"size": {"height": self.frame_size, "width": self.frame_size}}


@dataclass(frozen=True)
class SeenMedia:
    """
    What a model saw of the media of a question.

    Attributes:
        modality (`str`): `"image"` or `"video"`.
        block (`Mapping[str, Any]`): Content block that stands for it in a chat: the image itself, or features of one
            token per frame.
        encoded (`Mapping[bool, EncodedMedia]`): By whether the frames are shuffled; those of an image never are.
    """

    modality: str
    block: Mapping[str, Any]
    encoded: Mapping[bool, EncodedMedia]


@torch.no_grad()
def encode_media(
    model: FTFVForConditionalGeneration,
    processor: FTFVProcessor,
    question: Question,
    looking: Looking,
    *,
    shuffled: bool,
    seed: int,
) -> SeenMedia:
    """
    Runs vision tower and adapter on the image or the video of a question, the tower once.

    Args:
        model (`FTFVForConditionalGeneration`): The model, in evaluation mode.
        processor (`FTFVProcessor`): Its processor.
        question (`Question`): A question about a video or an image.
        looking (`Looking`): What is looked at.
        shuffled (`bool`): Whether the frames are wanted in a wrong order, too. A video of one frame has none and keeps
            its own.
        seed (`int`): Of that order and of the random frame; both depend on it and the video only.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it cannot be decoded.
    """
    keep_all = evaluating(model, token_sampler="none", tokens_per_frame=processor.num_query_tokens)
    with keep_all:
        if question.video is None or looking.as_image:
            image = random_frame(processor, question, seed) if question.video is not None else open_image(question)
            pixels = processor.image_processor(image, return_tensors="pt", **looking.size)["pixel_values"]
            features = model.get_image_features(pixels.to(model.device, model.dtype))
            encoded = EncodedMedia(features.pooler_output, features.responses)
            return SeenMedia("image", {"type": "image", "image": image}, {False: encoded, True: encoded})
        return _encode_video(model, processor, question, looking, shuffled, seed)


def _encode_video(
    model: FTFVForConditionalGeneration,
    processor: FTFVProcessor,
    question: Question,
    looking: Looking,
    shuffled: bool,
    seed: int,
) -> SeenMedia:
    arguments: dict[str, Any] = {"max_num_frames": looking.num_frames, "clip": question.clip}
    if question.frame_rate is not None:
        num_frames = len(list_frame_files(str(question.video)))
        arguments["video_metadata"] = [VideoMetadata(total_num_frames=num_frames, fps=question.frame_rate)]
    inputs = processor(
        videos=[question.video],
        return_tensors="pt",
        return_metadata=True,
        tokens_per_frame=processor.num_query_tokens,
        **{name: value for name, value in arguments.items() if value is not None},
        **looking.size,
    )
    [metadata] = inputs["video_metadata"]
    pixels = inputs["pixel_values_videos"].to(model.device, model.dtype)
    features = model.get_video_features(pixels)
    num_frames = pixels.shape[1]
    encoded = {False: _as_frames(features)}
    if shuffled:
        order = torch.arange(num_frames)
        if num_frames > 1:
            order = torch.from_numpy(shuffled_order(num_frames, _random_key(question, seed)))
        if model.config.skip_unchanged_patches:
            # What the tower leaves out of a frame depends on the frame before it.
            encoded[True] = _as_frames(model.get_video_features(pixels[:, order]))
        else:
            encoded[True] = _adapt(model, features.last_hidden_state[0, order])
    times = None if metadata.fps is None else torch.tensor([metadata.timestamps], dtype=torch.float64)
    # In a prompt one placeholder stands for each frame until K is known.
    block = FTFVFeaturesOutput(
        pooler_output=features.pooler_output.new_zeros(1, num_frames, 1),
        responses=features.responses.new_zeros(1, num_frames, 1),
        token_indices=torch.zeros(1, num_frames, 1, dtype=torch.long),
        frame_times=times,
    )
    return SeenMedia("video", {"type": "video", "video": block}, encoded)


def _as_frames(features: FTFVFeaturesOutput) -> EncodedMedia:
    num_query_tokens = features.responses.shape[-1]
    return EncodedMedia(features.pooler_output[0].unflatten(0, (-1, num_query_tokens)), features.responses[0])


def _adapt(model: FTFVForConditionalGeneration, states: torch.Tensor) -> EncodedMedia:
    """Temporal encoding and adapter on states of the tower `(num_frames, num_patches, vision_hidden_size)`."""
    num_frames = len(states)
    positions = torch.arange(num_frames, device=states.device)
    encodings = model.model.temporal_encoding(positions, torch.full_like(positions, num_frames))
    tokens, responses, _ = model.model.multi_modal_projector(states + encodings.to(states), [None] * num_frames)
    return EncodedMedia(torch.stack(tokens), responses)


def random_frame(processor: FTFVProcessor, question: Question, seed: int) -> Image.Image:
    """One frame of a video, or of the clip of it that is asked about, each with the same probability."""
    generator = random_generator(_random_key(question, seed))

    def sample(metadata: Any, **kwargs: Any) -> np.ndarray:
        metadata.fps = metadata.fps or question.frame_rate
        first, last = 0, metadata.total_num_frames
        if question.clip is not None:
            first, last = frames_within(question.clip, metadata)
        return generator.integers(first, last, size=1)

    [video] = make_list_of_videos(question.video)
    frames, _ = processor.video_processor.fetch_videos(video, sample)
    return Image.fromarray(np.asarray(frames[0]))


def _random_key(question: Question, seed: int) -> str:
    """Of the name of the video and not of its folder, so that a data set may be moved."""
    return f"{seed} {Path(str(question.video)).name} {question.clip}"


def open_image(question: Question) -> Image.Image:
    """The image of a question, from its file, the content of one, or itself."""
    if isinstance(question.image, Image.Image):
        return question.image.convert("RGB")
    source = BytesIO(question.image) if isinstance(question.image, bytes) else question.image
    try:
        with Image.open(source) as image:
            return image.convert("RGB")
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        raise ValueError(
            f"The image of question {question.id!r} cannot be decoded: {error}. Download or encode it again."
        ) from error
