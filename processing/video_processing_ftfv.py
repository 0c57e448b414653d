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
Videos to pixel values: evenly sampled frames, each a square of fixed size, padded to the longest video of a batch.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from transformers.feature_extraction_utils import BatchFeature
from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD, PILImageResampling
from transformers.processing_utils import VideosKwargs
from transformers.utils import TensorType
from transformers.video_processing_utils import BaseVideoProcessor
from transformers.video_utils import VideoInput, VideoMetadata

from .video_decoding_ftfv import read_video, split_clip


class FTFVVideoProcessorKwargs(VideosKwargs, total=False):
    r"""
    max_num_frames (`int`, *optional*, defaults to 8):
        Frames to sample when neither `num_frames` nor `fps` is given; a video with fewer gives all it has, and a
        processor made with None takes them all.
    clip (`tuple[float, float]`, *optional*):
        Part of the video to sample from, as start and end in seconds.
    tokens_per_frame (`int`, *optional*, defaults to 128):
        Tokens that each frame costs in the language model (K in paper section 3.2.1).
    video_backend (`str`, *optional*):
        Decoder, `"torchcodec"`, `"pyav"` or `"decord"`; torchcodec where it can decode and else PyAV when not given.
    """

    max_num_frames: int | None
    clip: tuple | list | None
    tokens_per_frame: int | None
    video_backend: str | None


class FTFVVideoProcessor(BaseVideoProcessor):
    resample = PILImageResampling.BICUBIC
    image_mean = OPENAI_CLIP_MEAN
    image_std = OPENAI_CLIP_STD
    size = {"height": 448, "width": 448}
    do_resize = True
    do_rescale = True
    do_normalize = True
    do_convert_rgb = True
    do_sample_frames = True
    num_frames: int | None
    fps: float | None
    max_num_frames = 8
    clip = None
    tokens_per_frame = 128
    video_backend = None
    valid_kwargs = FTFVVideoProcessorKwargs  # type: ignore[assignment]
    model_input_names = ["pixel_values_videos", "video_frame_mask", "tokens_per_frame"]

    def preprocess(self, videos: VideoInput, **kwargs: Any) -> BatchFeature:
        """See [`FTFVVideoProcessorKwargs`] for what is ours, and the base class for the rest."""
        if kwargs.get("tokens_per_frame") is None:
            kwargs["tokens_per_frame"] = self.tokens_per_frame
        video_backend = kwargs.get("video_backend", self.video_backend)
        if video_backend != self.video_backend:
            # Decoding happens in `fetch_videos`, which the base class calls without the arguments of the call.
            return type(self)(**{**self.to_dict(), "video_backend": video_backend}).preprocess(videos, **kwargs)
        return super().preprocess(videos, **kwargs)

    def sample_frames(
        self,
        metadata: VideoMetadata,
        num_frames: int | None = None,
        fps: int | float | None = None,
        max_num_frames: int | None = None,
        clip: tuple[float, float] | None = None,
        **kwargs: Any,
    ) -> np.ndarray:
        """
        Indices of the middle frames of equal parts: `floor((i + 0.5) * n / T)` for T of n frames, inside `clip` if
        given.

        Args:
            metadata (`VideoMetadata`): number of frames and, for `fps` and `clip`, the frame rate of the video.
            num_frames (`int`, *optional*): exact number T of frames.
            fps (`float`, *optional*): frames per second of video, instead of `num_frames`.
            max_num_frames (`int`, *optional*, defaults to 8): T at most, when neither of them is given.
            clip (`tuple[float, float]`, *optional*): start and end in seconds.

        Returns:
            `np.ndarray` of shape `(num_frames,)`.

        Raises:
            ValueError: both `num_frames` and `fps`, more frames than there are, `clip` outside the video, or an
            unknown rate.
        """
        num_frames = num_frames if num_frames is not None else self.num_frames
        fps = fps if fps is not None else self.fps
        if num_frames is not None and fps is not None:
            raise ValueError(f"Both `num_frames` ({num_frames}) and `fps` ({fps}) are given; pass only one of them.")
        first, total = 0, metadata.total_num_frames
        if (clip is not None or fps is not None) and not metadata.fps:
            raise ValueError(
                "`clip` and `fps` need the frame rate of the video, which is unknown; pass `video_metadata` with "
                "`fps`, or use `num_frames`."
            )
        if clip is not None:
            start, end = clip
            first, last = math.floor(start * metadata.fps), min(math.ceil(end * metadata.fps), total)
            if not 0 <= start < end or first >= total:
                raise ValueError(
                    f"`clip` is ({start}, {end}) seconds; expected 0 <= start < end and a start inside the video, "
                    f"which lasts {total / metadata.fps:.2f} seconds."
                )
            total = last - first
        if fps is not None:
            num_frames = max(1, int(total / metadata.fps * fps))
        elif num_frames is None:
            limit = max_num_frames if max_num_frames is not None else self.max_num_frames
            num_frames = total if limit is None else min(total, limit)
        if not 1 <= num_frames <= total:
            raise ValueError(
                f"{num_frames} frames are asked for but the video has {total}; expected 1 to {total}. Use "
                "`max_num_frames` to take fewer where a video is short."
            )
        return first + (2 * np.arange(num_frames) + 1) * total // (2 * num_frames)

    def fetch_videos(self, video_url_or_urls: str | list, sample_indices_fn: Callable | None = None) -> Any:
        """
        Decodes paths and URLs; a relative path starts from the environment variable `FTFV_MEDIA_ROOT`. The end of a
        name such as `clip.mp4#t=3.5,9` is the `clip` of that video, in seconds, so that a row of data can name one.
        """
        if isinstance(video_url_or_urls, (list, tuple)):
            return list(
                zip(*[self.fetch_videos(video, sample_indices_fn) for video in video_url_or_urls], strict=True)
            )
        path, clip = split_clip(video_url_or_urls)
        if clip is not None and sample_indices_fn is not None:
            sample_indices_fn = partial(sample_indices_fn, clip=clip)
        return read_video(path, sample_indices_fn, self.video_backend)

    def _preprocess(
        self,
        videos: list[torch.Tensor],
        tokens_per_frame: int | None,
        return_tensors: str | TensorType | None = None,
        **kwargs: Any,
    ) -> BatchFeature:
        if tokens_per_frame is None or tokens_per_frame < 1:
            raise ValueError(f"`tokens_per_frame` is {tokens_per_frame}; expected at least 1.")
        frames = super()._preprocess(videos=videos, return_tensors=None, **kwargs)["pixel_values_videos"]
        lengths = torch.tensor([len(video) for video in frames])
        return BatchFeature(
            data={
                "pixel_values_videos": torch.nn.utils.rnn.pad_sequence(list(frames), batch_first=True),
                "video_frame_mask": (torch.arange(int(lengths.max())) < lengths[:, None]).long(),
                "tokens_per_frame": torch.full((len(frames),), tokens_per_frame),
            },
            tensor_type=return_tensors,
        )


__all__ = ["FTFVVideoProcessor", "FTFVVideoProcessorKwargs"]
