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
"""The README: every command, option, recipe and file that it names exists, and its commands and snippets run."""

import json
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from ftfv import FTFVConfig
from ftfv.cli import COMMANDS, build_parser, main
from ftfv.training.conversion import convert
from ftfv.training.stages import recipe_path
from tests.serving import running_server
from tests.strangers import run_python
from tests.tiny import ROOT, write_video
from tests.training.conversion.originals import (
    build_original_qwen_tokenizer,
    build_qwen_vl,
    save_checkpoint,
    save_clip,
    save_language_model,
)


README = (ROOT / "README.md").read_text()
SNIPPETS = re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
# Continued lines are one.
LINES = [
    line.strip()
    for block in re.findall(r"^```sh\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    for line in block.replace("\\\n", " ").splitlines()
]
# What a test of its own runs: trainings and servers.
RUN_ELSEWHERE = {
    "make demo": "tests/ftfv/test_demo.py",
    "make test": "Makefile",
    ". .venv/bin/activate": "Makefile",
    "FTFV_MEDIA_ROOT=": "tests/training/test_runs.py",
    "ftfv merge": "tests/training/test_merge.py",
    "ftfv serve": "tests/test_readme.py",
}
COMMAND_LINES = [line for line in LINES if not line.startswith(tuple(RUN_ELSEWHERE))]


def test_every_command_is_known_and_every_command_is_named():
    named = set(re.findall(r"`?ftfv ([a-z]+)\b", README))
    assert named <= {*COMMANDS, "command"}
    assert named >= set(COMMANDS)


@pytest.mark.parametrize("line", [line for line in LINES if line.startswith("ftfv ")])
def test_every_command_line_parses(line):
    words = shlex.split(line, comments=True)
    build_parser(words[1]).parse_args(words[1:])


@pytest.fixture(scope="module")
def place(saved_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder where all that the README names exists, as small as it can be."""
    place = tmp_path_factory.mktemp("readme")
    for model in ("demo/s4v/model", "runs/s4v/model"):
        shutil.copytree(saved_folder, place / model)
    (place / "demo/held_out/clips").mkdir(parents=True)
    clip = write_video(place / "clip.mp4", 20)
    shutil.copy(clip, place / "demo/held_out/clips/000000.mp4")
    save_checkpoint(place / "Qwen-VL", *build_qwen_vl())
    save_checkpoint(place / "Qwen-VL-Chat", *build_qwen_vl())
    save_language_model(place / "vicuna-7b-v1.5")
    save_language_model(place / "qwen2.5")
    save_clip(place / "clip")
    (place / "videos").mkdir()
    pairs = []
    for number in range(10):
        shutil.copy(clip, place / "videos" / f"v_{number}.mp4")
        pairs.append({"q": "What is shown?", "a": "A square.", "video_id": f"v_{number}"})
    (place / "VideoInstruct100K.json").write_text(json.dumps(pairs))
    row = {"video": clip, "question": "which way does it move ?", "answer": "left"}
    (place / "clips.jsonl").write_text(json.dumps(row) + "\n")
    return place


def test_every_command_line_runs(place, monkeypatch, capsys):
    """In their order, since some read what others wrote."""
    monkeypatch.chdir(place)
    # Qwen-VL's own vocabulary is larger than a test should be.
    monkeypatch.setattr(convert, "convert_qwen_tokenizer", build_original_qwen_tokenizer)
    for line in COMMAND_LINES:
        words = shlex.split(line, comments=True)
        assert words[0] == "ftfv", line
        # Trained for real in tests/ftfv/test_train.py.
        code = main([*words[1:], *(["--dry-run"] if words[1] == "train" else [])])
        captured = capsys.readouterr()
        # The doctor's exit code is for what is bad on this machine, such as a missing decoder.
        assert code == 0 or words[1] == "doctor", (line, captured.err)
        assert captured.out.strip(), line
    assert (place / "look.png").stat().st_size > 1000
    assert FTFVConfig.from_pretrained(place / "start").text_config.model_type == "llama"
    assert FTFVConfig.from_pretrained(place / "chat").text_config.model_type == "qwen2"
    assert FTFVConfig.from_pretrained(place / "pair").adapter_config.num_query_tokens == 64
    assert len((place / "instruct-10/train.jsonl").read_text().splitlines()) == 1
    assert "learning_rate" in (place / "runs/mine/recipe.yaml").read_text()


def test_every_other_line_is_run_by_a_test_of_its_own():
    others = [line for line in LINES if line not in COMMAND_LINES]
    for beginning, file in RUN_ELSEWHERE.items():
        assert (ROOT / file).is_file()
        assert any(line.startswith(beginning) for line in others), beginning


@pytest.fixture(scope="module")
def server(place: Path) -> Iterator[str]:
    pytest.importorskip("openai", reason="openai is not installed (pip install 'ftfv[serve]')")
    with running_server("runs/s4v/model", cwd=place) as address:
        yield address


def test_every_snippet_runs(place, server):
    assert len(SNIPPETS) == 4
    code = "\n".join(SNIPPETS)
    assert code.count("http://localhost:8000/v1") == 1
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n" + code.replace("http://localhost:8000/v1", server)
    printed = run_python(code, cwd=place)
    # Two answers on features and one of the server; the tiny model's words say nothing.
    assert len(printed.splitlines()) == 3


def test_every_recipe_of_the_table_exists():
    table = README[README.index("| recipe |") :].split("\n\n")[0]
    names = [name for row in table.splitlines()[2:] for name in re.findall(r"`([a-z0-9]+)`", row.split("|")[1])]
    assert names == ["align", "pretrain", "instruct", "s4v", "s3iv"]
    for name in names:
        assert recipe_path(f"miniature/{name}").is_file()


def test_every_make_target_exists():
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"\bmake ([a-z-]+)", README):
        assert f"\n{target}:" in makefile, target


def test_every_file_that_it_links_exists():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert target.startswith("http") or (ROOT / target).exists(), target
