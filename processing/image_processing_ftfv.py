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
"""Images to pixel values, as Qwen-VL takes them: a square of fixed size, aspect ratio not kept."""

import os
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers.image_processing_backends import TorchvisionBackend
from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD, PILImageResampling
from transformers.utils import auto_docstring

from .frame_source_ftfv import read_image, to_levels, to_rgb


@auto_docstring(
    custom_intro="""
    The image processor of FTFV: a square of fixed size, bicubic, normalised as for CLIP.
    """
)
class FTFVImageProcessor(TorchvisionBackend):
    resample = PILImageResampling.BICUBIC
    image_mean = OPENAI_CLIP_MEAN
    image_std = OPENAI_CLIP_STD
    size = {"height": 448, "width": 448}
    do_resize = True
    do_rescale = True
    do_normalize = True
    do_convert_rgb = True

    def fetch_images(self, image_url_or_urls: Any) -> Any:
        """
        Opens paths, URLs, data URIs, bytes and open files; a relative path starts from the environment variable
        `FTFV_MEDIA_ROOT`. 16 bits per channel are scaled to 8; other images in memory are returned as they are.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the file is empty or no image.
        """
        image = image_url_or_urls
        if isinstance(image, (str, os.PathLike, bytes, bytearray, memoryview)) or hasattr(image, "readable"):
            return read_image(image)
        if isinstance(image, Image.Image) and image.mode.startswith(("I", "F")):
            return Image.fromarray(to_rgb(image))
        if isinstance(image, (np.ndarray, torch.Tensor)) and str(image.dtype).endswith("uint16"):
            return to_levels(image)
        return super().fetch_images(image)


__all__ = ["FTFVImageProcessor"]
