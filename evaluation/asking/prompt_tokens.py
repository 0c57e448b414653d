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
"""Prompts as tokens, and the tokens that answers are made of."""

from collections.abc import Mapping
from typing import Any

from ...processing.processing_ftfv import FTFVProcessor


def render_prompt(
    processor: FTFVProcessor,
    text: str,
    response_prefix: str = "",
    system: str = "",
    block: Mapping[str, Any] | None = None,
) -> list[int]:
    """
    Ids of the tokens of a prompt.

    Args:
        processor (`FTFVProcessor`): The processor.
        text (`str`): Text of the user's turn.
        response_prefix (`str`, *optional*): What the assistant's turn is made to begin with.
        system (`str`, *optional*): System message.
        block (`Mapping[str, Any]`, *optional*): Content block of an image or a video; one placeholder stands for each
            frame of a video.
    """
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
        rendered = [render_prompt(self.processor, "", self.response_prefix + letter) for letter in letters]
        start = render_prompt(self.processor, "", self.response_prefix)
        ids = [tokens[len(start)] if tokens[: len(start)] == start else None for tokens in rendered if tokens != start]
        tokenizer = self.processor.tokenizer
        if len(ids) < len(letters) or None in ids:
            # Behind a bracket, tokenizers may write bracket and letter as one token, which a model that was given the
            # bracket cannot.
            ids = [tokenizer.convert_tokens_to_ids(letter) for letter in letters]
        if None in ids or tokenizer.unk_token_id in ids or len(set(ids)) < len(letters):
            return None
        return ids  # type: ignore[return-value]


def option_tokens(processor: FTFVProcessor, option: str) -> list[int] | None:
    """
    Ids of the tokens of an option where the turn of the assistant begins, without white space around it; None where
    nothing is left or the tokenizer does not know how to write it.
    """
    tokenizer, option = processor.tokenizer, option.strip()
    start = render_prompt(processor, "")
    rendered = render_prompt(processor, "", option) if option else start
    if rendered[: len(start)] == start:
        ids = rendered[len(start) :]
    else:
        # The tokenizer joins the end of the prompt with the option.
        ids = tokenizer(option, add_special_tokens=False)["input_ids"]
    return ids if ids and tokenizer.unk_token_id not in ids else None
