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
"""Joining a tower and a language model: both keep their weights, the adapter is new and looks at places."""

import pytest
import torch
from transformers import LlamaForCausalLM

from ftfv import FTFVVisionModel
from ftfv.training.conversion.pair import join, read_chat_template
from tests.tiny import build_config, build_tokenizer, randomize


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    folder, config = tmp_path_factory.mktemp("parts"), build_config()
    for name, model in (
        ("vision", FTFVVisionModel(config.vision_config)),
        ("language", LlamaForCausalLM(config.text_config)),
    ):
        randomize(model)
        model.save_pretrained(folder / name)
    return folder


def join_parts(parts, **overrides):
    options = {
        "chat_template": read_chat_template("plain"),
        "num_query_tokens": 16,
        "num_attention_heads": 4,
        "tokens_per_frame": 4,
        **overrides,
    }
    return join(parts / "vision", parts / "language", build_tokenizer(), **options)


def test_the_parts_keep_their_weights_and_e_is_zero(parts):
    model, processor = join_parts(parts)
    vision = FTFVVisionModel.from_pretrained(parts / "vision").state_dict()
    for name, tensor in model.model.vision_tower.state_dict().items():
        assert torch.equal(tensor, vision[name])
    language = LlamaForCausalLM.from_pretrained(parts / "language").state_dict()
    for name, tensor in model.model.language_model.state_dict().items():
        assert torch.equal(tensor, language[f"model.{name}"])
    assert torch.equal(model.lm_head.weight, language["lm_head.weight"])
    assert not model.model.temporal_encoding.weight.any()
    assert processor.num_query_tokens == model.config.adapter_config.num_query_tokens == 16
    assert processor.video_processor.tokens_per_frame == model.config.tokens_per_frame == 4


def test_the_folders_of_the_parts_are_not_saved(parts, tmp_path):
    join_parts(parts)[0].save_pretrained(tmp_path)
    assert str(parts) not in (tmp_path / "config.json").read_text()


def test_new_queries_attend_more_sharply_than_with_the_usual_initialisation(parts):
    model, _ = join_parts(parts)
    adapter = model.model.multi_modal_projector
    assert torch.equal(adapter.attention.q_proj.weight, adapter.attention.k_proj.weight)
    weight = adapter.attention.q_proj.weight
    torch.testing.assert_close(weight @ weight.T, 1.5**2 * torch.eye(len(weight)), atol=1e-5, rtol=0)


def test_the_seed_decides_the_adapter(parts):
    first, again, other = (join_parts(parts, seed=seed)[0].model.multi_modal_projector for seed in (0, 0, 1))
    assert torch.equal(first.query_tokens, again.query_tokens)
    assert not torch.equal(first.query_tokens, other.query_tokens)


def test_a_tokenizer_without_the_media_tokens_is_refused(parts):
    tokenizer = build_tokenizer()
    unknown = tokenizer.unk_token_id
    tokenizer.convert_tokens_to_ids = lambda token: unknown
    options = {"num_query_tokens": 16, "num_attention_heads": 4, "tokens_per_frame": 4}
    with pytest.raises(ValueError, match="does not know '<image>'; expected it as a special token"):
        join(parts / "vision", parts / "language", tokenizer, chat_template="", **options)
