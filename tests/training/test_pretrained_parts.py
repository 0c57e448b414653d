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
import json

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM

from ftfv.modeling_ftfv.modeling_ftfv import FTFVVisionModel
from ftfv.training import pretrained_parts
from ftfv.training.data.moving_shapes import build_tokenizer, draw_story
from ftfv.training.data.moving_shapes.scenes import COLOURS, SHAPES, draw_picture
from ftfv.training.pretrained_parts import (
    CENTRE_SCALE,
    IGNORE_INDEX,
    PretrainingArguments,
    build_language_config,
    encode_stories,
    label_patches,
    main,
    pretrain_language,
    pretrain_vision,
)


ARGUMENTS = PretrainingArguments(steps=4, batch_size=3, learning_rate=1e-3, adam_beta2=0.95)
PARTS = {
    "vision_tower": (pretrain_vision, FTFVVisionModel),
    "language_model": (pretrain_language, AutoModelForCausalLM),
}


@pytest.fixture(autouse=True)
def small_evaluation(monkeypatch):
    monkeypatch.setattr(pretrained_parts, "EVALUATION_PICTURES", 8)
    monkeypatch.setattr(pretrained_parts, "EVALUATION_STORIES_PER_SKILL", 4)


@pytest.mark.parametrize("part", PARTS)
def test_a_part_is_saved_and_a_stopped_run_ends_in_the_same_weights(part, tmp_path, monkeypatch):
    pretrain, model_class = PARTS[part]
    figures = pretrain(tmp_path / "whole", ARGUMENTS, save_steps=2)
    whole = model_class.from_pretrained(tmp_path / "whole" / part).state_dict()
    assert not list((tmp_path / "whole").glob("*.checkpoint.pt"))
    assert json.loads((tmp_path / "whole" / part / "pretraining.json").read_text())["figures"] == figures

    save_checkpoint = pretrained_parts._save_checkpoint

    def save_and_stop(*args):
        save_checkpoint(*args)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(pretrained_parts, "_save_checkpoint", save_and_stop)
        with pytest.raises(KeyboardInterrupt):
            pretrain(tmp_path / "stopped", ARGUMENTS, save_steps=2)
    with pytest.raises(ValueError, match="seed=0, not seed=1"):
        pretrain(tmp_path / "stopped", PretrainingArguments(4, 3, 1e-3, 0.95, seed=1))
    assert not (tmp_path / "stopped" / part).exists()
    assert pretrain(tmp_path / "stopped", ARGUMENTS, save_steps=2) == figures
    resumed = model_class.from_pretrained(tmp_path / "stopped" / part).state_dict()
    assert resumed.keys() == whole.keys()
    assert all(torch.equal(resumed[name], whole[name]) for name in whole)


def test_a_finished_part_is_not_trained_again(tmp_path, monkeypatch):
    figures = pretrain_vision(tmp_path, ARGUMENTS)
    monkeypatch.setattr(pretrained_parts, "_evaluate", None)
    assert pretrain_vision(tmp_path, ARGUMENTS) == figures
    with pytest.raises(ValueError, match="steps=4, not steps=5"):
        pretrain_vision(tmp_path, PretrainingArguments(5, 3, 1e-3, 0.95))


def test_the_command_line_makes_a_tokenizer_beside_the_language_model(tmp_path):
    main(["language", "--output", str(tmp_path), "--steps", "1", "--batch-size", "1"])
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "tokenizer")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "language_model")
    assert len(tokenizer) == model.config.vocab_size
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id


def test_words_of_a_position_stand_together_and_only_answers_have_labels():
    tokenizer = build_tokenizer()
    rng = np.random.default_rng(0)
    stories = [draw_story(rng, clip_share=share) for share in (0.0, 1.0, 0.0)]
    input_ids, labels = encode_stories(stories, tokenizer)
    assert input_ids.shape == (*labels.shape, 4)
    for story, row, row_labels in zip(stories, input_ids, labels, strict=True):
        words = [tokenizer.decode(position[position != tokenizer.pad_token_id]) for position in row]
        assert words[:3] == ["<s>", "user", ":"]
        end = 3 + len(story.scene)
        assert tuple(words[3:end]) == story.scene
        turns = "user : ".join(f"{question.text} assistant : {question.answer}</s>" for question in story.questions)
        expected = tokenizer(turns, add_special_tokens=False).input_ids
        assert row[end : end + len(expected), 0].tolist() == expected
        assert (row[end:, 1:] == tokenizer.pad_token_id).all()
        assert (row[end + len(expected) :] == tokenizer.pad_token_id).all()
        is_answer = row_labels != IGNORE_INDEX
        assert torch.equal(row_labels[is_answer], row[is_answer, 0])
        answers = " ".join(f"{question.answer}</s>" for question in story.questions)
        assert row_labels[is_answer].tolist() == tokenizer(answers, add_special_tokens=False).input_ids


def test_the_model_reads_the_sum_of_the_words_of_a_position():
    model = LlamaForCausalLM(build_language_config(build_tokenizer())).eval()
    input_ids = torch.tensor([[[1, 0], [7, 8], [9, 0]]])
    embeds = model.get_input_embeddings().weight[[1, 7, 9]].clone()
    embeds[1] += model.get_input_embeddings().weight[8]
    expected = model(inputs_embeds=embeds[None]).logits[:, :-1]
    torch.testing.assert_close(pretrained_parts._next_token_logits(model, input_ids), expected)


def test_patches_are_labelled_by_the_shape_that_covers_them():
    scene = draw_picture(np.random.default_rng(0), 2)
    colours, shapes, centres = label_patches(scene, 14)
    for shape in scene.shapes:
        patch = int(shape.y[0] // 14) * 6 + int(shape.x[0] // 14)
        assert list(COLOURS)[colours[patch] - 1] == shape.colour
        assert SHAPES[shapes[patch] - 1] == shape.shape
        np.testing.assert_allclose(centres[patch] * CENTRE_SCALE + 42, [shape.x[0], shape.y[0]], atol=1e-3)
    assert ((colours == 0) == (shapes == 0)).all() and (colours == 0).any()


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="`steps` is 0"):
        PretrainingArguments(steps=0, batch_size=1, learning_rate=1e-3, adam_beta2=0.95)


def test_the_learning_rate_warms_up_and_falls():
    arguments = PretrainingArguments(steps=100, batch_size=1, learning_rate=1.0, adam_beta2=0.95)
    rates = [arguments.learning_rate_at(step) for step in range(100)]
    assert rates[0] == pytest.approx(0.25, rel=0.01)
    assert max(rates) == rates[3] > 0.99
    assert rates[-1] == pytest.approx(0.03)
