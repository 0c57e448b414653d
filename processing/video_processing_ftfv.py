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

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from transformers.feature_extraction_utils import BatchFeature
from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD, ChannelDimension, PILImageResampling
from transformers.processing_utils import VideosKwargs
from transformers.utils import TensorType, logging
from transformers.video_processing_utils import BaseVideoProcessor
from transformers.video_utils import VideoInput, VideoMetadata, make_batched_metadata

from .frame_source_ftfv import FramesReader
from .media_source_ftfv import in_memory, is_features, is_list_of_image_paths, make_list_of_videos, split_clip
from .video_decoding_ftfv import read_video


logger = logging.get_logger(__name__)


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
    frame_timestamps (`bool`, *optional*, defaults to `False`):
        Whether [`FTFVProcessor`] writes the time of each frame before its tokens, as in `"0.5s: "`.
    """

    max_num_frames: int | None
    clip: tuple | list | None
    tokens_per_frame: int | None
    video_backend: str | None
    frame_timestamps: bool | None


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
    frame_timestamps = False
    valid_kwargs = FTFVVideoProcessorKwargs  # type: ignore[assignment]
    model_input_names = ["pixel_values_videos", "video_frame_mask", "tokens_per_frame"]

    def preprocess(self, videos: VideoInput, **kwargs: Any) -> BatchFeature:
        """
        Args:
            videos: a video or several, see [`make_list_of_videos`].
            kwargs: see [`FTFVVideoProcessorKwargs`] for what is ours, and the base class for the rest.

        Returns:
            `BatchFeature` with `pixel_values_videos` `(num_videos, num_frames, 3, height, width)`, `video_frame_mask`
            `(num_videos, num_frames)` and `tokens_per_frame` `(num_videos,)`.

        Raises:
            TypeError: a video is of an unknown type.
            ValueError: a video has no frames, cannot be decoded, or does not have those asked for.
            FileNotFoundError: there is no such file.
        """
        if kwargs.get("tokens_per_frame") is None:
            kwargs["tokens_per_frame"] = self.tokens_per_frame
        video_backend = kwargs.get("video_backend", self.video_backend)
        if video_backend != self.video_backend:
            # Decoding happens in `fetch_videos`, which the base class calls without the arguments of the call.
            return type(self)(**{**self.to_dict(), "video_backend": video_backend}).preprocess(videos, **kwargs)
        sources = make_list_of_videos(videos)
        if not sources:
            raise ValueError("There are no videos; expected at least one.")
        if any(map(is_features, sources)):
            raise ValueError("A video is features, which need no preprocessing; give them to `FTFVProcessor`.")
        asked = any(kwargs.get(name) is not None for name in ("num_frames", "fps", "max_num_frames", "clip"))
        if kwargs.get("do_sample_frames") and not asked and any(map(is_list_of_image_paths, sources)):
            # The common tests of transformers ask for this error, in these words.
            raise ValueError(
                "Sampling frames from a list of images is not supported! Set `do_sample_frames=False` to take all, or "
                "`num_frames` to sample them nevertheless."
            )
        # Each video tells its own layout; the base class takes the first one's for all.
        data_format = kwargs.get("input_data_format", getattr(self, "input_data_format", None))
        sources = [FramesReader(source, data_format) if in_memory(source) else source for source in sources]
        kwargs["input_data_format"] = ChannelDimension.FIRST
        return super().preprocess(sources, **kwargs)

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
            clip (`tuple[float, float]`, *optional*): start and end in seconds; frames shown at any time between them
                are inside.

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
            first, last = frames_within(clip, metadata)
            total = last - first
        if fps is not None:
            num_frames = max(1, int(seconds_of(first, first + total, metadata) * fps + 1e-6))
        elif num_frames is None:
            limit = max_num_frames if max_num_frames is not None else self.max_num_frames
            num_frames = total if limit is None else min(total, limit)
        if not 1 <= num_frames <= total:
            raise ValueError(
                f"{num_frames} frames are asked for but the video has {total}; expected 1 to {total}. Use "
                "`max_num_frames` to take fewer where a video is short."
            )
        return first + (2 * np.arange(num_frames) + 1) * total // (2 * num_frames)

    def fetch_videos(
        self,
        video_url_or_urls: str | list,
        sample_indices_fn: Callable | None = None,
    ) -> Any:
        """
        Decodes what [`make_list_of_videos`] returns of files, except lists of images: a list is several videos here. A
        relative path starts from the environment variable `FTFV_MEDIA_ROOT`.
        The end of a name such as `clip.mp4#t=3.5,9` is the `clip` of that video, in seconds, so that a row of data can
        name one.
        """
        if isinstance(video_url_or_urls, (list, tuple)):
            return list(
                zip(*[self.fetch_videos(video, sample_indices_fn) for video in video_url_or_urls], strict=True)
            )
        path, clip = split_clip(video_url_or_urls)
        if clip is not None and sample_indices_fn is not None:
            sample_indices_fn = partial(sample_indices_fn, clip=clip)
        return read_video(path, sample_indices_fn, self.video_backend)

    def _decode_and_sample_videos(
        self,
        videos: list[Any],
        video_metadata: VideoMetadata | dict | list | None,
        do_sample_frames: bool | None = None,
        sample_indices_fn: Callable | None = None,
    ) -> tuple[list[torch.Tensor], list[VideoMetadata]]:
        """Frames `(num_frames, channels, height, width)` of each video, and what is known of it."""
        known = [None] * len(videos) if video_metadata is None else make_batched_metadata(videos, video_metadata)
        decoded = []
        for video, given in zip(videos, known, strict=True):
            if isinstance(video, FramesReader):
                decoded.append(video.read(sample_indices_fn, given))
                continue
            sample = sample_indices_fn
            if sample is not None and given is not None:
                sample = partial(_sample_at_rate, sample, given.fps)
            if isinstance(video, list):
                frames, metadata = read_video(video, sample, self.video_backend)
            else:
                frames, metadata = self.fetch_videos(video, sample)
            decoded.append((torch.as_tensor(frames).permute(0, 3, 1, 2), metadata))
        return [frames for frames, _ in decoded], [metadata for _, metadata in decoded]

    def convert_to_rgb(self, video: torch.Tensor) -> torch.Tensor:
        """Grey to three channels, and four to three on white, keeping the type, so that all are resized alike."""
        converted: Any = super().convert_to_rgb(video)
        return converted if video.is_floating_point() else converted.round().to(video.dtype)

    def _preprocess(
        self,
        videos: list[torch.Tensor],
        tokens_per_frame: int | None,
        return_tensors: str | TensorType | None = None,
        **kwargs: Any,
    ) -> BatchFeature:
        if tokens_per_frame is None or tokens_per_frame < 1:
            raise ValueError(f"`tokens_per_frame` is {tokens_per_frame}; expected at least 1.")
        if kwargs.get("do_rescale") and any(video.is_floating_point() and 0 < video.max() <= 1 for video in videos):
            logger.warning_once(
                "Frames hold numbers up to 1 and are divided by 255 nevertheless; pass `do_rescale=False`, or numbers "
                "up to 255."
            )
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


def _sample_at_rate(sample_indices_fn: Callable, fps: float | None, metadata: VideoMetadata) -> np.ndarray:
    """Indices of the sampled frames of a video; frames kept as files do not tell their rate, `fps` does."""
    metadata.fps = metadata.fps or fps
    return sample_indices_fn(metadata=metadata)


def frames_within(clip: tuple[float, float], metadata: VideoMetadata) -> tuple[int, int]:
    """
    First frame shown in a part of a video, and the one after the last.

    Args:
        clip (`tuple[float, float]`): start and end of the part in seconds.
        metadata (`VideoMetadata`): number of frames, and their times or their rate.

    Raises:
        ValueError: it is no part of the video.
    """
    total = metadata.total_num_frames
    lasts = seconds_of(0, total, metadata)
    if len(clip) != 2 or not 0 <= clip[0] < clip[1] or clip[0] >= lasts:
        raise ValueError(
            f"`clip` is ({', '.join(map(str, clip))}) seconds; expected 0 <= start < end and a start inside the "
            f"video, which lasts {lasts:.2f} seconds."
        )
    times = _frame_times(metadata)
    first = np.searchsorted(times, clip[0], side="right") - 1
    return int(first), int(np.searchsorted(times, clip[1], side="left"))


def seconds_of(first: int, last: int, metadata: VideoMetadata) -> float:
    """Seconds from frame `first` to frame `last`, that one not included."""
    times = _frame_times(metadata)
    return float(times[last - 1] - times[first] + 1 / metadata.fps)


def _frame_times(metadata: VideoMetadata) -> np.ndarray:
    times = getattr(metadata, "frame_times", None)
    return np.arange(metadata.total_num_frames) / metadata.fps if times is None else times


__all__ = ["FTFVVideoProcessor", "FTFVVideoProcessorKwargs"]
