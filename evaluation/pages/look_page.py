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
"""Where the kept queries look, as one HTML file: heat maps, the order of the kept tokens, and what changes with K."""

import base64
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ...modeling_ftfv.configuration_ftfv import FTFVConfig
from ...modeling_ftfv.cost import CostCounter
from ...modeling_ftfv.modeling_ftfv import FTFVForConditionalGeneration
from ...processing.processing_ftfv import FTFVProcessor
from ..atomic_write import atomic_write
from ..formatting import format_quantity
from .kept_queries import KeptQueries, gather_kept_queries
from .overlay import data_uri, digits, heat_image, kept_tokens, palette, peaks_of, place_of
from .page_template import render_template
from .pictures import SATURATION, shrink


# Longest side of a frame in pixels.
FRAME_PIXELS = 448
JPEG_QUALITY = 88
# The list of a frame opens with so many tokens; the others unfold.
LISTED = 16
# Height of the ranks on a frame: this share of a patch, but at least that share of the frame's width.
FONT_SIZE, SMALLEST_FONT_SIZE = 0.42, 0.028
# Where they take more of a patch than this, they stand beside it, and those of the first ranks only.
LARGEST_INSIDE, MAX_NUMBERED_SMALL = 0.6, 3


def write_look_page(
    model: FTFVForConditionalGeneration,
    processor: FTFVProcessor,
    video: str | os.PathLike,
    path: str | os.PathLike,
    *,
    tokens_per_frame: Sequence[int] | int | None = None,
    num_frames: int | None = None,
    question: str | None = None,
    max_new_tokens: int = 32,
    processor_kwargs: Mapping[str, Any] | None = None,
) -> None:
    """
    Writes a page on what the token sampler keeps of a video, see [`render_look_page`].

    Args:
        model (`FTFVForConditionalGeneration`): The model.
        processor (`FTFVProcessor`): Its processor.
        video (`str` or `os.PathLike`): Path or URL of the video.
        path (`str` or `os.PathLike`): The HTML file to write.
        tokens_per_frame (`Sequence[int]` or `int`, *optional*): One K or several, the processor's own if not given.
        num_frames (`int`, *optional*): Frames to look at, the processor's own if not given; a shorter video gives all.
        question (`str`, *optional*): A question to answer at each K.
        max_new_tokens (`int`, *optional*, defaults to 32): Longest answer.
        processor_kwargs (`Mapping`, *optional*): Other arguments of the processor, such as the `size` of frames.

    Raises:
        ValueError: K is out of range, or the file is no complete video.
        FileNotFoundError: there is no such file.
    """
    kept = gather_kept_queries(
        model,
        processor,
        video,
        tokens_per_frame=tokens_per_frame,
        num_frames=num_frames,
        question=question,
        max_new_tokens=max_new_tokens,
        processor_kwargs=processor_kwargs,
    )
    # Where a model lies on this disk is nobody's business.
    name = model.name_or_path or ""
    page = render_look_page(kept, model.config, Path(name).name if os.path.isdir(name) else name)
    with atomic_write(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def render_look_page(kept: KeptQueries, config: FTFVConfig, model_name: str = "") -> str:
    """
    One HTML document that needs nothing beside it: the cost and the answer at each K; all frames at all K, small; and
    each frame with the heat map of the chosen K over it and the kept tokens in the order in which the language model
    reads them. With JavaScript a K is chosen for all frames, and a token shows its own attention; without, all K
    stand below each other.

    Heat maps are brightest where the most attentive kept query pays most attention, all of them on one scale. The map
    of a single query is stored in 8 bits, 255 being its own peak.

    Args:
        kept (`KeptQueries`): What the sampler keeps; the patches are a square grid over the whole frame.
        config (`FTFVConfig`): The model's, for the cost.
        model_name (`str`, *optional*): Name of the model, for the heading.
    """
    counts = sorted(kept.attention)
    shown = [shrink(frame, FRAME_PIXELS) for frame in kept.frames]
    num_patches = kept.attention[counts[0]].shape[-1]
    grid_size = round(num_patches**0.5)
    height, width = shown[0].shape[:2]
    patch_size = min(height, width) / grid_size
    font_size = max(FONT_SIZE * patch_size, SMALLEST_FONT_SIZE * width)
    is_small = font_size > LARGEST_INSIDE * patch_size
    num_query_tokens = config.adapter_config.num_query_tokens
    strongest = max(float(kept.attention[count].max()) for count in counts)
    return render_template(
        "look.html.jinja",
        video=kept.video,
        model_name=model_name,
        question=kept.question,
        num_query_tokens=num_query_tokens,
        num_patches=num_patches,
        grid_size=grid_size,
        width=width,
        height=height,
        counts=counts,
        costs=_costs(kept, config, counts),
        frames=[_frame(kept, counts, index, frame, strongest) for index, frame in enumerate(shown)],
        in_order_of_response=config.token_order == "response",
        listed=LISTED,
        font_size=round(font_size, 2),
        saturation=SATURATION,
        is_small=is_small,
        numbered=MAX_NUMBERED_SMALL if is_small else num_query_tokens,
        scale=data_uri(heat_image(np.arange(256, dtype=np.uint8)[None]), "PNG"),
        ticks=[digits(share * strongest) for share in (0, 0.25, 1)],
        data={
            "grid": grid_size,
            "palette": base64.b64encode(palette().tobytes()).decode(),
            "maps": [_maps(kept, index) for index in range(len(shown))],
        },
    )


def _costs(kept: KeptQueries, config: FTFVConfig, counts: Sequence[int]) -> list[dict[str, Any]]:
    grid_size = round(kept.attention[counts[0]].shape[-1] ** 0.5)
    video = {"num_frames": len(kept.frames), "frame_size": grid_size * config.vision_config.patch_size}
    counter = CostCounter(config)
    everything = counter.prefill(**video, tokens_per_frame=config.adapter_config.num_query_tokens)
    rows = []
    for count in counts:
        spent = counter.prefill(**video, tokens_per_frame=count)
        rows.append(
            {
                "count": count,
                "visual_tokens": spent.visual_tokens,
                "flops": format_quantity(spent.total_flops),
                "of_everything": f"{spent.total_flops / everything.total_flops:.0%}",
                "vision": f"{spent.vision_flops / spent.total_flops:.0%}",
                "answer": kept.answers.get(count),
            }
        )
    return rows


def _frame(
    kept: KeptQueries, counts: Sequence[int], index: int, shown: np.ndarray, strongest: float
) -> dict[str, Any]:
    height, width = shown.shape[:2]
    number = f"frame {index + 1} of {len(kept.frames)}"
    views: list[dict[str, Any]] = []
    for count in counts:
        attention = kept.attention[count][index].float().cpu().numpy()
        queries = kept.queries[count][index].tolist()
        before = views[-1]["queries"] if views else queries
        tokens = kept_tokens(attention, queries, before, width, height)
        heat = attention.max(axis=0)
        grid_size = round(len(heat) ** 0.5)
        brightest = divmod(int(heat.argmax()), grid_size)
        levels = np.sqrt(heat / strongest).reshape(grid_size, grid_size)
        views.append(
            {
                "count": count,
                "queries": queries,
                "tokens": tokens,
                "heat": data_uri(heat_image((255 * levels).round().astype(np.uint8)), "PNG"),
                "brightest": place_of(*brightest),
                "peaks": peaks_of(tokens),
                "entering": _ranges(sorted(token["rank"] for token in tokens if token["is_new"])),
                "leaving": [query for query in before if query not in queries],
            }
        )
    return {
        "number": number,
        "time": f"{kept.times[index]:.2f} s" if kept.times is not None else number,
        "picture": data_uri(Image.fromarray(shown), "JPEG", quality=JPEG_QUALITY),
        "views": views,
    }


def _maps(kept: KeptQueries, index: int) -> dict[int, str]:
    """For each query that frame `index` keeps at any K, its attention in bytes of 1/255 of its peak, in base64."""
    maps = {}
    for count, queries in kept.queries.items():
        # A query's attention does not depend on which others are kept.
        for query, weights in zip(queries[index].tolist(), kept.attention[count][index].float(), strict=True):
            if query not in maps:
                levels = (255 * weights / weights.max()).round().byte().cpu().numpy()
                maps[query] = base64.b64encode(levels.tobytes()).decode()
    return maps


def _ranges(numbers: Sequence[int]) -> str:
    """`1–3, 7` for 1, 2, 3 and 7."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}–{run[-1]}" for run in runs)
