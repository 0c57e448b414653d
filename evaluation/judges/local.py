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
"""A judge on this machine, without any server: an instruct language model of transformers."""

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from ..benchmarks.judge_protocol import Messages


class LocalJudge:
    """
    An instruct language model as a judge: greedy, in batches, offline. Its figures compare with those of the same
    judge only, never with published ones.

    Args:
        folder_or_id (`str` or `os.PathLike`): A model folder, or the id of a model that was downloaded from the Hub.
        device (`str`, *optional*): Where it runs; CUDA if there is any, else the CPU.
        dtype (`str` or `torch.dtype`, *optional*): Type of the weights; that of the files if not given.
        batch_size (`int`, *optional*, defaults to 16): Conversations that are answered together.
        max_tokens (`int`, *optional*, defaults to 64): Longest reply in tokens.

    Attributes:
        name (`str`): `local:`, the model's name, and a digest that is another for other weights.

    Raises:
        FileNotFoundError: there is no such folder, or the model was not downloaded.
        ValueError: the model has no chat template, or an argument is less than 1.
    """

    def __init__(
        self,
        folder_or_id: str | os.PathLike,
        device: str | None = None,
        dtype: str | torch.dtype | None = None,
        *,
        batch_size: int = 16,
        max_tokens: int = 64,
    ):
        for option, value in (("batch_size", batch_size), ("max_tokens", max_tokens)):
            if value < 1:
                raise ValueError(f"`{option}` is {value}; expected at least 1.")
        path = os.fspath(folder_or_id)
        try:
            tokenizer = AutoTokenizer.from_pretrained(path, padding_side="left", local_files_only=True)
            model: Any = AutoModelForCausalLM.from_pretrained(path, dtype=dtype or "auto", local_files_only=True)
        except OSError as error:
            raise FileNotFoundError(
                f"No language model {path!r} on this machine; expected a model folder, or the id of a downloaded "
                f"model: `hf download {path}`."
            ) from error
        if tokenizer.chat_template is None:
            raise ValueError(f"The language model {path!r} has no chat template; expected an instruct model.")
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token
        # In place of the model's own, whose sampling and penalties would change greedy replies.
        model.generation_config = GenerationConfig(
            do_sample=False,
            max_new_tokens=max_tokens,
            eos_token_id=model.generation_config.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
        self._model: PreTrainedModel = model.to(device or ("cuda" if torch.cuda.is_available() else "cpu")).eval()
        self._tokenizer: PreTrainedTokenizerBase = tokenizer
        self._batch_size = batch_size
        title = os.path.basename(os.path.abspath(path)) if os.path.isdir(path) else path
        self.name = f"local:{title}@{_digest(self._model, tokenizer)[:12]}"

    def ask(self, conversations: Sequence[Messages]) -> Iterator[tuple[int, str, str]]:
        """
        Asks about every conversation.

        Args:
            conversations (`Sequence[list[dict]]`): Messages with `role` and `content`.

        Yields:
            `tuple[int, str, str]`: Index of a conversation, the reply, and the judge's name, a batch at a time.
        """
        # Of like length together, so that little is padded; the longest first, so that memory runs out soon or never.
        order = sorted(
            range(len(conversations)),
            key=lambda index: -sum(len(message["content"]) for message in conversations[index]),
        )
        for start in range(0, len(order), self._batch_size):
            batch = order[start : start + self._batch_size]
            inputs: Any = self._tokenizer.apply_chat_template(
                [conversations[index] for index in batch],
                add_generation_prompt=True,
                tokenize=True,
                return_dict=True,
                return_tensors="pt",
                padding=True,
                enable_thinking=False,  # templates of models that think before they reply ask for it
            )
            generated = self._model.generate(**inputs.to(self._model.device))  # type: ignore[operator]
            replies = self._tokenizer.batch_decode(
                generated[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True
            )
            for index, reply in zip(batch, replies, strict=True):
                yield index, reply.strip(), self.name


def _digest(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> str:
    """SHA-256 of the config, the chat template, and of the first values of every parameter."""
    config = json.loads(model.config.to_json_string())
    config.pop("transformers_version", None)
    digest = hashlib.sha256(json.dumps([config, tokenizer.chat_template], sort_keys=True).encode())
    for name, parameter in model.named_parameters():
        # A training run changes them all, so that a few of each tell two models of the same config apart.
        values = parameter.detach().reshape(-1)[:16].float().cpu()
        digest.update(name.encode() + values.numpy().tobytes())
    return digest.hexdigest()
