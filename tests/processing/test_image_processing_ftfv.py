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
"""The image processor: Qwen-VL's preprocessing, paths and bad files."""

import numpy as np
import pytest
import torch
from PIL import Image

from ftfv import FTFVImageProcessor
from tests.tiny import IMAGE_SIZE


MEAN = np.array([0.48145466, 0.4578275, 0.40821073])
STD = np.array([0.26862954, 0.26130258, 0.27577711])


def build_processor() -> FTFVImageProcessor:
    return FTFVImageProcessor(size={"height": IMAGE_SIZE, "width": IMAGE_SIZE})


@pytest.mark.parametrize(("height", "width"), [(150, 205), (31, 27), (42, 42)])
def test_pixel_values_equal_pillows(height, width):
    """A bicubic square of fixed size without regard to the aspect ratio, then CLIP's normalisation."""
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))
    resized = np.asarray(image.resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.BICUBIC))
    expected = ((resized / 255 - MEAN) / STD).transpose(2, 0, 1)
    pixel_values = build_processor()(image, return_tensors="pt")["pixel_values"]
    assert pixel_values.shape == (1, 3, IMAGE_SIZE, IMAGE_SIZE) and pixel_values.dtype == torch.float32
    difference = np.abs(pixel_values[0].numpy() - expected)
    # torchvision rounds the resized image to whole levels now and then to the other side: one level of 255.
    assert difference.max() <= 1.01 / 255 / STD.min()
    assert (difference > 1e-5).mean() < 0.02


def test_the_default_size_is_qwen_vls():
    assert dict(FTFVImageProcessor().size) == {"height": 448, "width": 448}


def test_grey_and_transparent_images_become_rgb():
    grey = Image.new("L", (20, 20), 128)
    transparent = Image.new("RGBA", (20, 20), (128, 128, 128, 255))
    pixel_values = build_processor()([grey, transparent], return_tensors="pt")["pixel_values"]
    expected = torch.tensor((128 / 255 - MEAN) / STD)[:, None, None].expand(3, IMAGE_SIZE, IMAGE_SIZE).float()
    for image in pixel_values:
        torch.testing.assert_close(image, expected, rtol=0, atol=1e-5)


def test_a_path_equals_its_image_and_starts_from_the_media_root(tmp_path, monkeypatch):
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8))
    image.save(tmp_path / "image.png")
    monkeypatch.setenv("FTFV_MEDIA_ROOT", str(tmp_path))
    processor = build_processor()
    from_path = processor(processor.fetch_images("image.png"), return_tensors="pt")["pixel_values"]
    assert torch.equal(from_path, processor(image, return_tensors="pt")["pixel_values"])


def test_bad_files(tmp_path):
    processor = build_processor()
    with pytest.raises(FileNotFoundError, match="No file .*image.png'; expected an existing file"):
        processor.fetch_images(str(tmp_path / "image.png"))
    (tmp_path / "image.png").touch()
    with pytest.raises(ValueError, match="image.png' is empty"):
        processor.fetch_images([str(tmp_path / "image.png")])
    (tmp_path / "image.png").write_text("This is no image.")
    with pytest.raises(ValueError, match="image.png' cannot be read as an image: .* Check that it opens") as error:
        processor.fetch_images(str(tmp_path / "image.png"))
    assert "\n" not in str(error.value)


def test_saving_and_loading(tmp_path):
    processor = FTFVImageProcessor(size={"height": 28, "width": 28}, image_mean=[0.1, 0.2, 0.3], do_convert_rgb=None)
    processor.save_pretrained(tmp_path)
    assert FTFVImageProcessor.from_pretrained(tmp_path).to_dict() == processor.to_dict()
