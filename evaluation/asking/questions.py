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
from dataclasses import asdict, dataclass
from typing import Any

import torch
from tqdm import tqdm
from transformers import LogitsProcessor
from transformers.utils import logging

from ...modeling_ftfv.configuration_ftfv import TOKEN_ORDERS, TOKEN_SAMPLERS
from ...modeling_ftfv.modeling_ftfv import FTFVForConditionalGeneration
from ...processing.processing_ftfv import FTFVProcessor
from ..benchmarks.benchmark import Answered, Question
from .encoded_rows import EncodedBatch, EncodedMedia, sampled_inputs
from .media_encoding import Looking, SeenMedia, encode_media
from .rows import evaluating, generate


logger = logging.get_logger(__name__)


@dataclass(frozen=True)
class Setting:
    """
    How a model is asked; what is None is as the model has it.

    Attributes:
        tokens_per_frame (`int`, *optional*): K of video frames (paper section 3.2.1).
        num_frames (`int`, *optional*): Frames of a video; a shorter one gives all it has.
        frame_size (`int`, *optional*): Side of frames and images in pixels.
        token_sampler (`str`, *optional*): Stands in for `config.token_sampler`, for instance `"random"`.
        token_order (`str`, *optional*): Stands in for `config.token_order`.
        shuffle_frames (`bool`): Whether the frames come in a wrong order; a video of one frame keeps its own.
        as_image (`bool`): Whether one random frame of each video goes in as an image (FTFV_image in Table 4).
    """

    tokens_per_frame: int | None = None
    num_frames: int | None = None
    frame_size: int | None = None
    token_sampler: str | None = None
    token_order: str | None = None
    shuffle_frames: bool = False
    as_image: bool = False

    @property
    def looking(self) -> Looking:
        return Looking(self.num_frames, self.frame_size, self.as_image)

    @property
    def name(self) -> str:
        """`tokens_per_frame=8,shuffle_frames`, or `default`; also the name of a file."""
        chosen = {name: value for name, value in asdict(self).items() if value is not None and value is not False}
        return ",".join(name if value is True else f"{name}={value}" for name, value in chosen.items()) or "default"

    def check(self, num_query_tokens: int, patch_size: int) -> None:
        """
        Raises:
            ValueError: a value is nothing that a model of these sizes can do.
        """
        count = self.tokens_per_frame
        if count is not None and not 1 <= count <= num_query_tokens:
            raise ValueError(
                f"`tokens_per_frame` is {count}; expected 1 to {num_query_tokens}, the model's number of query tokens."
            )
        if self.num_frames is not None and self.num_frames < 1:
            raise ValueError(f"`num_frames` is {self.num_frames}; expected at least 1.")
        if self.frame_size is not None and (self.frame_size < patch_size or self.frame_size % patch_size):
            raise ValueError(
                f"`frame_size` is {self.frame_size}; expected a multiple of the vision tower's patch size, "
                f"{patch_size}."
            )
        if self.token_order is not None and self.token_order not in TOKEN_ORDERS:
            raise ValueError(f"`token_order` is {self.token_order!r}; expected one of {', '.join(TOKEN_ORDERS)}.")
        if self.token_sampler is not None and self.token_sampler not in TOKEN_SAMPLERS:
            raise ValueError(
                f"`token_sampler` is {self.token_sampler!r}; expected one of {', '.join(TOKEN_SAMPLERS)}."
            )
        if self.token_sampler == "none" and count not in (None, num_query_tokens):
            raise ValueError(
                f"`tokens_per_frame` is {count} with the token sampler 'none', which keeps all {num_query_tokens}; "
                "leave one of them out."
            )


def ask_questions(
    model: FTFVForConditionalGeneration,
    processor: FTFVProcessor,
    questions: Sequence[Question],
    prompt: Callable[[Question], str],
    settings: Sequence[Setting],
    *,
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
    Asks all questions in all settings and yields greedy answers as they come. Questions about the same media follow
    each other, so that each video is decoded and encoded once for all of them; only the media of one batch are held.

    Args:
        model (`FTFVForConditionalGeneration`): The model; in training mode, it is put in evaluation mode meanwhile.
        processor (`FTFVProcessor`): Its processor.
        questions (`Sequence[Question]`): What to ask; their ids differ.
        prompt (`Callable`): From a question to the text of the user's turn.
        settings (`Sequence[Setting]`): Ways to ask.
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
        FileNotFoundError: a file is missing.
        ValueError: a setting is nothing that the model can do, or a file cannot be decoded.
    """
    config = model.config
    for setting in settings:
        setting.check(config.adapter_config.num_query_tokens, config.vision_config.patch_size)
    known = known or {}
    letters = LetterTokens(processor, response_prefix)
    seen: dict[tuple[Any, Looking], SeenMedia | str] = {}
    with evaluating(model), tqdm(total=len(questions), desc=description, disable=not progress) as bar:
        for number, batch in enumerate(batch_questions(questions, batch_size)):
            todo = [
                setting for setting in settings if not all(question.id in known.get(setting, ()) for question in batch)
            ]
            # What the next batch does not ask about is let go.
            seen = {key: value for key, value in seen.items() if key[0] in {question.media for question in batch}}
            for setting in todo:
                looking = setting.looking
                for question in batch:
                    key = (question.media, looking)
                    if key not in seen and question.media is not None:
                        shuffled = any(other.shuffle_frames for other in settings if other.looking == looking)
                        seen[key] = _see(model, processor, question, looking, shuffled, seed, count_unreadable)
                read = [question for question in batch if not isinstance(seen.get((question.media, looking)), str)]
                texts = _answer(
                    model,
                    processor,
                    [(question, seen.get((question.media, looking))) for question in read],
                    prompt,
                    setting,
                    letters,
                    system=system,
                    response_prefix=response_prefix,
                    max_new_tokens=max_new_tokens,
                    seed=seed + number,
                )
                answers = {answered.question.id: answered for answered in texts}
                for question in batch:
                    if question.id not in answers:
                        reason = seen[question.media, looking]
                        answers[question.id] = Answered(question, "", unreadable=str(reason))
                asked = [question for question in batch if question.id not in known.get(setting, ())]
                yield setting, [answers[question.id] for question in asked]
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


class LetterTokens:
    """The tokens by which an answer may begin with the letter of an option."""

    def __init__(self, processor: FTFVProcessor, response_prefix: str = ""):
        self.processor = processor
        self.response_prefix = response_prefix
        self._ids: dict[str, list[int] | None] = {}

    def ids(self, letters: str) -> list[int] | None:
        """
        Id of the token of each letter where the turn of the assistant begins, behind `response_prefix`; None where the
        tokenizer cannot tell the letters apart.
        """
        if letters not in self._ids:
            self._ids[letters] = self._find(letters)
        return self._ids[letters]

    def _find(self, letters: str) -> list[int] | None:
        if not letters:
            return None
        rendered = [_render(self.processor, "", self.response_prefix + letter) for letter in letters]
        start = _render(self.processor, "", self.response_prefix)
        ids = [tokens[len(start)] if tokens[: len(start)] == start else None for tokens in rendered if tokens != start]
        tokenizer = self.processor.tokenizer
        if len(ids) < len(letters) or None in ids:
            # Behind a bracket, tokenizers may write bracket and letter as one token, which a model that was given the
            # bracket cannot.
            ids = [tokenizer.convert_tokens_to_ids(letter) for letter in letters]
        if None in ids or tokenizer.unk_token_id in ids or len(set(ids)) < len(letters):
            return None
        return ids  # type: ignore[return-value]


class _FirstToken(LogitsProcessor):
    """Keeps the log probabilities of the first token of each answer, and changes nothing."""

    def __init__(self) -> None:
        self.log_probs: torch.Tensor | None = None

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        if self.log_probs is None:
            self.log_probs = scores.float().log_softmax(dim=-1).cpu()
        return scores


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
            raise type(error)(
                f"{error} Question {question.id!r} is about it; --count-unreadable counts such questions as wrong."
            ) from error
        logger.warning(f"Question {question.id!r} and others about the same media are not asked: {error}")
        return " ".join(str(error).split())


def _answer(
    model: FTFVForConditionalGeneration,
    processor: FTFVProcessor,
    questions: Sequence[tuple[Question, Any]],
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
        _render(processor, prompt(question), response_prefix, system, media.block if media is not None else None)
        for question, media in questions
    ]
    batch = EncodedBatch(
        list(range(len(prompts))),
        [torch.tensor(ids, device=model.device) for ids in prompts],
        _join([media for _, media in questions if media is not None], setting.shuffle_frames),
    )
    count = setting.tokens_per_frame
    if count is None:
        count = processor.video_processor.tokens_per_frame
    if setting.token_sampler == "none":
        count = processor.num_query_tokens
    recorder = _FirstToken()
    with evaluating(model, token_sampler=setting.token_sampler, token_order=setting.token_order):
        inputs = sampled_inputs(model, processor, batch, count, seed)
        texts = generate(
            model, processor, inputs, max_new_tokens=max_new_tokens, seed=seed, logits_processor=[recorder]
        )
    answers = []
    for row, ((question, _), text) in enumerate(zip(questions, texts, strict=True)):
        ids = letters.ids(question.letters)
        log_probs = None
        if ids is not None:
            values = recorder.log_probs[row, ids].tolist()  # type: ignore[index]
            # Rounded here, so that what is read from a file is what was written.
            log_probs = {letter: round(value, 6) for letter, value in zip(question.letters, values, strict=True)}
        answers.append(Answered(question, text.strip(), log_probs))
    return answers


def _join(media: Sequence[SeenMedia], shuffled: bool) -> dict[str, EncodedMedia]:
    joined = {}
    for modality in ("image", "video"):
        encoded = [one.encoded[shuffled] for one in media if one.modality == modality]
        if encoded:
            joined[modality] = EncodedMedia(
                torch.cat([one.tokens for one in encoded]), torch.cat([one.responses for one in encoded])
            )
    return joined


def _render(
    processor: FTFVProcessor,
    text: str,
    response_prefix: str = "",
    system: str = "",
    block: Mapping[str, Any] | None = None,
) -> list[int]:
    """Ids of a prompt, with one placeholder for each frame of a video."""
    chat = [{"role": "system", "content": [{"type": "text", "text": system}]}] if system else []
    media = [] if block is None else [dict(block)]
    chat.append({"role": "user", "content": [*media, {"type": "text", "text": text}]})
    ending: dict[str, Any] = {"add_generation_prompt": True}
    if response_prefix:
        chat.append({"role": "assistant", "content": [{"type": "text", "text": response_prefix}]})
        ending = {"continue_final_message": True}
    is_video = block is not None and block["type"] == "video"
    inputs: Any = processor.apply_chat_template(
        chat,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
        processor_kwargs={"tokens_per_frame": 1} if is_video else {},
        **ending,
    )
    return inputs["input_ids"][0].tolist()
