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
"""Keeps control and media tokens that somebody typed into a chat from becoming more than the text they are."""

import re
from functools import lru_cache
from typing import Any

from transformers import AddedToken, PreTrainedTokenizerBase
from transformers.convert_slow_tokenizer import normalizers


# A private-use character, written into a typed token: neither the tokenizer nor the search for placeholders finds the
# token then. The tokenizer's normalizer, which runs after added tokens were found, drops it again.
BREAK = "\U000f0002"

# The template writes a placeholder for these blocks; what they hold is opened, not written.
MEDIA_BLOCKS = ("image", "image_url", "video", "audio")
# What a template looks at to choose what to write.
STRUCTURE = ("role", "type")


def protect_control_tokens(
    tokenizer: PreTrainedTokenizerBase, chat_template: str, media_tokens: tuple[str, ...]
) -> tuple[str, ...]:
    """
    Prepares a tokenizer for what [`keep_as_text`] returns: it drops `BREAK`, and finds control tokens in the text as
    it is given rather than as normalized. Text without `BREAK` is tokenized as before.

    Args:
        tokenizer (`PreTrainedTokenizerBase`): changed in place.
        chat_template (`str`): the template that is going to be rendered.
        media_tokens (`tuple[str, ...]`): the placeholders of images and videos.

    Returns:
        `tuple[str, ...]`: the control tokens: every special token, the media tokens, and added tokens that the
        template writes. White space and single characters are not among them.

    Raises:
        ValueError: the tokenizer is not one of the library `tokenizers`.
    """
    if getattr(tokenizer, "backend", None) != "tokenizers":
        raise ValueError(
            f"The tokenizer is a {type(tokenizer).__name__}; expected one of the library `tokenizers`, such as "
            "`AutoTokenizer` gives for a folder with a tokenizer.json."
        )
    backend = tokenizer.backend_tokenizer
    if backend.normalizer is None:
        backend.normalizer = normalizers.Replace(BREAK, "")
    elif BREAK in backend.normalizer.normalize_str(BREAK):
        backend.normalizer = normalizers.Sequence([normalizers.Replace(BREAK, ""), backend.normalizer])

    control_tokens = [
        token
        for token in tokenizer.added_tokens_decoder.values()
        if (token.special or token.content in media_tokens or token.content in chat_template)
        and len(token.content.strip()) > 1
    ]
    tokenizer.add_tokens(
        [
            AddedToken(
                token.content,
                single_word=token.single_word,
                lstrip=token.lstrip,
                rstrip=token.rstrip,
                normalized=False,
                special=token.special,
            )
            for token in control_tokens
            if token.normalized
        ]
    )
    return tuple(token.content for token in control_tokens)


def keep_as_text(value: Any, tokenizer: PreTrainedTokenizerBase, control_tokens: tuple[str, ...]) -> Any:
    """
    Breaks the control tokens in every string of a chat, except roles, types and what media blocks hold. A string
    that ends with the beginning of a control token is closed, so that the next one cannot complete it.

    Args:
        value (`Any`): a chat, several, or any part of one; not changed.
        tokenizer (`PreTrainedTokenizerBase`): prepared by [`protect_control_tokens`].
        control_tokens (`tuple[str, ...]`): what [`protect_control_tokens`] returned.

    Raises:
        ValueError: the tokenizer makes a control token out of plain text.
    """
    if isinstance(value, str):
        return _break_tokens(value, tokenizer, control_tokens)
    if isinstance(value, dict):
        if value.get("type") in MEDIA_BLOCKS:
            return value
        return {
            key: item if key in STRUCTURE else keep_as_text(item, tokenizer, control_tokens)
            for key, item in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [keep_as_text(item, tokenizer, control_tokens) for item in value]
    return value


def _break_tokens(text: str, tokenizer: PreTrainedTokenizerBase, control_tokens: tuple[str, ...]) -> str:
    starts, beginnings = _patterns(control_tokens)

    def broken(match: re.Match) -> str:
        token = match[1]
        as_text = tokenizer.encode(token[0] + BREAK + token[1:], add_special_tokens=False)
        if token != tokenizer.unk_token and tokenizer.convert_tokens_to_ids(token) in as_text:
            raise ValueError(
                f"{token!r} was typed into a chat, and the tokenizer makes the control token of that name out of "
                "plain text too; expected a tokenizer that does not. Remove it from the text."
            )
        return match[0] + BREAK

    text = starts.sub(broken, text)
    return text + BREAK if text.endswith(beginnings) else text


@lru_cache
def _patterns(control_tokens: tuple[str, ...]) -> tuple[re.Pattern, tuple[str, ...]]:
    """A pattern for every character at which a control token starts, and all that a control token may begin with."""
    longest_first = sorted(control_tokens, key=len, reverse=True)
    starts = re.compile(f"(?=({'|'.join(map(re.escape, longest_first)) or '(?!)'})).", re.DOTALL)
    return starts, tuple({token[:length] for token in control_tokens for length in range(1, len(token))})
