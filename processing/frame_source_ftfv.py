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
"""Videos that come as frames: in memory, as image files, or decoded before and kept as an array."""

import os
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from transformers.image_transforms import convert_to_rgb
from transformers.image_utils import ChannelDimension, infer_channel_dimension_format
from transformers.video_utils import VideoMetadata

from .media_source_ftfv import is_image_path, one_line, open_source, show_source


class FTFVVideoMetadata(VideoMetadata):
    """
    What is known of a video before its frames are decoded. Besides what the base class holds:

    Attributes:
        frame_times (`np.ndarray` of shape `(total_num_frames,)`, *optional*): seconds from the first frame to each,
            which the frame rate alone does not tell where it varies. None where it is not known to vary.
    """

    # No field of the dataclass: transformers builds metadata from the fields of what it is given.
    frame_times: np.ndarray | None = None

    @property
    def timestamps(self) -> list[float]:
        """Seconds from the first frame to each of the sampled ones."""
        if self.frame_times is None or self.frames_indices is None:
            return super().timestamps
        return self.frame_times[np.asarray(self.frames_indices)].tolist()


class FramesReader:
    """
    Frames in memory.

    Args:
        frames: array or tensor of shape `(num_frames, height, width, channels)` or `(num_frames, channels, height,
            width)`, or a list of frames, each a PIL image, or an array or tensor of one of these shapes without the
            first axis or with height and width alone.
        input_data_format (`str` or `ChannelDimension`, *optional*): where the channels are; told from the shape, for
            each video by itself, when not given.
    """

    def __init__(self, frames: Any, input_data_format: str | ChannelDimension | None = None):
        self.frames = frames
        self.input_data_format = input_data_format

    def frames_at(self, indices: np.ndarray) -> torch.Tensor:
        """
        Frames `(len(indices), channels, height, width)`: uint8, or float32 where they were floating-point.

        Raises:
            ValueError: frames differ in size, or hold what is no picture.
        """
        if isinstance(self.frames, list):
            frames = [self._channels_first(self.frames[index]) for index in indices]
            for index, frame in zip(indices, frames, strict=True):
                if frame.shape != frames[0].shape:
                    raise ValueError(
                        f"Frame {index} has the shape {tuple(frame.shape)} and frame {indices[0]} has "
                        f"{tuple(frames[0].shape)} (channels, height, width); expected the same. Resize one of them."
                    )
            return torch.stack(frames)
        # Indexing by an array copies, which makes any strides positive: torch takes no others.
        return self._channels_first(self.frames[indices if isinstance(self.frames, np.ndarray) else list(indices)])

    def read(
        self, sample_indices_fn: Callable | None = None, known: VideoMetadata | None = None
    ) -> tuple[torch.Tensor, VideoMetadata]:
        """
        The sampled frames, all when there is no `sample_indices_fn`, and what is known of the video.

        Raises:
            ValueError: there are none, or not as many as `known` says.
        """
        total = len(self.frames)
        if not total:
            raise ValueError("A video has no frames; expected at least one.")
        metadata = FTFVVideoMetadata(total_num_frames=total) if known is None else known
        indices: Any = np.arange(total)
        if sample_indices_fn is not None:
            if metadata.total_num_frames != total:
                raise ValueError(
                    f"A video has {total} frames but its metadata says {metadata.total_num_frames}; expected the "
                    "same. Pass `do_sample_frames=False` if its frames were sampled already."
                )
            indices = sample_indices_fn(metadata=metadata)
        if sample_indices_fn is not None or metadata.frames_indices is None:
            metadata.frames_indices = indices
        return self.frames_at(indices), metadata

    def _channels_first(self, pixels: Any) -> torch.Tensor:
        if isinstance(pixels, Image.Image):
            # Transparency is left to `do_convert_rgb`, as the base class does.
            array = np.array(pixels) if pixels.mode == "RGBA" else to_rgb(pixels)
            return torch.from_numpy(array).permute(2, 0, 1)
        pixels = to_levels(pixels)
        if pixels.ndim == 2:
            return pixels[None]
        data_format = self.input_data_format
        if data_format is None:
            try:
                data_format = infer_channel_dimension_format(pixels, num_channels=(1, 3, 4))
            except ValueError as error:
                raise ValueError(
                    f"An array of shape {tuple(pixels.shape)} has its channels neither first nor last; expected 1, 3 "
                    "or 4 of them. Add the axis (`frames[..., None]` for grey ones)."
                ) from error
        return pixels if data_format == ChannelDimension.FIRST else pixels.movedim(-1, -3)


class FrameFilesReader:
    """
    Frames that are image files: a list of paths or URLs in order, or a folder, whose files are taken in the order of
    the numbers in their names. Only those asked for are read.
    """

    def __init__(self, source: str | list[Any]):
        self.paths = list_frame_files(source) if isinstance(source, str) else source
        self.metadata = FTFVVideoMetadata(total_num_frames=len(self.paths), video_backend="pillow")

    def frames_at(self, indices: np.ndarray) -> np.ndarray:
        """Frames `(len(indices), height, width, 3)`, uint8."""
        frames = [np.asarray(read_image(self.paths[index])) for index in indices]
        for index, frame in zip(indices, frames, strict=True):
            if frame.shape != frames[0].shape:
                raise ValueError(
                    f"{show_source(self.paths[index])} is {frame.shape[1]} x {frame.shape[0]} pixels and "
                    f"{show_source(self.paths[indices[0]])} is {frames[0].shape[1]} x {frames[0].shape[0]}; expected "
                    "frames of one size. Resize one of them."
                )
        return np.stack(frames)


class FrameCacheReader:
    """
    Frames decoded before, kept as a `.npy` file of shape `(num_frames, height, width, 3)`, uint8; only those asked for
    are read.
    """

    def __init__(self, source: Any):
        # An open file cannot be mapped into memory.
        self.frames = np.load(source, mmap_mode="r" if isinstance(source, str) else None)
        if self.frames.ndim != 4 or self.frames.shape[-1] != 3 or self.frames.dtype != np.uint8:
            raise ValueError(
                f"an array of shape {self.frames.shape} and type {self.frames.dtype}, not uint8 (num_frames, height, "
                "width, 3)"
            )
        self.metadata = FTFVVideoMetadata(
            total_num_frames=len(self.frames),
            video_backend="numpy",
            height=self.frames.shape[1],
            width=self.frames.shape[2],
        )

    def frames_at(self, indices: np.ndarray) -> np.ndarray:
        """Frames `(len(indices), height, width, 3)`, uint8."""
        return np.ascontiguousarray(self.frames[indices])


def is_frame_cache(source: Any) -> bool:
    """Whether a path or an open file is a `.npy` file, by its first bytes, or by its name where it cannot be read."""
    if isinstance(source, str):
        return source.endswith(".npy")
    magic = source.read(6)
    source.seek(0)
    return magic == b"\x93NUMPY"


def list_frame_files(folder: str) -> list[str]:
    """
    Image files of a folder, `2.png` before `10.png`.

    Raises:
        ValueError: there is none.
    """
    names = [name for name in os.listdir(folder) if is_image_path(name) and not name.startswith(".")]
    if not names:
        raise ValueError(f"The folder {folder!r} holds no images; expected the frames of a video, such as 0001.png.")

    def by_number(name: str) -> list[Any]:
        # Every other part is a number.
        return [int(part) if index % 2 else part for index, part in enumerate(re.split(r"(\d+)", name))]

    # Absolute, so that the media root does not come before them once more.
    return [os.path.abspath(os.path.join(folder, name)) for name in sorted(names, key=by_number)]


def read_image(source: Any) -> Image.Image:
    """
    An image file as RGB, upright, 8 bits per channel, on white where it is transparent.

    Args:
        source (`str`, `os.PathLike`, `bytes` or an open file): path, URL, data URI or content.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is empty or no image.
    """
    opened = open_source(source)
    try:
        with Image.open(opened) as image:
            return Image.fromarray(to_rgb(ImageOps.exif_transpose(image)))
    except Exception as error:
        raise ValueError(
            f"{show_source(source)} cannot be read as an image: {one_line(error).split('. ')[0]}. Check that it "
            "opens, or save it again."
        ) from error


def to_rgb(image: Image.Image) -> np.ndarray:
    """
    Pixels `(height, width, 3)`, uint8, of a PIL image: palettes are looked up, 16 bits scaled to 8, and transparent
    pixels blended onto white.

    Raises:
        ValueError: it is of 32 bits per channel, whose range is not known.
    """
    if image.mode.startswith("I;16"):
        grey = to_levels(np.asarray(image)).numpy()
        return np.repeat(grey[..., None], 3, axis=-1)
    if image.mode in ("I", "F"):
        raise ValueError(
            f"An image has 32 bits per pixel (mode {image.mode!r}); expected 8 or 16 bits per channel. Convert it, as "
            "its range of values is not known."
        )
    return np.asarray(convert_to_rgb(image, return_numpy=True))


def to_levels(pixels: np.ndarray | torch.Tensor) -> torch.Tensor:
    """
    Pixels as uint8 from 0 to 255, where they are whole numbers, and as float32 else; 16 bits are scaled to 8.

    Raises:
        ValueError: whole numbers beyond 0 to 255, NaN or infinite ones, or no numbers.
    """
    if isinstance(pixels, np.ndarray):
        if pixels.dtype.kind not in "biuf":
            raise ValueError(f"Frames are of type {pixels.dtype}; expected numbers, such as uint8 from 0 to 255.")
        pixels = torch.from_numpy(np.ascontiguousarray(pixels, dtype=pixels.dtype.newbyteorder("=")))
    if pixels.dtype == torch.uint8 or not pixels.numel():
        return pixels
    if pixels.dtype == torch.bool:
        return pixels.to(torch.uint8) * 255
    if pixels.dtype == torch.uint16:
        return ((pixels.to(torch.int32) + 128) // 257).to(torch.uint8)
    low, high = (bound.item() for bound in pixels.aminmax())
    if not pixels.is_floating_point():
        if low < 0 or high > 255:
            raise ValueError(
                f"Frames hold whole numbers from {low} to {high}; expected 0 to 255. Scale them to uint8."
            )
        return pixels.to(torch.uint8)
    if not -np.inf < low <= high < np.inf:
        raise ValueError("Frames hold NaN or infinite numbers; expected 0 to 255. Check where they come from.")
    return pixels.float()
