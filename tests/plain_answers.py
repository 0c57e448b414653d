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
"""Answers to rows with everything computed anew for each batch, which what is encoded once is held against."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from tqdm import tqdm

from ftfv.evaluation.asking.rows import (
    Answer,
    batch_rows,
    check_rows,
    evaluating,
    generate,
    load_prompts,
    longest_truth,
    make_answer,
)
from ftfv.modeling_ftfv.modeling_ftfv import FTFVForConditionalGeneration
from ftfv.processing.processing_ftfv import FTFVProcessor


def answer_rows(
    model: FTFVForConditionalGeneration,
    processor: FTFVProcessor,
    rows: Sequence[Mapping[str, Any]],
    *,
    media_root: str | os.PathLike,
    tokens_per_frame: int | None = None,
    num_frames: int | None = None,
    shuffle_frames: bool = False,
    token_sampler: str | None = None,
    batch_size: int = 50,
    max_new_tokens: int | None = None,
    seed: int = 0,
    progress: bool = True,
    description: str = "",
) -> list[Answer]:
    """
    Asks the model the last question of every row and takes its greedy answer. Earlier turns of a conversation stay in
    the prompt with their true answers.

    Args:
        model (`FTFVForConditionalGeneration`): The model; in training mode, it is put in evaluation mode meanwhile.
        processor (`FTFVProcessor`): Its processor.
        rows (`Sequence[Mapping]`): Rows in TRL form whose last message is the assistant's truth.
        media_root (`str` or `os.PathLike`): Folder that the media paths of the rows start from.
        tokens_per_frame (`int`, *optional*):
            K of video frames (paper section 3.2.1), the processor's own if not given.
        num_frames (`int`, *optional*):
            Frames to look at, the processor's own if not given; a shorter video gives all it has.
        shuffle_frames (`bool`, *optional*, defaults to `False`):
            Whether to show the sampled frames of each video in a random order that is never the true one. What a model
            still gets right then, it does not owe to the order of the frames: the floor of a temporal skill.
        token_sampler (`str`, *optional*): Stands in for `config.token_sampler` meanwhile, for instance `"random"`.
        batch_size (`int`, *optional*, defaults to 50): Rows that are generated together.
        max_new_tokens (`int`, *optional*):
            Longest answer; one token more than the longest truth if not given, beyond which no answer can be correct.
        seed (`int`, *optional*, defaults to 0):
            Of the shuffled frames, which depend on it and the row's `id` only, and of random token samplers, which
            depend on it, the rows and the batch size.
        progress (`bool`, *optional*, defaults to `True`): Whether to show a progress bar on stderr.
        description (`str`, *optional*): Text before the progress bar.

    Returns:
        `list[Answer]`: One for each row, in the order of the rows.

    Raises:
        ValueError: a row is malformed, `token_sampler` is unknown, or a video of one frame is to be shuffled.
        FileNotFoundError: a file is missing.
    """
    check_rows(rows)
    max_new_tokens = max_new_tokens or longest_truth(processor, rows) + 1
    answers: dict[int, str] = {}
    with (
        evaluating(model, token_sampler=token_sampler),
        tqdm(total=len(rows), desc=description, disable=not progress) as bar,
    ):
        for batch in batch_rows(rows, batch_size):
            inputs = load_prompts(
                processor,
                [rows[index] for index in batch],
                media_root=media_root,
                tokens_per_frame=tokens_per_frame,
                num_frames=num_frames,
                shuffle_seed=seed if shuffle_frames else None,
            )
            texts = generate(model, processor, inputs, max_new_tokens=max_new_tokens, seed=seed + batch[0])
            answers.update(zip(batch, texts, strict=True))
            bar.update(len(batch))
    return [make_answer(row, answers[index]) for index, row in enumerate(rows)]
