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
"""`ftfv convert`: which conversion is chosen, what is printed, and errors in one line."""

import json

import pytest

from ftfv import FTFVConfig, cli
from ftfv.training.conversion import convert
from tests.training.conversion.originals import (
    build_original_qwen_tokenizer,
    build_qwen_vl,
    save_checkpoint,
    save_clip,
    save_language_model,
)


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    folder = tmp_path_factory.mktemp("originals")
    save_checkpoint(folder / "qwen_vl", *build_qwen_vl())
    save_language_model(folder / "language")
    save_clip(folder / "clip")
    return folder


@pytest.fixture(autouse=True)
def in_the_folder(originals, monkeypatch):
    monkeypatch.chdir(originals)


def test_the_papers_start_is_chosen_by_the_vision_folder(tmp_path, capsys):
    output = tmp_path / "out"
    arguments = ["--vision", "qwen_vl", "--language", "language", "--output", str(output), "--tokens-per-frame", "3"]
    assert cli.main(["convert", *arguments]) == 0
    assert FTFVConfig.from_pretrained(output).tokens_per_frame == 3
    printed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in printed[:-1]] == [
        *("part", "vision_tower", "temporal_encoding", "multi_modal_projector", "language_model", "lm_head")
    ]
    assert printed[1].split()[1:] == ["36", "29,264", "0.1", "float32"]
    assert printed[-1].startswith(f"{output}: ")
    assert "MB in 1 file, " in printed[-1]


def test_a_pair_is_chosen_by_the_vision_folder_and_reported_as_json(tmp_path, capsys):
    output = tmp_path / "out"
    arguments = ["--vision", "clip", "--language", "language", "--num-query-tokens", "9", "--num-attention-heads", "2"]
    options = ["--chat-template", "plain", "--dtype", "bfloat16", "--num-frames", "4", "--max-shard-size", "0.0001"]
    assert cli.main(["convert", *arguments, *options, "--output", str(output), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    config = FTFVConfig.from_pretrained(output)
    assert config.adapter_config.num_query_tokens == 9
    assert config.adapter_config.num_attention_heads == 2
    assert (config.tokens_per_frame, config.num_frames) == (4, 4)
    assert report["dtype"] == "bfloat16"
    assert len(report["files"]) > 1
    assert report["bytes"] == sum(part["bytes"] for part in report["parts"].values())


def test_qwen_vl_whole(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(convert, "convert_qwen_tokenizer", build_original_qwen_tokenizer)
    assert cli.main(["convert", "--qwen-vl", "qwen_vl", "--output", str(tmp_path / "out")]) == 0
    assert FTFVConfig.from_pretrained(tmp_path / "out").text_config.model_type == "qwen2"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Expected either --qwen-vl DIR, or --vision DIR and --language DIR."),
        (["--qwen-vl", "qwen_vl", "--vision", "clip"], "Expected either --qwen-vl DIR, or"),
        (["--vision", "clip"], "--vision and --language go together; give both."),
        (["--qwen-vl", "qwen_vl", "--num-query-tokens", "9"], "--num-query-tokens is fixed by Qwen-VL; leave it out"),
        (["--qwen-vl", "language"], "The config.json in 'language' has no `visual`; expected Qwen-VL or"),
        (["--qwen-vl", "absent"], "No config.json in 'absent'; expected the folder of a model."),
        (["--vision", "qwen_vl", "--language", "absent"], "No folder 'absent'; expected one with a model's config"),
        (
            ["--vision", "qwen_vl", "--language", "language", "--num-attention-heads", "2"],
            "--num-attention-heads is for a new adapter, but the one of Qwen-VL in 'qwen_vl' is taken",
        ),
        (
            ["--vision", "clip", "--language", "language", "--tokens-per-frame", "300"],
            "`tokens_per_frame` is 300; expected 1 to 256",
        ),
        (
            ["--vision", "clip", "--language", "language", "--num-query-tokens", "10"],
            "`num_query_tokens` is 10; expected a square number",
        ),
        (
            ["--vision", "clip", "--language", "language", "--max-shard-size", "0"],
            "--max-shard-size is 0.0; expected a positive number of gigabytes.",
        ),
    ],
)
def test_an_error_is_one_line(arguments, message, tmp_path, capsys):
    assert cli.main(["convert", *arguments, "--output", str(tmp_path / "out")]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.startswith("ftfv convert: error: ")
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_an_output_that_exists_is_refused(tmp_path, capsys):
    arguments = ["--vision", "clip", "--language", "language", "--output", str(tmp_path)]
    assert cli.main(["convert", *arguments]) == 1
    assert "exists; choose another output folder or remove it." in capsys.readouterr().err
