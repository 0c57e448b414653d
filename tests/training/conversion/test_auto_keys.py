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
"""Keys of models of transformers: every kind of checkpoint loads back equal, and what does not fit is named."""

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    CLIPConfig,
    CLIPModel,
    Dinov2Config,
    Dinov2Model,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    MixtralConfig,
    PhiConfig,
    Qwen2Config,
)

from ftfv import FTFVForConditionalGeneration, FTFVVisionModel
from ftfv.training.conversion.convert import convert_pair
from tests.tiny import build_config, randomize
from tests.training.conversion.originals import WORDS, build_word_tokenizer, save_clip, save_language_model


COMMON = {"vocab_size": len(WORDS), "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
LANGUAGE_CONFIGS = {
    "llama": LlamaConfig(**COMMON, intermediate_size=40),
    "qwen2": Qwen2Config(**COMMON, num_key_value_heads=2, intermediate_size=40),
    "tied": Qwen2Config(**COMMON, num_key_value_heads=2, intermediate_size=40, tie_word_embeddings=True),
    "gpt2": GPT2Config(
        vocab_size=len(WORDS), n_embd=32, n_layer=2, n_head=4, n_positions=64, tie_word_embeddings=False
    ),
    "gpt_neox": GPTNeoXConfig(**COMMON, intermediate_size=40),
    "mixtral": MixtralConfig(**COMMON, num_key_value_heads=2, intermediate_size=40, num_local_experts=2),
}


def save_language(folder, config):
    model = AutoModelForCausalLM.from_config(config)
    randomize(model)
    model.save_pretrained(folder)
    build_word_tokenizer(pad_token="<unk>").save_pretrained(folder)
    return folder


def convert(vision, language, output):
    convert_pair(vision, language, output, num_query_tokens=16, num_attention_heads=4)
    model, info = FTFVForConditionalGeneration.from_pretrained(output, output_loading_info=True)
    assert not any(info.values()), info
    return model.eval()


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return save_clip(tmp_path_factory.mktemp("clip"))


@pytest.mark.parametrize("name", LANGUAGE_CONFIGS)
def test_a_language_model_computes_what_it_did(name, clip, tmp_path):
    language = save_language(tmp_path / "language", LANGUAGE_CONFIGS[name])
    model = convert(clip, language, tmp_path / "out")
    original = AutoModelForCausalLM.from_pretrained(language).eval()
    input_ids = torch.tensor([[1, 3, 5, 6, 7, 8, 2]])
    logits, expected = model(input_ids=input_ids).logits, original(input_ids=input_ids).logits
    assert expected.std() > 0.1
    torch.testing.assert_close(logits[..., : len(WORDS)], expected, atol=1e-6, rtol=0)


def test_keys_without_the_prefix_of_the_base_model_are_understood(clip, tmp_path):
    """GPT-2 as OpenAI saved it, with masks that are computed today."""
    language = save_language(tmp_path / "language", LANGUAGE_CONFIGS["gpt2"])
    path = language / "model.safetensors"
    weights = {key.removeprefix("transformer."): tensor for key, tensor in load_file(path).items()}
    weights["h.0.attn.bias"] = torch.ones(1, 1, 64, 64)
    save_file(weights, path, metadata={"format": "pt"})
    assert torch.equal(
        convert(clip, language, tmp_path / "out").model.language_model.wte.weight[: len(WORDS)], weights["wte.weight"]
    )


def test_the_vision_tower_of_clip_is_taken_from_the_whole(tmp_path):
    sizes = {"hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 1, "num_attention_heads": 3}
    config = CLIPConfig(
        vision_config={**sizes, "image_size": 42, "patch_size": 7}, text_config={**sizes, "vocab_size": 9}
    )
    original = CLIPModel(config)
    folder = save_clip(tmp_path / "clip")
    (folder / "model.safetensors").unlink()
    original.save_pretrained(folder)
    weights = load_file(folder / "model.safetensors")
    weights["vision_model.embeddings.position_ids"] = torch.arange(37)[None]  # as older releases saved it
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    tower = convert(folder, save_language_model(tmp_path / "language"), tmp_path / "out").model.vision_tower
    for name, tensor in original.vision_model.state_dict().items():
        assert torch.equal(tower.state_dict()[name], tensor)


@pytest.mark.parametrize("kind", ["dinov2", "ftfv"])
def test_other_towers(kind, tmp_path):
    if kind == "dinov2":
        original = Dinov2Model(
            Dinov2Config(
                hidden_size=24, mlp_ratio=2, num_hidden_layers=1, num_attention_heads=3, image_size=42, patch_size=7
            )
        )
    else:
        original = FTFVVisionModel(build_config().vision_config)
    randomize(original)
    folder = tmp_path / "vision"
    original.save_pretrained(folder)
    if kind == "dinov2":
        (folder / "preprocessor_config.json").write_text('{"image_mean": [0.4, 0.4, 0.4], "image_std": [1, 1, 1]}')
    tower = convert(folder, save_language_model(tmp_path / "language"), tmp_path / "out").model.vision_tower
    for name, tensor in AutoModel.from_pretrained(folder).state_dict().items():
        assert torch.equal(tower.state_dict()[name], tensor)


def change(folder, key, tensor=None):
    weights = load_file(folder / "model.safetensors")
    weights.pop(key, None)
    if tensor is not None:
        weights[key] = tensor
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize(
    ("key", "tensor", "message"),
    [
        ("model.norm.weight", None, "language' lacks 'model.norm.weight', which a Llama"),
        ("lm_head.weight", None, "language' lacks 'lm_head.weight'"),
        (
            "model.layers.7.mlp.up_proj.weight",
            torch.ones(1),
            "holds 'model.layers.7.mlp.up_proj.weight', which a",
        ),
        (
            "model.norm.weight",
            torch.ones(3),
            r"'model.norm.weight' in .* has shape \(3,\); expected \(128,\)",
        ),
        ("lm_head.weight", torch.ones(8, 128), r"'lm_head.weight' in .* has shape \(8, 128\); expected \(9, 128\)"),
    ],
)
def test_a_key_of_the_language_model_that_does_not_fit_is_named(key, tensor, message, clip, tmp_path):
    language = save_language_model(tmp_path / "language")
    change(language, key, tensor)
    with pytest.raises(ValueError, match=message):
        convert(clip, language, tmp_path / "out")
    assert not list(tmp_path.glob("out*"))


@pytest.mark.parametrize(
    ("key", "tensor", "message"),
    [
        ("post_layernorm.bias", None, "lacks 'post_layernorm.bias', which a CLIPVisionModel has"),
        ("head.weight", torch.ones(1), "holds 'head.weight', which a CLIPVisionModel does not have. Save the model"),
        ("post_layernorm.bias", torch.ones(5), r"has shape \(5,\); expected \(24,\) in a CLIPVisionModel"),
    ],
)
def test_a_key_of_the_vision_model_that_does_not_fit_is_named(key, tensor, message, tmp_path):
    folder = save_clip(tmp_path / "vision")
    stored = next(name for name in (key, f"vision_model.{key}") if tensor is not None or name in
                  load_file(folder / "model.safetensors"))  # fmt: skip
    change(folder, stored, tensor)
    with pytest.raises(ValueError, match=message):
        convert(folder, save_language_model(tmp_path / "language"), tmp_path / "out")


def test_rotary_frequencies_of_old_checkpoints_are_left_out(clip, tmp_path):
    language = save_language_model(tmp_path / "language")
    change(language, "model.layers.0.self_attn.rotary_emb.inv_freq", torch.ones(16))
    convert(clip, language, tmp_path / "out")


def test_an_output_matrix_with_bias_is_refused(clip, tmp_path):
    language = save_language(tmp_path / "language", PhiConfig(**COMMON, intermediate_size=40))
    with pytest.raises(ValueError, match="holds 'lm_head.bias', for which FTFV has no place"):
        convert(clip, language, tmp_path / "out")


def test_a_vision_model_without_square_patches_is_refused(clip, tmp_path):
    (tmp_path / "vision").mkdir()
    (tmp_path / "vision" / "config.json").write_text('{"model_type": "resnet"}')
    with pytest.raises(ValueError, match="`hidden_size` of the 'resnet' model in .* is None; expected a number"):
        convert(tmp_path / "vision", save_language_model(tmp_path / "language"), tmp_path / "out")


def test_a_shared_matrix_of_another_name_is_refused(clip, tmp_path):
    language = save_language(tmp_path / "language", GPT2Config(vocab_size=len(WORDS), n_embd=32, n_layer=1, n_head=4))
    with pytest.raises(ValueError, match="'gpt2' language model shares its embedding with its output matrix under"):
        convert(clip, language, tmp_path / "out")


def test_a_vision_model_of_unknown_normalisation_is_refused(tmp_path):
    folder, language = save_clip(tmp_path / "vision"), save_language_model(tmp_path / "language")
    (folder / "preprocessor_config.json").write_text('{"image_mean": [0.5, 0.5, 0.5]}')
    with pytest.raises(ValueError, match="preprocessor_config.json' has no `image_std`; write the one"):
        convert(folder, language, tmp_path / "out")
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(FileNotFoundError, match="No preprocessor_config.json in .*vision'; expected it with"):
        convert(folder, language, tmp_path / "out")


def test_a_tokenizer_that_cannot_be_read_says_what_may_be_missing(clip, tmp_path):
    language = save_language_model(tmp_path / "language")
    (language / "tokenizer.json").write_text("{")
    with pytest.raises(ValueError, match="tokenizer in .*language' cannot be read: .*`pip install sentencepiece"):
        convert(clip, language, tmp_path / "out")
