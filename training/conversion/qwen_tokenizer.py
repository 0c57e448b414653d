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
"""Qwen's tiktoken vocabulary as a fast tokenizer."""

import base64
import binascii
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import BPE
from transformers import PreTrainedTokenizerFast
from transformers.convert_slow_tokenizer import bytes_to_unicode
from transformers.models.qwen2.tokenization_qwen2 import PRETOKENIZE_REGEX


CONTROL_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", *(f"<|extra_{index}|>" for index in range(205)))
# Part of what Qwen-VL answers, so `decode(skip_special_tokens=True)` has to keep them.
GROUNDING_TOKENS = ("<ref>", "</ref>", "<box>", "</box>", "<quad>", "</quad>")
IMAGE_TOKENS = ("<img>", "</img>", "<imgpad>")
# Takes the first free id. The embedding matrix of Qwen-VL has 76 rows more than its vocabulary, so it need not grow.
VIDEO_TOKEN = "<video>"


def convert_qwen_tokenizer(folder: str | Path) -> PreTrainedTokenizerFast:
    """
    Builds the tokenizer of Qwen-VL or Qwen-VL-Chat. It gives the ids of the original `QWenTokenizer`, which is built
    on the package tiktoken; `<imgpad>` is its image token and `<video>`, which the original does not have, its video
    token.

    Args:
        folder (`str` or `Path`): holds `qwen.tiktoken`, the bytes of a token and its rank on each line.

    Raises:
        FileNotFoundError: there is no `qwen.tiktoken`.
        ValueError: a line is malformed, a rank or a byte is missing, or no merge of earlier tokens makes a token.
    """
    path = Path(folder) / "qwen.tiktoken"
    ranks = read_ranks(path)
    spell = bytes_to_unicode()

    def spelled(token: bytes) -> str:
        return "".join(spell[byte] for byte in token)

    merges = []
    for token, rank in ranks.items():
        if len(token) > 1:
            parts = _split_by_rank(token, ranks)
            if len(parts) != 2:
                raise ValueError(
                    f"{path}: no merge makes token {token!r} of rank {rank}; tokens of lower rank split it into "
                    f"{parts}, expected two parts. The file is damaged; download it again."
                )
            merges.append((spelled(parts[0]), spelled(parts[1])))
    vocabulary = {spelled(token): rank for token, rank in ranks.items()}
    backend = Tokenizer(BPE(vocabulary, merges, ignore_merges=True))
    backend.normalizer = normalizers.NFC()
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PRETOKENIZE_REGEX), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    backend.decoder = decoders.ByteLevel()
    backend.post_processor = processors.ByteLevel(trim_offsets=False)
    backend.add_tokens(
        [
            AddedToken(token, normalized=False, special=token not in GROUNDING_TOKENS)
            for token in (*CONTROL_TOKENS, *GROUNDING_TOKENS, *IMAGE_TOKENS, VIDEO_TOKEN)
        ]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        eos_token="<|endoftext|>",
        pad_token="<|endoftext|>",
        extra_special_tokens={"image_token": "<imgpad>", "video_token": VIDEO_TOKEN},
        clean_up_tokenization_spaces=False,
        padding_side="left",
        model_max_length=8192,
    )


def read_ranks(path: str | Path) -> dict[bytes, int]:
    """
    Reads a tiktoken vocabulary.

    Returns:
        `dict[bytes, int]`: rank of each token, in the order of the ranks, which run from 0 without a gap.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a line is malformed, or a rank or one of the 256 single bytes is missing.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"No tokenizer at {str(path)!r}; expected the file of that name of the Qwen-VL repository."
        )
    ranks: dict[bytes, int] = {}
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        try:
            encoded, rank = line.split()
            token = base64.b64decode(encoded, validate=True)
            in_order = int(rank) == len(ranks)
        except (ValueError, binascii.Error):
            raise ValueError(
                f"{path}, line {number}: {line[:80]!r} is malformed; expected a token in base64, a space and its rank."
            ) from None
        if not in_order or not token or token in ranks:
            raise ValueError(
                f"{path}, line {number}: token {token!r} of rank {int(rank)} is out of order or there twice; expected "
                f"a new token of rank {len(ranks)}."
            )
        ranks[token] = len(ranks)
    missing = [byte for byte in range(256) if bytes([byte]) not in ranks]
    if missing:
        raise ValueError(f"{path}: byte {missing[0]} is no token; expected each of the 256 bytes to be one.")
    return ranks


def _split_by_rank(token: bytes, ranks: dict[bytes, int]) -> list[bytes]:
    """Parts of a token when only the merges that make tokens of lower rank are done, those of lowest rank first."""
    parts = [bytes([byte]) for byte in token]
    while len(parts) > 1:
        candidates = [ranks.get(left + right, len(ranks)) for left, right in zip(parts, parts[1:], strict=False)]
        lowest = min(candidates)
        if lowest >= ranks[token]:
            break
        place = candidates.index(lowest)
        parts[place : place + 2] = [parts[place] + parts[place + 1]]
    return parts
