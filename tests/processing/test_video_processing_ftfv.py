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
"""The video processor: which frames are taken, their padding, and what is refused."""

import re
from typing import Any

import numpy as np
import pytest
import torch
from transformers.video_utils import VideoMetadata

from ftfv import FTFVVideoProcessor
from ftfv.processing.frame_source_ftfv import FTFVVideoMetadata
from tests.tiny import IMAGE_SIZE, build_frames, frame_indices, write_video


def build_processor(**kwargs: Any) -> FTFVVideoProcessor:
    return FTFVVideoProcessor(size={"height": IMAGE_SIZE, "width": IMAGE_SIZE}, **kwargs)


def middles(total: int, num_frames: int) -> list[int]:
    """floor((i + 0.5) n / T) in exact arithmetic."""
    return [((2 * index + 1) * total) // (2 * num_frames) for index in range(num_frames)]


def sampled(total: int, fps: float | None = 10, **kwargs: Any) -> list[int]:
    metadata = VideoMetadata(total_num_frames=total, fps=fps)
    return build_processor().sample_frames(metadata, **kwargs).tolist()


# Which frames


@pytest.mark.parametrize("total", [1, 2, 7, 8, 9, 15, 16, 17, 250, 100_000])
@pytest.mark.parametrize("num_frames", [1, 2, 3, 5, 7, 8])
def test_num_frames_takes_the_middles_of_equal_parts(total, num_frames):
    if num_frames > total:
        with pytest.raises(ValueError, match=f"{num_frames} frames are asked for but the video has {total}"):
            sampled(total, num_frames=num_frames)
        return
    indices = sampled(total, num_frames=num_frames)
    assert indices == middles(total, num_frames)
    assert indices == [int((index + 0.5) * total / num_frames) for index in range(num_frames)]
    assert len(set(indices)) == num_frames


def test_the_known_cases():
    assert sampled(16) == [1, 3, 5, 7, 9, 11, 13, 15]
    assert sampled(8) == list(range(8))
    assert sampled(250) == [15, 46, 78, 109, 140, 171, 203, 234]
    assert sampled(10, num_frames=1) == [5]


@pytest.mark.parametrize("total", range(1, 8))
def test_a_video_shorter_than_the_default_gives_all_it_has(total):
    assert sampled(total) == list(range(total))


@pytest.mark.parametrize("max_num_frames", [1, 3, 8, 20, 5000])
def test_max_num_frames_is_a_limit(max_num_frames):
    assert sampled(20, max_num_frames=max_num_frames) == middles(20, min(20, max_num_frames))


def test_num_frames_wins_over_max_num_frames():
    assert sampled(20, num_frames=12, max_num_frames=4) == middles(20, 12)


@pytest.mark.parametrize(("fps", "count"), [(1, 2), (2, 4), (2.5, 5), (10, 20), (0.1, 1)])
def test_fps(fps, count):
    assert sampled(20, fps=10) == middles(20, 8)
    metadata = VideoMetadata(total_num_frames=20, fps=10)
    assert build_processor().sample_frames(metadata, fps=fps).tolist() == middles(20, count)


def test_a_higher_rate_than_the_videos_raises():
    with pytest.raises(ValueError, match="40 frames are asked for but the video has 20; expected 1 to 20"):
        build_processor().sample_frames(VideoMetadata(total_num_frames=20, fps=10), fps=20)


@pytest.mark.parametrize(
    ("clip", "first", "total"),
    [
        ((0, 2), 0, 20),
        ((0.5, 1.5), 5, 10),
        ((1, 100), 10, 10),
        ((0, 0.05), 0, 1),
        ((0.31, 0.89), 3, 6),
        ([1.9, 2.0], 19, 1),
    ],
)
def test_a_clip_is_sampled_by_the_same_formula(clip, first, total):
    expected = [first + index for index in middles(total, min(8, total))]
    assert sampled(20, clip=clip) == expected


def test_num_frames_and_fps_apply_inside_the_clip():
    assert sampled(20, clip=(0.5, 1.5), num_frames=2) == [7, 12]
    metadata = VideoMetadata(total_num_frames=20, fps=10)
    assert build_processor().sample_frames(metadata, clip=(0.5, 1.5), fps=5).tolist() == [6, 8, 10, 12, 14]
    with pytest.raises(ValueError, match="11 frames are asked for but the video has 10"):
        sampled(20, clip=(0.5, 1.5), num_frames=11)


@pytest.mark.parametrize("clip", [(2.0, 3.0), (1.0, 1.0), (1.0, 0.5), (-1.0, 1.0)])
def test_a_clip_outside_the_video_raises(clip):
    with pytest.raises(ValueError, match=re.escape(f"`clip` is ({clip[0]}, {clip[1]}) seconds; expected 0 <= start")):
        sampled(20, clip=clip)


def test_both_num_frames_and_fps_raise():
    with pytest.raises(ValueError, match=r"Both `num_frames` \(4\) and `fps` \(2\) are given; pass only one"):
        build_processor()(build_frames(20), num_frames=4, fps=2, video_metadata=[{"total_num_frames": 20, "fps": 10}])


@pytest.mark.parametrize("arguments", [{"fps": 2}, {"clip": (0.0, 1.0)}])
def test_an_unknown_rate_raises_where_it_is_needed(arguments):
    with pytest.raises(ValueError, match="need the frame rate of the video, which is unknown"):
        build_processor()(build_frames(20), **arguments)


@pytest.mark.parametrize("num_frames", [0, -3])
def test_no_frames_raise(num_frames):
    with pytest.raises(ValueError, match=f"{num_frames} frames are asked for but the video has 20; expected 1 to 20"):
        sampled(20, num_frames=num_frames)


def uneven() -> FTFVVideoMetadata:
    """Four frames in the first second, one in each of the next four."""
    metadata = FTFVVideoMetadata(total_num_frames=8, fps=1.6)
    metadata.frame_times = np.array([0, 0.25, 0.5, 0.75, 1, 2, 3, 4])
    return metadata


@pytest.mark.parametrize(
    ("clip", "indices"),
    [((0, 1), [0, 1, 2, 3]), ((0.3, 0.5), [1]), ((0.3, 0.6), [1, 2]), ((0.8, 3.5), [3, 4, 5, 6]), ((4.5, 9), [7])],
)
def test_a_clip_of_a_variable_rate_goes_by_the_times_of_frames(clip, indices):
    assert build_processor().sample_frames(uneven(), clip=clip).tolist() == indices


def test_fps_inside_a_clip_of_a_variable_rate():
    """From 0.75 to 3 seconds and the mean length of a frame, 0.625."""
    assert build_processor().sample_frames(uneven(), clip=(0.8, 3.5), fps=1).tolist() == [4, 6]


@pytest.mark.parametrize("clip", [(1.0,), (0.0, 1.0, 2.0)])
def test_a_clip_has_two_ends(clip):
    with pytest.raises(ValueError, match=r"`clip` is \(.*\) seconds; expected 0 <= start < end"):
        sampled(20, clip=clip)


# Outputs


def test_a_file_gives_the_frames_of_the_formula(clip):
    inputs = build_processor()(clip)
    assert sorted(inputs) == sorted(["pixel_values_videos", "video_frame_mask", "tokens_per_frame"])
    assert inputs["pixel_values_videos"].shape == (1, 8, 3, IMAGE_SIZE, IMAGE_SIZE)
    assert frame_indices(inputs["pixel_values_videos"][0]) == middles(20, 8)
    assert inputs["video_frame_mask"].tolist() == [[1] * 8]
    assert inputs["tokens_per_frame"].tolist() == [128]


def test_a_name_that_ends_in_a_clip_gives_the_frames_of_that_clip(clip):
    named, given = build_processor()(f"{clip}#t=0.5,1.5"), build_processor()(clip, clip=(0.5, 1.5))
    assert torch.equal(named["pixel_values_videos"], given["pixel_values_videos"])
    # each of a batch has its own
    batch = build_processor()([clip, f"{clip}#t=1,1.3"])
    assert batch["video_frame_mask"].sum(dim=1).tolist() == [8, 3]
    assert frame_indices(batch["pixel_values_videos"][1, :3]) == [10, 11, 12]


def test_the_arguments_of_a_call_reach_the_frames(clip):
    processor = build_processor()
    assert frame_indices(processor(clip, num_frames=5)["pixel_values_videos"][0]) == middles(20, 5)
    assert frame_indices(processor(clip, fps=2)["pixel_values_videos"][0]) == middles(20, 4)
    assert frame_indices(processor(clip, max_num_frames=3)["pixel_values_videos"][0]) == middles(20, 3)
    assert frame_indices(processor(clip, clip=(1.0, 1.4))["pixel_values_videos"][0]) == [10, 11, 12, 13]


def test_arrays_tensors_frame_caches_and_files_give_the_same(tmp_path, clip):
    processor, frames = build_processor(video_backend="pyav"), build_frames(20)
    np.save(tmp_path / "clip.npy", frames)
    tensor = torch.from_numpy(frames).permute(0, 3, 1, 2)
    from_array = processor(frames)["pixel_values_videos"]
    for video in (tensor, str(tmp_path / "clip.npy"), list(frames)):
        assert torch.equal(processor(video)["pixel_values_videos"], from_array)
    from_file = processor(clip)["pixel_values_videos"]
    assert (from_file - from_array).abs().max() < 3 / 255 / 0.26


def test_files_and_frame_caches_mix_in_a_batch(tmp_path, clip):
    np.save(tmp_path / "clip.npy", build_frames(12))
    for videos in ([clip, str(tmp_path / "clip.npy")], [str(tmp_path / "clip.npy"), clip]):
        inputs = build_processor()(videos)
        indices = [middles(20 if video == clip else 12, 8) for video in videos]
        assert [frame_indices(video) for video in inputs["pixel_values_videos"]] == indices


def test_do_sample_frames_off_leaves_frames_alone():
    inputs = build_processor()(build_frames(11), do_sample_frames=False, num_frames=3)
    assert frame_indices(inputs["pixel_values_videos"][0]) == list(range(11))


def test_shorter_videos_are_padded_and_the_mask_says_so(tmp_path):
    paths = [write_video(tmp_path / f"{total}.mp4", total) for total in (3, 20, 1)]
    inputs = build_processor()(paths, max_num_frames=5)
    assert inputs["pixel_values_videos"].shape[:2] == (3, 5)
    assert inputs["video_frame_mask"].tolist() == [[1, 1, 1, 0, 0], [1, 1, 1, 1, 1], [1, 0, 0, 0, 0]]
    assert frame_indices(inputs["pixel_values_videos"][0, :3]) == [0, 1, 2]
    assert torch.count_nonzero(inputs["pixel_values_videos"][0, 3:]) == 0
    assert inputs["tokens_per_frame"].tolist() == [128] * 3


def test_videos_of_different_sizes_in_one_batch():
    videos = [build_frames(8, 30, 50), build_frames(4, 64, 48)]
    inputs = build_processor()(videos)
    assert inputs["pixel_values_videos"].shape == (2, 8, 3, IMAGE_SIZE, IMAGE_SIZE)


def test_metadata_on_request(clip):
    (metadata,) = build_processor()(clip, return_metadata=True)["video_metadata"]
    assert metadata.frames_indices.tolist() == middles(20, 8)
    assert metadata.timestamps[0] == pytest.approx(0.1)


def test_the_frame_size_is_an_argument(clip):
    inputs = build_processor()(clip, size={"height": 28, "width": 28})
    assert inputs["pixel_values_videos"].shape[-2:] == (28, 28)


@pytest.mark.parametrize("tensor_type", ["pt", "np", None])
def test_tensor_types(clip, tensor_type):
    inputs = build_processor()(clip, return_tensors=tensor_type, tokens_per_frame=5)
    kind = np.ndarray if tensor_type == "np" else torch.Tensor
    assert all(isinstance(value, kind) for value in inputs.values())
    assert inputs["tokens_per_frame"].tolist() == [5]


def test_tokens_per_frame_is_a_long_tensor_with_one_entry_per_video():
    tokens_per_frame = build_processor(tokens_per_frame=7)([build_frames(9)] * 3)["tokens_per_frame"]
    assert tokens_per_frame.dtype == torch.long and tokens_per_frame.tolist() == [7, 7, 7]


def test_an_explicit_none_stands_for_the_processors_own(clip):
    processor = build_processor(tokens_per_frame=7, max_num_frames=3)
    inputs = processor(clip, tokens_per_frame=None, max_num_frames=None, num_frames=None, fps=None, clip=None)
    assert inputs["tokens_per_frame"].tolist() == [7]
    assert frame_indices(inputs["pixel_values_videos"][0]) == middles(20, 3)


@pytest.mark.parametrize("tokens_per_frame", [0, -1])
def test_less_than_one_token_raises(tokens_per_frame):
    with pytest.raises(ValueError, match=f"`tokens_per_frame` is {tokens_per_frame}; expected at least 1"):
        build_processor()(build_frames(8), tokens_per_frame=tokens_per_frame)


def test_the_decoder_of_a_call(clip, monkeypatch):
    asked = []

    def read_video(path, sample_indices_fn, video_backend):
        asked.append(video_backend)
        metadata = VideoMetadata(total_num_frames=20, fps=10)
        return build_frames(20)[sample_indices_fn(metadata=metadata)], metadata

    monkeypatch.setattr("ftfv.processing.video_processing_ftfv.read_video", read_video)
    processor = build_processor(video_backend="pyav", max_num_frames=3, tokens_per_frame=5)
    for arguments in ({}, {"video_backend": "decord"}, {"video_backend": None}):
        inputs = processor(clip, **arguments)
        assert frame_indices(inputs["pixel_values_videos"][0]) == middles(20, 3)
        assert inputs["tokens_per_frame"].tolist() == [5]
    assert asked == ["pyav", "decord", None] and processor.video_backend == "pyav"


# Saving


def test_saving_and_loading(tmp_path):
    processor = build_processor(tokens_per_frame=5, max_num_frames=12, clip=[0.5, 2.0], video_backend="pyav")
    processor.save_pretrained(tmp_path)
    loaded = FTFVVideoProcessor.from_pretrained(tmp_path)
    assert loaded.to_dict() == processor.to_dict()
    assert (loaded.tokens_per_frame, loaded.max_num_frames, loaded.video_backend) == (5, 12, "pyav")


@pytest.mark.parametrize("name", ["size", "image_mean", "max_num_frames", "tokens_per_frame"])
def test_an_explicit_none_is_saved(tmp_path, name):
    processor = FTFVVideoProcessor(**{name: None})
    processor.save_pretrained(tmp_path)
    assert processor.to_dict()[name] is None and getattr(FTFVVideoProcessor.from_pretrained(tmp_path), name) is None


def test_without_a_limit_all_frames_are_taken():
    inputs = build_processor(max_num_frames=None)(build_frames(11))
    assert frame_indices(inputs["pixel_values_videos"][0]) == list(range(11))


def test_without_tokens_per_frame_the_call_must_say_it():
    processor = build_processor(tokens_per_frame=None)
    assert processor(build_frames(8), tokens_per_frame=3)["tokens_per_frame"].tolist() == [3]
    with pytest.raises(ValueError, match="`tokens_per_frame` is None; expected at least 1"):
        processor(build_frames(8))
