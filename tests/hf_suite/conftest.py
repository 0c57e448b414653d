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
"""Makes the common tests take FTFV for a model of the library."""

import torch
from transformers.models.auto import modeling_auto

from ftfv import FTFVConfig, FTFVForConditionalGeneration, FTFVModel


# The tests tell by class name what a model is for, in tables that the public `register` does not fill. Without these
# entries labels would not be among the inputs, and the tests of training would pass without testing anything.
modeling_auto.MODEL_MAPPING_NAMES[FTFVConfig.model_type] = FTFVModel.__name__
modeling_auto.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES[FTFVConfig.model_type] = FTFVForConditionalGeneration.__name__

if torch.cuda.is_available():
    # Exact fp32, as in the conftest.py of transformers.
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
