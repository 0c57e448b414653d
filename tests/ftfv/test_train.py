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
"""`ftfv train`: what it chooses and shows, what it refuses, and a whole run."""

import json
from types import SimpleNamespace

import pytest
import torch
import yaml

from ftfv import FTFVConfig
from ftfv.cli import main
from ftfv.demo import ASSETS
from ftfv.training import compute
from ftfv.training.stages import recipe_path


@pytest.fixture
def clips(tmp_path, clip):
    path = tmp_path / "clips.jsonl"
    rows = [{"video": clip, "question": "which way does it move ?", "answer": "left"}] * 40
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.fixture(scope="module")
def paper_model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("paper")
    FTFVConfig().save_pretrained(folder)
    return str(folder)


def train(*words):
    return main(["train", *map(str, words)])


def test_a_dry_run_shows_recipe_modules_and_memory(clips, paper_model, tmp_path, capsys):
    output = tmp_path / "run"
    assert train(clips, "--model", paper_model, "--memory", "24GB", "--output", output, "--dry-run") == 0
    shown = capsys.readouterr().out
    assert "40 rows, 1 x 1 a step; recipe s4v_qlora, K = 128" in shown
    assert "memory, computed: 2" in shown and "model.temporal_encoding" in shown
    text = (output / "recipe.yaml").read_text()
    assert text in shown
    options = yaml.safe_load(text)
    assert options["dataset_name"] == str(output / "data") and "datasets" not in options
    assert options["model_init_kwargs"]["quantization_config"]["load_in_4bit"] is True
    assert not (output / "training").exists()


def test_more_memory_chooses_the_recipe_without_quantisation(clips, paper_model, tmp_path, capsys):
    assert train(clips, "--model", paper_model, "--memory", "80", "--output", tmp_path / "run", "--dry-run") == 0
    assert "recipe s4v_single_gpu" in capsys.readouterr().out


def test_a_recipe_is_checked_and_told(paper_model, capsys, monkeypatch):
    assert train(recipe_path("s4v"), "--model", paper_model, "--dry-run") == 0
    shown = capsys.readouterr().out
    assert "model.vision_tower.encoder.layers.47  " in shown and "compute, computed: 97." in shown
    assert "memory, computed: 53.43 GB (weights 34.27, " in shown
    # What a row computes takes seconds to count and is the same on any number of GPUs.
    monkeypatch.setattr(compute, "recipe_cost", lambda *args, **kwargs: SimpleNamespace(total_flops=97e12))
    assert train(recipe_path("s4v"), "--model", paper_model, "--num-gpus", "2", "--dry-run") == 0
    assert "(weights 17.14, " in capsys.readouterr().out


def test_a_recipe_with_a_wrong_name_is_refused(paper_model, tmp_path, capsys):
    text = recipe_path("s4v").read_text().replace("model.temporal_encoding", "model.temporal_encodings")
    (tmp_path / "wrong.yaml").write_text(text)
    assert train(tmp_path / "wrong.yaml", "--model", paper_model, "--dry-run") == 1
    assert "names 'model.temporal_encodings', which matches no module" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--memory", "24GB"], "Clips need --model"),
        (
            ["--model", "MODEL", "--output", "OUT", "--memory", "much"],
            "--memory is 'much'; expected the memory of a GPU",
        ),
        (["--model", "MODEL", "--output", "OUT", "--memory", "0GB"], "--memory is '0GB'"),
        (["--model", str(ASSETS), "--output", "OUT", "--memory", "1GB"], "S4-V needs at least"),
        (["--model", "MODEL/gone", "--output", "OUT", "--memory", "24GB"], "No model folder"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(words, message, clips, paper_model, tmp_path, capsys):
    words = [word.replace("MODEL", paper_model).replace("OUT", str(tmp_path / "run")) for word in words]
    assert train(clips, *words) == 1
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


@pytest.mark.skipif(torch.cuda.is_available(), reason="for a machine without a GPU")
def test_without_a_gpu_the_memory_must_be_given_and_nothing_is_quantised(clips, paper_model, tmp_path, capsys):
    assert train(clips, "--model", paper_model, "--output", tmp_path / "run") == 1
    assert "There is no GPU here" in capsys.readouterr().err
    assert train(clips, "--model", paper_model, "--output", tmp_path / "run", "--memory", "24GB") == 1
    assert "quantises the model, which needs a GPU" in capsys.readouterr().err


def test_memory_is_not_for_recipes(paper_model, capsys):
    assert train(recipe_path("s4v"), "--model", paper_model, "--memory", "24GB", "--dry-run") == 1
    assert "--memory is for clips" in capsys.readouterr().err


@pytest.mark.slow
def test_own_clips_become_a_model(clips, tmp_path, capsys):
    from ftfv.demo import _copy_image_model

    _copy_image_model(tmp_path, {})
    output = tmp_path / "run"
    words = [clips, "--model", tmp_path / "image_model", "--memory", "24GB", "--output", output]
    assert train(*words) == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(output / "model")
    config = FTFVConfig.from_pretrained(output / "model")
    assert config.tokens_per_frame == FTFVConfig.from_pretrained(ASSETS).tokens_per_frame
    # All there already.
    assert train(*words) == 0
