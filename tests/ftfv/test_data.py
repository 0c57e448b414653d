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
"""`ftfv data` on the command line."""

import json

import pytest

from ftfv import cli
from ftfv.training.data.dataset_folder import conversation_row, read_rows, write_rows
from ftfv.training.data.sources import SOURCES


@pytest.fixture
def raw(tmp_path):
    records = [{"q": f"q{n}?", "a": "a" if n else "", "video_id": f"v_{n % 4}"} for n in range(12)]
    (tmp_path / "raw.json").write_text(json.dumps(records))
    (tmp_path / "media").mkdir()
    for number in range(3):
        (tmp_path / f"media/v_{number}.webm").write_bytes(b"x")
    return ["data", "video-instruct", str(tmp_path / "raw.json"), "--media-root", str(tmp_path / "media")]


def test_a_conversion_says_what_became_of_the_records(raw, tmp_path, capsys):
    assert cli.main([*raw, "--output", str(tmp_path / "out"), "--skip-missing"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{tmp_path / 'out'}: 8 rows with 8 question-answer pairs about 3 videos, 0 pictures"
    assert lines[1:3] == ["malformed: 1, the first:", "  raw.json[0]: `a` is empty"]
    assert lines[3] == "missing: 3, the first:" and lines[4].startswith("  raw.json[3]: no file 'v_3'")
    assert len(lines) == 7


def test_json_is_one_document(raw, tmp_path, capsys):
    arguments = ["--output", str(tmp_path / "out"), "--skip-missing", "--fraction", "0.5", "--by", "row", "--json"]
    assert cli.main([*raw, *arguments]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["source"] == "video-instruct"
    assert document["rows"] + document["missing"]["count"] == 6
    assert document["not_chosen"] == 5
    assert document["malformed"] == {"count": 1, "first": ["raw.json[0]: `a` is empty"]}


def test_a_missing_file_is_one_line_and_exits_1(raw, tmp_path, capsys):
    assert cli.main([*raw, "--output", str(tmp_path / "out")]) == 1
    captured = capsys.readouterr()
    error = captured.err.splitlines()[-1]
    assert captured.out == ""
    assert error.startswith(
        "ftfv data: error: 3 of 11 rows name media files that cannot be used, the first: raw.json[3]"
    )


def test_types_take_the_names_of_the_paper(tmp_path, capsys):
    folder = tmp_path / "caption/videochat"
    folder.mkdir(parents=True)
    records = [{"video": "a.mp4", "QA": [{"i": "Describe.", "q": "", "a": "b"}]}]
    (folder / "train.json").write_text(json.dumps(records))
    (tmp_path / "a.mp4").write_bytes(b"x")
    arguments = [
        "data",
        "videochat2-it",
        str(tmp_path),
        "--media-root",
        str(tmp_path),
        "--output",
        str(tmp_path / "out"),
    ]
    assert cli.main([*arguments, "--types", "vqa, detailed caption", "--pairs", "1"]) == 0
    assert "1 rows with 1 question" in capsys.readouterr().out


def test_clips_of_chosen_skills_and_types(tmp_path, capsys):
    command = ["data", "moving-shapes", "--clips", "4", "--skills", "direction=3, turns=1"]
    assert cli.main([*command, "--types", "reasoning,simple caption", "--output", str(tmp_path / "train")]) == 0
    rows = read_rows(tmp_path / "train")
    assert sorted((row["type"], row["skill"]) for row in rows) == [
        *([("reasoning", "direction")] * 2),
        *([("simple_caption", "direction")] * 2),
    ]
    capsys.readouterr()
    assert cli.main([*command, "--split", "test", "--output", str(tmp_path / "test")]) == 1
    assert "--skills and --types are for training sets; --split test asks about all" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        cli.main(["data", "moving-shapes", "--skills", "direction", "--output", str(tmp_path / "out")])
    assert "'direction' is no list such as direction=4,turns=1" in capsys.readouterr().err


@pytest.mark.parametrize("name", [*SOURCES, "moving-shapes", "preview"])
def test_help_of_every_source_ends_in_a_legal_example(name, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["data", name, "--help"])
    assert stop.value.code == 0
    program, *example = capsys.readouterr().out.rstrip().splitlines()[-1].split()
    assert program == "ftfv" and example[:2] == ["data", name]
    assert cli.build_parser("data").parse_args(example).run_data


def test_debug_after_the_source_is_accepted(tmp_path):
    with pytest.raises(FileNotFoundError):
        cli.main(["data", "gqa", str(tmp_path / "absent"), "--output", str(tmp_path / "out"), "--debug"])


def test_a_preview(saved_folder, clip, tmp_path, capsys):
    name = "clip.mp4"
    (tmp_path / name).symlink_to(clip)
    write_rows(tmp_path, "train", [conversation_row(name, [("which way ?", "left")], id="first")], "")
    arguments = ["data", "preview", str(tmp_path), "--model", str(saved_folder)]
    assert cli.main(arguments) == 0
    assert capsys.readouterr().out.splitlines() == [
        "row 0, id first",
        "",
        "<s>user: <video>",
        "which way ? assistant: left</s>",
        "",
        "tokens: 42 = 32 of pictures and videos + 10 of text",
        "loss on 2 tokens:",
        "  'left </s>'",
        "media: clip.mp4",
        "frames: 8, numbers 1, 3, 6, 8, 11, 13, 16, 18",
        "size: 64x48 pixels, to the model as 42x42",
    ]
    assert cli.main([*arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["num_visual_tokens"] == 32
    assert cli.main([*arguments, "--row", "1"]) == 1
    assert capsys.readouterr().err.startswith("ftfv data: error: Row 1 is asked for but ")
