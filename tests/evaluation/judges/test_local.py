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
"""A judge on this machine: greedy, the same in batches as alone, and named after its weights."""

import re

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from ftfv.evaluation.judges.local import LocalJudge
from tests.tiny import WORDS, build_tokenizer, randomize


TEMPLATE = (
    "<s>{% for message in messages %}{{ message['role'] + ' : ' + message['content'] + ' ' }}{% endfor %}"
    "{% if add_generation_prompt %}assistant :{% endif %}"
)
CONVERSATIONS = [
    [{"role": "user", "content": content}]
    for content in (
        "what moves ?",
        "which way does the red circle move ?",
        "a square",
        "the blue shape moves right .",
        "?",
    )
]


def build_judge_folder(folder, seed=0, template=TEMPLATE, **generation):
    config = LlamaConfig(
        vocab_size=len(WORDS),
        hidden_size=32,
        intermediate_size=56,
        num_hidden_layers=2,
        num_attention_heads=4,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    model = LlamaForCausalLM(config)
    randomize(model, seed)
    model.generation_config.update(**generation)
    model.save_pretrained(folder)
    tokenizer = build_tokenizer()
    tokenizer.chat_template = template
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return build_judge_folder(tmp_path_factory.mktemp("judges") / "tiny-judge")


def replies(judge):
    return {index: reply for index, reply, _ in judge.ask(CONVERSATIONS)}


def test_replies_are_those_of_a_greedy_loop(folder):
    judge = LocalJudge(folder, device="cpu", max_tokens=6)
    model, tokenizer = LlamaForCausalLM.from_pretrained(folder), build_tokenizer()

    found = replies(judge)

    assert sorted(found) == list(range(len(CONVERSATIONS)))
    for index, [message] in enumerate(CONVERSATIONS):
        prompt = f"<s> user : {message['content']} assistant :"
        ids = tokenizer(prompt, return_tensors="pt", add_special_tokens=False)["input_ids"]
        start = ids.shape[1]
        while ids.shape[1] < start + 6 and ids[0, -1] != tokenizer.eos_token_id:
            with torch.no_grad():
                ids = torch.cat([ids, model(ids).logits[:, -1:].argmax(dim=-1)], dim=1)
        assert found[index] == tokenizer.decode(ids[0, start:], skip_special_tokens=True)
    assert len(set(found.values())) > 1


def test_a_batch_says_what_its_conversations_say_alone(folder):
    alone, pairs, together = (
        replies(LocalJudge(folder, "cpu", batch_size=size, max_tokens=12)) for size in (1, 2, 16)
    )

    assert alone == pairs == together
    assert len(set(alone.values())) > 1


def test_it_is_labelled_as_local_and_named_after_its_weights(folder, tmp_path):
    judge = LocalJudge(folder, device="cpu", max_tokens=1)

    assert re.fullmatch(r"local:tiny-judge@[0-9a-f]{12}", judge.name)
    assert {model for _, _, model in judge.ask(CONVERSATIONS)} == {judge.name}
    same = build_judge_folder(tmp_path / "same" / "tiny-judge")
    assert LocalJudge(same, "cpu").name == judge.name
    others = [
        LocalJudge(build_judge_folder(tmp_path / "seed" / "tiny-judge", seed=1), "cpu"),
        LocalJudge(build_judge_folder(tmp_path / "template" / "tiny-judge", template=TEMPLATE + " "), "cpu"),
        LocalJudge(folder, "cpu", torch.bfloat16),
    ]
    assert len({judge.name, *(other.name for other in others)}) == 4


def test_sampling_and_penalties_of_the_model_do_not_change_replies(folder, tmp_path):
    sampling = build_judge_folder(
        tmp_path / "sampling", do_sample=True, temperature=9.0, repetition_penalty=3.0, max_new_tokens=2
    )
    found, expected = (replies(LocalJudge(each, "cpu", max_tokens=12)) for each in (sampling, folder))
    assert found == expected


def test_a_model_that_is_not_here_is_not_downloaded(tmp_path):
    with pytest.raises(FileNotFoundError) as failure:
        LocalJudge("nobody/no-such-judge")
    assert str(failure.value) == (
        "No language model 'nobody/no-such-judge' on this machine; expected a model folder, or the id of a downloaded "
        "model: `hf download nobody/no-such-judge`."
    )


def test_a_model_without_a_chat_template_is_refused(tmp_path):
    folder = build_judge_folder(tmp_path / "base", template=None)
    with pytest.raises(ValueError, match=r"/base' has no chat template; expected an instruct model\.$"):
        LocalJudge(folder)


@pytest.mark.parametrize("option", ["batch_size", "max_tokens"])
def test_numbers_below_one_are_refused(option):
    with pytest.raises(ValueError, match=rf"^`{option}` is 0; expected at least 1\.$"):
        LocalJudge("anything", **{option: 0})
