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
"""Asking a model about rows of a dataset: prompts in, greedy answers out, each beside its truth."""

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from transformers import BatchFeature

from ...modeling_ftfv.configuration_ftfv import TOKEN_SAMPLERS
from ...modeling_ftfv.modeling_ftfv import FTFVForConditionalGeneration, FTFVPreTrainedModel
from ...processing.processing_ftfv import FTFVProcessor


# Keys of a content block that say where its image or video is.
MEDIA_KEYS = ("image", "video", "path", "url")


@dataclass(frozen=True)
class Answer:
    """
    What a model said about one row.

    Attributes:
        id (`str`): The row's `id`.
        skill (`str`): The row's `skill`, or its `source` where a dataset has no skills.
        type (`str`): The row's `type`, one of the six question types.
        question (`str`): Text of the last user turn.
        truth (`str`): Text of the last assistant turn.
        answer (`str`): What the model generated in its place.
    """

    id: str
    skill: str
    type: str
    question: str
    truth: str
    answer: str

    @property
    def correct(self) -> bool:
        """Whether answer and truth are the same text, upper and lower case and white space aside."""
        return normalize_text(self.answer) == normalize_text(self.truth)


def normalize_text(text: str) -> str:
    """Folds case and turns every run of white space into one space."""
    return " ".join(text.split()).casefold()


@contextmanager
def evaluating(model: FTFVPreTrainedModel, **options: Any) -> Iterator[None]:
    """
    Evaluation mode, and other values of `model.config` where one is not None, for as long as the context lasts.

    Raises:
        ValueError: the `token_sampler` among the options is unknown.
    """
    options = {name: value for name, value in options.items() if value is not None}
    if options.get("token_sampler", TOKEN_SAMPLERS[0]) not in TOKEN_SAMPLERS:
        expected = ", ".join(TOKEN_SAMPLERS)
        raise ValueError(f"`token_sampler` is {options['token_sampler']!r}; expected one of {expected}, or None.")
    was_training = model.training
    configured = {name: getattr(model.config, name) for name in options}
    try:
        model.eval()
        for name, value in options.items():
            setattr(model.config, name, value)
        yield
    finally:
        for name, value in configured.items():
            setattr(model.config, name, value)
        model.train(was_training)


@contextmanager
def seeded(model: FTFVPreTrainedModel, seed: int) -> Iterator[None]:
    """Random numbers, those of random token samplers, by `seed` inside and untouched outside."""
    with torch.random.fork_rng(devices=[model.device] if model.device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def check_rows(rows: Sequence[Mapping[str, Any]]) -> None:
    """
    Checks that rows can be asked about, before a model is.

    Raises:
        ValueError: a row lacks something, its content is no list of blocks, or its last two turns are not a question
            and its truth.
    """
    for index, row in enumerate(rows):
        name = f"Row {row.get('id', index)!r}"
        missing = [key for key in ("id", "type", "messages") if row.get(key) is None]
        if not missing and not (row.get("skill") or row.get("source")):
            missing = ["skill", "source"]
        if missing:
            raise ValueError(
                f"{name} has no {' and no '.join(missing)}; expected `id`, `type`, `messages`, and `skill` or "
                "`source`."
            )
        roles = [message.get("role") for message in row["messages"]]
        if roles[-2:] != ["user", "assistant"]:
            raise ValueError(
                f"{name} has the turns {', '.join(map(str, roles)) or 'none'}; expected the last two to be a user's "
                "question and the assistant's true answer."
            )
        for message in row["messages"]:
            blocks = message.get("content")
            if not isinstance(blocks, list) or not all(
                isinstance(block, dict) and "type" in block for block in blocks
            ):
                raise ValueError(
                    f"{name} has the content {blocks!r}; expected a list of blocks, such as "
                    '{"type": "text", "text": "..."}.'
                )


def batch_rows(rows: Sequence[Mapping[str, Any]], batch_size: int) -> list[list[int]]:
    """
    Batches of row indices. The rows of a batch have the same number of images and of videos, so that their prompts are
    about equally long and little is padded.

    Raises:
        ValueError: `batch_size` is less than 1.
    """
    if batch_size < 1:
        raise ValueError(f"`batch_size` is {batch_size}; expected at least 1.")
    kinds: dict[tuple[int, int], list[int]] = {}
    for index, row in enumerate(rows):
        kinds.setdefault(count_media(row), []).append(index)
    return [kind[start : start + batch_size] for kind in kinds.values() for start in range(0, len(kind), batch_size)]


def count_media(row: Mapping[str, Any]) -> tuple[int, int]:
    """Number of images and number of videos in the messages of a row."""
    types = [block["type"] for message in row["messages"] for block in message["content"]]
    return types.count("image"), types.count("video")


def load_prompts(
    processor: FTFVProcessor,
    rows: Sequence[Mapping[str, Any]],
    *,
    media_root: str | os.PathLike,
    tokens_per_frame: int | None = None,
    num_frames: int | None = None,
    shuffle_seed: int | None = None,
) -> BatchFeature:
    """
    Everything before the truth of each row, as the inputs of a model, padded on the left.

    Args:
        processor (`FTFVProcessor`): The processor.
        rows (`Sequence[Mapping]`): Rows in TRL form whose last message is the assistant's truth.
        media_root (`str` or `os.PathLike`): Folder that the media paths of the rows start from.
        tokens_per_frame (`int`, *optional*):
            K of video frames (paper section 3.2.1), the processor's own if not given.
        num_frames (`int`, *optional*):
            Frames to look at, the processor's own if not given; a shorter video gives all it has.
        shuffle_seed (`int`, *optional*): Seed to shuffle the frames of videos by; they keep their order if not given.
    """
    # None would hide the processor's own values.
    asked = {"tokens_per_frame": tokens_per_frame, "max_num_frames": num_frames}
    inputs: Any = processor.apply_chat_template(
        [_prompt(row, media_root) for row in rows],
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
        processor_kwargs={
            "padding": True,
            "padding_side": "left",
            **{name: value for name, value in asked.items() if value is not None},
        },
    )
    if shuffle_seed is not None and "pixel_values_videos" in inputs:
        pixel_values, frame_mask = inputs["pixel_values_videos"], inputs["video_frame_mask"]
        videos_per_row = len(pixel_values) // len(rows)
        for video, length in enumerate(frame_mask.sum(dim=1).tolist()):
            row_id = str(rows[video // videos_per_row]["id"])
            order = shuffled_order(length, f"{shuffle_seed} {row_id} {video % videos_per_row}")
            pixel_values[video, :length] = pixel_values[video, torch.from_numpy(order)]
    return inputs


def shuffled_order(num_frames: int, key: str) -> np.ndarray:
    """
    A random order of frames that depends on `key` only and is never the true one.

    Returns:
        `np.ndarray` of shape `(num_frames,)`, a permutation.

    Raises:
        ValueError: there are fewer than two frames, which have no other order.
    """
    if num_frames < 2:
        raise ValueError(
            f"A video of {num_frames} frame cannot be shuffled ({key!r}); expected at least 2. Ask for more frames, "
            "or leave the row out of the floor."
        )
    rng = random_generator(key)
    order = rng.permutation(num_frames)
    while (order == np.arange(num_frames)).all():
        order = rng.permutation(num_frames)
    return order


def random_generator(key: str) -> np.random.Generator:
    """Random numbers that depend on `key` only."""
    return np.random.default_rng(int.from_bytes(hashlib.sha256(key.encode()).digest()[:8]))


def generate(
    model: FTFVForConditionalGeneration,
    processor: FTFVProcessor,
    inputs: Mapping[str, Any],
    *,
    max_new_tokens: int,
    seed: int,
) -> list[str]:
    """Greedy answers to a batch of left-padded prompts; `seed` is that of random token samplers."""
    inputs = BatchFeature(dict(inputs)).to(model.device)
    with seeded(model, seed):
        # transformers types `generate` by a protocol that its own model classes do not meet.
        generated = model.generate(  # type: ignore[misc]
            **inputs,
            max_new_tokens=max_new_tokens,
            do_sample=False,
            num_beams=1,
            pad_token_id=processor.tokenizer.pad_token_id,
        )
    return processor.batch_decode(generated[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)


def longest_truth(processor: FTFVProcessor, rows: Sequence[Mapping[str, Any]]) -> int:
    """Number of tokens of the longest truth."""
    truths = (_text(row["messages"][-1]) for row in rows)
    return max((len(processor.tokenizer(text, add_special_tokens=False)["input_ids"]) for text in truths), default=0)


def make_answer(row: Mapping[str, Any], answer: str) -> Answer:
    """Sets what a model said beside what the row says."""
    question = next(message for message in reversed(row["messages"]) if message["role"] == "user")
    return Answer(
        id=str(row["id"]),
        skill=row.get("skill") or row["source"],
        type=row["type"],
        question=_text(question),
        truth=_text(row["messages"][-1]),
        answer=answer.strip(),
    )


def _text(message: Mapping[str, Any]) -> str:
    return " ".join(block["text"] for block in message["content"] if block["type"] == "text")


def _prompt(row: Mapping[str, Any], media_root: str | os.PathLike) -> list[dict[str, Any]]:
    """The messages before the truth, their media paths made to start from `media_root`."""
    *prompt, _ = row["messages"]
    return [
        {
            "role": message["role"],
            "content": [
                {
                    key: _locate(value, media_root) if key in MEDIA_KEYS else value
                    for key, value in block.items()
                    # `datasets` gives every block the keys of all blocks.
                    if value is not None
                }
                for block in message["content"]
            ],
        }
        for message in prompt
    ]


def _locate(source: Any, media_root: str | os.PathLike) -> Any:
    """Only paths start from the root; URLs and decoded frames are what they are."""
    is_path = isinstance(source, str) and not source.startswith(("http://", "https://", "data:"))
    return os.path.join(media_root, source) if is_path else source
