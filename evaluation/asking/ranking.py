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
"""
How likely a model finds each option of a question as its whole answer, which does not ask of it to name a letter.

Source: AILab-CVC/SEED-Bench, README.md ("answer ranking strategy following GPT-3") and, for the mean over tokens,
`model/huggingface_instructblip_interface.py` and `SEED-Bench-2/model/qwen_vl_chat_interface.py`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers.modeling_outputs import BaseModelOutputWithPooling

from ...modeling_ftfv.modeling_ftfv import FTFVForConditionalGeneration
from ...processing.processing_ftfv import FTFVProcessor
from ..benchmarks.benchmark import Question
from .batches import join_media
from .encoded_rows import EncodedBatch, sampled_inputs
from .media_encoding import SeenMedia
from .prompt_tokens import option_tokens, render_prompt
from .rows import random_generator
from .setting import Setting


@dataclass(frozen=True)
class RankedOption:
    """
    An option as the answer to a question.

    Attributes:
        log_prob (`float`): Mean of its tokens' log probabilities; a mean, lest long options lose by their length.
        is_greedy (`bool`): Whether each of its tokens is the likeliest one behind those before it.
    """

    log_prob: float
    is_greedy: bool


@torch.no_grad()
def rank_options(
    model: FTFVForConditionalGeneration,
    processor: FTFVProcessor,
    question: Question,
    seen: SeenMedia | None,
    setting: Setting,
    prompt: str,
    *,
    system: str = "",
    batch_size: int = 16,
    seed: int = 0,
) -> list[RankedOption] | None:
    """
    Ranks the options of a question.

    Args:
        model (`FTFVForConditionalGeneration`): The model, in evaluation mode.
        processor (`FTFVProcessor`): Its processor.
        question (`Question`): The question.
        seen (`SeenMedia`, *optional*): What the model saw of its media; None if it is about nothing.
        setting (`Setting`): Way to ask.
        prompt (`str`): Text of the user's turn.
        system (`str`, *optional*): System message.
        batch_size (`int`, *optional*, defaults to 16): Options that go through the language model together.
        seed (`int`, *optional*, defaults to 0): Of random token samplers, with the question's id. All options see the
            same tokens.

    Returns:
        `list[RankedOption]`: One for each option; None where there are no options, or one is empty or nothing that the
        tokenizer can write.

    Raises:
        ValueError: the log probabilities are not finite.
    """
    options = [option_tokens(processor, option) for option in question.options]
    written = [ids for ids in options if ids is not None]
    if not options or len(written) < len(options):
        return None
    ids = render_prompt(processor, prompt, system=system, block=None if seen is None else seen.block)
    batch = EncodedBatch([0], [torch.tensor(ids, device=model.device)], join_media([seen], setting.shuffle_frames))
    ranked = []
    with setting.applied(model):
        drawn = int(random_generator(f"{seed} {question.id}").integers(2**63))
        inputs = sampled_inputs(model, processor, batch, setting.count_tokens(processor), drawn)
        for start in range(0, len(written), batch_size):
            ranked += _rank(model, inputs, written[start : start + batch_size], processor.tokenizer.pad_token_id)
    check_finite(torch.tensor([option.log_prob for option in ranked]), question)
    return ranked


def check_finite(log_probs: torch.Tensor, question: Question) -> None:
    """
    Raises:
        ValueError: one of the log probabilities is not a finite number, by which no option is likelier than others.
    """
    if not log_probs.isfinite().all():
        raise ValueError(
            f"The model's log probabilities for question {question.id!r} are not finite, as where its numbers "
            "overflow; expected finite ones. Take another `dtype`, bfloat16 or float32, or check the weights."
        )


def _rank(
    model: FTFVForConditionalGeneration,
    inputs: Mapping[str, Any],
    options: Sequence[Sequence[int]],
    pad_token_id: int,
) -> list[RankedOption]:
    """Options behind the one prompt of `inputs`, padded on the right, where a causal model does not look."""
    count, longest = len(options), max(map(len, options))
    device = model.device
    tokens = torch.tensor([[*ids, *[pad_token_id] * (longest - len(ids))] for ids in options], device=device)
    mask = torch.tensor([[1] * len(ids) + [0] * (longest - len(ids)) for ids in options], device=device)
    logits = model(
        input_ids=torch.cat([inputs["input_ids"].expand(count, -1), tokens], dim=1),
        attention_mask=torch.cat([inputs["attention_mask"].expand(count, -1), mask], dim=1),
        mm_encoder_outputs={
            modality: BaseModelOutputWithPooling(pooler_output=features.pooler_output.repeat(count, 1, 1))
            for modality, features in inputs["mm_encoder_outputs"].items()
        },
        # The last token of the prompt predicts the first of an option; what follows the last token is not asked for.
        logits_to_keep=longest + 1,
        use_cache=False,
    ).logits[:, :-1]
    log_probs = logits.float().log_softmax(dim=-1).gather(-1, tokens.unsqueeze(-1)).squeeze(-1)
    greedy = logits.argmax(dim=-1) == tokens
    return [
        RankedOption(log_probs[row, : len(ids)].mean().item(), bool(greedy[row, : len(ids)].all()))
        for row, ids in enumerate(options)
    ]
