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
"""Scenes of MovingShapes: what is drawn, where it goes and when it is visible, and their rendering to frames.

Every clip runs over the time interval [0, 1); frame `f` of `n` shows the instant `f / n`. With the frame rule of FTFV,
`index_i = floor((i + 0.5) * n / T)`, the T = 8 frames of a 16-frame clip then lie at `(2i + 1) / 16`, symmetric about
the middle of the clip (T = 1, 2 and 4 likewise). That symmetry is what the shortcut closures below rest on: the *bag*
of the sampled frames, their order forgotten, must not tell the answer of a temporal question.
"""

from dataclasses import dataclass
from types import MappingProxyType

import numpy as np


FRAME_SIZE = 84
NUM_FRAMES = 16
FRAMES_PER_SECOND = 8
NUM_SAMPLED_FRAMES = 8

COLOURS = MappingProxyType(
    {
        "red": (220, 50, 45),
        "green": (60, 190, 70),
        "blue": (55, 90, 230),
        "yellow": (235, 215, 60),
        "purple": (165, 70, 200),
        "white": (235, 235, 235),
    }
)
SHAPES = ("circle", "square", "triangle", "cross")
# unit steps in pixel coordinates, whose y axis points down
DIRECTIONS = MappingProxyType({"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)})
OPPOSITE_DIRECTION = MappingProxyType({"left": "right", "right": "left", "up": "down", "down": "up"})

MAX_SHAPES_IN_PICTURE = 4
# More pictures with few shapes than with many: a tiny model learns to read positions from these first.
PICTURE_SIZE_WEIGHTS = (0.3, 0.3, 0.2, 0.2)

# Pixels. Centres keep MARGIN from the border, shapes in a picture PICTURE_DISTANCE and shapes in a clip CLIP_DISTANCE
# from centre to centre, so that no two ever touch.
MARGIN = 12.0
PICTURE_DISTANCE = 23.0
CLIP_DISTANCE = 21.0
NOISE_STANDARD_DEVIATION = 3.0


@dataclass(frozen=True, eq=False)
class MovingShape:
    """One coloured shape over the frames of a scene.

    Attributes:
        colour (`str`): A key of `COLOURS`.
        shape (`str`): One of `SHAPES`.
        rgb (`np.ndarray` of shape `(3,)`): The colour as drawn, 0 to 255, a little off the nominal one.
        radius (`float`): Pixels.
        x, y (`np.ndarray` of shape `(num_frames,)`): Centre in pixels.
        visible (`np.ndarray` of shape `(num_frames,)`, bool): Whether the shape is drawn in the frame.
    """

    colour: str
    shape: str
    rgb: np.ndarray
    radius: float
    x: np.ndarray
    y: np.ndarray
    visible: np.ndarray

    @property
    def name(self) -> str:
        return f"{self.colour} {self.shape}"


@dataclass(frozen=True, eq=False)
class Scene:
    """Shapes over time, with what questions need to know about them.

    Attributes:
        shapes (`tuple[MovingShape, ...]`): In a clip the actors come first, in the order in which they act (the one
            that moves or appears first, then the other), and a bystander that stands still, if any, comes last.
        skill (`str`): `"picture"`, or the temporal skill the clip was drawn for.
        directions (`tuple[str, ...]`): The direction of each moving actor; with turns, the direction it sets out in.
        num_turns (`int`): How many times the first actor turns back.
    """

    shapes: tuple[MovingShape, ...]
    skill: str
    directions: tuple[str, ...] = ()
    num_turns: int = 0

    @property
    def num_frames(self) -> int:
        return len(self.shapes[0].x)

    @property
    def bystander(self) -> MovingShape | None:
        num_actors = 2 if self.skill in ("moves_first", "appears_first") else 1
        return self.shapes[num_actors] if len(self.shapes) > num_actors else None


def clip_times(num_frames: int = NUM_FRAMES) -> np.ndarray:
    """Instants in [0, 1) that the frames of a clip show, shape `(num_frames,)`."""
    return np.arange(num_frames) / num_frames


def sampled_times(num_frames: int) -> np.ndarray:
    """Instants in (0, 1) of `num_frames` frames sampled from a clip, shape `(num_frames,)`, symmetric about 0.5."""
    return (np.arange(num_frames) + 0.5) / num_frames


def draw_picture(rng: np.random.Generator, num_shapes: int | None = None) -> Scene:
    """Draws a still picture of 1 to 4 shapes of different colours (shapes may repeat).

    Args:
        rng (`np.random.Generator`): Source of randomness.
        num_shapes (`int`, *optional*): How many shapes; drawn by `PICTURE_SIZE_WEIGHTS` if not given.
    """
    if num_shapes is None:
        num_shapes = int(np.searchsorted(np.cumsum(PICTURE_SIZE_WEIGHTS), rng.random(), side="right")) + 1
    centres = _draw_distant_centres(rng, num_shapes)
    colours = _draw_colours(rng)
    shapes = tuple(_draw_shape(rng, colours[i], centres[i, 0], centres[i, 1], 1) for i in range(num_shapes))
    return Scene(shapes, "picture")


def draw_clip(
    rng: np.random.Generator,
    skill: str,
    *,
    times: np.ndarray | None = None,
    num_sampled_frames: int = NUM_SAMPLED_FRAMES,
    direction: str | None = None,
    num_turns: int | None = None,
) -> Scene:
    """Draws a clip about one temporal skill, closed against shortcuts for `num_sampled_frames` sampled frames.

    Args:
        rng (`np.random.Generator`): Source of randomness.
        skill (`str`): `"direction"`, `"moves_first"`, `"appears_first"` or `"turns"`.
        times (`np.ndarray`, *optional*): The instants of the frames; `clip_times()` if not given.
        num_sampled_frames (`int`, *optional*, defaults to 8): The number of sampled frames the closures hold for.
        direction (`str`, *optional*): For `"direction"` and `"turns"`, the direction of the (first) movement.
        num_turns (`int`, *optional*): For `"turns"`, 0, 1 or 2.

    Raises:
        ValueError: `skill` is none of the four.
    """
    drawers = {"direction": _draw_mover, "turns": _draw_mover, "moves_first": _draw_two_movers}
    times = clip_times() if times is None else times
    while True:
        if skill == "appears_first":
            scene = _draw_two_appearances(rng, times, num_sampled_frames)
        elif skill in drawers:
            scene = drawers[skill](rng, skill, times, num_sampled_frames, direction, num_turns)
        else:
            expected = ", ".join(["appears_first", *drawers])
            raise ValueError(f"skill={skill!r} is not a temporal skill; expected one of {expected}.")
        if _closest_approach(scene) >= CLIP_DISTANCE:
            return scene


def render(scene: Scene, rng: np.random.Generator) -> np.ndarray:
    """Draws the frames: anti-aliased shapes on a tinted dark background with Gaussian noise.

    Returns:
        `np.ndarray` of shape `(num_frames, 84, 84, 3)`, uint8, RGB.
    """
    background = rng.uniform(20, 90) + rng.uniform(-8, 8, 3)
    frames = np.empty((scene.num_frames, FRAME_SIZE, FRAME_SIZE, 3), dtype=np.float32)
    frames[:] = background
    for shape in scene.shapes:
        reach = shape.radius * 1.3 + 2
        for frame in np.flatnonzero(shape.visible):
            x, y = shape.x[frame], shape.y[frame]
            columns = slice(max(0, int(x - reach)), min(FRAME_SIZE, int(x + reach) + 1))
            rows = slice(max(0, int(y - reach)), min(FRAME_SIZE, int(y + reach) + 1))
            dx = np.arange(columns.start, columns.stop, dtype=np.float32)[None, :] + 0.5 - x
            dy = np.arange(rows.start, rows.stop, dtype=np.float32)[:, None] + 0.5 - y
            opacity = np.clip(0.5 - _signed_distance(shape.shape, dx, dy, shape.radius) / 1.4, 0, 1)[..., None]
            window = frames[frame, rows, columns]
            window += opacity * (shape.rgb - window)
    frames += NOISE_STANDARD_DEVIATION * rng.standard_normal(frames.shape, dtype=np.float32)
    return np.clip(np.rint(frames), 0, 255).astype(np.uint8)


def _signed_distance(shape: str, dx: np.ndarray, dy: np.ndarray, radius: float) -> np.ndarray:
    """Signed distance in pixels, negative inside, of points at offsets `dx`, `dy` from the centre of a shape."""
    if shape == "circle":
        return np.sqrt(dx * dx + dy * dy) - radius
    if shape == "square":
        return np.maximum(np.abs(dx), np.abs(dy)) - radius * 0.88
    if shape == "triangle":
        return np.maximum(np.abs(dx) * 0.894 - (dy + radius) * 0.447, dy - radius * 0.75)
    arm = radius * 0.34
    upright = np.maximum(np.abs(dx) - arm, np.abs(dy) - radius)
    level = np.maximum(np.abs(dx) - radius, np.abs(dy) - arm)
    return np.minimum(upright, level)


def _draw_colours(rng: np.random.Generator) -> list[str]:
    """All colours in random order."""
    colours = list(COLOURS)
    return [colours[index] for index in rng.permutation(len(colours))]


def _draw_shape(
    rng: np.random.Generator,
    colour: str,
    x: float | np.ndarray,
    y: float | np.ndarray,
    num_frames: int,
    visible: np.ndarray | None = None,
) -> MovingShape:
    return MovingShape(
        colour=colour,
        shape=SHAPES[rng.integers(len(SHAPES))],
        rgb=np.asarray(COLOURS[colour], dtype=np.float32) + rng.uniform(-18, 18, 3).astype(np.float32),
        radius=float(rng.uniform(8, 12)),
        x=np.broadcast_to(np.asarray(x, dtype=np.float32), (num_frames,)),
        y=np.broadcast_to(np.asarray(y, dtype=np.float32), (num_frames,)),
        visible=np.ones(num_frames, dtype=bool) if visible is None else visible,
    )


def _draw_distant_centres(rng: np.random.Generator, number: int) -> np.ndarray:
    """`(number, 2)` centres that keep `PICTURE_DISTANCE` from each other."""
    while True:
        centres = rng.uniform(MARGIN, FRAME_SIZE - MARGIN, (number, 2))
        distances = np.linalg.norm(centres[:, None] - centres[None], axis=-1)
        if distances[np.triu_indices(number, 1)].min(initial=np.inf) > PICTURE_DISTANCE:
            return centres


def _draw_path(
    rng: np.random.Generator, direction: str, length: float, progress: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """A straight path of `length` pixels whose middle (`progress` 0.5) is drawn uniformly where it fits the frame."""
    step_x, step_y = DIRECTIONS[direction]
    reach_x, reach_y = MARGIN + abs(step_x) * length / 2, MARGIN + abs(step_y) * length / 2
    middle_x = rng.uniform(reach_x, FRAME_SIZE - reach_x)
    middle_y = rng.uniform(reach_y, FRAME_SIZE - reach_y)
    offset = length * (progress - 0.5)
    return middle_x + step_x * offset, middle_y + step_y * offset


def _progress_with_turns(times: np.ndarray, num_turns: int, num_sampled_frames: int) -> np.ndarray:
    """How far along its path a shape is that goes to and fro at constant speed, 0 to 1.

    The T sampled frames visit the T places `(i + 0.5) / T` once each, whatever the number of turns; only the order of
    the visits differs. So a bag of frames does not tell how often the shape turned. With one turn this needs a start
    half a place early: the way out takes every second place and the way back the ones between.
    """
    if num_turns == 0:
        return times
    if num_turns == 1:
        travelled = 2 * times - 0.5 / num_sampled_frames
        return np.where(travelled <= 1, travelled, 2 - travelled)
    travelled = 3 * times
    return np.where(travelled <= 1, travelled, np.where(travelled <= 2, 2 - travelled, travelled - 2))


def _draw_mover(
    rng: np.random.Generator,
    skill: str,
    times: np.ndarray,
    num_sampled_frames: int,
    direction: str | None,
    num_turns: int | None,
) -> Scene:
    """One moving shape and, in half of the clips, one that stands still.

    The path is centred on a random point and is the same set of places played backwards, so a bag of frames gives away
    the axis of the movement but not its direction.
    """
    direction = str(rng.choice(list(DIRECTIONS))) if direction is None else direction
    if skill == "direction":
        num_turns = 0
    elif num_turns is None:
        num_turns = int(rng.integers(3))
    colours = _draw_colours(rng)
    progress = _progress_with_turns(times, num_turns, num_sampled_frames)
    x, y = _draw_path(rng, direction, rng.uniform(24, 52), progress)
    shapes = [_draw_shape(rng, colours[0], x, y, len(times))]
    if rng.random() < 0.5:
        x, y = rng.uniform(MARGIN, FRAME_SIZE - MARGIN, 2)
        shapes.append(_draw_shape(rng, colours[1], x, y, len(times)))
    return Scene(tuple(shapes), skill, directions=(direction,), num_turns=num_turns)


def _draw_two_movers(
    rng: np.random.Generator,
    skill: str,
    times: np.ndarray,
    num_sampled_frames: int,
    direction: str | None,
    num_turns: int | None,
) -> Scene:
    """Two shapes, one moving through the first half of the clip and the other through the second.

    Played backwards the clip is one of the other order, so a bag of frames does not tell who moved first.
    """
    colours = _draw_colours(rng)
    shapes, directions = [], []
    for actor, progress in enumerate((np.clip(2 * times, 0, 1), np.clip(2 * times - 1, 0, 1))):
        directions.append(str(rng.choice(list(DIRECTIONS))))
        x, y = _draw_path(rng, directions[-1], rng.uniform(20, 36), progress)
        shapes.append(_draw_shape(rng, colours[actor], x, y, len(times)))
    return Scene(tuple(shapes), skill, directions=tuple(directions))


def _draw_two_appearances(rng: np.random.Generator, times: np.ndarray, num_sampled_frames: int) -> Scene:
    """Two shapes, one visible for a while in the first half of the clip and the other equally long in the second.

    Both vanish again and are seen in the same number of sampled frames: if the first stayed, being seen more often
    would give the order away. The visible interval is a whole number of `1 / T` long bins, each of which holds one of
    the T sampled frames. In 40 % of the clips a third shape stands by.
    """
    bins = np.floor(times * num_sampled_frames).astype(int)
    half = num_sampled_frames // 2
    duration = int(rng.integers(num_sampled_frames // 4, half + 1))
    starts = int(rng.integers(0, half - duration + 1)), int(rng.integers(half, num_sampled_frames - duration + 1))
    has_bystander = rng.random() < 0.4
    centres = _draw_distant_centres(rng, 3)
    colours = _draw_colours(rng)
    shapes = []
    for actor, start in enumerate(starts):
        visible = (bins >= start) & (bins < start + duration)
        shapes.append(_draw_shape(rng, colours[actor], centres[actor, 0], centres[actor, 1], len(times), visible))
    if has_bystander:
        shapes.append(_draw_shape(rng, colours[2], centres[2, 0], centres[2, 1], len(times)))
    return Scene(tuple(shapes), "appears_first")


def _closest_approach(scene: Scene) -> float:
    """The smallest distance between the centres of two shapes in any frame, in pixels."""
    distances = [
        np.hypot(first.x - second.x, first.y - second.y).min()
        for index, second in enumerate(scene.shapes)
        for first in scene.shapes[:index]
    ]
    return min(distances, default=np.inf)
