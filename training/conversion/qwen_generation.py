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
"""How Qwen-VL and Qwen-VL-Chat generate."""

from transformers import GenerationConfig, PreTrainedTokenizerBase


def qwen_generation_config(chat: bool, tokenizer: PreTrainedTokenizerBase) -> GenerationConfig:
    """
    The generation settings published with Qwen-VL (`chat=False`) or Qwen-VL-Chat (`chat=True`).

    The original chat model goes on for one more token, `<|endoftext|>`, once `<|im_end|>` or `<|im_start|>` has come
    and cuts all of them off; here generation ends with the first of the three.

    Args:
        chat (`bool`): whether the checkpoint is Qwen-VL-Chat.
        tokenizer (`PreTrainedTokenizerBase`): see [`convert_qwen_tokenizer`].

    Raises:
        ValueError: the tokenizer does not know one of the tokens.
    """
    ends = ("<|im_end|>", "<|im_start|>", "<|endoftext|>") if chat else ("<|endoftext|>",)
    known = tokenizer.get_added_vocab()
    for token in ends:
        if token not in known:
            raise ValueError(
                f"The tokenizer does not know {token!r}; expected Qwen-VL's, which `convert_qwen_tokenizer` builds."
            )
    return GenerationConfig(
        do_sample=True,
        top_k=0,
        top_p=0.3 if chat else 0.5,
        max_new_tokens=512,
        eos_token_id=[known[token] for token in ends],
        pad_token_id=known["<|endoftext|>"],
    )
