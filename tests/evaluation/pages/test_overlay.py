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
"""What pages are made of: boxes, heat maps and templates."""

import base64
import io

import numpy as np
from PIL import Image

from ftfv.evaluation.pages.overlay import (
    data_uri,
    heat_image,
    kept_tokens,
    palette,
    peaks_of,
    place_of,
)


def test_tokens_tell_rank_place_and_what_is_new():
    # Three queries over 2 x 2 patches of a frame of 40 x 20 pixels; the first and the last peak in the same patch.
    attention = np.array([[0.1, 0.2, 0.6, 0.1], [0.9, 0.0, 0.1, 0.0], [0.1, 0.1, 0.7, 0.1]])
    tokens = kept_tokens(attention, [5, 3, 8], [3], width=40, height=20)
    assert [token["rank"] for token in tokens] == [3, 1, 2]
    assert [token["place"] for token in tokens] == ["row 2, column 1", "row 1, column 1", "row 2, column 1"]
    assert [token["is_new"] for token in tokens] == [True, False, True]
    assert tokens[0]["box"] == (0, 10, 20, 10) and tokens[1]["response"] == "0.9"
    assert peaks_of(tokens) == [
        {"rank": 1, "label": "1", "box": (0, 0, 20, 10), "is_new": False},
        {"rank": 2, "label": "2+", "box": (0, 10, 20, 10), "is_new": True},
    ]
    assert place_of(0, 3) == "row 1, column 4"


def test_a_heat_map_survives_the_way_into_a_page():
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    head, content = data_uri(heat_image(levels), "PNG").split(",")
    assert head == "data:image/png;base64"
    image = Image.open(io.BytesIO(base64.b64decode(content)))
    np.testing.assert_array_equal(np.asarray(image), levels)
    np.testing.assert_array_equal(np.asarray(image.convert("RGBA")).reshape(256, 4), palette())
    assert palette()[0, 3] == 0 and palette()[255, 3] == round(0.75 * 255)
