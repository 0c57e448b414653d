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
"""What the libraries around transformers do with the model: docs/compatibility.md cites these tests."""

import copy
import importlib
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import cpu_offload, disk_offload
from safetensors import safe_open
from transformers import AutoModel, BitsAndBytesConfig, QuantoConfig, TorchAoConfig
from transformers.exporters import DynamoConfig, DynamoExporter, OnnxConfig, OnnxExporter
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.utils import is_flash_attn_2_available

from ftfv import FTFVForConditionalGeneration, FTFVModel, FTFVVisionModel
from tests.tiny import IMAGE_TOKEN_ID, NUM_QUERIES, build_config, build_model, random_pixels, video_prompt


def require(*packages: str) -> None:
    """Skips a test that needs a package which none of our dependencies brings."""
    for package in packages:
        name = package.replace(".", "-")
        pytest.importorskip(package, reason=f"{name} is not installed (pip install {name})")


def close(actual: torch.Tensor, expected: torch.Tensor, atol: float = 1e-5) -> None:
    torch.testing.assert_close(actual, expected, rtol=0, atol=atol)


def image_inputs() -> dict[str, torch.Tensor]:
    input_ids = torch.tensor([[1, *[IMAGE_TOKEN_ID] * NUM_QUERIES, 9, 10]])
    return {"input_ids": input_ids, "attention_mask": torch.ones_like(input_ids), "pixel_values": random_pixels(1)}


def video_inputs(num_tokens: int = 12) -> dict[str, torch.Tensor]:
    """Three frames, all real: without `video_frame_mask` no shape depends on data."""
    input_ids = torch.tensor([video_prompt(num_tokens)])
    return {
        "input_ids": input_ids,
        "attention_mask": torch.ones_like(input_ids),
        "pixel_values_videos": random_pixels(1, 3),
    }


def left_padded_inputs() -> dict[str, torch.Tensor]:
    """A long question and a short one about two ragged videos."""
    rows = [video_prompt(12, "which way does the red circle move ?"), video_prompt(8)]
    longest = max(map(len, rows))
    return {
        "input_ids": torch.tensor([[0] * (longest - len(row)) + row for row in rows]),
        "attention_mask": torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows]),
        "pixel_values_videos": random_pixels(2, 3),
        "video_frame_mask": torch.tensor([[1, 1, 1], [1, 1, 0]]),
        "tokens_per_frame": torch.tensor([4, 4]),
    }


# Attention


@torch.no_grad()
def test_every_attention_equals_eager():
    inputs = left_padded_inputs()
    real = inputs["attention_mask"].bool()
    expected = build_model(attn_implementation="eager")(**inputs).logits
    close(build_model(attn_implementation="sdpa")(**inputs).logits[real], expected[real])
    # Flex attention is meant to be compiled, which takes a C++ compiler; the arithmetic is the same without.
    with torch.compiler.set_stance("force_eager"):
        flex = build_model(attn_implementation="flex_attention")
        assert flex.model.multi_modal_projector.config._attn_implementation == "flex_attention"
        close(flex(**inputs).logits[real], expected[real])


@torch.no_grad()
def test_the_parts_may_attend_differently():
    inputs = video_inputs()
    model = build_model(attn_implementation={"": "sdpa", "vision_config": "eager", "adapter_config": "eager"})
    parts = (model.model.vision_tower, model.model.multi_modal_projector, model.model.language_model)
    assert [part.config._attn_implementation for part in parts] == ["eager", "eager", "sdpa"]
    close(model(**inputs).logits, build_model(attn_implementation="eager")(**inputs).logits)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@torch.no_grad()
def test_flash_attention_follows_eager():
    if not is_flash_attn_2_available():
        pytest.skip("flash-attn is not installed (pip install flash-attn)")
    inputs = {name: values.cuda() for name, values in video_inputs().items()}
    logits = [
        build_model(attn_implementation=name, token_sampler="first").bfloat16().cuda()(**inputs).logits
        for name in ("eager", "flash_attention_2")
    ]
    close(logits[1], logits[0], atol=0.1)


# Compiling


@pytest.mark.slow
@torch.no_grad()
@pytest.mark.parametrize("inputs", [image_inputs(), video_inputs()], ids=["image", "video"])
def test_a_whole_forward_pass_compiles_without_a_graph_break(inputs):
    model = build_model()
    expected = model(**inputs).logits
    torch._dynamo.reset()
    close(torch.compile(model.forward, fullgraph=True, backend="eager")(**inputs).logits, expected)


# Devices


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint")
    build_model().save_pretrained(folder)
    return folder


@torch.no_grad()
@pytest.mark.parametrize("share_in_memory", [None, 0.5, 0.1])
def test_a_device_map_with_parts_on_disk(checkpoint, tmp_path, share_in_memory):
    expected = build_model()
    num_bytes = sum(parameter.nbytes for parameter in expected.parameters())
    memory = {} if share_in_memory is None else {"max_memory": {"cpu": int(share_in_memory * num_bytes)}}
    model = FTFVForConditionalGeneration.from_pretrained(
        checkpoint, device_map="auto", offload_folder=tmp_path, **memory
    )
    places = set(getattr(model, "hf_device_map", {"": "cpu"}).values())
    assert places == ({"cpu"} if share_in_memory is None else {"cpu", "disk"} if share_in_memory == 0.5 else {"disk"})
    for inputs in (image_inputs(), left_padded_inputs()):
        close(model(**inputs).logits, expected(**inputs).logits)


@torch.no_grad()
@pytest.mark.parametrize("offload", [cpu_offload, disk_offload])
def test_accelerate_offloads_every_part(offload, tmp_path):
    model, expected = build_model(), build_model()
    offload(model, *([tmp_path] if offload is disk_offload else []), execution_device=torch.device("cpu"))
    for inputs in (image_inputs(), left_padded_inputs()):
        close(model(**inputs).logits, expected(**inputs).logits)


# Quantisation


# Widths that blocks of 64 divide; without sampling, since one pick more or less is no matter of degree.
WIDE: dict[str, Any] = {
    "token_sampler": "none",
    "tokens_per_frame": NUM_QUERIES,
    "vision_config": {"hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 4},
    "text_config": {"hidden_size": 64, "intermediate_size": 128},
}


def eight_bits() -> Any:
    require("bitsandbytes")
    return BitsAndBytesConfig(load_in_8bit=True)


def four_bits() -> Any:
    require("bitsandbytes")
    return BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.float32)


def torchao_eight_bits() -> Any:
    require("torchao")
    return TorchAoConfig(importlib.import_module("torchao.quantization").Int8WeightOnlyConfig())


def quanto_eight_bits() -> Any:
    require("optimum.quanto")
    return QuantoConfig(weights="int8")


@torch.no_grad()
@pytest.mark.parametrize(
    ("quantization", "similarity"),
    [(eight_bits, 0.999), (four_bits, 0.93), (torchao_eight_bits, 0.999), (quanto_eight_bits, 0.999)],
)
def test_quantised_loading_follows_fp32(quantization, similarity, tmp_path):
    quantization_config = quantization()
    expected, inputs = build_model(**WIDE), video_inputs(3 * NUM_QUERIES)
    expected.save_pretrained(tmp_path)
    model = FTFVForConditionalGeneration.from_pretrained(
        tmp_path, quantization_config=quantization_config, device_map="cpu"
    )
    assert model.is_quantized
    logits = [one(**inputs).logits.float().flatten() for one in (model, expected)]
    assert torch.nn.functional.cosine_similarity(*logits, dim=0) > similarity
    assert model.generate(**inputs, max_new_tokens=2, do_sample=False).shape[0] == 1


# Exporting


@pytest.mark.parametrize("inputs", [image_inputs(), video_inputs()], ids=["image", "video"])
@pytest.mark.parametrize("exporter", ["dynamo", "onnx"])
def test_an_exported_model_gives_the_same_logits(exporter, inputs):
    if exporter == "onnx":
        require("onnx", "onnxscript", "onnxruntime")
    export, config = {
        "dynamo": (DynamoExporter, DynamoConfig),
        "onnx": (OnnxExporter, OnnxConfig),
    }[exporter]
    model = build_model()
    exported = export().export(model, copy.deepcopy(inputs), config())
    close(torch.as_tensor(exported(**inputs).logits), model(**inputs).logits)


def test_the_exported_tower_takes_another_number_of_frames():
    tower = build_model().model.vision_tower
    exported = DynamoExporter().export(tower, {"pixel_values": random_pixels(3)}, DynamoConfig(dynamic=True))
    frames = random_pixels(5, seed=1)
    close(exported(pixel_values=frames).last_hidden_state, tower(frames).last_hidden_state)


@pytest.mark.slow
def test_generation_is_exported_in_parts():
    exported = DynamoExporter().export_for_generation(build_model(), video_inputs(), DynamoConfig(dynamic=True))
    assert set(exported.components) == {"language_model", "lm_head", "decode"}


# Servers


def test_what_the_transformers_backend_of_vllm_asks_of_a_model():
    """vLLM 0.33, vllm/model_executor/models/transformers: the class, and one row of tokens per item."""
    assert FTFVForConditionalGeneration.is_backend_compatible()
    model = build_model()
    assert model.get_encoder("video") is model.get_encoder("image") is model.model.vision_tower
    assert model.get_decoder() is model.model.language_model
    videos = model.model.get_video_features(random_pixels(2, 3), return_dict=True)
    assert videos.pooler_output.shape == (2, 12, 32)
    assert model.model.get_image_features(random_pixels(2), return_dict=True).pooler_output.shape == (2, 16, 32)


def test_vllm_finds_a_place_for_every_weight_of_the_whole_model(saved_folder):
    """It loads `FTFVModel` and a head of its own from one file, and leaves out what `FTFVModel` says it ignores."""
    base, report = AutoModel.from_pretrained(saved_folder, output_loading_info=True)
    assert type(base) is FTFVModel
    assert not report["unexpected_keys"] and not report["missing_keys"]
    assert FTFVModel._keys_to_ignore_on_load_unexpected is None
    with safe_open(saved_folder / "model.safetensors", "pt") as weights:
        names = set(weights.keys())
    # The position table is a buffer, which vLLM loads where it is persistent.
    assert "lm_head.weight" in names and "model.multi_modal_projector.position_table" in names
    assert {name.removeprefix("model.") for name in names} - {"lm_head.weight"} == set(base.state_dict())


@torch.no_grad()
def test_vllm_puts_its_attention_into_the_language_model_alone():
    """It names the attention in the text config, and passes what that needs, embeddings and positions to `forward`."""
    calls = []

    def attention(module, query, key, value, attention_mask, scaling=None, attention_instances=None, **kwargs):
        calls.append((module.layer_idx, attention_instances))
        return sdpa_attention_forward(module, query, key, value, None, scaling=scaling, is_causal=True)

    ALL_ATTENTION_FUNCTIONS.register("recorded", attention)
    try:
        config = build_config()
        config.text_config._attn_implementation = "recorded"
        model = AutoModel.from_config(config).eval()
        model.load_state_dict(build_model().model.state_dict())
        features = model.get_video_features(random_pixels(1, 3), tokens_per_frame=torch.tensor([2])).pooler_output
        assert calls == []
        outputs = model(
            inputs_embeds=features,
            position_ids=torch.arange(6)[None],
            use_cache=False,
            attention_instances="of vLLM",
            return_dict=False,
        )
    finally:
        ALL_ATTENTION_FUNCTIONS._global_mapping.pop("recorded")
    assert calls == [(0, "of vLLM"), (1, "of vLLM")]
    assert outputs[0].shape == (1, 6, 32)
    close(outputs[0], build_model().model.language_model(inputs_embeds=features).last_hidden_state)


@torch.no_grad()
def test_vllm_splits_features_into_the_rows_of_each_item():
    """Of equal lengths they are one tensor, cut evenly; else an entry for each item, as it would be by itself."""
    model = build_model().model
    pixels, counts = random_pixels(2, 3), torch.tensor([2, 5])
    ragged = model.get_video_features(pixels, torch.ones(2, 3), counts).pooler_output
    assert [len(rows) for rows in ragged] == [6, 15]
    for index, rows in enumerate(ragged):
        one = slice(index, index + 1)
        alone = model.get_video_features(pixels[one], torch.ones(1, 3), counts[one]).pooler_output
        close(alone.reshape(-1, 32), rows)
    assert type(model.get_encoder("image")) is type(model.get_encoder("video")) is FTFVVisionModel
    # That is how it sees that a modality has no encoder.
    assert type(model.get_encoder("audio")) is FTFVModel
