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
"""The common tests of video processors."""

import unittest
from typing import Any

import subject
from tests.test_video_processing_common import VideoProcessingTestMixin, prepare_video_inputs
from transformers.testing_utils import require_torch, require_vision

from ftfv import FTFVVideoProcessor


class FTFVVideoProcessingTester:
    """Builds processors and videos under the names that the common tests ask for."""

    batch_size, num_frames, num_channels = 5, 8, 3
    min_resolution, max_resolution = 30, 80

    def prepare_video_processor_dict(self) -> dict[str, Any]:
        return subject.media_processor_arguments()

    def expected_output_video_shape(self, videos: Any) -> tuple[int, int, int, int]:
        size = subject.PROCESSED_SIZE
        return self.num_frames, self.num_channels, size["height"], size["width"]

    def prepare_video_inputs(self, equal_resolution: bool = False, return_tensors: str = "pil") -> Any:
        return prepare_video_inputs(
            batch_size=self.batch_size,
            num_frames=self.num_frames,
            num_channels=self.num_channels,
            min_resolution=self.min_resolution,
            max_resolution=self.max_resolution,
            equal_resolution=equal_resolution,
            return_tensors=return_tensors,
        )


@require_torch
@require_vision
class FTFVVideoProcessingTest(VideoProcessingTestMixin, unittest.TestCase):
    fast_video_processing_class = FTFVVideoProcessor
    input_name = "pixel_values_videos"
    test_cast_dtype = True

    def setUp(self) -> None:
        super().setUp()
        self.video_processor_tester = FTFVVideoProcessingTester()

    @property
    def video_processor_dict(self) -> dict[str, Any]:
        return self.video_processor_tester.prepare_video_processor_dict()

    def test_video_processor_from_dict_with_kwargs(self) -> None:
        # The common test expects a size by the shortest edge and a crop.
        processor = FTFVVideoProcessor.from_dict(self.video_processor_dict)
        self.assertEqual(processor.size, subject.PROCESSED_SIZE)
        processor = FTFVVideoProcessor.from_dict(self.video_processor_dict, size=42)
        self.assertEqual(processor.size, {"height": 42, "width": 42})
