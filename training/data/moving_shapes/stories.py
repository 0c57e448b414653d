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
"""MovingShapes scenes as text, from which the miniature's language model learns to answer before it sees a picture.

A picture is a list of shapes, each told at one position by four words together (`red circle x3 y7`: colour, shape,
column, row), as a token of the adapter tells all it has seen. Like those tokens, positions may repeat a shape or tell
of none (`;`). A clip is told word by word: four lists of shapes, each after the word `frame`. The questions are those
asked about pictures and clips.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .questions import (
    TEMPORAL_SKILLS,
    Question,
    ask_about_clip,
    ask_about_picture,
    converse_about_clip,
    converse_about_picture,
)
from .scenes import FRAME_SIZE, MARGIN, MovingShape, Scene, draw_clip, draw_picture, sampled_times
from .vocabulary import COLUMNS, ROWS


NUM_STORY_FRAMES = 4
_NUM_PICTURE_QUESTIONS = 4
_NUM_CLIP_QUESTIONS = 3
# Positions that tell a picture: no fewer than its shapes, no more than the miniature's adapter has queries.
_MIN_PICTURE_POSITIONS, _MAX_PICTURE_POSITIONS = 4, 16
_NO_SHAPE = ";"


@dataclass(frozen=True)
class TextStory:
    """A scene in words and questions about it.

    Attributes:
        scene (`tuple[str, ...]`): The words at each position; those of one position are read at once.
        questions (`tuple[Question, ...]`): In the order of the turns.
    """

    scene: tuple[str, ...]
    questions: tuple[Question, ...]


def draw_story(rng: np.random.Generator, *, clip_share: float = 0.5) -> TextStory:
    """Draws a story with several questions: a clip with probability `clip_share`, else a picture."""
    if clip_share and rng.random() < clip_share:
        clip = _draw_story_clip(rng, TEMPORAL_SKILLS[rng.integers(len(TEMPORAL_SKILLS))])
        return TextStory(tell_clip(clip, rng), tuple(converse_about_clip(rng, clip, _NUM_CLIP_QUESTIONS)))
    picture = draw_picture(rng)
    questions = tuple(converse_about_picture(rng, picture, _NUM_PICTURE_QUESTIONS))
    return TextStory(tell_picture(picture, rng), questions)


def draw_test_story(rng: np.random.Generator, skill: str) -> TextStory:
    """Draws a story with the canonical question of one skill, as evaluation does."""
    if skill in TEMPORAL_SKILLS:
        clip = _draw_story_clip(rng, skill)
        return TextStory(tell_clip(clip, rng), (ask_about_clip(rng, clip),))
    while True:
        picture = draw_picture(rng)
        question = ask_about_picture(rng, picture, skill)
        if question is not None:
            return TextStory(tell_picture(picture, rng), (question,))


def tell_picture(scene: Scene, rng: np.random.Generator) -> tuple[str, ...]:
    """Tells a picture in up to 16 positions in random order: every shape, some of them again, and nothing."""
    told = [" ".join(_describe(shape, frame=0)) for shape in scene.shapes]
    for _ in range(rng.integers(_MIN_PICTURE_POSITIONS, _MAX_PICTURE_POSITIONS + 1) - len(told)):
        told.append(told[rng.integers(len(scene.shapes))] if rng.random() < 0.5 else _NO_SHAPE)
    return tuple(told[index] for index in rng.permutation(len(told)))


def tell_clip(scene: Scene, rng: np.random.Generator) -> tuple[str, ...]:
    """Tells a clip, one word a position; the shapes of a frame come in random order."""
    words = []
    for frame in range(scene.num_frames):
        words.append("frame")
        for index in rng.permutation(len(scene.shapes)):
            shape = scene.shapes[index]
            if shape.visible[frame]:
                words += [*_describe(shape, frame), _NO_SHAPE]
    return tuple(words)


def _draw_story_clip(rng: np.random.Generator, skill: str) -> Scene:
    times = sampled_times(NUM_STORY_FRAMES)
    return draw_clip(rng, skill, times=times, num_sampled_frames=NUM_STORY_FRAMES)


def _describe(shape: MovingShape, frame: int) -> tuple[str, str, str, str]:
    return shape.colour, shape.shape, _place(shape.x[frame], COLUMNS), _place(shape.y[frame], ROWS)


def _place(coordinate: float, words: Sequence[str]) -> str:
    """The column or row of a coordinate in pixels; they share out the part of the frame where centres lie."""
    share = (coordinate - MARGIN) / (FRAME_SIZE - 2 * MARGIN)
    return words[min(len(words) - 1, max(0, int(share * len(words))))]
