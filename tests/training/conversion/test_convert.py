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
"""The three conversions: what they write loads as it stands, and what does not fit is refused by name."""

import json
import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, CLIPVisionModel, LlamaForCausalLM

from ftfv import FTFVConfig, FTFVForConditionalGeneration, FTFVProcessor
from ftfv.training.conversion import convert
from ftfv.training.conversion.convert import ConversionOptions
from ftfv.training.conversion.qwen_tokenizer import convert_qwen_tokenizer
from tests.tiny import ROOT
from tests.training.conversion.originals import (
    GOLDEN,
    WORDS,
    build_original_qwen_tokenizer,
    build_qwen_vl,
    build_word_tokenizer,
    save_checkpoint,
    save_clip,
    save_language_model,
)


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    folder = tmp_path_factory.mktemp("originals")
    config, weights = build_qwen_vl()
    save_checkpoint(folder / "qwen_vl", config, weights)
    save_language_model(folder / "language")
    save_clip(folder / "clip")
    return folder


@pytest.fixture(autouse=True)
def qwen_tokenizer(monkeypatch):
    monkeypatch.setattr(convert, "convert_qwen_tokenizer", build_original_qwen_tokenizer)


def load(folder):
    model, info = FTFVForConditionalGeneration.from_pretrained(folder, output_loading_info=True)
    assert not any(info.values()), info
    return model


def files_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_qwen_vl_whole(originals, tmp_path):
    config, weights = build_qwen_vl()
    settings = {"do_sample": True, "top_p": 0.3, "top_k": 0, "max_new_tokens": 512, "chat_format": "chatml"}
    folder = save_checkpoint(tmp_path / "chat", config, weights)
    (folder / "generation_config.json").write_text(json.dumps(settings))
    report = convert.convert_qwen_vl(folder, tmp_path / "out")
    model, processor = load(tmp_path / "out"), FTFVProcessor.from_pretrained(tmp_path / "out")
    state = model.state_dict()
    assert torch.equal(
        state["model.vision_tower.embeddings.patch_embedding.weight"], weights["transformer.visual.conv1.weight"]
    )
    assert torch.equal(state["model.multi_modal_projector.output_proj.weight"], weights["transformer.visual.proj"].T)
    assert torch.equal(
        state["model.multi_modal_projector.position_table"], weights["transformer.visual.attn_pool.pos_embed"]
    )
    assert torch.equal(state["lm_head.weight"], weights["lm_head.weight"])
    assert not state["model.temporal_encoding.weight"].any()
    assert (model.config.image_token_id, model.config.video_token_id) == (502, 503)
    assert model.config.text_config.model_type == "qwen2"
    assert model.config.text_config.max_position_embeddings == processor.tokenizer.model_max_length == 2048
    assert model.generation_config.eos_token_id == [5, 4, 3]
    assert (model.generation_config.top_p, model.generation_config.max_new_tokens) == (0.3, 512)
    assert processor.chat_template == convert.read_chat_template("chatml")
    assert processor.image_token == "<imgpad>"
    # every number of the original, and E
    assert report["num_parameters"] == sum(tensor.numel() for tensor in weights.values()) + 8 * 24
    assert report["bytes"] == 4 * report["num_parameters"]
    assert list(report["parts"]) == [
        *("vision_tower", "temporal_encoding", "multi_modal_projector", "language_model", "lm_head")
    ]


def test_qwen_vl_with_its_tokenizer_answers_a_chat(tmp_path, monkeypatch):
    monkeypatch.setattr(convert, "convert_qwen_tokenizer", convert_qwen_tokenizer)
    # 900 tokens of text, 208 control and 6 grounding tokens come before <img>
    config, weights = build_qwen_vl({"image_start_id": 1114}, {"vocab_size": 1216})
    folder = save_checkpoint(tmp_path / "original", config, weights)
    shutil.copy(GOLDEN / "tiny.tiktoken", folder / "qwen.tiktoken")
    convert.convert_qwen_vl(folder, tmp_path / "out")
    model, processor = load(tmp_path / "out"), FTFVProcessor.from_pretrained(tmp_path / "out")
    assert (model.config.image_token_id, model.config.video_token_id) == (1116, 1117)
    image = np.zeros((56, 56, 3), dtype=np.uint8)
    content = [{"type": "image", "image": image}, {"type": "text", "text": "What is it?"}]
    inputs = processor.apply_chat_template(
        [{"role": "user", "content": content}],
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
    )
    num_queries = model.config.adapter_config.num_query_tokens
    assert (inputs["input_ids"] == 1116).sum() == num_queries
    assert model.generate(**inputs, max_new_tokens=2, do_sample=False).shape[1] > inputs["input_ids"].shape[1]


def test_the_papers_start(originals, tmp_path):
    report = convert.convert_paper_start(originals / "qwen_vl", originals / "language", tmp_path / "out")
    model, processor = load(tmp_path / "out"), FTFVProcessor.from_pretrained(tmp_path / "out")
    language = LlamaForCausalLM.from_pretrained(originals / "language").state_dict()
    for name, tensor in model.model.language_model.state_dict().items():
        assert torch.equal(
            tensor[: len(WORDS)] if name == "embed_tokens.weight" else tensor, language[f"model.{name}"]
        )
    assert torch.equal(model.lm_head.weight[: len(WORDS)], language["lm_head.weight"])
    assert len(model.lm_head.weight) == report["vocabulary_size"] == model.config.text_config.vocab_size == 64
    assert (model.config.image_token_id, model.config.video_token_id) == (len(WORDS), len(WORDS) + 1)
    assert processor.tokenizer("what <video> ?")["input_ids"] == [6, len(WORDS) + 1, 8]
    assert processor.tokenizer.padding_side == "left"
    assert processor.tokenizer.model_max_length == 512
    assert processor.chat_template == convert.read_chat_template("vicuna")
    assert processor.video_processor.tokens_per_frame == model.config.tokens_per_frame == 8
    assert not model.model.temporal_encoding.weight.any()


def test_any_pair(originals, tmp_path):
    options = ConversionOptions(tokens_per_frame=4, num_frames=5)
    convert.convert_pair(
        originals / "clip",
        originals / "language",
        tmp_path / "out",
        options,
        num_query_tokens=9,
        num_attention_heads=4,
    )
    model, processor = load(tmp_path / "out"), FTFVProcessor.from_pretrained(tmp_path / "out")
    for name, tensor in CLIPVisionModel.from_pretrained(originals / "clip").state_dict().items():
        assert torch.equal(model.model.vision_tower.state_dict()[name], tensor)
    assert processor.image_processor.image_mean == processor.video_processor.image_mean == (0.5, 0.4, 0.3)
    assert processor.image_processor.size == {"height": 42, "width": 42}
    assert model.config.num_frames == processor.video_processor.max_num_frames == 5
    assert model.config.tokens_per_frame == processor.video_processor.tokens_per_frame == 4
    inputs = processor(text="what <image> ?", images=torch.zeros(3, 50, 60), return_tensors="pt")
    assert (inputs["input_ids"] == model.config.image_token_id).sum() == 9
    assert model(**inputs).logits.isfinite().all()


def test_the_new_adapter_is_drawn_as_qwen_vls_is_before_training(originals, tmp_path):
    convert.convert_pair(originals / "clip", originals / "language", tmp_path / "out", num_query_tokens=64)
    adapter = load(tmp_path / "out").model.multi_modal_projector
    width = 128
    for tensor, std in (
        (adapter.query_tokens, 0.02),
        (adapter.kv_proj.weight, 0.02),
        (adapter.attention.out_proj.weight, 0.02),
        (adapter.output_proj.weight, width**-0.5),
        # uniform within the bound has its width / sqrt(12)
        (adapter.attention.q_proj.weight, 2 * (6 / (4 * width)) ** 0.5 / 12**0.5),
    ):
        assert tensor.std().item() == pytest.approx(std, rel=0.05)
    assert adapter.attention.v_proj.weight.abs().max() <= (6 / (4 * width)) ** 0.5
    assert not adapter.attention.q_proj.bias.any()
    assert (adapter.query_norm.weight == 1).all()
    assert adapter.config.num_attention_heads == 1  # heads of 128


def test_an_end_of_text_and_padding_come_from_the_language_model(originals, tmp_path):
    folder = save_language_model(tmp_path / "language")
    (folder / "generation_config.json").write_text('{"temperature": 0.9, "top_p": 0.6, "eos_token_id": 2}')
    convert.convert_paper_start(originals / "qwen_vl", folder, tmp_path / "out")
    generation_config = load(tmp_path / "out").generation_config
    assert (generation_config.eos_token_id, generation_config.pad_token_id) == (2, 0)
    assert not generation_config.do_sample
    assert generation_config.temperature is None


def test_a_tokenizer_without_padding_gets_a_token_of_its_own(originals, tmp_path):
    folder = save_language_model(tmp_path / "language")
    build_word_tokenizer().save_pretrained(folder)
    convert.convert_paper_start(originals / "qwen_vl", folder, tmp_path / "out")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert (tokenizer.pad_token, tokenizer.pad_token_id) == ("<pad>", len(WORDS) + 2)


def test_rows_to_spare_are_used_before_the_matrices_grow(originals, tmp_path):
    folder = save_language_model(tmp_path / "language", vocab_size=20)
    report = convert.convert_paper_start(originals / "qwen_vl", folder, tmp_path / "out")
    assert report["vocabulary_size"] == 20
    language = LlamaForCausalLM.from_pretrained(folder)
    assert torch.equal(load(tmp_path / "out").lm_head.weight, language.lm_head.weight)


def test_tied_embeddings_stay_tied(originals, tmp_path):
    folder = save_language_model(tmp_path / "language", tie_word_embeddings=True)
    report = convert.convert_pair(originals / "clip", folder, tmp_path / "out")
    model = load(tmp_path / "out")
    assert model.lm_head.weight is model.model.language_model.embed_tokens.weight
    assert "lm_head" not in report["parts"]


def test_two_forms_of_the_same_weights_give_the_same_bytes(tmp_path):
    config, weights = build_qwen_vl()
    outputs = []
    for form, num_shards in (("bin", 3), ("bin", 1), ("safetensors", 3), ("safetensors", 1)):
        name = f"{form}{num_shards}"
        folder = save_checkpoint(tmp_path / name, config, weights, form, num_shards)
        convert.convert_qwen_vl(folder, tmp_path / f"{name}_out")
        outputs.append(load(tmp_path / f"{name}_out").state_dict())
    for other in outputs[1:]:
        assert all(torch.equal(tensor, other[name]) for name, tensor in outputs[0].items())
    again = convert.convert_qwen_vl(tmp_path / "bin3", tmp_path / "again")
    assert again["files"] == ["model.safetensors"]
    assert files_of(tmp_path / "again") == files_of(tmp_path / "bin3_out")


KILLED = """
import os, signal, sys
from pathlib import Path
from ftfv.training.conversion import convert, shards
written, write = [], shards._write_shard
def kill_at_the_third(path, shard, update):
    written.append(path)
    if len(written) == 3:
        def die(count):
            os.kill(os.getpid(), signal.SIGKILL)
        write(path, shard, die)
    write(path, shard, update)
shards._write_shard = kill_at_the_third
folder = Path(sys.argv[1])
convert.convert_paper_start(
    folder / "qwen_vl", folder / "language", sys.argv[2], convert.ConversionOptions(max_shard_size=200_000)
)
"""


def test_a_killed_conversion_continues_to_the_same_bytes(originals, tmp_path):
    options = ConversionOptions(max_shard_size=200_000)
    arguments = (originals / "qwen_vl", originals / "language")
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(originals), str(tmp_path / "out")],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    incomplete = tmp_path / "out.incomplete"
    assert not (tmp_path / "out").exists()
    complete = sorted(incomplete.glob("model-*.safetensors"))
    assert len(complete) == 2
    assert len(list(incomplete.glob("*.unfinished"))) == 1
    times = [path.stat().st_mtime_ns for path in complete]

    with pytest.raises(FileExistsError, match="holds an unfinished conversion of other inputs or with other options"):
        convert.convert_paper_start(*arguments, tmp_path / "out", ConversionOptions(max_shard_size=300_000))

    report = convert.convert_paper_start(*arguments, tmp_path / "out", options)
    assert not incomplete.exists()
    assert [(tmp_path / "out" / path.name).stat().st_mtime_ns for path in complete] == times
    assert len(report["files"]) > 3
    convert.convert_paper_start(*arguments, tmp_path / "straight", options)
    assert files_of(tmp_path / "out") == files_of(tmp_path / "straight")
    load(tmp_path / "out")


def test_an_output_that_exists_is_kept(originals, tmp_path):
    with pytest.raises(FileExistsError, match="exists; choose another output folder"):
        convert.convert_paper_start(originals / "qwen_vl", originals / "language", tmp_path)


def change(weights, key, tensor=None):
    return {**{k: v for k, v in weights.items() if k != key}, **({} if tensor is None else {key: tensor})}


PROJ = "transformer.visual.proj"
QKV = "transformer.visual.transformer.resblocks.1.attn.in_proj.weight"


@pytest.mark.parametrize(
    ("key", "tensor", "message"),
    [
        (PROJ, None, f"lacks '{PROJ}', from which 'model.multi_modal_projector.output_proj.weight' is made"),
        (QKV, None, f"lacks '{QKV}'"),
        ("transformer.h.1.mlp.w2.weight", None, "lacks 'transformer.h.1.mlp.w2.weight'"),
        ("transformer.visual.more", torch.ones(1), "holds 'transformer.visual.more', which Qwen-VL of this config"),
        ("transformer.h.9.ln_1.weight", torch.ones(128), "holds 'transformer.h.9.ln_1.weight'"),
        (PROJ, torch.ones(128, 127), r"proj' in .* has shape \(128, 127\), which does not give the \(128, 128\)"),
        (QKV, torch.ones(73, 24), r"in_proj.weight' in .* has shape \(73, 24\), which does not give the \(24, 24\)"),
        ("transformer.h.0.attn.c_attn.bias", torch.ones(383), r"c_attn.bias' in .* has shape \(383,\)"),
    ],
)
def test_a_key_missing_too_many_or_misshapen_is_named_before_anything_is_written(key, tensor, message, tmp_path):
    config, weights = build_qwen_vl()
    folder = save_checkpoint(tmp_path / "original", config, change(weights, key, tensor))
    with pytest.raises(ValueError, match=message):
        convert.convert_qwen_vl(folder, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["original"]


def test_rotary_frequencies_of_old_checkpoints_are_left_out(tmp_path, originals):
    config, weights = build_qwen_vl()
    weights["transformer.h.0.attn.rotary_emb.inv_freq"] = torch.ones(16)
    convert.convert_qwen_vl(save_checkpoint(tmp_path / "original", config, weights), tmp_path / "out")
    load(tmp_path / "out")


def test_an_original_that_is_not_qwen_vl_is_refused(originals, tmp_path):
    with pytest.raises(ValueError, match="has no `visual`; expected Qwen-VL or Qwen-VL-Chat"):
        convert.convert_qwen_vl(originals / "language", tmp_path / "out")


def test_another_image_token_than_the_originals_is_refused(tmp_path):
    config, weights = build_qwen_vl({"image_start_id": 400})
    with pytest.raises(ValueError, match="image token is 502; expected 402, <imgpad> of config.json"):
        convert.convert_qwen_vl(save_checkpoint(tmp_path / "original", config, weights), tmp_path / "out")


def test_a_language_model_of_another_width_is_refused(originals, tmp_path):
    language = save_language_model(tmp_path / "language", hidden_size=64)
    with pytest.raises(ValueError, match="qwen_vl' is 128 wide but the language model in .*language' is 64"):
        convert.convert_paper_start(originals / "qwen_vl", language, tmp_path / "out")
    with pytest.raises(ValueError, match="64 wide, which cannot be cut into heads of 128; choose .*--num-attention"):
        convert.convert_pair(originals / "clip", language, tmp_path / "out")


@pytest.mark.parametrize(
    ("language", "asked", "types", "whole"),
    [
        (torch.float16, None, ("bfloat16", "float16"), "float32"),
        (torch.bfloat16, None, ("bfloat16", "bfloat16"), "bfloat16"),
        (torch.float16, torch.bfloat16, ("bfloat16", "bfloat16"), "bfloat16"),
        (torch.float16, torch.float32, ("float32", "float32"), "float32"),
    ],
)
def test_each_part_keeps_its_type_unless_another_is_asked_for(language, asked, types, whole, tmp_path):
    config, weights = build_qwen_vl()
    weights = {key: tensor.bfloat16() for key, tensor in weights.items()}
    vision = save_checkpoint(tmp_path / "qwen_vl", config, weights)
    folder = save_language_model(tmp_path / "language")
    LlamaForCausalLM.from_pretrained(folder, dtype=language).save_pretrained(folder)
    report = convert.convert_paper_start(vision, folder, tmp_path / "out", ConversionOptions(dtype=asked))
    for part in ("vision_tower", "temporal_encoding", "multi_modal_projector"):
        assert report["parts"][part]["dtypes"] == [types[0]]
    assert report["parts"]["language_model"]["dtypes"] == report["parts"]["lm_head"]["dtypes"] == [types[1]]
    assert report["dtype"] == whole
    assert len(report["notes"]) == (types[0] != types[1])
    assert str(FTFVConfig.from_pretrained(tmp_path / "out").dtype) == f"torch.{whole}"
    proj = load(tmp_path / "out").model.multi_modal_projector.output_proj.weight
    assert torch.equal(proj.float(), weights["transformer.visual.proj"].T.float())


def test_bf16_does_not_become_fp16(originals, tmp_path):
    config, weights = build_qwen_vl()
    weights = {key: tensor.bfloat16() for key, tensor in weights.items()}
    vision = save_checkpoint(tmp_path / "qwen_vl", config, weights)
    with pytest.raises(ValueError, match="is bfloat16 and should become float16, which has a smaller range"):
        convert.convert_qwen_vl(vision, tmp_path / "out", ConversionOptions(dtype=torch.float16))


@pytest.mark.parametrize(
    ("setting", "value"), [("tokens_per_frame", 5), ("num_query_tokens", 4), ("sample_images", True)]
)
def test_a_config_and_a_processor_that_disagree_are_refused(setting, value, originals, tmp_path, monkeypatch):
    build_processor = convert.build_processor

    def build_another(*arguments, **options):
        processor = build_processor(*arguments, **options)
        setattr(processor.video_processor if setting == "tokens_per_frame" else processor, setting, value)
        return processor

    monkeypatch.setattr(convert, "build_processor", build_another)
    with pytest.raises(ValueError, match=f"`{setting}` is .* in config.json but {value} in processor_config.json"):
        convert.convert_paper_start(originals / "qwen_vl", originals / "language", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_where_the_originals_lay_is_not_saved(originals, tmp_path):
    convert.convert_pair(originals / "clip", originals / "language", tmp_path / "out")
    for path in (tmp_path / "out").glob("*.json"):
        assert str(originals) not in path.read_text(), path.name


def test_the_default_config_has_the_sizes_of_qwen_vl_and_vicuna():
    with torch.device("meta"):
        model = FTFVForConditionalGeneration(FTFVConfig())
    counts = {}
    for name, tensor in model.state_dict().items():
        part = name.removeprefix("model.").split(".")[0]
        counts[part] = counts.get(part, 0) + tensor.numel()
    assert counts["vision_tower"] + counts["multi_modal_projector"] == 1_935_610_624
    # Vicuna-7B's, and 64 rows in two matrices
    assert counts["language_model"] + counts["lm_head"] == 6_738_415_616 + 2 * 64 * 4096
    assert counts["temporal_encoding"] == 8 * 1664
