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
"""Where the kept queries look: the frames of a clip with the patches that they attend to, as one PNG."""

import os
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from matplotlib import colormaps, patheffects
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, PowerNorm
from matplotlib.patches import Rectangle
from PIL import Image

from ...modeling_ftfv.modeling_ftfv import FTFVForConditionalGeneration
from ...processing.processing_ftfv import FTFVProcessor
from ..plots.figure import new_figure, write_figure
from .kept_queries import gather_kept_queries


# Longest side of a frame in the picture; larger ones are shown smaller.
MAX_PIXELS = 224
DOTS_PER_INCH = 110
FRAME_SIZE = MAX_PIXELS / DOTS_PER_INCH
FRAMES_PER_LINE = 8
# Margins and the gap between frames, in inches.
LEFT, RIGHT, BELOW, GAP = 0.8, 0.95, 0.35, 0.06
LINE_HEIGHT = 0.19
# Font sizes in points that a patch's number must have, and at most has.
READABLE, LARGEST = 6.0, 9.0
# On patches too small for that, numbers stand above the first ranks only.
MAX_NUMBERED_SMALL = 3
# Characters; a longer answer is cut.
MAX_TEXT = 300
COLOURS = colormaps["inferno"]
# Share of its own colours that a frame keeps under them.
SATURATION = 0.25
# Of the colours where there is most attention; where there is none, the frame is seen.
OPACITY = 0.75


def draw_kept_patches(
    model: FTFVForConditionalGeneration,
    processor: FTFVProcessor,
    video: str | os.PathLike,
    path: str | os.PathLike,
    *,
    tokens_per_frame: Sequence[int] | int | None = None,
    num_frames: int | None = None,
    question: str | None = None,
    truth: str | None = None,
    max_new_tokens: int = 32,
    processor_kwargs: Mapping[str, Any] | None = None,
) -> None:
    """
    Draws where the kept queries look in a video: the sampled frames in a row and, below, one such row for each K, see
    [`draw_attention`].

    Args:
        model (`FTFVForConditionalGeneration`): The model.
        processor (`FTFVProcessor`): Its processor.
        video (`str` or `os.PathLike`): Path or URL of the video.
        path (`str` or `os.PathLike`): The PNG to write.
        tokens_per_frame (`Sequence[int]` or `int`, *optional*): One K or several, the processor's own if not given.
        num_frames (`int`, *optional*): Frames to look at, the processor's own if not given; a shorter video gives all.
        question, truth (`str`, *optional*): A question to answer at each K, and its true answer, for the title.
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
    if len(set(kept.answers.values())) == 1:
        answer = next(iter(kept.answers.values()))
    else:
        answer = ", ".join(f"{answer} (K = {count})" for count, answer in kept.answers.items())
    draw_attention(
        path,
        kept.frames,
        kept.attention,
        times=kept.times,
        texts={"video": kept.video, "question": question, "answer": answer, "truth": truth},
    )


def draw_attention(
    path: str | os.PathLike,
    frames: np.ndarray,
    attention: Mapping[int, torch.Tensor],
    *,
    times: Sequence[float] | None = None,
    texts: Mapping[str, str | None] | None = None,
) -> None:
    """
    Draws the frames in a row and, below, for each K the same frames with the patches that the K kept queries look at:
    the brighter, the more attention the most attentive of them pays. The patch that a query attends to most is
    outlined and bears the query's rank, 1 being the highest response. More than 8 frames take further lines.

    Args:
        path (`str` or `os.PathLike`): The PNG to write.
        frames (`np.ndarray` of shape `(num_frames, height, width, 3)`):
            The sampled frames of one clip, uint8, of any size.
        attention (`Mapping[int, torch.Tensor]`): For each K, attention of shape `(num_frames, K, num_patches)`, what
            [`~kept_queries.kept_attention`] returns for this clip. The patches are a square grid over the whole frame.
        times (`Sequence[float]`, *optional*): Time of each frame in seconds; their numbers are shown if not given.
        texts (`Mapping[str, str]`, *optional*): What the title says of the clip, text by name, such as its question.

    Raises:
        ValueError: `attention` is empty or does not belong to `frames`.
    """
    if not attention:
        raise ValueError("`attention` is empty; expected the attention for at least one number of tokens per frame.")
    for count, weights in attention.items():
        if weights.ndim != 3 or len(weights) != len(frames) or weights.shape[1] != count:
            raise ValueError(
                f"`attention[{count}]` has shape {tuple(weights.shape)}; expected ({len(frames)}, {count}, "
                "num_patches) for these frames."
            )
    shown = np.stack([shrink(frame, MAX_PIXELS) for frame in frames])
    height, width = (side / max(shown.shape[1:3]) * FRAME_SIZE for side in shown.shape[1:3])
    num_columns = min(len(frames), FRAMES_PER_LINE)
    num_blocks = -(-len(frames) // FRAMES_PER_LINE)
    rows_per_block = 1 + len(attention)
    block_height = rows_per_block * (height + GAP) + BELOW
    # Few frames make a narrow picture, on which the title still has to fit.
    figure_width = max(LEFT + num_columns * (width + GAP) + RIGHT, 8.0)
    grid_size = round(next(iter(attention.values())).shape[-1] ** 0.5)
    is_small = _font_size(width / grid_size) < READABLE
    title = _title(texts or {}, is_small, line_length=int(figure_width * 11.5))
    top = LINE_HEIGHT * (len(title.splitlines()) + 1.2)
    figure_height = top + num_blocks * block_height
    figure = new_figure(figure_width, figure_height, dpi=DOTS_PER_INCH, layout=None)

    def add_axes(left: float, upper: float, wide: float, high: float) -> Axes:
        lower = figure_height - upper - high
        return figure.add_axes((left / figure_width, lower / figure_height, wide / figure_width, high / figure_height))

    def write(left: float, upper: float, text: str, **options: Any) -> None:
        figure.text(left / figure_width, 1 - upper / figure_height, text, **options)

    write(0.12, 0.12, title, va="top", fontsize=11, linespacing=1.2)
    counted = list(attention.values())
    norm = PowerNorm(0.5, 0.0, max(float(weights.max()) for weights in counted))
    for index, frame in enumerate(shown):
        block, column = divmod(index, FRAMES_PER_LINE)
        left, upper = LEFT + column * (width + GAP), top + block * block_height
        for row, label in enumerate(["frames", *(f"K = {count}" for count in attention)]):
            row_upper = upper + row * (height + GAP)
            panel = add_axes(left, row_upper, width, height)
            panel.set_axis_off()
            if row == 0:
                panel.imshow(frame, aspect="auto")
            else:
                of_frame = counted[row - 1][index].float().cpu().numpy()
                _draw_attention(panel, frame, of_frame, norm, width / grid_size)
            if column == 0:
                write(LEFT - 0.1, row_upper + height / 2, label, ha="right", va="center")
        label = f"{times[index]:.2f} s" if times is not None else f"frame {index + 1}"
        write(left + width / 2, upper + block_height - BELOW + 0.02, label, ha="center", va="top")

    bar_left = LEFT + num_columns * (width + GAP) + 0.1
    bar = add_axes(bar_left, top + height + GAP, 0.12, block_height - BELOW - height - 2 * GAP)
    figure.colorbar(ScalarMappable(norm, COLOURS), cax=bar)
    bar.tick_params(labelsize=8)
    bar.set_ylabel("attention", fontsize=9)
    write_figure(figure, path)


def _draw_attention(
    panel: Axes, frame: np.ndarray, attention: np.ndarray, norm: Normalize, patch_inches: float
) -> None:
    """`attention` is `(K, num_patches)`, that of one frame."""
    height, width = frame.shape[:2]
    grid_size = round(attention.shape[1] ** 0.5)
    heat = np.asarray(norm(attention.max(axis=0))).reshape(grid_size, grid_size)
    # Each pixel takes the heat of its patch.
    heat = heat[np.arange(height) * grid_size // height][:, np.arange(width) * grid_size // width]
    grey = frame.mean(axis=-1, keepdims=True)
    pale = (SATURATION * frame + (1 - SATURATION) * grey) / 255
    opacity = OPACITY * heat[..., None]
    panel.imshow((1 - opacity) * pale + opacity * COLOURS(heat)[..., :3], aspect="auto")

    # The response of a query is the peak of its attention, so the order of the peaks is the order of the ranks.
    ranks_of_patch: dict[int, list[int]] = {}
    for rank, query in enumerate(np.argsort(-attention.max(axis=1), kind="stable"), start=1):
        ranks_of_patch.setdefault(int(attention[query].argmax()), []).append(rank)
    patch_height, patch_width = height / grid_size, width / grid_size
    font_size = _font_size(patch_inches)
    is_small = font_size < READABLE
    for patch, ranks in ranks_of_patch.items():
        row, column = divmod(patch, grid_size)
        left, upper = column * patch_width - 0.5, row * patch_height - 0.5
        outline = Rectangle((left, upper), patch_width, patch_height, fill=False, edgecolor="white", clip_on=False)
        outline.set_linewidth(0.5 if is_small else 0.9)
        panel.add_patch(outline)
        if is_small and ranks[0] > MAX_NUMBERED_SMALL:
            continue
        panel.text(
            left + patch_width / 2,
            upper if is_small else upper + patch_height / 2,
            f"{ranks[0]}+" if len(ranks) > 1 else f"{ranks[0]}",
            color="white",
            fontsize=max(font_size, READABLE),
            ha="center",
            va="bottom" if is_small else "center_baseline",
            path_effects=[patheffects.withStroke(linewidth=1.6, foreground="black")],
        )


def _font_size(patch_inches: float) -> float:
    """Points at which three characters, each about 0.65 as wide as high, fit into a patch."""
    return min(72 * patch_inches / (3 * 0.65), LARGEST)


def shrink(frame: np.ndarray, max_pixels: int) -> np.ndarray:
    """A frame `(height, width, 3)`, uint8, whose longest side has at most so many pixels."""
    longest = max(frame.shape[:2])
    if longest <= max_pixels:
        return frame
    height, width = (max(1, round(side * max_pixels / longest)) for side in frame.shape[:2])
    return np.asarray(Image.fromarray(frame).resize((width, height), Image.Resampling.LANCZOS))


def _title(texts: Mapping[str, str | None], is_small: bool, line_length: int) -> str:
    numbers = f" (the first {MAX_NUMBERED_SMALL} are numbered)" if is_small else ""
    paragraphs = [
        "Where the kept queries look",
        "   ".join(f"{name}: {textwrap.shorten(text, MAX_TEXT)}" for name, text in texts.items() if text),
        "Of each frame, K queries are kept for the language model. Colour: the attention that the most attentive of "
        "them pays to a patch, averaged over the heads. White box: the patch that a kept query attends to most, "
        f"with the query's rank by response{numbers}, 1 being the highest; '+': further kept queries peak there too.",
    ]
    return "\n".join(line for text in paragraphs for line in textwrap.wrap(text, line_length))
