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
"""`ftfv cost`: a table for people, one document for programs."""

import json

import pytest

from ftfv.cli import main


def test_the_default_is_the_papers_model(capsys):
    assert main(["cost"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "8 frames, 48 text tokens, LoRA rank 0; TFLOPs of one forward pass"
    assert [line.split()[:2] for line in lines[2:-1]] == [
        ["4", "32"],
        ["16", "128"],
        ["64", "512"],
        ["128", "1024"],
        ["256", "2048"],
    ]
    assert len({len(line) for line in lines[1:-1]}) == 1, "the columns are aligned"
    assert lines[-1] == "weights in 16 bits: 17,349.1 MB"


def test_table_5(capsys):
    assert main(["cost", "--table-5", "--tokens-per-frame", "4", "128", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["lora_rank"] == 128
    totals = [row["linear_flops"] / 1e12 for row in document["costs"]]
    assert totals == pytest.approx([32.14, 45.88], abs=0.01)
    assert main(["cost", "--table-5", "--tokens-per-frame", "128"]) == 0
    assert capsys.readouterr().out.splitlines()[2].split()[5] == f"{totals[1]:.3f}"


def test_a_folder(saved_folder, capsys):
    assert main(["cost", "--model", str(saved_folder), "--num-frames", "3", "--text-tokens", "10", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [row["tokens_per_frame"] for row in document["costs"]] == [4, 16]
    assert [row["visual_tokens"] for row in document["costs"]] == [12, 48]
    for row in document["costs"]:
        assert row["total_flops"] == row["vision_flops"] + row["language_flops"]
        assert (row["num_frames"], row["text_tokens"]) == (3, 10)
    assert main(["cost", "--model", str(saved_folder)]) == 0
    assert "GFLOPs" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--tokens-per-frame", "0"], "`tokens_per_frame` is 0; expected 1 to 256"),
        (["--tokens-per-frame", "4", "257"], "`tokens_per_frame` is 257; expected 1 to 256"),
        (["--num-frames", "0"], "`num_frames` is 0; expected at least 1"),
        (["--lora-rank", "-1"], "`lora_rank` -1; expected numbers from 0 up"),
        (["--model", "/nowhere/model"], "No model folder '/nowhere/model'"),
    ],
)
def test_errors_are_one_line(arguments, message, capsys):
    assert main(["cost", *arguments]) == 1
    captured = capsys.readouterr()
    assert not captured.out and len(captured.err.splitlines()) == 1
    assert captured.err.startswith("ftfv cost: error: ") and message in captured.err
