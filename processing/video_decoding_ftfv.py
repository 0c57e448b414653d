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
"""How a video file becomes frames: decoders, which of them is used, and their errors."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import numpy as np
import torch
from transformers.utils import is_av_available, is_decord_available, logging

from .frame_source_ftfv import FrameCacheReader, FrameFilesReader, FTFVVideoMetadata, is_frame_cache
from .media_source_ftfv import one_line, open_source, show_source


try:  # transformers >= 5.21
    from transformers.utils import is_torchcodec_usable
except ImportError:
    # Older versions cannot tell whether torchcodec finds its FFmpeg, so it is never chosen there.
    def is_torchcodec_usable(**kwargs: Any) -> bool:
        return False


logger = logging.get_logger(__name__)

# Containers that store when each frame is shown. In others a packet may carry the timestamp of another frame, where
# frames are not decoded in the order in which they are shown.
TIMED_CONTAINERS = ("mp4", "matroska", "flv", "mpegts")
# Keyframes before a frame to try to decode it from, until the file is decoded from its start: MPEG-TS has no index,
# and seeking in it may end up behind.
KEYFRAMES_TRIED = 3


# Decoders are imported by `import_module`: transformers would have every stranger install whatever a file on the Hub
# names in an import statement, also inside a function, and import it before the file runs.


class VideoDecodingError(ValueError):
    """A file that a decoder cannot make frames of."""


class PyAVReader:
    """
    Frames of a video by PyAV, turned upright: each is decoded from the keyframe before it, which a first pass over the
    packets, without decoding them, finds together with the time of every frame. Where timestamps cannot be trusted
    (AVI and MPEG-PS with frames predicted from later ones, raw streams) frames are counted from the start of the file.
    """

    def __init__(self, source: Any):
        av = import_module("av")

        self.source = source
        self.container = av.open(source)
        # The cover of a piece of music is a video stream of one picture.
        covers = av.stream.Disposition.attached_pic
        streams = [stream for stream in self.container.streams.video if not stream.disposition & covers]
        self.stream = streams[0] if streams else None
        self.metadata = FTFVVideoMetadata(total_num_frames=0, video_backend="pyav")
        self.timestamps = self.keyframes = None
        self.has_open_gops, self.num_missing = False, 0
        if self.stream is None:
            return
        self.stream.thread_type = "AUTO"
        # Numbers only: the packets are the whole file.
        packets = [
            (packet.pts, packet.is_keyframe, packet.is_discard)
            for packet in self.container.demux(self.stream)
            if packet.size
        ]
        shown = [(timestamp, is_keyframe) for timestamp, is_keyframe, is_discarded in packets if not is_discarded]
        container_names = self.container.format.name.split(",")
        timed = any(name in TIMED_CONTAINERS for name in container_names)
        if timed or not self.stream.codec_context.has_b_frames:
            self.timestamps, self.keyframes = index_frames(*zip(*shown, strict=True)) if shown else (None, None)
        if self.timestamps is not None:
            self.has_open_gops = has_open_gops(*zip(*shown, strict=True))
        # An mp4 file that was cut off has fewer packets than its header says. AVI counts those left out, too.
        self.num_missing = max(0, self.stream.frames - len(packets)) if "mp4" in container_names else 0
        count = len(shown) if self.timestamps is None else len(self.timestamps)
        fps = float(self.stream.average_rate) if self.stream.average_rate else None
        if self.timestamps is not None and not self.num_missing:
            ticks = self.timestamps - self.timestamps[0]
            times = ticks * self.stream.time_base.numerator / self.stream.time_base.denominator
            self.metadata.frame_times = times
            # Containers may state the rate that the encoder was set up with rather than that of the frames.
            if count > 1 and (fps is None or abs((count - 1) / times[-1] / fps - 1) > 0.01):
                fps = (count - 1) / float(times[-1])
        self.metadata.total_num_frames = count + self.num_missing
        self.metadata.fps = fps
        self.metadata.duration = self.metadata.total_num_frames / fps if fps else None
        self.metadata.height, self.metadata.width = self.stream.codec_context.height, self.stream.codec_context.width

    def frames_at(self, indices: np.ndarray) -> np.ndarray:
        """Frames `(len(indices), height, width, 3)`, uint8; fewer when the file ends early."""
        indices = np.asarray(indices)
        frames, found = np.empty((len(indices), 0, 0, 3), dtype=np.uint8), np.zeros(len(indices), dtype=bool)
        find = self._in_order if self.timestamps is None else self._by_seeking
        for index, frame in find(np.unique(indices)):
            pixels = self._upright(frame)
            if not found.any():
                frames = np.empty((len(indices), *pixels.shape), dtype=np.uint8)
            frames[indices == index] = pixels
            found |= indices == index
        self.container.close()
        return frames if found.all() else frames[found]

    def _in_order(self, indices: np.ndarray) -> Iterator[tuple[int, Any]]:
        """Each frame with its index, counted from the start of the file."""
        for index, frame in enumerate(self._decode_from_start()):
            if index in indices:
                yield index, frame
            if index >= indices[-1]:
                break

    def _by_seeking(self, indices: np.ndarray) -> Iterator[tuple[int, Any]]:
        """Each frame with its index, decoded from the keyframe before it."""
        decoded, reached = iter(()), None
        for index in indices[indices < len(self.timestamps)]:
            target = self.timestamps[index]
            starts = self.keyframes[self.keyframes <= target][::-1]
            frame = None
            # Going on from the frame before is quicker than seeking, unless a keyframe comes between.
            if reached is not None and starts[0] <= reached:
                frame = next_frame(decoded, target)
            for start in starts[:KEYFRAMES_TRIED]:
                if frame is None:
                    self.container.seek(int(start), stream=self.stream)
                    decoded = self.container.decode(self.stream)
                    frame = next_frame(decoded, target)
            if frame is None:
                decoded = self._decode_from_start()
                frame = next_frame(decoded, target)
            if frame is not None:
                reached = frame.pts
                yield index, frame

    def _decode_from_start(self) -> Iterator[Any]:
        av = import_module("av")

        # Seeking to the start is not possible in every container.
        number = self.stream.index
        self.container.close()
        if not isinstance(self.source, str):
            self.source.seek(0)
        self.container = av.open(self.source)
        self.stream = self.container.streams[number]
        self.stream.thread_type = "AUTO"
        return self.container.decode(self.stream)

    def _upright(self, frame: Any) -> np.ndarray:
        # A stream may change its size on the way; an array has one.
        width, height = self.stream.codec_context.width, self.stream.codec_context.height
        pixels = frame.to_ndarray(format="rgb24", width=width, height=height)
        # Telephones store frames lying on a side; the other decoders turn them by themselves.
        return np.rot90(pixels, round(frame.rotation / 90))


def read_frame_times(source: Any, open_gops: bool = True) -> np.ndarray | None:
    """
    Seconds from the first frame to each, by PyAV, for decoders that do not tell them. None where PyAV is missing.

    Args:
        source (`str` or an open file): the video.
        open_gops (`bool`, *optional*, defaults to `True`): whether the decoder gets frames right that are predicted
            from frames before their keyframe.

    Raises:
        ValueError: other decoders are known to give wrong frames of such a file without an error, or fewer than there
            should be.
    """
    if not is_av_available():
        return None
    reader = PyAVReader(source)
    reader.container.close()
    if not isinstance(source, str):
        source.seek(0)
    if reader.metadata.total_num_frames and reader.timestamps is None:
        raise ValueError("its timestamps name no frames, so it would seek to others")
    if reader.num_missing:
        raise ValueError(f"{reader.num_missing} of its {reader.metadata.total_num_frames} frames are cut off")
    if reader.container.format.name == "mpegts":
        raise ValueError("MPEG-TS has no index, so it would seek to other frames")
    if reader.has_open_gops and not open_gops:
        raise ValueError("frames are predicted across keyframes, and it would give others")
    return reader.metadata.frame_times


def index_frames(
    timestamps: Sequence[int | None], is_keyframe: Sequence[bool]
) -> tuple[np.ndarray, np.ndarray] | tuple[None, None]:
    """
    Timestamps of the frames of a stream in the order in which they are shown, and those of its keyframes.

    Frames before the first keyframe, be it in the order of decoding or in that of showing, lack what they were
    predicted from and are left out.

    Args:
        timestamps (`Sequence[int | None]`): presentation timestamp of each packet, in the order of decoding.
        is_keyframe (`Sequence[bool]`): whether decoding can start at it.

    Returns:
        Two sorted `np.ndarray`, or twice None where timestamps are missing or repeated, so that they name no frame.
    """
    if True not in is_keyframe or None in timestamps or len(set(timestamps)) < len(timestamps):
        return None, None
    first = is_keyframe.index(True)
    shown, decodable = np.array(timestamps), np.array(is_keyframe)
    later = (np.arange(len(shown)) >= first) & (shown >= shown[first])
    return np.sort(shown[later]), np.sort(shown[later & decodable])


def has_open_gops(timestamps: Sequence[int], is_keyframe: Sequence[bool]) -> bool:
    """Whether frames are decoded after a keyframe and shown before it; see [`index_frames`] for the arguments."""
    keyframe = None
    for timestamp, decodable in zip(timestamps, is_keyframe, strict=True):
        if decodable:
            keyframe = timestamp
        elif keyframe is not None and timestamp < keyframe:
            return True
    return False


def next_frame(decoded: Iterator[Any], timestamp: int) -> Any:
    """
    The frame of a timestamp, or the next one where a packet of that time shows no frame of its own, as alternate
    references do. None if decoding begins after it, or ends before it.
    """
    passed = False
    for frame in decoded:
        if frame.pts == timestamp or (passed and frame.pts > timestamp):
            return frame
        if frame.pts > timestamp:
            return None
        passed = True
    return None


class TorchcodecReader:
    """Frames of a video by torchcodec, which seeks to each; containers where it gives other ones are refused."""

    def __init__(self, source: Any):
        VideoDecoder = import_module("torchcodec.decoders").VideoDecoder

        times = read_frame_times(source)
        self.decoder = VideoDecoder(source, num_ffmpeg_threads=0, dimension_order="NHWC")
        metadata = self.decoder.metadata
        self.metadata = FTFVVideoMetadata(
            total_num_frames=metadata.num_frames or 0,
            fps=metadata.average_fps,
            duration=metadata.duration_seconds,
            video_backend="torchcodec",
            height=metadata.height,
            width=metadata.width,
        )
        if times is not None and len(times) == self.metadata.total_num_frames:
            self.metadata.frame_times = times

    def frames_at(self, indices: np.ndarray) -> torch.Tensor:
        """Frames `(len(indices), height, width, 3)`, uint8."""
        return self.decoder.get_frames_at(indices=[int(index) for index in indices]).data


class DecordReader:
    """
    Frames of a video by decord, which seeks to each; containers and open GOPs where it gives other or damaged ones are
    refused.
    """

    def __init__(self, source: Any):
        VideoReader = import_module("decord").VideoReader

        times = read_frame_times(source, open_gops=False)
        self.reader = VideoReader(source)
        fps = self.reader.get_avg_fps()
        self.metadata = FTFVVideoMetadata(
            total_num_frames=len(self.reader),
            fps=fps,
            duration=len(self.reader) / fps if fps else None,
            video_backend="decord",
        )
        if times is not None and len(times) == self.metadata.total_num_frames:
            self.metadata.frame_times = times

    def frames_at(self, indices: np.ndarray) -> np.ndarray:
        """Frames `(len(indices), height, width, 3)`, uint8."""
        return self.reader.get_batch(indices).asnumpy()


READERS: dict[str, Callable[[Any], Any]] = {
    "torchcodec": TorchcodecReader,
    "pyav": PyAVReader,
    "decord": DecordReader,
}


def choose_video_backend(video_backend: str | None = None) -> str:
    """
    The decoder to use: the one asked for, else torchcodec where it can decode, else PyAV. decord is never a default,
    because importing it breaks torchcodec's PNG decoding in the same process.

    Raises:
        ValueError: `video_backend` is unknown.
        ImportError: the decoder asked for, or any at all, is missing.
    """
    usable = {
        "torchcodec": (lambda: is_torchcodec_usable(decode="video"), "`pip install torchcodec` and install FFmpeg"),
        "pyav": (is_av_available, "`pip install av`"),
        "decord": (is_decord_available, "`pip install decord`"),
    }
    if video_backend is None:
        for name in ("torchcodec", "pyav"):
            if usable[name][0]():
                return name
        raise ImportError("No video decoder is installed; `pip install av`.")
    if video_backend not in usable:
        raise ValueError(f"`video_backend` is {video_backend!r}; expected one of {', '.join(usable)}, or None.")
    is_usable, cure = usable[video_backend]
    if not is_usable():
        raise ImportError(f"`video_backend={video_backend!r}` cannot be used here; {cure}.")
    return video_backend


def read_video(
    source: Any, sample_indices_fn: Callable | None = None, video_backend: str | None = None
) -> tuple[np.ndarray | torch.Tensor, FTFVVideoMetadata]:
    """
    Frames of a video file, or of frames kept as files: a folder or list of images, or a frame cache (a `.npy` file,
    see [`FrameCacheReader`]). A video that the decoder fails on is tried with the others that [`choose_video_backend`]
    may choose, and a line of the log says which of them it was.

    Args:
        source: path, URL or data URI, the bytes of a file, an open file, or a list of the paths of images.
        sample_indices_fn (`Callable`, *optional*): from `VideoMetadata` to the indices of the wanted frames; all by
            default.
        video_backend (`str`, *optional*): see [`choose_video_backend`].

    Returns:
        Frames, uint8, of shape `(num_frames, height, width, 3)`, and their metadata.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is empty, is no video, holds none, or ends before its last frame.
    """
    name = f"A video of {len(source)} image files" if isinstance(source, list) else show_source(source)
    opened = source if isinstance(source, list) else open_source(source)
    if isinstance(opened, list) or (isinstance(opened, str) and os.path.isdir(opened)):
        return _read(name, FrameFilesReader(opened), sample_indices_fn)
    if is_frame_cache(opened):
        with _explain_failure(name, "numpy"):
            reader = FrameCacheReader(opened)
        return _read(name, reader, sample_indices_fn)

    chosen = choose_video_backend(video_backend)
    others = {"torchcodec": lambda: is_torchcodec_usable(decode="video"), "pyav": is_av_available}
    failure = None
    for backend in [chosen, *(other for other, is_usable in others.items() if other != chosen and is_usable())]:
        if not isinstance(opened, str):
            opened.seek(0)
        try:
            with _explain_failure(name, backend):
                reader = READERS[backend](opened)
            frames, metadata = _read(name, reader, sample_indices_fn)
        except VideoDecodingError as error:
            failure = failure or error
            continue
        if failure is not None:
            logger.warning(f"{chosen} failed and {backend} decoded instead: {failure}")
        return frames, metadata
    raise failure


def _read(
    name: str, reader: Any, sample_indices_fn: Callable | None
) -> tuple[np.ndarray | torch.Tensor, FTFVVideoMetadata]:
    metadata = reader.metadata
    if not metadata.total_num_frames:
        raise _no_video(name)
    indices = (
        np.arange(metadata.total_num_frames) if sample_indices_fn is None else sample_indices_fn(metadata=metadata)
    )
    if isinstance(reader, FrameFilesReader):
        frames = reader.frames_at(indices)
    else:
        with _explain_failure(name, metadata.video_backend):
            frames = reader.frames_at(indices)
    if len(frames) != len(indices):
        raise VideoDecodingError(
            f"{name} ends early: {len(indices) - len(frames)} of the {len(indices)} sampled frames are missing; it "
            f"says it has {metadata.total_num_frames}. Download or encode it again."
        )
    metadata.frames_indices = indices
    return frames, metadata


@contextmanager
def _explain_failure(name: str, backend: str) -> Iterator[None]:
    """
    One line for whatever a decoder raises on a broken file: each has its own exceptions, many without a common base.
    """
    try:
        yield
    except Exception as error:
        reason = one_line(error)
        if "video stream" in reason:
            # So say torchcodec and decord of a file without one; PyAV opens it.
            raise _no_video(name) from error
        raise VideoDecodingError(
            f"{name} cannot be decoded by {backend}: {reason}. Expected a complete video file; check that it plays, "
            "or encode it again."
        ) from error


def _no_video(name: str) -> VideoDecodingError:
    return VideoDecodingError(
        f"{name} holds no video frames; expected a file with a video stream (is it audio only, or cut off?)."
    )
