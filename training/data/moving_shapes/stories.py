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

A picture is the list of its shapes with column and row of each (`red circle x3 y7 ; blue cross x8 y1 ;`), a clip is
four such lists, each after the word `frame`. The questions are those asked about pictures and clips.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .questions import (
    IMAGE_SKILLS,
    TEMPORAL_SKILLS,
    Question,
    ask_about_clip,
    ask_about_picture,
    converse_about_clip,
    converse_about_picture,
)
from .scenes import FRAME_SIZE, MARGIN, Scene, draw_clip, draw_picture, sampled_times
from .vocabulary import COLUMNS, ROWS


NUM_STORY_FRAMES = 4
_NUM_PICTURE_QUESTIONS = 4
_NUM_CLIP_QUESTIONS = 3


@dataclass(frozen=True)
class TextStory:
    """A scene in words and questions about it.

    Attributes:
        scene (`str`): The scene in words.
        questions (`tuple[Question, ...]`): In the order of the turns.
    """

    scene: str
    questions: tuple[Question, ...]

    def turns(self) -> list[tuple[str, str]]:
        """The turns in the plain format: what is given (`<s>user: ... assistant:`), what is answered (`left</s>`)."""
        prompts = [f"user: {question.text} assistant:" for question in self.questions]
        prompts[0] = f"<s>user: {self.scene} {self.questions[0].text} assistant:"
        return [(prompt, f"{question.answer}</s>") for prompt, question in zip(prompts, self.questions, strict=True)]

    def text(self) -> str:
        """The whole story in the plain turn format."""
        return "".join(f"{prompt} {answer}" for prompt, answer in self.turns())


def draw_story(rng: np.random.Generator, *, clip_share: float = 0.5) -> TextStory:
    """Draws a story with several questions: a clip with probability `clip_share`, else a picture."""
    if rng.random() < clip_share:
        skill = TEMPORAL_SKILLS[rng.integers(len(TEMPORAL_SKILLS))]
        scene = _draw_story_clip(rng, skill)
        return TextStory(tell(scene, rng), tuple(converse_about_clip(rng, scene, _NUM_CLIP_QUESTIONS)))
    scene = draw_picture(rng)
    return TextStory(tell(scene, rng), tuple(converse_about_picture(rng, scene, _NUM_PICTURE_QUESTIONS)))


def draw_test_story(rng: np.random.Generator, skill: str) -> TextStory:
    """Draws a story with the canonical question of one skill, as evaluation does."""
    question = None
    while question is None:
        if skill in IMAGE_SKILLS:
            scene = draw_picture(rng)
            question = ask_about_picture(rng, scene, skill)
        else:
            scene = _draw_story_clip(rng, skill)
            question = ask_about_clip(rng, scene)
    return TextStory(tell(scene, rng), (question,))


def tell(scene: Scene, rng: np.random.Generator) -> str:
    """Puts a scene into words; the shapes of a frame come in random order."""
    words = []
    for frame in range(scene.num_frames):
        if scene.num_frames > 1:
            words.append("frame")
        for index in rng.permutation(len(scene.shapes)):
            shape = scene.shapes[index]
            if shape.visible[frame]:
                words += [shape.name, _place(shape.x[frame], COLUMNS), _place(shape.y[frame], ROWS), ";"]
    return " ".join(words)


def _draw_story_clip(rng: np.random.Generator, skill: str) -> Scene:
    times = sampled_times(NUM_STORY_FRAMES)
    return draw_clip(rng, skill, times=times, num_sampled_frames=NUM_STORY_FRAMES)


def _place(coordinate: float, words: Sequence[str]) -> str:
    """The column or row of a coordinate in pixels; they share out the part of the frame where centres lie."""
    share = (coordinate - MARGIN) / (FRAME_SIZE - 2 * MARGIN)
    return words[min(len(words) - 1, max(0, int(share * len(words))))]
