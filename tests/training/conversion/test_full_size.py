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
"""Converting a checkpoint of Qwen-VL's full size: its bytes, the time it takes, and little memory."""

import json
import os
import shutil
import subprocess
import sys

import pytest
from safetensors import safe_open

from ftfv.training.conversion.checkpoint import Checkpoint
from tests.tiny import ROOT


# Of the checkpoint, the result, and some room.
REQUIRED_BYTES = 45 * 10**9
MEMORY_LIMIT = 4 * 1024**3
# metadata.total_size in the index of the original
QWEN_VL_BYTES = 19_313_870_336
TEMPORAL_ENCODING_BYTES = 2 * 8 * 1664

WRITE = """
import json, sys, torch
from pathlib import Path
from tests.training.conversion.originals import qwen_vl_shapes

folder = Path(sys.argv[1])
config = {
    "model_type": "qwen", "vocab_size": 151936, "hidden_size": 4096, "num_hidden_layers": 32,
    "num_attention_heads": 32, "kv_channels": 128, "intermediate_size": 22016, "seq_length": 2048,
    "max_position_embeddings": 8192, "layer_norm_epsilon": 1e-6, "rotary_emb_base": 10000, "rotary_pct": 1.0,
    "no_bias": True, "tie_word_embeddings": False, "scale_attn_weights": True,
    "visual": {
        "width": 1664, "layers": 48, "heads": 16, "mlp_ratio": 4.9231, "image_size": 448, "patch_size": 14,
        "output_dim": 4096, "image_start_id": 151857,
    },
}
(folder / "config.json").write_text(json.dumps(config))
shapes = qwen_vl_shapes(config)
groups, filled = [[]], 0
for key in sorted(shapes, key=lambda key: key.startswith("transformer.visual.")):  # last, as in the original
    size = 2 * torch.Size(shapes[key]).numel()
    if filled + size > 2_100_000_000:  # ten shards, as the original has
        groups, filled = [*groups, []], 0
    groups[-1].append(key)
    filled += size
noise = torch.randn(1 << 20).bfloat16()
weight_map = {}
for number, group in enumerate(groups, 1):
    name = f"pytorch_model-{number:05d}-of-{len(groups):05d}.bin"
    tensors = {}
    for key in group:
        tensor = torch.empty(shapes[key], dtype=torch.bfloat16)
        flat = tensor.view(-1)
        for start in range(0, len(flat), len(noise)):
            block = flat[start : start + len(noise)]
            block.copy_(noise[: len(block)])
        flat[0] = len(weight_map)  # no two tensors are alike
        tensors[key], weight_map[key] = tensor, name
    torch.save(tensors, folder / name)
(folder / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": weight_map}))
"""

CONVERT = """
import json, resource, sys, types
from transformers.utils import logging
from ftfv.training.conversion import convert
from tests.training.conversion.originals import build_word_tokenizer

words = ["<unk>", "<s>", "</s>", *(f"w{index}" for index in range(3, 151643))]
words += ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *(f"x{index}" for index in range(151646, 151859))]
words += ["<imgpad>", "<video>"]
tokenizer = build_word_tokenizer(
    tuple(words),
    pad_token="<|endoftext|>",
    extra_special_tokens={"image_token": "<imgpad>", "video_token": "<video>"},
)
convert.convert_qwen_tokenizer = lambda folder: tokenizer
logging.disable_progress_bar()
report = convert.convert_qwen_vl(sys.argv[1], sys.argv[2])
report["peak_rss"] = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps(report))
"""


def run(code, *arguments):
    finished = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


@pytest.mark.slow
def test_the_full_size_needs_less_than_4_gib_of_memory(tmp_path):
    free = shutil.disk_usage(tmp_path).free
    if free < REQUIRED_BYTES:
        pytest.skip(f"needs {REQUIRED_BYTES / 1e9:.0f} GB of disk, {free / 1e9:.0f} GB are free")
    original, output = tmp_path / "original", tmp_path / "out"
    original.mkdir()
    try:
        run(WRITE, original)
        report = json.loads(run(CONVERT, original, output))
        print(  # noqa: T201
            f"{report['bytes']:,} bytes in {report['seconds']:.0f} s, peak RSS {report['peak_rss'] / 1024**3:.2f} GiB"
        )
        assert report["peak_rss"] <= MEMORY_LIMIT
        assert report["bytes"] == QWEN_VL_BYTES + TEMPORAL_ENCODING_BYTES
        assert report["num_parameters"] == 9_656_935_168 + 8 * 1664
        tower, adapter = (report["parts"][part]["parameters"] for part in ("vision_tower", "multi_modal_projector"))
        assert tower + adapter == 1_935_610_624
        check_some_tensors(original, output)
    finally:
        shutil.rmtree(original)
        shutil.rmtree(output, ignore_errors=True)


def check_some_tensors(original, output):
    checkpoint = Checkpoint(original)
    weight_map = json.loads((output / "model.safetensors.index.json").read_text())["weight_map"]

    def converted(name):
        with safe_open(output / weight_map[name], framework="pt") as file:
            return file.get_tensor(name)

    fused = checkpoint.read("transformer.visual.transformer.resblocks.47.attn.in_proj.weight")
    key = converted("model.vision_tower.encoder.layers.47.self_attn.k_proj.weight")
    # head 3: its query, then its key
    assert key[3 * 104 : 4 * 104].equal(fused[3 * 312 + 104 : 3 * 312 + 208])
    fused = checkpoint.read("transformer.h.31.attn.c_attn.weight")
    assert converted("model.language_model.layers.31.self_attn.v_proj.weight").equal(fused[8192:])
    assert converted("model.multi_modal_projector.output_proj.weight").equal(
        checkpoint.read("transformer.visual.proj").T
    )
    assert converted("lm_head.weight").equal(checkpoint.read("lm_head.weight"))
