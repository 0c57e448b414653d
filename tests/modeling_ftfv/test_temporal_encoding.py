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
The temporal encoding against `torch.nn.functional.interpolate`, and what it does to images and to ragged batches.
"""

import pytest
import torch

from ftfv.modeling_ftfv.modeling_ftfv import FTFVModel, FTFVTemporalEncoding
from tests.tiny import build_config, build_model, random_pixels


def build_encoding(num_frames: int = 8) -> FTFVTemporalEncoding:
    encoding = FTFVTemporalEncoding(build_config(num_frames=num_frames))
    torch.nn.init.normal_(encoding.weight)
    return encoding


def encode(encoding: FTFVTemporalEncoding, num_frames: int) -> torch.Tensor:
    """E of one video, `(num_frames, vision_hidden_size)`."""
    return encoding(torch.arange(num_frames), torch.full((num_frames,), num_frames))[:, 0]


@pytest.mark.parametrize("num_rows", [1, 2, 8, 13])
@pytest.mark.parametrize("num_frames", range(2, 21))
def test_interpolation_is_linear_with_aligned_corners(num_rows, num_frames):
    encoding = build_encoding(num_rows)
    rows = encoding.weight[:, 0].T[None]
    expected = torch.nn.functional.interpolate(rows, size=num_frames, mode="linear", align_corners=True)[0].T
    torch.testing.assert_close(encode(encoding, num_frames), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_as_many_frames_as_rows_take_the_rows_exactly(dtype):
    encoding = build_encoding().to(dtype)
    assert torch.equal(encode(encoding, 8), encoding.weight[:, 0])


def test_the_ends_are_exact():
    encoding = build_encoding()
    for num_frames in range(2, 40):
        rows = encode(encoding, num_frames)
        assert torch.equal(rows[0], encoding.weight[0, 0]) and torch.equal(rows[-1], encoding.weight[-1, 0])


def test_a_single_frame_takes_row_0():
    encoding = build_encoding()
    assert torch.equal(encode(encoding, 1), encoding.weight[:1, 0])


def test_videos_of_different_lengths_are_encoded_as_if_alone():
    encoding = build_encoding()
    lengths = [3, 1, 8, 11]
    positions = torch.cat([torch.arange(length) for length in lengths])
    together = encoding(positions, torch.tensor(lengths).repeat_interleave(torch.tensor(lengths)))
    assert together.shape == (sum(lengths), 1, 24)
    assert torch.equal(together[:, 0], torch.cat([encode(encoding, length) for length in lengths]))


def test_it_is_zero_at_birth_and_leaves_an_image_model_unchanged():
    model = FTFVModel(build_config()).eval()
    assert torch.count_nonzero(model.temporal_encoding.weight) == 0
    frames = random_pixels(2)
    as_video = model.get_video_features(frames[None], tokens_per_frame=16)
    as_images = model.get_image_features(frames)
    for frame in range(2):
        tokens = as_video.pooler_output[0].unflatten(0, (2, 16))[frame]
        kept = as_video.token_indices[0, frame]
        torch.testing.assert_close(tokens, as_images.pooler_output[frame][kept], rtol=0, atol=1e-6)


def test_images_do_not_see_it():
    model = build_model(model_class=FTFVModel)
    frames = random_pixels(2)
    before = model.get_image_features(frames).pooler_output
    model.temporal_encoding.weight.data.add_(1)
    assert torch.equal(model.get_image_features(frames).pooler_output, before)
    assert not torch.allclose(
        model.get_video_features(frames[None], tokens_per_frame=16).pooler_output[0], before.flatten(0, 1)
    )


def test_it_is_added_to_the_patches_of_its_frame():
    """Two frames that show the same differ by their rows of E alone."""
    model = build_model(model_class=FTFVModel)
    frame = random_pixels(1)
    video = model.get_video_features(frame.expand(8, -1, -1, -1)[None], tokens_per_frame=16)
    patches = model.vision_tower(frame).last_hidden_state
    for position in range(8):
        shifted = patches + model.temporal_encoding.weight[position]
        (expected,), _, (kept,) = model.multi_modal_projector(shifted, [16])
        assert torch.equal(video.token_indices[0, position], kept)
        tokens = video.pooler_output[0].unflatten(0, (8, 16))[position]
        torch.testing.assert_close(tokens, expected, rtol=0, atol=1e-5)
