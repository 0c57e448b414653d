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
"""Frames in memory, frame caches and folders of frames: layouts, levels and bad ones."""

from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image

from ftfv.processing.frame_source_ftfv import FramesReader, FTFVVideoMetadata, list_frame_files, to_levels, to_rgb
from ftfv.processing.video_decoding_ftfv import read_video


def test_a_frame_cache_equals_decoding(tmp_path, clip):
    frames, _ = read_video(clip, video_backend="pyav")
    np.save(tmp_path / "clip.npy", frames)
    cached, metadata = read_video(str(tmp_path / "clip.npy"))
    assert np.array_equal(cached, frames)
    assert (metadata.total_num_frames, metadata.video_backend) == (20, "numpy")
    some, _ = read_video(str(tmp_path / "clip.npy"), lambda metadata: np.array([3, 11]))
    assert np.array_equal(some, frames[[3, 11]])


@pytest.mark.parametrize(
    ("array", "found"),
    [
        (np.zeros((2, 4, 4, 3), dtype=np.float32), r"\(2, 4, 4, 3\) and type float32"),
        (np.zeros((2, 3, 4, 4), dtype=np.uint8), r"\(2, 3, 4, 4\) and type uint8"),
        (np.zeros((4, 4, 3), dtype=np.uint8), r"\(4, 4, 3\) and type uint8"),
    ],
)
def test_a_frame_cache_of_another_form_is_refused(tmp_path, array, found):
    np.save(tmp_path / "clip.npy", array)
    with pytest.raises(ValueError, match=f"an array of shape {found}, not uint8"):
        read_video(str(tmp_path / "clip.npy"))


def test_an_array_of_objects_is_not_unpickled(tmp_path):
    np.save(tmp_path / "clip.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="clip.npy' cannot be decoded by numpy"):
        read_video(str(tmp_path / "clip.npy"))


def test_a_frame_cache_in_memory(tmp_path):
    frames = np.random.default_rng(0).integers(0, 256, (5, 4, 6, 3), dtype=np.uint8)
    stored = BytesIO()
    np.save(stored, frames)
    cached, _ = read_video(stored.getvalue(), lambda metadata: np.array([4, 0]))
    assert np.array_equal(cached, frames[[4, 0]])


# Folders


def test_files_are_in_the_order_of_their_numbers(tmp_path):
    for name in ("a10.png", "a2.jpg", "a1.png", "b0.png", ".a3.png", "notes.txt"):
        (tmp_path / name).touch()
    assert [path.rsplit("/", 1)[1] for path in list_frame_files(str(tmp_path))] == [
        "a1.png",
        "a2.jpg",
        "a10.png",
        "b0.png",
    ]


def test_a_folder_may_be_relative_to_a_relative_media_root(tmp_path, monkeypatch):
    (tmp_path / "media/frames").mkdir(parents=True)
    Image.new("RGB", (6, 4)).save(tmp_path / "media/frames/0.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FTFV_MEDIA_ROOT", "media")
    frames, metadata = read_video("frames")
    assert frames.shape == (1, 4, 6, 3) and metadata.video_backend == "pillow"


def test_only_the_sampled_files_of_a_folder_are_opened(tmp_path):
    for index in range(5):
        (tmp_path / f"{index}.png").write_text("no image")
    Image.new("RGB", (6, 4), (1, 2, 3)).save(tmp_path / "3.png")
    frames, _ = read_video(str(tmp_path), lambda metadata: np.array([3]))
    assert frames[0, 0, 0].tolist() == [1, 2, 3]


# In memory


def test_frames_that_differ_in_size_are_refused():
    frames = [np.zeros((5, 6, 3), dtype=np.uint8)] * 2 + [np.zeros((5, 8, 3), dtype=np.uint8)]
    assert FramesReader(frames).frames_at(np.array([0, 1])).shape == (2, 3, 5, 6)
    with pytest.raises(ValueError, match=r"Frame 2 has the shape \(3, 5, 8\) and frame 0 has \(3, 5, 6\)"):
        FramesReader(frames).read()


@pytest.mark.parametrize(
    ("pixels", "levels"),
    [
        (np.array([0, 255], dtype=np.uint8), [0, 255]),
        (np.array([0, 128, 129, 257, 65534, 65535], dtype=np.uint16), [0, 0, 1, 1, 255, 255]),
        (np.array([257 * 7], dtype=">u2"), [7]),
        (np.array([False, True]), [0, 255]),
        (torch.tensor([0, 255]), [0, 255]),
    ],
)
def test_whole_numbers_become_levels(pixels, levels):
    found = to_levels(pixels)
    assert found.dtype == torch.uint8 and found.tolist() == levels


def test_floating_point_numbers_are_kept():
    found = to_levels(np.array([-3.5, 300.25], dtype=np.float64))
    assert found.dtype == torch.float32 and found.tolist() == [-3.5, 300.25]


@pytest.mark.parametrize(("mode", "fill", "rgb"), [("1", 1, 255), ("L", 7, 7), ("I;16", 7 * 257, 7), ("P", 0, 0)])
def test_images_of_every_mode_become_rgb(mode, fill, rgb):
    assert to_rgb(Image.new(mode, (2, 1), fill)).tolist() == [[[rgb] * 3] * 2]


def test_timestamps_are_those_of_the_frames_where_they_are_known():
    metadata = FTFVVideoMetadata(total_num_frames=4, fps=2.0, frames_indices=np.array([1, 3]))
    assert metadata.timestamps == [0.5, 1.5]
    metadata.frame_times = np.array([0, 0.1, 0.2, 0.9])
    assert metadata.timestamps == [0.1, 0.9]
    # As transformers copies metadata.
    assert dict(metadata) == dict(FTFVVideoMetadata(**metadata))
