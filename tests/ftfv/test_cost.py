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
"""`ftfv cost`: tables for people, one list for programs."""

import json

import pytest

from ftfv import FTFVConfig
from ftfv.cli import main
from ftfv.demo import ASSETS
from ftfv.modeling_ftfv.cost import cost
from ftfv.training.compute import recipe_cost
from tests.tiny import build_config


PARTS = ("tower_linear", "tower_attention", "adapter_linear", "adapter_attention", "language_linear")
PARTS = (*PARTS, "language_attention", "lm_head")


def tables(text: str) -> list[list[list[str]]]:
    """The cells of each table's lines, those of its two headings left out; the columns are aligned."""
    found = []
    for block in text.split("\n\n"):
        lines = block.splitlines()
        if len(lines) > 2 and lines[1].split()[0] == "K":
            assert len({len(line) for line in lines}) == 1, "the columns are aligned"
            assert len(lines[0]) <= 100
            found.append([line.split() for line in lines[2:]])
    return found


def test_the_default_is_the_papers_model(capsys):
    assert main(["cost"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("8 frames, 48 text tokens, LoRA rank 0\n\nTFLOPs of reading video and question\n")
    assert printed.endswith("weights in 16 bits: 17,349.1 MB\n")
    reading, afterwards = tables(printed)
    assert [row[0] for row in reading] == [row[0] for row in afterwards] == ["4", "16", "32", "64", "128", "256"]
    counted = cost(FTFVConfig(), tokens_per_frame=256)
    assert reading[-1][2:-1] == [f"{getattr(counted, name) / 1e12:.3f}" for name in (*PARTS, "total_flops")]
    # Reading it again; 48 tokens more; one token; keys and values.
    assert afterwards[1] == ["16", "2.342", "0.640", "13.307", "92.3"]


def test_the_papers_accounting(capsys):
    assert main(["cost", "--paper", "--tokens-per-frame", "4,16", "128", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["tokens_per_frame"] for row in rows] == [4, 16, 128]
    assert [row["visual_tokens"] for row in rows] == [32, 128, 1024]
    assert [row["table_5_tflops"] for row in rows] == [32.14, 33.47, 45.88]
    for row in rows:
        assert row["lora_rank"] == 128
        assert row["total_tflops"] == pytest.approx(row["table_5_tflops"], abs=0.01)
        linear = sum(row[f"{name}_tflops"] for name in PARTS if not name.endswith("attention"))
        assert row["total_tflops"] == pytest.approx(linear)
        assert row["full_tflops"] == pytest.approx(sum(row[f"{name}_tflops"] for name in PARTS))
        assert row["total_tflops"] < row["model_tflops"] < row["full_tflops"]
    assert main(["cost", "--paper", "--tokens-per-frame", "128"]) == 0
    ((line,),) = tables(capsys.readouterr().out)
    assert line == ["128", "1024", "45.88", "45.886", "49.203", f"{rows[2]['model_tflops']:.3f}"]


def test_the_papers_accounting_of_another_model(saved_folder, capsys):
    assert main(["cost", "--paper", "--model", str(saved_folder), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["table_5_tflops"] for row in rows} == {None}
    assert main(["cost", "--paper", "--num-frames", "4", "--tokens-per-frame", "16"]) == 0
    ((line,),) = tables(capsys.readouterr().out)
    assert len(line) == 5


@pytest.mark.parametrize(
    ("trade", "told"),
    [
        (["--frame-size", "28"], "of 28 x 28 pixels"),
        (["--skip-unchanged-patches", "0.5"], "50% of the patches of later frames skipped"),
        (["--merge-patches", "0.25"], "25% of the patches merged"),
    ],
)
def test_a_trade_spares_the_tower_alone(trade, told, saved_folder, capsys):
    options = ["cost", "--model", str(saved_folder), "--tokens-per-frame", "4"]
    assert main([*options, "--json"]) == main([*options, "--json", *trade]) == 0
    whole, spared = (json.loads(part)[0] for part in capsys.readouterr().out.replace("]\n[", "]\x1e[").split("\x1e"))
    assert spared["tower_linear_tflops"] < 0.95 * whole["tower_linear_tflops"]
    assert spared["language_linear_tflops"] == whole["language_linear_tflops"]
    assert main([*options, *trade]) == 0
    assert told in capsys.readouterr().out.splitlines()[0]
    assert main(["cost", "--paper", *trade]) == 1
    assert "--paper counts what Table 5 does, whole frames" in capsys.readouterr().err


def test_a_folder(saved_folder, capsys):
    assert main(["cost", "--model", str(saved_folder), "--num-frames", "3", "--text-tokens", "10", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["tokens_per_frame"] for row in rows] == [4, 16]
    assert [row["visual_tokens"] for row in rows] == [12, 48]
    for row in rows:
        assert row["total_tflops"] == pytest.approx(sum(row[f"{name}_tflops"] for name in PARTS))
        assert (row["num_frames"], row["text_tokens"]) == (3, 10)
        assert row["kv_cache_bytes"] == 2 * 2 * 2 * 16 * (row["visual_tokens"] + 10)
        assert row["decode_step"]["total_tflops"] < row["next_question_same_chat"]["total_tflops"]
        assert row["next_question_same_chat"]["total_tflops"] < row["next_question"]["total_tflops"]
        assert row["next_question"]["total_tflops"] < row["total_tflops"]
        assert row["next_question"]["tower_linear_tflops"] == 0
    assert rows[0]["weight_bytes"] == rows[1]["weight_bytes"] > 0
    assert main(["cost", "--model", str(saved_folder)]) == 0
    assert "MFLOPs of reading" in capsys.readouterr().out


def test_frames_of_another_size_and_the_last_position(saved_folder, capsys):
    options = ["cost", "--model", str(saved_folder), "--tokens-per-frame", "4", "--json"]
    assert main(options) == 0
    (default,) = json.loads(capsys.readouterr().out)
    assert main([*options, "--frame-size", "28", "--last-position"]) == 0
    (small,) = json.loads(capsys.readouterr().out)
    assert small["tower_linear_tflops"] * 36 == pytest.approx(default["tower_linear_tflops"] * 16)
    assert small["lm_head_tflops"] * (32 + 48) == pytest.approx(default["lm_head_tflops"])
    assert small["language_linear_tflops"] == default["language_linear_tflops"]


RECIPE = """
use_peft: true
lora_r: 4
lora_target_modules: '.*language_model.*q_proj'
lora_modules_to_save: [model.multi_modal_projector{also}]
"""


@pytest.mark.parametrize("is_video", [True, False])
def test_a_step_of_a_recipe(is_video, saved_folder, tmp_path, capsys):
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(RECIPE.format(also=", model.temporal_encoding" if is_video else ""))
    options = ["cost", "--model", str(saved_folder), "--recipe", str(recipe), "--tokens-per-frame", "2,8"]
    assert main([*options, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    read = {
        "use_peft": True,
        "lora_r": 4,
        "lora_target_modules": ".*language_model.*q_proj",
        "lora_modules_to_save": ["model.multi_modal_projector", *["model.temporal_encoding"] * is_video],
    }
    for row in rows:
        # An image is one frame of all tokens.
        sizes = (
            {"tokens_per_frame": row["tokens_per_frame"]} if is_video else {"tokens_per_frame": 16, "num_frames": 1}
        )
        expected = recipe_cost(read, build_config(), **sizes)
        assert row["training_step"]["total_tflops"] == pytest.approx(expected.total_flops / 1e12)
    assert main(options) == 0
    printed = capsys.readouterr().out
    assert f"of training by {recipe} on a row with 256 text tokens, forward and back" in printed
    training = tables(printed)[2]
    assert [line[1] for line in training] == (["16", "64"] if is_video else ["16", "16"])


def test_a_plot(saved_folder, tmp_path, capsys):
    plot = tmp_path / "figures" / "cost.png"
    assert main(["cost", "--model", str(saved_folder), "--plot", str(plot)]) == 0
    assert plot.read_bytes().startswith(b"\x89PNG")
    assert main(["cost", "--model", str(saved_folder), "--paper", "--plot", str(plot), "--json"]) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--tokens-per-frame", "0"], "`tokens_per_frame` is 0; expected 1 to 256"),
        (["--model", str(ASSETS), "--tokens-per-frame", "4,17"], "`tokens_per_frame` is 17; expected 1 to 16"),
        (["--num-frames", "0"], "`num_frames` is 0; expected at least 1"),
        (["--frame-size", "0"], "--frame-size is 0; expected a multiple of the vision tower's patch size, 14."),
        (["--lora-rank", "-1"], "`lora_rank` is -1; expected a number from 0 up"),
        (["--model", "/nowhere/model"], "No model folder '/nowhere/model'"),
        (["--recipe", "s5v"], "No recipe 's5v'; expected one of align, "),
        (["--paper", "--recipe", "s4v"], "leave out --recipe and --last-position"),
    ],
)
def test_errors_are_one_line(arguments, message, capsys):
    assert main(["cost", *arguments]) == 1
    captured = capsys.readouterr()
    assert not captured.out and len(captured.err.splitlines()) == 1
    assert captured.err.startswith("ftfv cost: error: ") and message in captured.err


def test_what_is_no_number_is_a_usage_error(capsys):
    with pytest.raises(SystemExit):
        main(["cost", "--tokens-per-frame", "4,x"])
    assert "--tokens-per-frame: expected whole numbers such as 4,16,32, not '4,x'" in capsys.readouterr().err
