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
"""Makes transformers know FTFV: Auto classes, the pipeline task, and saved folders that carry their own code."""

from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoModel,
    AutoModelForImageTextToText,
    AutoModelForMultimodalLM,
    AutoProcessor,
    AutoVideoProcessor,
)
from transformers.pipelines import PIPELINE_REGISTRY

from .modeling_ftfv.configuration_ftfv import FTFVConfig, FTFVVisionConfig
from .modeling_ftfv.modeling_ftfv import FTFVForConditionalGeneration, FTFVModel, FTFVVisionModel
from .processing.image_processing_ftfv import FTFVImageProcessor
from .processing.pipeline_ftfv import VideoTextToTextPipeline
from .processing.processing_ftfv import FTFVProcessor
from .processing.video_processing_ftfv import FTFVVideoProcessor


def register() -> None:
    """Registers every public class; calling it again changes nothing."""
    AutoConfig.register(FTFVConfig.model_type, FTFVConfig, exist_ok=True)
    AutoModel.register(FTFVConfig, FTFVModel, exist_ok=True)
    AutoModel.register(FTFVVisionConfig, FTFVVisionModel, exist_ok=True)
    AutoModelForImageTextToText.register(FTFVConfig, FTFVForConditionalGeneration, exist_ok=True)
    AutoModelForMultimodalLM.register(FTFVConfig, FTFVForConditionalGeneration, exist_ok=True)
    AutoImageProcessor.register(FTFVConfig, image_processor_classes={"torchvision": FTFVImageProcessor}, exist_ok=True)
    AutoVideoProcessor.register(FTFVConfig, FTFVVideoProcessor, exist_ok=True)
    AutoProcessor.register(FTFVConfig, FTFVProcessor, exist_ok=True)
    PIPELINE_REGISTRY.register_pipeline(
        "video-text-to-text",
        pipeline_class=VideoTextToTextPipeline,
        pt_model=AutoModelForImageTextToText,
        type="multimodal",
    )
    # With these, `save_pretrained` copies the Python files, so that the folder works where this package is not
    # installed.
    FTFVConfig.register_for_auto_class()
    FTFVModel.register_for_auto_class("AutoModel")
    FTFVForConditionalGeneration.register_for_auto_class("AutoModelForImageTextToText")
    FTFVImageProcessor.register_for_auto_class("AutoImageProcessor")
    FTFVVideoProcessor.register_for_auto_class("AutoVideoProcessor")
    FTFVProcessor.register_for_auto_class("AutoProcessor")
