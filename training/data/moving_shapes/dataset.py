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
"""Writes MovingShapes as data set folders: training sets of conversations and balanced evaluation sets.

Each clip and picture has a random stream of its own, named by seed, split, kind and number. So files can be written in
any order and again, splits share no clip, and a longer set is not needed to reproduce one clip of it.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from ..dataset_folder import claim_folder, conversation_row, write_rows
from ..media import write_image, write_video
from .questions import (
    CHANCE,
    IMAGE_SKILLS,
    QUESTION_TYPES,
    TEMPORAL_SKILLS,
    Question,
    ask_about_clip,
    ask_about_picture,
    converse_about_clip,
    converse_about_picture,
    describe_clip,
    describe_picture,
    num_answer_classes,
    question_type,
    reason_about_clip,
)
from .scenes import DIRECTIONS, FRAMES_PER_SECOND, Scene, draw_clip, draw_picture, render
from .stories import draw_story


SOURCE = "moving_shapes"
SPLITS = ("train", "validation", "test")
DEFAULT_CLIP_MIX = dict.fromkeys(TEMPORAL_SKILLS, 1.0)
# Part of every request: to be raised when the same request would give other files.
GENERATOR_VERSION = 3

# Of the rows of a training set, all but every fourth are conversations; the others have one question each.
_SINGLE_TURN_PERIOD = 4
_SINGLE_TURN_IMAGE_SKILLS = (*IMAGE_SKILLS, "simple_caption", "detailed_caption")
_SINGLE_TURN_CLIP_FORMS = ("canonical", "reasoning", "simple_caption", "detailed_caption")

_CLIP_STREAM, _PICTURE_STREAM, _ORDER_STREAM, _NOISE_STREAM, _STORY_STREAM = range(5)


@dataclass(frozen=True)
class _Sample:
    """One clip or picture with the questions of its row, and the stream its background and noise come from."""

    scene: Scene
    questions: Sequence[Question]
    type: str
    skill: str
    media: str
    noise_stream: tuple[int, ...]


def write_dataset(
    folder: str | Path,
    *,
    num_clips: int = 0,
    num_images: int = 0,
    num_stories: int = 0,
    seed: int,
    split: str = "train",
    clip_mix: Mapping[str, float] | None = None,
    clip_types: Sequence[str] | None = None,
    questions_per_clip: int = 3,
    questions_per_image: int = 4,
    progress: bool = True,
) -> Path:
    """Writes a training set: one row per clip or picture, three in four a conversation of several turns.

    The remaining rows have one question each and go through the other five types of question in turn. Classes of
    answers are cycled, then shuffled. An interrupted call can be repeated: files that are there are not written again.

    Args:
        folder (`str` or `Path`): Where to write `clips/*.mp4`, `images/*.png`, `<split>.jsonl` and the card.
        num_clips (`int`, *optional*, defaults to 0): How many clips (16 frames, 84x84 pixels, 8 frames per second).
        num_images (`int`, *optional*, defaults to 0): How many pictures (84x84 pixels).
        num_stories (`int`, *optional*, defaults to 0): How many rows of text alone, clips in words with questions
            about them, which keep a language model from forgetting what it knows.
        seed (`int`): Names the random streams; together with `split` it says which clips are drawn.
        split (`str`, *optional*, defaults to `"train"`): `"train"`, `"validation"` or `"test"`.
        clip_mix (`Mapping[str, float]`, *optional*): Weights of the temporal skills; all four equal if not given.
        clip_types (`Sequence[str]`, *optional*): Types of `QUESTION_TYPES` that the rows of clips have, the same
            number of clips each and one question a row except in a conversation; the mixture above if not given. A
            plain question about a skill is of one type alone (direction and turns of `"classification"`, the others
            of `"vqa"`), so that `clip_mix` counts among the skills of a type.
        questions_per_clip (`int`, *optional*, defaults to 3): Turns of a conversation about a clip, at most 4 (6 for
            clips of two movers).
        questions_per_image (`int`, *optional*, defaults to 4): Turns of a conversation about a picture; fewer where a
            picture does not have so many.
        progress (`bool`, *optional*, defaults to `True`): Whether to show a progress bar.

    Returns:
        `Path`: The folder.

    Raises:
        ValueError: An argument is out of range, or the folder was written with other arguments.
        FileExistsError: The folder holds files that are not ours.
    """
    clip_mix = dict(DEFAULT_CLIP_MIX if clip_mix is None else clip_mix)
    _check_split(split)
    _check_skills(clip_mix, TEMPORAL_SKILLS, "clip_mix")
    if min(clip_mix.values(), default=0) < 0 or sum(clip_mix.values()) <= 0:
        raise ValueError(f"`clip_mix` is {clip_mix}; expected weights of 0 or more with a positive sum.")
    if clip_types is not None:
        _check_types(clip_types, clip_mix)
    for name, value in (("num_clips", num_clips), ("num_images", num_images), ("num_stories", num_stories)):
        if value < 0:
            raise ValueError(f"`{name}` is {value}; expected 0 or more.")
    for name, value in (("questions_per_clip", questions_per_clip), ("questions_per_image", questions_per_image)):
        if value < 1:
            raise ValueError(f"`{name}` is {value}; expected 1 or more.")
    if num_clips + num_images == 0:
        raise ValueError("`num_clips` and `num_images` are both 0; ask for at least one clip or picture.")
    request = {
        "generator": SOURCE,
        "generator_version": GENERATOR_VERSION,
        "kind": "training",
        "split": split,
        "seed": seed,
        "num_clips": num_clips,
        "num_images": num_images,
        "num_stories": num_stories,
        "clip_mix": clip_mix,
        "questions_per_clip": questions_per_clip,
        "questions_per_image": questions_per_image,
    }
    if clip_types is not None:
        request["clip_types"] = list(clip_types)
    folder = claim_folder(folder, request)
    order = np.random.default_rng(_entropy(seed, split, _ORDER_STREAM))
    drawers = [
        partial(_draw_training_clip, skill, answer_class, form, questions_per_clip)
        for skill, answer_class, form in _plan_clips(clip_mix, clip_types, num_clips, order)
    ]
    streams = [_entropy(seed, split, _CLIP_STREAM, index) for index in range(num_clips)]
    drawers += [
        partial(_draw_training_picture, skill, answer_class, questions_per_image)
        for skill, answer_class in _plan_pictures(num_images, order)
    ]
    streams += [_entropy(seed, split, _PICTURE_STREAM, index) for index in range(num_images)]
    stories = [_story_row(seed, split, index) for index in range(num_stories)]
    # Shuffled, because TRL takes the first rows when it is asked for a share of a data set.
    return _write(folder, request, drawers, streams, stories, order.permutation(len(drawers) + num_stories), progress)


def write_evaluation_set(
    folder: str | Path,
    *,
    clips_per_skill: int,
    images_per_skill: int = 0,
    seed: int,
    split: str = "validation",
    skills: Sequence[str] | None = None,
    progress: bool = True,
) -> Path:
    """Writes an evaluation set: one canonical question a row, each about a clip or picture of its own.

    The answers of each skill are balanced exactly when the number per skill is a multiple of 12 (of
    `num_answer_classes` of the skill); `CHANCE` holds the accuracy of guessing. Rows of the skills alternate.

    Args:
        folder (`str` or `Path`): Where to write the set.
        clips_per_skill (`int`): Questions for each temporal skill.
        images_per_skill (`int`, *optional*, defaults to 0): Questions for each image skill.
        seed (`int`): Names the random streams, with `split`.
        split (`str`, *optional*, defaults to `"validation"`): `"train"`, `"validation"` or `"test"`.
        skills (`Sequence[str]`, *optional*): The skills to ask for; all if not given.
        progress (`bool`, *optional*, defaults to `True`): Whether to show a progress bar.

    Returns:
        `Path`: The folder.

    Raises:
        ValueError: An argument is out of range, or the folder was written with other arguments.
        FileExistsError: The folder holds files that are not ours.
    """
    skills = list((*IMAGE_SKILLS, *TEMPORAL_SKILLS) if skills is None else skills)
    _check_split(split)
    _check_skills(skills, tuple(CHANCE), "skills")
    request = {
        "generator": SOURCE,
        "generator_version": GENERATOR_VERSION,
        "kind": "evaluation",
        "split": split,
        "seed": seed,
        "clips_per_skill": clips_per_skill,
        "images_per_skill": images_per_skill,
        "skills": skills,
    }
    drawers, streams, ranks = [], [], []
    order = np.random.default_rng(_entropy(seed, split, _ORDER_STREAM))
    for skill in skills:
        number = clips_per_skill if skill in TEMPORAL_SKILLS else images_per_skill
        stream = _CLIP_STREAM if skill in TEMPORAL_SKILLS else _PICTURE_STREAM
        for rank, answer_class in enumerate(order.permutation(np.arange(number) % num_answer_classes(skill))):
            drawers.append(partial(_draw_evaluation_sample, skill, int(answer_class)))
            # the skill's place among all, so that leaving out a skill does not change the others
            streams.append(_entropy(seed, split, stream, list(CHANCE).index(skill), rank))
            ranks.append(rank)
    if not drawers:
        raise ValueError(
            "No question was asked for: `clips_per_skill` and `images_per_skill` give 0 for all `skills`."
        )
    folder = claim_folder(folder, request)
    return _write(folder, request, drawers, streams, [], np.argsort(ranks, kind="stable"), progress)


def _write(
    folder: Path,
    request: dict,
    drawers: Sequence[Callable[[np.random.Generator], tuple[Scene, Sequence[Question], str, str]]],
    streams: Sequence[tuple[int, ...]],
    stories: Sequence[dict],
    order: np.ndarray,
    progress: bool,
) -> Path:
    """Draws every sample, writes the media that are not there yet and then the rows in the given order.

    `order` numbers the samples first and the stories after them.
    """
    split, rows = request["split"], {}
    counts = {"clips": 0, "images": 0}
    samples = []
    for draw, stream in zip(drawers, streams, strict=True):
        scene, questions, kind, skill = draw(np.random.default_rng(stream))
        media_kind, suffix = ("clips", "mp4") if scene.num_frames > 1 else ("images", "png")
        media = f"{media_kind}/{counts[media_kind]:06d}.{suffix}"
        counts[media_kind] += 1
        samples.append(_Sample(scene, questions, kind, skill, media, (*stream, _NOISE_STREAM)))
    for index, sample in enumerate(tqdm(samples, desc=f"writing {folder.name}", disable=not progress)):
        path = folder / sample.media
        if not path.exists():
            frames = render(sample.scene, np.random.default_rng(sample.noise_stream))
            if len(frames) > 1:
                write_video(path, frames, FRAMES_PER_SECOND)
            else:
                write_image(path, frames[0])
        name = f"{SOURCE}/{split}/{request['seed']}/{request['kind']}/{Path(sample.media).with_suffix('')}"
        rows[index] = conversation_row(
            sample.media,
            [(question.text, question.answer) for question in sample.questions],
            id=name,
            source=SOURCE,
            type=sample.type,
            video_id=name if sample.scene.num_frames > 1 else None,
            skill=sample.skill,
        )
    rows.update(enumerate(stories, start=len(samples)))
    write_rows(folder, split, (rows[index] for index in order), _describe(request, counts))
    return folder


def _plan_clips(
    clip_mix: Mapping[str, float], clip_types: Sequence[str] | None, num_clips: int, rng: np.random.Generator
) -> list[tuple[str, int, str]]:
    """Skill, class of answer and form (`"conversation"` or that of a single question) of each clip, shuffled."""
    plan = []
    if clip_types is None:
        for skill, number in _split(num_clips, clip_mix).items():
            num_classes = num_answer_classes(skill)
            for index in range(number):
                form = "conversation"
                # Blocks of one clip per class keep the classes balanced within each form.
                block = index // num_classes
                if block % _SINGLE_TURN_PERIOD == _SINGLE_TURN_PERIOD - 1:
                    form = _SINGLE_TURN_CLIP_FORMS[block // _SINGLE_TURN_PERIOD % len(_SINGLE_TURN_CLIP_FORMS)]
                plan.append((skill, index % num_classes, form))
    else:
        for kind, clips_of_type in _split(num_clips, dict.fromkeys(clip_types, 1.0)).items():
            for skill, number in _split(clips_of_type, _mix_of_type(clip_mix, kind)).items():
                num_classes = num_answer_classes(skill)
                form = "canonical" if kind == question_type(skill) else kind
                plan += [(skill, index % num_classes, form) for index in range(number)]
    return [plan[index] for index in rng.permutation(num_clips)]


def _split(number: int, weights: Mapping[str, float]) -> dict[str, int]:
    """Splits a number by weights, by largest remainders: whole numbers that add up."""
    shares = number * np.array(list(weights.values()), dtype=float)
    shares /= sum(weights.values())
    numbers = np.floor(shares).astype(int)
    numbers[np.argsort(numbers - shares, kind="stable")[: number - numbers.sum()]] += 1
    return dict(zip(weights, numbers.tolist(), strict=True))


def _mix_of_type(clip_mix: Mapping[str, float], kind: str) -> dict[str, float]:
    """The weights of the skills that can be asked for in questions of a type."""
    if kind not in {question_type(skill) for skill in TEMPORAL_SKILLS}:
        return dict(clip_mix)
    return {skill: weight for skill, weight in clip_mix.items() if question_type(skill) == kind}


def _check_types(clip_types: Sequence[str], clip_mix: Mapping[str, float]) -> None:
    if not clip_types or len(set(clip_types)) < len(clip_types) or set(clip_types) - set(QUESTION_TYPES):
        raise ValueError(f"`clip_types` is {list(clip_types)}; expected one or more of {', '.join(QUESTION_TYPES)}.")
    for kind in clip_types:
        if sum(_mix_of_type(clip_mix, kind).values()) <= 0:
            skills = ", ".join(skill for skill in TEMPORAL_SKILLS if question_type(skill) == kind)
            raise ValueError(
                f"`clip_types` asks for {kind!r}, which asks for {skills}, but `clip_mix` is {dict(clip_mix)}; give "
                "one of these a weight or leave the type out."
            )


def _plan_pictures(num_images: int, rng: np.random.Generator) -> list[tuple[str, int]]:
    """Skill (or `"conversation"`, or a caption's type) and class of answer of each picture, shuffled."""
    plan, num_single = [], 0
    for index in range(num_images):
        if index % _SINGLE_TURN_PERIOD == _SINGLE_TURN_PERIOD - 1:
            skill = _SINGLE_TURN_IMAGE_SKILLS[num_single % len(_SINGLE_TURN_IMAGE_SKILLS)]
            rank = num_single // len(_SINGLE_TURN_IMAGE_SKILLS)
            plan.append((skill, rank % num_answer_classes(skill) if skill in IMAGE_SKILLS else 0))
            num_single += 1
        else:
            plan.append(("conversation", 0))
    return [plan[index] for index in rng.permutation(num_images)]


def _draw_training_clip(
    skill: str, answer_class: int, form: str, num_questions: int, rng: np.random.Generator
) -> tuple[Scene, list[Question], str, str]:
    scene = _draw_clip_of_class(skill, answer_class, rng)
    if form == "conversation":
        return scene, converse_about_clip(rng, scene, num_questions, answer_class), form, skill
    if form == "canonical":
        question = ask_about_clip(rng, scene, answer_class)
    elif form == "reasoning":
        question = reason_about_clip(rng, scene)
    else:
        question = describe_clip(scene, detailed=form == "detailed_caption")
    return scene, [question], question.type, question.skill


def _draw_training_picture(
    skill: str, answer_class: int, num_questions: int, rng: np.random.Generator
) -> tuple[Scene, list[Question], str, str]:
    if skill == "conversation":
        scene = draw_picture(rng)
        return scene, converse_about_picture(rng, scene, num_questions), skill, "picture"
    if skill in IMAGE_SKILLS:
        return _draw_evaluation_sample(skill, answer_class, rng)
    scene = draw_picture(rng)
    question = describe_picture(scene, detailed=skill == "detailed_caption")
    return scene, [question], question.type, question.skill


def _draw_evaluation_sample(
    skill: str, answer_class: int, rng: np.random.Generator
) -> tuple[Scene, list[Question], str, str]:
    """Draws scenes until one has a canonical question whose answer is of the class."""
    if skill in TEMPORAL_SKILLS:
        scene = _draw_clip_of_class(skill, answer_class, rng)
        question = ask_about_clip(rng, scene, answer_class)
        return scene, [question], question.type, skill
    while True:
        scene = draw_picture(rng, answer_class + 1 if skill == "count" else None)
        asked = ask_about_picture(rng, scene, skill, answer_class)
        if asked is not None:
            return scene, [asked], asked.type, skill


def _story_row(seed: int, split: str, index: int) -> dict:
    story = draw_story(np.random.default_rng(_entropy(seed, split, _STORY_STREAM, index)), clip_share=1.0)
    questions = [question.text for question in story.questions]
    questions[0] = " ".join((*story.scene, questions[0]))
    return conversation_row(
        None,
        list(zip(questions, (question.answer for question in story.questions), strict=True)),
        id=f"{SOURCE}/{split}/{seed}/training/stories/{index:06d}",
        source=SOURCE,
        type="conversation",
        video_id=None,
        skill="story",
    )


def _draw_clip_of_class(skill: str, answer_class: int, rng: np.random.Generator) -> Scene:
    return draw_clip(
        rng,
        skill,
        direction=list(DIRECTIONS)[answer_class] if skill == "direction" else None,
        num_turns=answer_class if skill == "turns" else None,
    )


def _entropy(seed: int, split: str, *stream: int) -> tuple[int, ...]:
    return (seed, SPLITS.index(split), *stream)


def _check_split(split: str) -> None:
    if split not in SPLITS:
        raise ValueError(f"`split` is {split!r}; expected one of {', '.join(SPLITS)}.")


def _check_skills(skills: Sequence[str] | Mapping[str, float], known: Sequence[str], name: str) -> None:
    unknown = [skill for skill in skills if skill not in known]
    if unknown:
        raise ValueError(f"`{name}` names {', '.join(map(repr, unknown))}; expected some of {', '.join(known)}.")


def _describe(request: Mapping, counts: Mapping[str, int]) -> str:
    body = f"""# MovingShapes, {request["kind"]} set, split `{request["split"]}`

Drawn coloured shapes: {counts["clips"]} clips (16 frames, 84x84 pixels, 8 frames per second, H.264) and
{counts["images"]} pictures (84x84 pixels, PNG), with questions whose answers are known. Media paths are relative to
this folder. Made by `ftfv.training.data.moving_shapes` from this request:

```json
{json.dumps(request, indent=2)}
```"""
    if request["kind"] != "evaluation":
        return body
    table = "\n".join(f"| {skill} | {CHANCE[skill]:.3f} |" for skill in request["skills"])
    return f"{body}\n\nAccuracy of guessing, answers being balanced:\n\n| skill | chance |\n|---|---|\n{table}"
