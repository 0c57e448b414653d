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
FTFV: turn an image language model into a video language model. Importing it registers its classes with transformers.
"""

import os as _os


__version__ = "0.1.0"

_here = _os.path.dirname(_os.path.abspath(__file__))
if not _os.path.isdir(_os.path.join(_here, "processing")):
    # In a source checkout the sub-packages are siblings of this folder.
    __path__.append(_os.path.dirname(_here))

from .modeling_ftfv.configuration_ftfv import FTFVAdapterConfig, FTFVConfig, FTFVVisionConfig  # noqa: E402
from .modeling_ftfv.modeling_ftfv import FTFVForConditionalGeneration, FTFVModel, FTFVVisionModel  # noqa: E402
from .processing.image_processing_ftfv import FTFVImageProcessor  # noqa: E402
from .processing.pipeline_ftfv import VideoTextToTextPipeline  # noqa: E402
from .processing.processing_ftfv import FTFVProcessor  # noqa: E402
from .processing.video_processing_ftfv import FTFVVideoProcessor  # noqa: E402
from .registration import register as _register  # noqa: E402


_register()

__all__ = [
    "FTFVAdapterConfig",
    "FTFVConfig",
    "FTFVForConditionalGeneration",
    "FTFVImageProcessor",
    "FTFVModel",
    "FTFVProcessor",
    "FTFVVideoProcessor",
    "FTFVVisionConfig",
    "FTFVVisionModel",
    "VideoTextToTextPipeline",
]
