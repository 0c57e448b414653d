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
"""The card says what is known, says unknown where nothing is, and holds nothing of the machine it was written on."""

import pytest
import yaml

from ftfv.evaluation.scores.scoring import Score
from ftfv.hub_upload.card import BaseModel, CardFacts, portable, render_card
from ftfv.hub_upload.results import Results
from ftfv.hub_upload.signature import is_untouched
from ftfv.modeling_ftfv.cost import cost
from tests.tiny import build_config


RECIPE = {
    "model_name_or_path": "/data/me/runs/instruct/model",
    "lora_r": 32,
    "datasets": [{"path": "/data/me/shapes"}],
    "env": {"FTFV_TOKENS_PER_FRAME_RANGE": "2-16", "FTFV_MEDIA_ROOT": "/data/me/shapes", "HF_DATASETS_CACHE": "/x/y"},
    "output_dir": "/data/me/runs/s4v",
    "hub_token": "hf_secret",
    "hub_model_id": "org/other",
}


def metadata(card: str) -> dict:
    return yaml.safe_load(card.split("---\n")[1])


def test_what_is_not_known_is_unknown():
    card = render_card(build_config(), CardFacts("org/tiny"))
    assert metadata(card) == {
        "library_name": "transformers",
        "pipeline_tag": "video-text-to-text",
        "license": "unknown",
        "tags": ["ftfv", "video", "custom_code"],
    }
    assert "| these weights | unknown |" in card and "| base models | unknown |" in card
    assert "Not evaluated, or no results were given." in card
    assert "## Training" not in card and "![" not in card
    assert is_untouched(card)


def test_what_is_known_is_said():
    facts = CardFacts(
        "org/tiny",
        licence="other",
        licence_name="tongyi-qianwen",
        licence_link="https://example.org/licence",
        base_models=(BaseModel.parse("Qwen/Qwen-VL=tongyi-qianwen"), BaseModel.parse("lmsys/vicuna-7b-v1.5")),
        stage="s4v",
        recipe=RECIPE,
        datasets=("org/videos",),
        results=(Results("shapes", scores={"count": Score.from_counts(3, 4)}),),
        picture="kept_patches.png",
    )
    card = render_card(build_config(), facts)
    found = metadata(card)
    assert found["base_model"] == ["Qwen/Qwen-VL", "lmsys/vicuna-7b-v1.5"]
    assert (found["license"], found["license_name"]) == ("other", "tongyi-qianwen")
    assert found["datasets"] == ["org/videos"]
    assert found["model-index"][0]["name"] == "tiny"
    assert found["model-index"][0]["results"][0]["metrics"][0]["value"] == 75.0
    for line in (
        "| these weights | tongyi-qianwen |",
        "| base model `Qwen/Qwen-VL` | tongyi-qianwen |",
        "| base model `lmsys/vicuna-7b-v1.5` | unknown |",
        "Stage: `s4v`.",
        "Data: org/videos.",
        "lora_r: 32",
        "(kept_patches.png)",
    ):
        assert line in card
    assert "/data/me" not in card and "hf_secret" not in card


def test_the_same_facts_give_the_same_card():
    assert render_card(build_config(), CardFacts("org/tiny")) == render_card(build_config(), CardFacts("org/tiny"))


def test_the_recipe_keeps_what_trains_and_drops_where():
    assert portable(RECIPE) == {
        "model_name_or_path": "model",
        "lora_r": 32,
        "datasets": [{"path": "shapes"}],
        "env": {"FTFV_TOKENS_PER_FRAME_RANGE": "2-16"},
    }
    assert portable({"lora_r": 1}) == {"lora_r": 1}


def test_the_cost_table_is_that_of_the_cost_module():
    card = render_card(build_config(), CardFacts("org/tiny"))
    (line,) = [line for line in card.splitlines() if line.startswith("| 16  ")]
    expected = cost(build_config(), tokens_per_frame=16)
    assert line.split("|")[2].strip() == str(expected.visual_tokens) == "128"
    assert line.split("|")[5].strip() == f"{expected.total_flops / 1e6:.3g}M"


def test_without_a_sampler_there_is_one_number_of_tokens():
    card = render_card(build_config(token_sampler="none", tokens_per_frame=16), CardFacts("org/tiny"))
    assert "tokens_per_frame=16" in card and "| none, response |" in card
    rows = card[card.index("| K ") :].split("\n\n")[0].splitlines()
    assert len(rows) == 3


def test_every_snippet_names_the_repository():
    card = render_card(build_config(), CardFacts("org/tiny"))
    snippets = [block.split("```")[0] for block in card.split("```python\n")[1:]]
    assert len(snippets) == 4 and all('"org/tiny"' in snippet for snippet in snippets)


@pytest.mark.parametrize("text", ["", "=mit", "org/base="])
def test_a_malformed_base_model(text):
    with pytest.raises(ValueError, match="The base model is .*; expected 'ID' or 'ID=LICENCE'"):
        BaseModel.parse(text)
