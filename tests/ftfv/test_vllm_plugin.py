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
"""vLLM's plug-in and check, without vLLM."""

import json
import sys
import tomllib

import transformers
from transformers import AutoConfig

from ftfv import FTFVConfig, FTFVForConditionalGeneration, vllm_check, vllm_plugin
from tests.strangers import run_python
from tests.tiny import ROOT


def test_the_entry_point_names_the_function():
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())
    module, name = pyproject["project"]["entry-points"]["vllm.general_plugins"]["ftfv"].split(":")
    assert (module, getattr(sys.modules[module], name)) == ("ftfv.vllm_plugin", vllm_plugin.register)


def test_vllm_finds_the_class_that_a_folder_names(monkeypatch, saved_folder):
    [architecture] = json.loads((saved_folder / "config.json").read_text())["architectures"]
    monkeypatch.setattr(transformers, architecture, None, raising=False)  # put back afterwards
    for _ in range(2):  # vLLM may call it again in the same process
        vllm_plugin.register()
        found = getattr(transformers, architecture)
        assert found is FTFVForConditionalGeneration and found.is_backend_compatible()
    config = AutoConfig.from_pretrained(saved_folder)
    # It takes a model for a multimodal one where these differ.
    assert type(config) is FTFVConfig and config != config.get_text_config()
    assert "vllm" not in sys.modules


OLDER_TRANSFORMERS = """
import sys
sys.path.insert(0, sys.argv[1])
import torch
from transformers import modeling_utils
from transformers.models.llama import modeling_llama  # it has the function by the time that it is gone
del modeling_utils.slice_logits_to_keep
from ftfv import vllm_plugin
from tests.tiny import build_model, random_pixels, video_prompt

vllm_plugin.register()
model = build_model()
inputs = {"input_ids": torch.tensor([video_prompt(12)]), "pixel_values_videos": random_pixels(1, 3)}
with torch.no_grad():
    whole = model(**inputs).logits
    for keep in (1, 4, torch.tensor([0, 5])):
        kept = model(**inputs, logits_to_keep=keep).logits
        torch.testing.assert_close(kept, whole[:, -keep:] if isinstance(keep, int) else whole[:, keep])
print("equal")
"""


def test_the_model_works_with_the_transformers_that_vllm_asks_for(tmp_path):
    """vLLM 0.33 asks for transformers < 5.21, which lacks a function that the model takes where it is."""
    assert run_python(OLDER_TRANSFORMERS, str(ROOT), cwd=tmp_path).splitlines()[-1] == "equal"


def test_the_check_says_where_vllm_is_missing(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["vllm_check", "model", "clip.mp4"])
    monkeypatch.setattr(vllm_check.importlib.util, "find_spec", lambda name: None)
    assert vllm_check.main() == 2
    assert "vLLM is not installed here, so nothing was compared" in capsys.readouterr().err
