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
"""Asking a model the questions of a benchmark in several ways at once: each video is encoded once for all of them."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch

from ...modeling_ftfv.modeling_ftfv import FTFVForConditionalGeneration
from ...processing.processing_ftfv import FTFVProcessor
from ..benchmarks.benchmark import Answered, Question
from .batches import join_media, see_batches
from .encoded_rows import EncodedBatch, sampled_inputs
from .media_encoding import SeenMedia
from .prompt_tokens import LetterTokens, render_prompt
from .ranking import check_finite, rank_options
from .rows import generate
from .setting import Setting


def ask_questions(
    model: FTFVForConditionalGeneration,
    processor: FTFVProcessor,
    questions: Sequence[Question],
    prompt: Callable[[Question], str],
    settings: Sequence[Setting],
    *,
    ranking_prompt: Callable[[Question], str | None] | None = None,
    system: str = "",
    response_prefix: str = "",
    max_new_tokens: int = 64,
    batch_size: int = 16,
    seed: int = 0,
    known: Mapping[Setting, Collection[str]] | None = None,
    count_unreadable: bool = False,
    progress: bool = True,
    description: str = "",
) -> Iterator[tuple[Setting, list[Answered]]]:
    """
    Asks all questions in all settings and yields greedy answers as they come, which penalties of
    `model.generation_config` apply to. Questions about the same media follow each other, so that each video is decoded
    and encoded once for all of them; only the media of one batch are held.

    Args:
        model (`FTFVForConditionalGeneration`): The model; in training mode, it is put in evaluation mode meanwhile.
        processor (`FTFVProcessor`): Its processor.
        questions (`Sequence[Question]`): What to ask; their ids differ.
        prompt (`Callable`): From a question to the text of the user's turn.
        settings (`Sequence[Setting]`): Ways to ask.
        ranking_prompt (`Callable`, *optional*): From a question to the text of the user's turn behind which its
            options are ranked by [`rank_options`]; they are not where it is None.
        system (`str`, *optional*): System message.
        response_prefix (`str`, *optional*): What the assistant's turn is made to begin with.
        max_new_tokens (`int`, *optional*, defaults to 64): Longest answer.
        batch_size (`int`, *optional*, defaults to 16): Questions that are generated together.
        seed (`int`, *optional*, defaults to 0): Of shuffled frames, random frames and random token samplers.
        known (`Mapping`, *optional*): Ids of questions that are not asked again in a setting. Batches are made of all
            questions nevertheless, so that an interrupted run goes on exactly as it would have.
        count_unreadable (`bool`, *optional*, defaults to `False`): Whether media that cannot be read give answers that
            say so, instead of an error.
        progress (`bool`, *optional*, defaults to `True`): Whether to show a progress bar on stderr.
        description (`str`, *optional*): Text before the progress bar.

    Yields:
        A setting and some of its answers.

    Raises:
        UnreadableMediaError: a file is missing or cannot be decoded.
        ValueError: a setting is nothing that the model can do, or the model's figures are not finite.
    """
    known = known or {}
    letters = LetterTokens(processor, response_prefix)
    batches = see_batches(
        model,
        processor,
        questions,
        settings,
        batch_size=batch_size,
        seed=seed,
        known=known,
        count_unreadable=count_unreadable,
        progress=progress,
        description=description,
    )
    for number, setting, batch in batches:
        read = [(question, seen) for question, seen in batch if not isinstance(seen, str)]
        generated = _answer(
            model,
            processor,
            read,
            prompt,
            setting,
            letters,
            system=system,
            response_prefix=response_prefix,
            max_new_tokens=max_new_tokens,
            seed=seed + number,
        )
        answers = {answered.question.id: answered for answered in generated}
        finished = []
        for question, seen in batch:
            if question.id in known.get(setting, ()):
                continue
            if isinstance(seen, str):
                answered = Answered(question, "", unreadable=seen)
            else:
                answered = answers[question.id]
                ranked_by = None if ranking_prompt is None else ranking_prompt(question)
                if ranked_by is not None:
                    ranked = rank_options(
                        model,
                        processor,
                        question,
                        seen,
                        setting,
                        ranked_by,
                        system=system,
                        batch_size=batch_size,
                        seed=seed,
                    )
                    log_probs = None if ranked is None else [option.log_prob for option in ranked]
                    answered = replace(answered, option_log_probs=_by_letter(question, log_probs))
            finished.append(answered)
        yield setting, finished


@contextmanager
def _first_log_probs(model: FTFVForConditionalGeneration) -> Iterator[list[torch.Tensor]]:
    """
    Collects the log probabilities of the first token of each answer that is generated within it, as one tensor
    `(batch_size, vocab_size)`. They are the model's own: a logits processor would be given what the penalties of
    `model.generation_config` leave of them.
    """
    kept: list[torch.Tensor] = []

    def keep(module: torch.nn.Module, args: tuple[Any, ...], logits: torch.Tensor) -> None:
        if not kept:
            kept.append(logits[:, -1].float().log_softmax(dim=-1).cpu())

    handle = model.get_output_embeddings().register_forward_hook(keep)
    try:
        yield kept
    finally:
        handle.remove()


def _answer(
    model: FTFVForConditionalGeneration,
    processor: FTFVProcessor,
    questions: Sequence[tuple[Question, SeenMedia | None]],
    prompt: Callable[[Question], str],
    setting: Setting,
    letters: LetterTokens,
    *,
    system: str,
    response_prefix: str,
    max_new_tokens: int,
    seed: int,
) -> list[Answered]:
    if not questions:
        return []
    prompts = [
        render_prompt(processor, prompt(question), response_prefix, system, seen.block if seen is not None else None)
        for question, seen in questions
    ]
    batch = EncodedBatch(
        list(range(len(prompts))),
        [torch.tensor(ids, device=model.device) for ids in prompts],
        join_media([seen for _, seen in questions], setting.shuffle_frames),
    )
    with setting.applied(model), _first_log_probs(model) as kept:
        inputs = sampled_inputs(model, processor, batch, setting.count_tokens(processor), seed)
        texts = generate(model, processor, inputs, max_new_tokens=max_new_tokens, seed=seed)
    [first_log_probs] = kept
    for (question, _), row in zip(questions, first_log_probs, strict=True):
        check_finite(row, question)
    answers = []
    for row, ((question, _), text) in enumerate(zip(questions, texts, strict=True)):
        ids = letters.ids(question.letters)
        log_probs = None if ids is None else first_log_probs[row, ids].tolist()
        answers.append(Answered(question, text.strip(), _by_letter(question, log_probs)))
    return answers


def _by_letter(question: Question, log_probs: Sequence[float] | None) -> dict[str, float] | None:
    """Rounded, so that what is read from a file is what was written to it."""
    if log_probs is None:
        return None
    return {letter: round(value, 6) for letter, value in zip(question.letters, log_probs, strict=True)}
