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
"""Questions and answers about MovingShapes scenes, in the six forms the paper names.

A *skill* says what is asked, a *type* in which form. Answers of one skill fall into classes that come up equally often
when the caller cycles through `num_answer_classes(skill)`, so that the chance level of each skill is known (`CHANCE`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from .scenes import (
    COLOURS,
    DIRECTIONS,
    FRAME_SIZE,
    MAX_SHAPES_IN_PICTURE,
    OPPOSITE_DIRECTION,
    SHAPES,
    MovingShape,
    Scene,
)


IMAGE_SKILLS = ("colour", "shape", "left_right", "top_bottom", "count", "exist", "relation")
TEMPORAL_SKILLS = ("direction", "moves_first", "appears_first", "turns")
QUESTION_TYPES = ("classification", "simple_caption", "detailed_caption", "conversation", "vqa", "reasoning")

# Accuracy of an answer that ignores the picture or clip but is of the right kind.
CHANCE = MappingProxyType(
    {
        "colour": 1 / 6,
        "shape": 1 / 4,
        "left_right": 1 / 2,
        "top_bottom": 1 / 2,
        "count": 1 / 4,
        "exist": 1 / 2,
        "relation": 1 / 2,
        "direction": 1 / 4,
        "moves_first": 1 / 2,
        "appears_first": 1 / 2,
        "turns": 1 / 3,
    }
)
# For the four skills with two-valued answers drawn in two ways, the second bit is how the question is put: which of
# two axes, or "first" against "last" (the first bit then says which of the two shapes is named first).
_NUM_ANSWER_CLASSES = MappingProxyType(
    {
        "colour": len(COLOURS),
        "shape": len(SHAPES),
        "left_right": 2,
        "top_bottom": 2,
        "count": MAX_SHAPES_IN_PICTURE,
        "exist": 2,
        "relation": 4,
        "direction": len(DIRECTIONS),
        "moves_first": 4,
        "appears_first": 4,
        "turns": 3,
    }
)
_SKILL_TYPES = MappingProxyType(
    {
        "colour": "classification",
        "shape": "classification",
        "left_right": "vqa",
        "top_bottom": "vqa",
        "count": "vqa",
        "exist": "vqa",
        "relation": "reasoning",
        "direction": "classification",
        "moves_first": "vqa",
        "appears_first": "vqa",
        "turns": "classification",
    }
)
# How often a conversation about a picture asks for each skill: places most often, being slowest to learn.
_PICTURE_CONVERSATION_WEIGHTS = MappingProxyType(
    {"colour": 2, "shape": 2, "left_right": 3, "top_bottom": 3, "count": 1, "exist": 1, "relation": 1}
)
_CAPTION_SHARE_OF_CONVERSATIONS = 0.1

NUMBERS = ("zero", "one", "two", "three", "four")
# said of 0, 1 and 2 turns
_TURNS = ("never turns", "turns once", "turns twice")
_MIDDLE = FRAME_SIZE / 2
# Pixels: what lies closer to the middle, or to each other along the asked axis, is not asked about.
_MIN_OFFSET = 4.0
_MIN_PAIR_OFFSET = 8.0


@dataclass(frozen=True)
class Question:
    """One question with its answer.

    Attributes:
        skill (`str`): One of `IMAGE_SKILLS`, `TEMPORAL_SKILLS`, or `"caption"` for descriptions of a picture.
        type (`str`): One of `QUESTION_TYPES` other than `"conversation"`.
        text (`str`): The question.
        answer (`str`): The answer, the only one that is right.
        told (`tuple[str, ...]`): Names of shapes that question and answer together give away.
    """

    skill: str
    type: str
    text: str
    answer: str
    told: tuple[str, ...] = ()


def num_answer_classes(skill: str) -> int:
    """How many classes the answers of a skill are balanced over."""
    return _NUM_ANSWER_CLASSES[skill]


def question_type(skill: str) -> str:
    """The type of the plain question about a skill."""
    return _SKILL_TYPES[skill]


def ask_about_picture(
    rng: np.random.Generator,
    scene: Scene,
    skill: str,
    answer_class: int | None = None,
    told: Sequence[str] = (),
) -> Question | None:
    """Asks the canonical question of an image skill.

    Args:
        rng (`np.random.Generator`): Source of randomness.
        scene (`Scene`): A picture.
        skill (`str`): One of `IMAGE_SKILLS`.
        answer_class (`int`, *optional*): The class the answer must be of; drawn if not given.
        told (`Sequence[str]`, *optional*): Names of shapes that earlier turns gave away. Colour, shape and existence
            of these are not asked again.

    Returns:
        `Question` or `None`: `None` if the scene has no such question, for instance two places too close to call.

    Raises:
        ValueError: `skill` is not an image skill.
    """
    fresh = [shape for shape in scene.shapes if shape.name not in told]
    kind = _SKILL_TYPES.get(skill, "")
    if skill == "colour":
        shapes = [each.shape for each in scene.shapes]
        fresh = [each for each in fresh if shapes.count(each.shape) == 1]
        if answer_class is not None:
            fresh = [each for each in fresh if each.colour == list(COLOURS)[answer_class]]
        target = _choose(rng, fresh)
        if target is None:
            return None
        return Question(skill, kind, f"what colour is the {target.shape} ?", target.colour, (target.name,))
    if skill == "shape":
        if answer_class is not None:
            fresh = [each for each in fresh if each.shape == SHAPES[answer_class]]
        target = _choose(rng, fresh)
        if target is None:
            return None
        return Question(skill, kind, f"what shape is the {target.colour} thing ?", target.shape, (target.name,))
    if skill in ("left_right", "top_bottom"):
        return _ask_for_side(rng, scene, skill, answer_class)
    if skill == "count":
        if answer_class not in (None, len(scene.shapes) - 1):
            return None
        return Question(skill, kind, "how many shapes are there ?", NUMBERS[len(scene.shapes)])
    if skill == "exist":
        return _ask_for_existence(rng, scene, fresh, answer_class)
    if skill == "relation":
        return _ask_for_relation(rng, scene, answer_class)
    raise ValueError(f"skill={skill!r} is not an image skill; expected one of {', '.join(IMAGE_SKILLS)}.")


def describe_picture(scene: Scene, *, detailed: bool) -> Question:
    """Asks for a description of a picture: its shapes from left to right, if `detailed` with the quarter of each."""
    names = tuple(shape.name for shape in scene.shapes)
    shapes = sorted(scene.shapes, key=lambda shape: shape.x[0])
    if not detailed:
        answer = " and ".join(f"a {shape.name}" for shape in shapes)
        return Question("caption", "simple_caption", "describe the picture .", answer, names)
    answer = " , ".join(f"a {shape.name} at the {_quarter(shape)}" for shape in shapes)
    return Question("caption", "detailed_caption", "describe the picture in detail .", answer, names)


def ask_about_clip(rng: np.random.Generator, scene: Scene, answer_class: int | None = None) -> Question:
    """Asks the canonical question of the temporal skill a clip was drawn for.

    Args:
        rng (`np.random.Generator`): Source of randomness.
        scene (`Scene`): A clip.
        answer_class (`int`, *optional*): For `"moves_first"` and `"appears_first"`, how the question is put (whether
            it asks for the first or the last, and which shape it names first); drawn if not given. The other skills
            have their answer fixed by the scene.
    """
    kind = _SKILL_TYPES[scene.skill]
    first = scene.shapes[0]
    if scene.skill == "direction":
        return Question("direction", kind, f"which way does the {first.name} move ?", scene.directions[0])
    if scene.skill == "turns":
        return Question("turns", kind, f"how many times does the {first.name} turn ?", NUMBERS[scene.num_turns])
    answer_class = int(rng.integers(4)) if answer_class is None else answer_class
    names = [shape.name for shape in scene.shapes[:2]]
    asked = answer_class // 2
    answer = names[asked]
    # the first bit puts the right answer first or second in the question
    named = names if (answer_class % 2 == 0) == (asked == 0) else names[::-1]
    verb = "moves" if scene.skill == "moves_first" else "appears"
    text = f"which {verb} {('first', 'last')[asked]} , {named[0]} or {named[1]} ?"
    return Question(scene.skill, kind, text, answer)


def reason_about_clip(rng: np.random.Generator, scene: Scene, answer_class: int | None = None) -> Question:
    """Asks a yes-or-no question about the temporal skill of a clip (`answer_class` 0 for yes, 1 for no)."""
    is_no = bool(rng.integers(2) if answer_class is None else answer_class)
    answer = "no" if is_no else "yes"
    first = scene.shapes[0].name
    if scene.skill == "direction":
        # always the opposite direction, since the axis of a movement can be seen without the order of the frames
        asked = OPPOSITE_DIRECTION[scene.directions[0]] if is_no else scene.directions[0]
        return Question("direction", "reasoning", f"does the {first} move {asked} ?", answer)
    if scene.skill == "turns":
        num_turns = int(rng.choice([n for n in range(3) if n != scene.num_turns])) if is_no else scene.num_turns
        return Question("turns", "reasoning", f"does the {first} turn {NUMBERS[num_turns]} times ?", answer)
    names = [shape.name for shape in scene.shapes[:2]]
    before, after = reversed(names) if is_no else names
    verb = "move" if scene.skill == "moves_first" else "appear"
    return Question(scene.skill, "reasoning", f"does the {before} {verb} before the {after} ?", answer)


def describe_clip(scene: Scene, *, detailed: bool) -> Question:
    """Asks for a description of a clip: what happens in order and, if `detailed`, how and where, and who stands by."""
    first = scene.shapes[0]
    if scene.skill in ("direction", "turns"):
        simple = f"moves {scene.directions[0]}" if scene.skill == "direction" else _TURNS[scene.num_turns]
        full = f"moves {scene.directions[0]} and {_TURNS[scene.num_turns]}"
        answer = f"the {first.name} {full if detailed else simple}"
    else:
        second = scene.shapes[1]
        if scene.skill == "moves_first":
            verbs = [f"moves {direction}" if detailed else "moves" for direction in scene.directions]
        else:
            verbs = [f"appears at the {_quarter(shape)}" if detailed else "appears" for shape in scene.shapes[:2]]
        answer = f"the {first.name} {verbs[0]} then the {second.name} {verbs[1]}"
    if not detailed:
        return Question(scene.skill, "simple_caption", "describe the video .", answer)
    if scene.bystander is not None:
        answer += f" , the {scene.bystander.name} is still"
    return Question(scene.skill, "detailed_caption", "describe the video in detail .", answer)


def converse_about_picture(rng: np.random.Generator, scene: Scene, num_questions: int) -> list[Question]:
    """Draws up to `num_questions` questions about one picture, none of which an earlier turn has answered.

    Some conversations end with a description. A small picture may have fewer questions than asked for.
    """
    # Each skill may come up twice, about different shapes.
    skills = [skill for skill in IMAGE_SKILLS if skill != "count"] * 2 + ["count"]
    weights = np.array([_PICTURE_CONVERSATION_WEIGHTS[skill] for skill in skills], dtype=float)
    order = rng.choice(len(skills), size=len(skills), replace=False, p=weights / weights.sum())
    ends_with_caption = num_questions > 1 and rng.random() < _CAPTION_SHARE_OF_CONVERSATIONS
    questions: list[Question] = []
    told: list[str] = []
    for index in order:
        if len(questions) == num_questions - ends_with_caption:
            break
        question = ask_about_picture(rng, scene, skills[index], told=told)
        if question is not None and all(question.text != earlier.text for earlier in questions):
            questions.append(question)
            told.extend(question.told)
    if ends_with_caption:
        questions.append(describe_picture(scene, detailed=bool(rng.integers(2))))
    return questions


def converse_about_clip(
    rng: np.random.Generator, scene: Scene, num_questions: int, answer_class: int | None = None
) -> list[Question]:
    """Draws up to `num_questions` questions about one clip, the canonical one among them.

    Descriptions come last, because they tell everything. A clip has 4 questions, one of two movers 6.
    """
    extra = [reason_about_clip(rng, scene)]
    if scene.skill == "moves_first":
        for shape, direction in zip(scene.shapes, scene.directions, strict=False):
            extra.append(Question("direction", "classification", f"which way does the {shape.name} move ?", direction))
    extra += [describe_clip(scene, detailed=False), describe_clip(scene, detailed=True)]
    kept = rng.permutation(len(extra))[: num_questions - 1]
    questions = [ask_about_clip(rng, scene, answer_class), *(extra[index] for index in kept)]
    order = rng.permutation(len(questions))
    return sorted((questions[index] for index in order), key=lambda question: question.type.endswith("caption"))


def _choose(rng: np.random.Generator, candidates: Sequence[MovingShape]) -> MovingShape | None:
    return candidates[int(rng.integers(len(candidates)))] if candidates else None


def _quarter(shape: MovingShape) -> str:
    return f"{'top' if shape.y[0] < _MIDDLE else 'bottom'} {'left' if shape.x[0] < _MIDDLE else 'right'}"


def _ask_for_side(rng: np.random.Generator, scene: Scene, skill: str, answer_class: int | None) -> Question | None:
    # The words for directions, which the answers about clips teach apart: two words that are only ever guessed between
    # end up with one embedding, and LoRA, which leaves embeddings alone, can never tell them apart again.
    sides = ("left", "right") if skill == "left_right" else ("up", "down")
    offsets = {shape: (shape.x[0] if skill == "left_right" else shape.y[0]) - _MIDDLE for shape in scene.shapes}
    candidates = [
        shape
        for shape, offset in offsets.items()
        if abs(offset) >= _MIN_OFFSET and answer_class in (None, int(offset > 0))
    ]
    target = _choose(rng, candidates)
    if target is None:
        return None
    text = f"is the {target.name} {sides[0]} or {sides[1]} ?"
    return Question(skill, _SKILL_TYPES[skill], text, sides[int(offsets[target] > 0)], (target.name,))


def _ask_for_existence(
    rng: np.random.Generator, scene: Scene, fresh: Sequence[MovingShape], answer_class: int | None
) -> Question | None:
    """Asks whether a shape is there; one that is not shares its colour or its form with one that is."""
    target = _choose(rng, fresh)
    if target is None:
        return None
    if (rng.integers(2) if answer_class is None else answer_class) == 0:
        return Question("exist", "vqa", f"is there a {target.name} ?", "yes", (target.name,))
    present = {shape.name for shape in scene.shapes}
    absent = present
    while absent & present:
        if rng.random() < 0.5:
            absent = {f"{target.colour} {rng.choice(SHAPES)}"}
        else:
            absent = {f"{rng.choice(list(COLOURS))} {target.shape}"}
    return Question("exist", "vqa", f"is there a {absent.pop()} ?", "no")


def _ask_for_relation(rng: np.random.Generator, scene: Scene, answer_class: int | None) -> Question | None:
    if len(scene.shapes) < 2:
        return None
    answer_class = int(rng.integers(4)) if answer_class is None else answer_class
    is_no, is_vertical = bool(answer_class % 2), bool(answer_class // 2)
    first, second = (scene.shapes[index] for index in rng.permutation(len(scene.shapes))[:2])
    offset = first.y[0] - second.y[0] if is_vertical else first.x[0] - second.x[0]
    if abs(offset) < _MIN_PAIR_OFFSET:
        return None
    if (offset > 0) != is_no:
        first, second = second, first
    text = f"is the {first.name} {'above' if is_vertical else 'left of'} the {second.name} ?"
    return Question("relation", "reasoning", text, "no" if is_no else "yes", (first.name, second.name))
