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

from typing import Any

from transformers.image_processing_backends import TorchvisionBackend
from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD, PILImageResampling
from transformers.utils import auto_docstring

from .video_decoding_ftfv import resolve_media_path


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

    def fetch_images(self, image_url_or_urls: str | list) -> Any:
        """
        Loads paths and URLs; a relative path starts from the environment variable `FTFV_MEDIA_ROOT`.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the file is empty or no image.
        """
        if not isinstance(image_url_or_urls, str):
            return super().fetch_images(image_url_or_urls)
        path = resolve_media_path(image_url_or_urls)
        try:
            return super().fetch_images(path)
        except Exception as error:
            reason = " ".join(str(error).split()).split(". ")[0]
            raise ValueError(
                f"{path[:200]!r} cannot be read as an image: {reason[:200]}. Check that it opens, or save it again."
            ) from error


__all__ = ["FTFVImageProcessor"]
