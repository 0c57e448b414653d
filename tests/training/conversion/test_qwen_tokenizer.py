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
"""Qwen's tokenizer: the ids of the original on a made-up vocabulary, and what damaged files are told."""

import json
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from ftfv.training.conversion.qwen_tokenizer import convert_qwen_tokenizer
from tests.tiny import ROOT


TIKTOKEN = ROOT / "tests/golden/tiny.tiktoken"
# Ids that tiktoken gave for the same vocabulary; `note` in the file says how.
GOLDEN = json.loads((ROOT / "tests/golden/tiny_tokenizer.json").read_text(encoding="utf-8"))
CASES = GOLDEN["cases"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("qwen")
    (folder / "qwen.tiktoken").write_bytes(TIKTOKEN.read_bytes())
    return folder


@pytest.fixture(scope="module")
def tokenizer(folder):
    return convert_qwen_tokenizer(folder)


def test_the_ids_are_those_of_the_original(tokenizer):
    assert len(CASES) == 191
    assert [case["text"] for case in CASES if tokenizer.encode(case["text"]) != case["ids"]] == []


def test_the_cases_see_a_tokenizer_without_nfc_or_with_another_pattern(folder):
    def differing(tokenizer) -> int:
        return sum(tokenizer.encode(case["text"]) != case["ids"] for case in CASES)

    without_nfc = convert_qwen_tokenizer(folder)
    without_nfc.backend_tokenizer.normalizer = None
    assert differing(without_nfc) > 0
    without_split = convert_qwen_tokenizer(folder)
    without_split.backend_tokenizer.pre_tokenizer = without_split.backend_tokenizer.pre_tokenizer[1]
    assert differing(without_split) > 0


def test_decoding_gives_the_text_back(tokenizer):
    normalize = tokenizer.backend_tokenizer.normalizer.normalize_str
    for case in CASES:
        assert tokenizer.decode(case["ids"]) == normalize(case["text"])


def test_the_added_tokens_follow_the_ranks_and_video_comes_last(tokenizer):
    start = GOLDEN["n_base"]
    added = sorted(tokenizer.get_added_vocab().items(), key=lambda item: item[1])
    expected = [*GOLDEN["special_tokens"], "<video>"]
    assert added == [(token, start + index) for index, token in enumerate(expected)]
    assert len(expected) == 218 and len(tokenizer) == start + 218
    assert (tokenizer.image_token, tokenizer.image_token_id) == ("<imgpad>", start + 216)
    assert (tokenizer.video_token, tokenizer.video_token_id) == ("<video>", start + 217)
    assert tokenizer.eos_token == tokenizer.pad_token == "<|endoftext|>" and tokenizer.bos_token is None
    assert tokenizer.padding_side == "left"


def test_grounding_tags_survive_skipping_the_special_tokens(tokenizer):
    ids = tokenizer.encode("<ref>a dog</ref><box>(1,2),(3,4)</box><|im_end|><|endoftext|>")
    assert tokenizer.decode(ids, skip_special_tokens=True) == "<ref>a dog</ref><box>(1,2),(3,4)</box>"


def test_a_saved_tokenizer_is_the_same(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    for case in CASES:
        assert loaded.encode(case["text"]) == case["ids"]
        assert loaded.decode(case["ids"]) == tokenizer.decode(case["ids"])
    for name in ("image_token_id", "video_token_id", "eos_token_id", "pad_token_id", "padding_side"):
        assert getattr(loaded, name) == getattr(tokenizer, name)
    assert loaded.bos_token is None and loaded.added_tokens_decoder == tokenizer.added_tokens_decoder


def test_windows_line_ends_change_nothing(tokenizer, tmp_path):
    (tmp_path / "qwen.tiktoken").write_bytes(TIKTOKEN.read_bytes().replace(b"\n", b"\r\n"))
    assert convert_qwen_tokenizer(tmp_path).get_vocab() == tokenizer.get_vocab()


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="No tokenizer at '.*qwen.tiktoken'; expected the file of that name"):
        convert_qwen_tokenizer(tmp_path)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"IQ==", "line 301: b'IQ==' is malformed; expected a token in base64, a space and its rank"),
        (b"I!== 300", "line 301: b'I!== 300' is malformed"),
        (b"IQ== three", "line 301: b'IQ== three' is malformed"),
        (b"IQ== 300 1", "line 301: b'IQ== 300 1' is malformed"),
        (b"", "line 301: b'' is malformed"),
        (
            b"AAAAAA== 7",
            "line 301: token .* of rank 7 is out of order or there twice; expected a new token of rank 300",
        ),
        (b"IQ== 300", "line 301: token b'!' of rank 300 is out of order or there twice"),
        # No two tokens of lower rank make these four bytes.
        (b"AAECAw== 300", r"no merge makes token b'\\x00\\x01\\x02\\x03' of rank 300; tokens of lower rank split it"),
    ],
)
def test_a_damaged_line_is_named(tmp_path, line, message):
    lines = TIKTOKEN.read_bytes().splitlines()
    lines[300] = line
    (tmp_path / "qwen.tiktoken").write_bytes(b"\n".join(lines))
    with pytest.raises(ValueError, match=message) as error:
        convert_qwen_tokenizer(tmp_path)
    assert "\n" not in str(error.value)


def test_a_missing_byte_is_named(tmp_path):
    (tmp_path / "qwen.tiktoken").write_bytes(b"\n".join(TIKTOKEN.read_bytes().splitlines()[:255]))
    with pytest.raises(ValueError, match="byte 173 is no token; expected each of the 256 bytes to be one"):
        convert_qwen_tokenizer(tmp_path)
