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
"""The common tests of processors."""

import unittest
from typing import Any

import subject
from tests.test_processing_common import ProcessorTesterMixin
from transformers.testing_utils import require_torch, require_vision

from ftfv import FTFVImageProcessor, FTFVProcessor, FTFVVideoProcessor


@require_vision
@require_torch
class FTFVProcessorTest(ProcessorTesterMixin, unittest.TestCase):
    processor_class = FTFVProcessor
    images_input_name = "pixel_values"
    videos_input_name = "pixel_values_videos"
    # Lengths that the tests pad prompts to; longer than the prompts with their placeholders.
    images_text_kwargs_max_length = 117
    images_unstructured_max_length = 76
    videos_text_kwargs_max_length = 167
    videos_unstructured_max_length = 176
    chat_template_max_length = 100

    # The tests look for the components under the name of the test file, in tables of the library.
    @classmethod
    def _setup_tokenizer(cls) -> Any:
        return subject.build_tokenizer()

    @classmethod
    def _setup_image_processor(cls) -> Any:
        return FTFVImageProcessor(size=subject.PROCESSED_SIZE)

    @classmethod
    def _setup_video_processor(cls) -> Any:
        return FTFVVideoProcessor(size=subject.PROCESSED_SIZE, tokens_per_frame=subject.TOKENS_PER_FRAME)

    @staticmethod
    def prepare_processor_dict() -> dict[str, Any]:
        template = subject.CHAT_TEMPLATE.read_text(encoding="utf-8")
        return {"chat_template": template, "num_query_tokens": subject.NUM_QUERIES}

    @property
    def video_sampling_expectations(self) -> list[dict[str, Any]]:
        # Those of the common tests, for a video of 11 frames; left alone our processor takes 8.
        return [*super().video_sampling_expectations[:-1], {"expected_dim": 1, "output_length": 8}]
