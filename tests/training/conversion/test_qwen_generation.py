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
"""How Qwen-VL generates: the published settings, and where a chat turn ends."""

import pytest
import torch
from transformers import GenerationConfig, Qwen2Config, Qwen2ForCausalLM

from ftfv.training.conversion.qwen_generation import qwen_generation_config
from tests.tiny import build_qwen_tokenizer, build_tokenizer


@pytest.fixture(scope="module")
def tokenizer():
    return build_qwen_tokenizer()


@pytest.mark.parametrize(("chat", "top_p", "ends"), [(True, 0.3, [902, 901, 900]), (False, 0.5, [900])])
def test_the_published_settings(tokenizer, tmp_path, chat, top_p, ends):
    qwen_generation_config(chat, tokenizer).save_pretrained(tmp_path)
    config = GenerationConfig.from_pretrained(tmp_path)
    assert (config.do_sample, config.top_k, config.top_p, config.max_new_tokens) == (True, 0, top_p, 512)
    assert (config.eos_token_id, config.pad_token_id) == (ends, 900)


@pytest.mark.parametrize("token", ["<|im_end|>", "<|im_start|>", "<|endoftext|>"])
def test_a_chat_answer_ends_with_any_of_three_tokens(tokenizer, token):
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
    )
    model = Qwen2ForCausalLM(config).eval()
    # The same token whatever came before.
    torch.nn.init.zeros_(model.lm_head.weight)
    model.lm_head.bias = torch.nn.Parameter(torch.zeros(len(tokenizer)))
    model.lm_head.bias.data[tokenizer.convert_tokens_to_ids(token)] = 100.0
    prompt = torch.tensor([tokenizer.encode("Hello")])
    generated = model.generate(prompt, generation_config=qwen_generation_config(True, tokenizer))
    assert tokenizer.convert_ids_to_tokens(generated[0, prompt.shape[1] :].tolist()) == [token]


def test_a_tokenizer_that_is_not_qwens_is_refused():
    with pytest.raises(ValueError, match="does not know '<|im_end|>'; expected Qwen-VL's"):
        qwen_generation_config(True, build_tokenizer())
