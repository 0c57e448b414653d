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
"""Tokens of prompts, letters and options."""

from ftfv.evaluation.asking.prompt_tokens import LetterTokens, option_tokens, render_prompt
from tests.tiny import build_llama_tokenizer, build_processor


def test_letters_that_the_tokenizer_does_not_know_have_no_log_probabilities(processor):
    assert LetterTokens(processor).ids("AB") is None
    assert LetterTokens(processor).ids("") is None


def test_a_prompt_is_that_of_the_chat_template(processor):
    chat = [
        {"role": "system", "content": [{"type": "text", "text": "answer briefly"}]},
        {"role": "user", "content": [{"type": "text", "text": "what moves ?"}]},
    ]
    expected = processor.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    ids = render_prompt(processor, "what moves ?", system="answer briefly")
    assert ids == processor.tokenizer(expected, add_special_tokens=False)["input_ids"]


def test_an_option_is_what_an_answer_of_these_words_adds_to_the_prompt(processor):
    ids = option_tokens(processor, "red circle")
    assert processor.tokenizer.convert_ids_to_tokens(ids) == ["red", "circle"]
    answer = render_prompt(processor, "what moves ?", "red circle")
    assert answer == [*render_prompt(processor, "what moves ?"), *ids]


def test_options_that_cannot_be_written(processor):
    assert option_tokens(processor, "") is None
    assert option_tokens(processor, "red xylophone") is None


def test_an_option_that_a_tokenizer_writes_with_a_space_before_it():
    tokenizer = build_llama_tokenizer()
    processor = build_processor(tokenizer=tokenizer)
    ids = option_tokens(processor, "B")
    assert ids is not None
    assert tokenizer.decode(ids).strip() == "B"
    assert option_tokens(processor, " B\n") == ids
