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
"""What pages show of kept queries on a frame: heat maps, boxes, thumbnails."""

import base64
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from .pictures import COLOURS, OPACITY


# A thumbnail shows at least this share of the sides of its frame, since a patch says little by itself.
THUMBNAIL_SHARE = 0.3


def kept_tokens(
    attention: np.ndarray, queries: Sequence[int], before: Sequence[int], width: int, height: int
) -> list[dict[str, Any]]:
    """The kept tokens of a frame, in order; `attention` is `(K, num_patches)`, `before` what a smaller K keeps."""
    grid_size = round(attention.shape[1] ** 0.5)
    patch_width, patch_height = width / grid_size, height / grid_size
    seen_width, seen_height = (
        max(patch, side * THUMBNAIL_SHARE) for patch, side in ((patch_width, width), (patch_height, height))
    )
    responses = attention.max(axis=1)
    ranks = np.empty(len(queries), dtype=int)
    ranks[np.argsort(-responses, kind="stable")] = np.arange(1, len(queries) + 1)
    tokens = []
    for query, weights, response, rank in zip(queries, attention, responses, ranks.tolist(), strict=True):
        row, column = divmod(int(weights.argmax()), grid_size)
        left, upper = column * patch_width, row * patch_height
        tokens.append(
            {
                "query": query,
                "rank": rank,
                "response": digits(response),
                "is_new": query not in before,
                "place": place_of(row, column),
                "patch": (row, column),
                "box": tuple(round(side, 2) for side in (left, upper, patch_width, patch_height)),
                # The patch in the middle, as far as the frame goes.
                "seen": tuple(
                    round(side, 2)
                    for side in (
                        min(max(left + (patch_width - seen_width) / 2, 0), width - seen_width),
                        min(max(upper + (patch_height - seen_height) / 2, 0), height - seen_height),
                        seen_width,
                        seen_height,
                    )
                ),
            }
        )
    return tokens


def peaks_of(tokens: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The patches that queries peak at, with the best rank of each; new where no query peaked before."""
    of_patch: dict[tuple[int, int], list[dict[str, Any]]] = {}
    for token in sorted(tokens, key=lambda token: token["rank"]):
        of_patch.setdefault(token["patch"], []).append(token)
    return [
        {
            "rank": found[0]["rank"],
            "label": f"{found[0]['rank']}+" if len(found) > 1 else str(found[0]["rank"]),
            "box": found[0]["box"],
            "is_new": all(token["is_new"] for token in found),
        }
        for found in of_patch.values()
    ]


def palette() -> np.ndarray:
    """Red, green, blue and opacity of the 256 levels of a heat map, `(256, 4)` in uint8."""
    levels = np.linspace(0, 1, 256)
    colours = COLOURS(levels)
    colours[:, 3] = OPACITY * levels
    return (255 * colours).round().astype(np.uint8)


def heat_image(levels: np.ndarray) -> Image.Image:
    """`levels` is `(height, width)` in uint8; the colours are in the palette, so each pixel takes a byte."""
    image = Image.fromarray(levels, mode="P")
    image.putpalette(palette().tobytes(), "RGBA")
    return image


def data_uri(image: Image.Image, format: str, **options: Any) -> str:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return f"data:image/{format.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def digits(value: float) -> str:
    return f"{value:.3g}"


def place_of(row: int, column: int) -> str:
    return f"row {row + 1}, column {column + 1}"
