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

import numpy as np
import pytest

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
