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
The common tests of models, run on prompts with an image, with a video, and with both.
"""

import copy
import unittest

import subject
import torch
from tests.generation.test_utils import GenerationTesterMixin
from tests.test_configuration_common import ConfigTester
from tests.test_modeling_common import ModelTesterMixin, ids_tensor
from transformers.testing_utils import require_torch, torch_device

from ftfv import FTFVConfig, FTFVForConditionalGeneration, FTFVModel


class FTFVModelTester:
    """Builds configs and inputs under the names that the common tests ask for."""

    batch_size, is_training = subject.BATCH_SIZE, True
    num_hidden_layers, hidden_size = subject.NUM_LAYERS, subject.HIDDEN_SIZE
    num_attention_heads = subject.NUM_HEADS
    text_config, vision_config = subject.text_config(), subject.vision_config()

    def __init__(self, with_image: bool, with_video: bool):
        self.with_image, self.with_video = with_image, with_video
        self.num_placeholders = with_image * subject.NUM_QUERIES
        self.num_placeholders += with_video * subject.NUM_FRAMES * subject.TOKENS_PER_FRAME
        self.seq_length = self.num_placeholders + subject.TEXT_LENGTH

    def get_config(self) -> FTFVConfig:
        return subject.config()

    def prepare_config_and_inputs_for_common(self) -> tuple[FTFVConfig, dict[str, torch.Tensor]]:
        words = ids_tensor([self.batch_size, self.seq_length], subject.VOCAB_SIZE - subject.FIRST_WORD_ID)
        input_ids = words + subject.FIRST_WORD_ID
        media: dict[str, torch.Tensor] = {}
        if self.with_video:
            input_ids[:, : self.num_placeholders] = subject.VIDEO_TOKEN_ID
            media |= subject.video_inputs(self.batch_size)
        if self.with_image:
            input_ids[:, : subject.NUM_QUERIES] = subject.IMAGE_TOKEN_ID
            media |= subject.image_inputs(self.batch_size)
        return self.get_config(), {"input_ids": input_ids, "attention_mask": torch.ones_like(input_ids), **media}


class FTFVModelTests(ModelTesterMixin, GenerationTesterMixin):
    all_model_classes = (FTFVModel, FTFVForConditionalGeneration)
    _is_composite = True
    # The test would leave out models whose config's file bears a copyright of before 2023.
    test_can_init_all_missing_weights_before_2023 = True
    with_image = with_video = False

    def setUp(self) -> None:
        self.model_tester = FTFVModelTester(self.with_image, self.with_video)
        self.config_tester = ConfigTester(
            self,
            config_class=FTFVConfig,
            has_text_modality=False,
            common_properties=["image_token_id", "video_token_id", "tokens_per_frame", "num_frames"],
        )

    def test_config(self) -> None:
        self.config_tester.run_common_tests()

    # Both kinds of features are tested in each of the classes below, whatever is in its prompts.
    def _image_features_prepare_config_and_inputs(self) -> tuple[FTFVConfig, dict[str, torch.Tensor]]:
        return subject.config(), subject.image_inputs(subject.BATCH_SIZE)

    def _video_features_prepare_config_and_inputs(self) -> tuple[FTFVConfig, dict[str, torch.Tensor]]:
        return subject.config(), subject.video_inputs(subject.BATCH_SIZE)

    # What tests/vlm_tester.py of transformers, which the sdist lacks, asks of its models.

    def check_mismatching_placeholders(self, name: str) -> None:
        config, inputs = self.model_tester.prepare_config_and_inputs_for_common()
        first = {key: value[:1] for key, value in inputs.items()}
        twice = {key: torch.cat([value, value]) for key, value in first.items()}
        for model_class in self.all_model_classes:
            model = model_class(copy.deepcopy(config)).to(torch_device).eval()
            model(**inputs)
            model(**twice)
            for fewer in ({**inputs, name: inputs[name][:1]}, {**twice, name: first[name]}):
                with self.assertRaises(ValueError):
                    model(**fewer)

    def test_text_only(self) -> None:
        config, inputs = self.model_tester.prepare_config_and_inputs_for_common()
        input_ids = inputs["input_ids"][:, self.model_tester.num_placeholders :]
        for model_class in self.all_model_classes:
            model = model_class(copy.deepcopy(config)).to(torch_device).eval()
            output = model(input_ids=input_ids)[0]
            self.assertEqual(output.shape[:2], input_ids.shape)


@require_torch
class FTFVImageModelTest(FTFVModelTests, unittest.TestCase):
    with_image = True

    def test_mismatching_num_image_tokens(self) -> None:
        self.check_mismatching_placeholders("pixel_values")


@require_torch
class FTFVVideoModelTest(FTFVModelTests, unittest.TestCase):
    with_video = True

    def test_mismatching_num_video_tokens(self) -> None:
        self.check_mismatching_placeholders("pixel_values_videos")


@require_torch
class FTFVImageAndVideoModelTest(FTFVModelTests, unittest.TestCase):
    with_image = with_video = True

    def test_mismatching_num_image_tokens(self) -> None:
        self.check_mismatching_placeholders("pixel_values")

    def test_mismatching_num_video_tokens(self) -> None:
        self.check_mismatching_placeholders("pixel_values_videos")
