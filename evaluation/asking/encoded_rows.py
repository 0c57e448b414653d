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
"""Rows whose media are decoded and encoded once, to be asked about at several K and with several token samplers."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.utils.rnn import pad_sequence
from tqdm import tqdm
from transformers.modeling_outputs import BaseModelOutputWithPooling

from ...modeling_ftfv.modeling_ftfv import FTFVForConditionalGeneration
from ...modeling_ftfv.sampler_ftfv import FTFVTokenSampler
from ...processing.processing_ftfv import FTFVProcessor
from .rows import (
    Answer,
    batch_rows,
    check_rows,
    evaluating,
    generate,
    load_prompts,
    longest_truth,
    make_answer,
    seeded,
)


@dataclass(frozen=True)
class EncodedMedia:
    """
    The images, or the frames of the videos, of a batch after the adapter and before the token sampler.

    Attributes:
        tokens (`torch.Tensor` of shape `(num_frames, num_query_tokens, hidden_size)`): All tokens, in query order.
        responses (`torch.Tensor` of shape `(num_frames, num_query_tokens)`): Responses of the queries.
    """

    tokens: torch.Tensor
    responses: torch.Tensor


@dataclass(frozen=True)
class EncodedBatch:
    """
    Rows that are answered together.

    Attributes:
        indices (`list[int]`): Which rows these are.
        input_ids (`list[torch.LongTensor]`): Prompt of each row, not padded, with one placeholder per video frame.
        media (`dict[str, EncodedMedia]`): Under `"image"` and `"video"`, what all rows hold of them, in order.
    """

    indices: list[int]
    input_ids: list[torch.Tensor]
    media: dict[str, EncodedMedia]


@dataclass(frozen=True)
class EncodedRows:
    """
    What [`encode_rows`] makes. It belongs to the weights it was made with: encode again after training.

    Attributes:
        rows (`Sequence[Mapping]`): The rows.
        batches (`list[EncodedBatch]`): Their features, on the model's device: `num_frames * num_query_tokens *
            hidden_size` numbers a video, that is 64 KiB in the miniature and 16 MiB (bf16) in the paper's model.
    """

    rows: Sequence[Mapping[str, Any]]
    batches: list[EncodedBatch]


@torch.no_grad()
def encode_rows(
    model: FTFVForConditionalGeneration,
    processor: FTFVProcessor,
    rows: Sequence[Mapping[str, Any]],
    *,
    media_root: str | os.PathLike,
    num_frames: int | None = None,
    shuffle_frames: bool = False,
    batch_size: int = 50,
    seed: int = 0,
    progress: bool = True,
    description: str = "",
) -> EncodedRows:
    """
    Runs everything that neither K nor the token sampler changes: decoding, preprocessing, vision tower and adapter.

    Args:
        model (`FTFVForConditionalGeneration`): The model; in training mode, it is put in evaluation mode meanwhile.
        processor (`FTFVProcessor`): Its processor.
        rows (`Sequence[Mapping]`): Rows in TRL form whose last message is the assistant's truth.
        media_root (`str` or `os.PathLike`): Folder that the media paths of the rows start from.
        num_frames (`int`, *optional*):
            Frames to look at, the processor's own if not given; a shorter video gives all it has.
        shuffle_frames (`bool`, *optional*, defaults to `False`):
            Whether to show the sampled frames of each video in a random order that is never the true one. What a model
            still gets right then, it does not owe to the order of the frames: the floor of a temporal skill.
        batch_size (`int`, *optional*, defaults to 50): Rows that are generated together.
        seed (`int`, *optional*, defaults to 0): Of the shuffled frames, which depend on it and the row's `id` only.
        progress (`bool`, *optional*, defaults to `True`): Whether to show a progress bar on stderr.
        description (`str`, *optional*): Text before the progress bar.

    Raises:
        ValueError: a row is malformed, or a video of one frame is to be shuffled.
        FileNotFoundError: a file is missing.
    """
    check_rows(rows)
    num_query_tokens = processor.num_query_tokens
    batches = []
    keep_all = evaluating(model, token_sampler="none", tokens_per_frame=num_query_tokens)
    with keep_all, tqdm(total=len(rows), desc=description, disable=not progress) as bar:
        for indices in batch_rows(rows, batch_size):
            inputs = load_prompts(
                processor,
                [rows[index] for index in indices],
                media_root=media_root,
                tokens_per_frame=1,
                num_frames=num_frames,
                shuffle_seed=seed if shuffle_frames else None,
            ).to(model.device)
            media = {}
            if "pixel_values" in inputs:
                images = model.get_image_features(inputs["pixel_values"])
                media["image"] = EncodedMedia(images.pooler_output, images.responses)
            if "pixel_values_videos" in inputs:
                frame_mask = inputs["video_frame_mask"]
                videos = model.get_video_features(inputs["pixel_values_videos"], frame_mask)
                tokens = torch.cat(list(videos.pooler_output)).unflatten(0, (-1, num_query_tokens))
                media["video"] = EncodedMedia(tokens, videos.responses[frame_mask.bool()])
            prompts = zip(inputs["input_ids"], inputs["attention_mask"], strict=True)
            batches.append(EncodedBatch(indices, [ids[mask.bool()] for ids, mask in prompts], media))
            bar.update(len(indices))
    return EncodedRows(rows, batches)


def answer_encoded_rows(
    model: FTFVForConditionalGeneration,
    processor: FTFVProcessor,
    encoded: EncodedRows,
    *,
    tokens_per_frame: int | None = None,
    token_sampler: str | None = None,
    max_new_tokens: int | None = None,
    seed: int = 0,
    progress: bool = True,
    description: str = "",
) -> list[Answer]:
    """
    Asks the model the last question of every row and takes its greedy answer, at the cost of the language model alone.
    Earlier turns of a conversation stay in the prompt with their true answers.

    Args:
        model, processor: As [`encode_rows`] was given.
        encoded (`EncodedRows`): From [`encode_rows`], with the model as it is now.
        tokens_per_frame (`int`, *optional*):
            K of video frames (paper section 3.2.1), the processor's own if not given.
        token_sampler (`str`, *optional*): Stands in for `config.token_sampler` meanwhile, for instance `"random"`.
        max_new_tokens (`int`, *optional*):
            Longest answer; one token more than the longest truth if not given, beyond which no answer can be correct.
        seed (`int`, *optional*, defaults to 0):
            Of random token samplers, which depend on it, the rows and the size of the batches.
        progress (`bool`, *optional*, defaults to `True`): Whether to show a progress bar on stderr.
        description (`str`, *optional*): Text before the progress bar.

    Returns:
        `list[Answer]`: One for each row, in the order of the rows.
    """
    if tokens_per_frame is None:
        tokens_per_frame = processor.video_processor.tokens_per_frame
    max_new_tokens = max_new_tokens or longest_truth(processor, encoded.rows) + 1
    answers: dict[int, str] = {}
    with (
        evaluating(model, token_sampler=token_sampler),
        tqdm(total=len(encoded.rows), desc=description, disable=not progress) as bar,
    ):
        for batch in encoded.batches:
            batch_seed = seed + batch.indices[0]
            inputs = sampled_inputs(model, processor, batch, tokens_per_frame, batch_seed)
            texts = generate(model, processor, inputs, max_new_tokens=max_new_tokens, seed=batch_seed)
            answers.update(zip(batch.indices, texts, strict=True))
            bar.update(len(batch.indices))
    return [make_answer(row, answers[index]) for index, row in enumerate(encoded.rows)]


def sampled_inputs(
    model: FTFVForConditionalGeneration,
    processor: FTFVProcessor,
    batch: EncodedBatch,
    tokens_per_frame: int,
    seed: int,
) -> dict[str, Any]:
    """
    Inputs of the model for a batch, with K tokens kept of each frame by the model's token sampler.

    Returns:
        `dict` with `input_ids` and `attention_mask` `(batch_size, sequence_length)`, padded on the left, and
        `mm_encoder_outputs`.
    """
    config = model.config
    prompts = [
        ids.repeat_interleave(torch.where(ids == config.video_token_id, tokens_per_frame, 1))
        for ids in batch.input_ids
    ]
    counts = {"image": config.tokens_per_frame if config.sample_images else None, "video": tokens_per_frame}
    features = {}
    with seeded(model, seed):
        for modality, media in batch.media.items():
            tokens, count = media.tokens, counts[modality]
            if count is not None:
                kept = FTFVTokenSampler(config)(media.responses, count)
                tokens = tokens.gather(1, kept.unsqueeze(-1).expand(-1, -1, tokens.shape[-1]))
            features[modality] = BaseModelOutputWithPooling(pooler_output=tokens)
    return {
        "input_ids": _pad_left(prompts, processor.tokenizer.pad_token_id),
        "attention_mask": _pad_left([torch.ones_like(ids) for ids in prompts], 0),
        "mm_encoder_outputs": features,
    }


def _pad_left(sequences: list[torch.Tensor], value: int) -> torch.Tensor:
    return pad_sequence(sequences, batch_first=True, padding_value=value, padding_side="left")
