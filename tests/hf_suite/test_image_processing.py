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
"""The common tests of image processors."""

import unittest
from typing import Any

import subject
from tests.test_image_processing_common import ImageProcessingTester, ImageProcessingTestMixin
from transformers.testing_utils import require_torch, require_vision

from ftfv import FTFVImageProcessor


class FTFVImageProcessingTester(ImageProcessingTester):
    def __init__(self, parent: Any, **kwargs: Any):
        super().__init__(parent, max_resolution=80, **{**subject.media_processor_arguments(), **kwargs})

    # The test looks for it under the name of the test's folder, in tables of the library.
    def _get_image_processing_classes(self) -> dict[str, Any]:
        return {"torchvision": FTFVImageProcessor}

    def expected_output_image_shape(self, images: Any) -> tuple[int, int, int]:
        return self.num_channels, self.size["height"], self.size["width"]


@require_torch
@require_vision
class FTFVImageProcessingTest(ImageProcessingTestMixin, unittest.TestCase):
    image_processor_tester_class = FTFVImageProcessingTester
    test_cast_dtype = True
