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
"""Questions in batches, with their media encoded once for everything that is asked about them."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import torch
from tqdm import tqdm
from transformers.utils import logging

from ...modeling_ftfv.modeling_ftfv import FTFVForConditionalGeneration
from ...processing.processing_ftfv import FTFVProcessor
from ..benchmarks.benchmark import Question
from .encoded_rows import EncodedMedia
from .media_encoding import Looking, SeenMedia, encode_media
from .rows import evaluating
from .setting import Setting


logger = logging.get_logger(__name__)


class UnreadableMediaError(ValueError):
    """The video or image of a question is missing or cannot be decoded."""


def see_batches(
    model: FTFVForConditionalGeneration,
    processor: FTFVProcessor,
    questions: Sequence[Question],
    settings: Sequence[Setting],
    *,
    batch_size: int,
    seed: int = 0,
    known: Mapping[Setting, Collection[str]] | None = None,
    count_unreadable: bool = False,
    progress: bool = True,
    description: str = "",
) -> Iterator[tuple[int, Setting, list[tuple[Question, SeenMedia | str | None]]]]:
    """
    Batches of questions with what the model saw of their media, each once in every setting in which one of its
    questions is not known. Questions about the same media follow each other, so that each video is decoded and encoded
    once for all of them; only the media of one batch are held.

    Args:
        model, processor, questions, settings, batch_size, seed, known, count_unreadable, progress, description:
            See [`ask_questions`].

    Yields:
        Number of the batch, setting, and the questions of the batch, each with what the model saw: None where it is
        about nothing, and why media could not be read where that is to be counted.

    Raises:
        UnreadableMediaError: a file is missing or cannot be decoded.
        ValueError: a setting is nothing that the model can do.
    """
    for setting in settings:
        setting.check(model.config)
    known = known or {}
    seen: dict[tuple[Any, Looking], SeenMedia | str] = {}
    with evaluating(model), tqdm(total=len(questions), desc=description, disable=not progress) as bar:
        for number, batch in enumerate(batch_questions(questions, batch_size)):
            # What the next batch does not ask about is let go.
            seen = {key: value for key, value in seen.items() if key[0] in {question.media for question in batch}}
            for setting in settings:
                if all(question.id in known.get(setting, ()) for question in batch):
                    continue
                looking = setting.looking
                for question in batch:
                    key = (question.media, looking)
                    if key not in seen and question.media is not None:
                        shuffled = any(other.shuffle_frames for other in settings if other.looking == looking)
                        seen[key] = _see(model, processor, question, looking, shuffled, seed, count_unreadable)
                yield number, setting, [(question, seen.get((question.media, looking))) for question in batch]
            bar.update(len(batch))


def batch_questions(questions: Sequence[Question], batch_size: int) -> list[list[Question]]:
    """
    Batches of questions, those about the same media next to each other.

    Raises:
        ValueError: `batch_size` is less than 1, or two questions have the same id.
    """
    if batch_size < 1:
        raise ValueError(f"`batch_size` is {batch_size}; expected at least 1.")
    ids = set()
    by_media: dict[Any, list[Question]] = {}
    for question in questions:
        if question.id in ids:
            raise ValueError(f"Two questions have the id {question.id!r}; expected ids that differ.")
        ids.add(question.id)
        by_media.setdefault(question.media, []).append(question)
    grouped = [question for group in by_media.values() for question in group]
    return [grouped[start : start + batch_size] for start in range(0, len(grouped), batch_size)]


def _see(
    model: FTFVForConditionalGeneration,
    processor: FTFVProcessor,
    question: Question,
    looking: Looking,
    shuffled: bool,
    seed: int,
    count_unreadable: bool,
) -> SeenMedia | str:
    """What the model saw, or why the media cannot be read where that is to be counted."""
    try:
        return encode_media(model, processor, question, looking, shuffled=shuffled, seed=seed)
    except (FileNotFoundError, ValueError) as error:
        if not count_unreadable:
            raise UnreadableMediaError(f"{error} Question {question.id!r} is about it.") from error
        logger.warning(f"Question {question.id!r} and others about the same media are not asked: {error}")
        return " ".join(str(error).split())


def join_media(media: Sequence[SeenMedia | None], shuffled: bool) -> dict[str, EncodedMedia]:
    """The media of several questions as those of one batch, by modality; None is of a question about nothing."""
    joined = {}
    for modality in ("image", "video"):
        encoded = [one.encoded[shuffled] for one in media if one is not None and one.modality == modality]
        if encoded:
            joined[modality] = EncodedMedia(
                torch.cat([one.tokens for one in encoded]), torch.cat([one.responses for one in encoded])
            )
    return joined
