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
"""`ftfv eval NAME` without a folder, with a stand-in for lmms-eval; `make lmms-eval` runs the real one."""

import json
import os
import sys
from pathlib import Path

import pytest

from ftfv.cli import main
from ftfv.training.data.moving_shapes import write_evaluation_set
from ftfv.training.data.moving_shapes.benchmark_files import write_mvbench


STAND_IN = """
import json, os, pathlib, sys
options = dict(zip(sys.argv[1::2], sys.argv[2::2]))
folder = pathlib.Path(options[next(name for name in options if name == "--output_path")])
folder.mkdir(parents=True, exist_ok=True)
(folder / "asked.json").write_text(json.dumps([sys.argv[1:], os.environ.get("OPENAI_API_URL")]))
if "fails" in options["--model_args"]:
    sys.exit("no such thing")
results = {
    "mvbench_action_count": {"mvbench_accuracy,none": 40.0},
    "mvbench_state_change": {"mvbench_accuracy,none": 45.0},
    "seedbench": {"seed_image,none": 0.625, "seed_all,none": 0.5},
}
(folder / "20261123_results.json").write_text(json.dumps({"results": results}))
rows = [{"doc_id": 0, "filtered_resps": ["A"]}, {"doc_id": 1, "filtered_resps": [""]}]
(folder / "20261123_samples_seedbench.jsonl").write_text("".join(json.dumps(row) + "\\n" for row in rows))
"""


@pytest.fixture
def lmms_eval(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package, info = tmp_path / "site/lmms_eval", tmp_path / "site/lmms_eval-0.7.3.dist-info"
    for folder in (package, info):
        folder.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    # `--log_samples` has no value.
    (package / "__main__.py").write_text("import sys\nsys.argv.remove('--log_samples')\n" + STAND_IN)
    (info / "METADATA").write_text("Name: lmms_eval\nVersion: 0.7.3\n")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path / "site"), os.environ.get("PYTHONPATH", "")]))


def run(folder: Path, model: Path, *words: str) -> int:
    names = [word for word in words if not word.startswith("-")]
    options = [word for word in words if word.startswith("-")]
    return main(["eval", *names, "--model", str(model), "--output", str(folder), *options])


def test_figures_of_lmms_eval_stand_beside_the_paper_s(lmms_eval, saved_folder, tmp_path, capsys, monkeypatch):
    pytest.importorskip("openai")
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    options = [
        "--tokens-per-frame=2",
        "--dtype=bfloat16",
        "--seed=5",
        "--limit=7",
        "--judge=judge-1",
        "--judge-url=http://host/v1",
    ]
    assert run(tmp_path / "out", saved_folder, "mvbench", "seed_bench", *options) == 0
    report = capsys.readouterr().out

    words, url = json.loads((tmp_path / "out/lmms_eval/asked.json").read_text())
    asked = dict(zip(words[::2], words[1::2], strict=True))
    assert asked["--tasks"] == "mvbench,seedbench"
    given = dict(word.split("=") for word in asked["--model_args"].split(","))
    assert given == {
        "pretrained": str(saved_folder),
        **{"tokens_per_frame": "2", "shuffle_frames": "False", "as_image": "False", "dtype": "bfloat16", "seed": "5"},
    }
    assert asked["--limit"] == "7"
    assert url == "http://host/v1/chat/completions"
    results = json.loads((tmp_path / "out/results.json").read_text())["lmms_eval"]
    assert results == {
        "version": "0.7.3",
        "columns": {"SEED-I": 62.5, "MVBench Avg": 42.5},
        "tasks": {"seedbench": {"questions": 2, "empty": 1}},
    }
    assert "## Beside the paper's Table 3" in report and "## Beside the paper's Table 4" in report
    assert "† by lmms-eval 0.7.3, with its prompts and rules and without intervals" in report


def test_without_lmms_eval(saved_folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "lmms_eval", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert run(tmp_path, saved_folder, "mvbench") == 1
    assert "lmms-eval is to download and run it, but it is not installed" in capsys.readouterr().err
    assert run(tmp_path, saved_folder, "msvd_qa") == 1
    assert "'msvd_qa' cannot be downloaded by lmms-eval; name its folder: msvd_qa=FOLDER" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--prompt={question}", "--prompt is given, but 'mvbench' names no folder"),
        ("--count-unreadable", "--count-unreadable is given, but 'mvbench' names no folder"),
        ("--image-row", "--image-row is given, but 'mvbench' names no folder"),
        ("--tokens-per-frame=4,2", "--tokens-per-frame has several values, but 'mvbench' names no folder"),
    ],
)
def test_options_that_lmms_eval_has_nothing_for(lmms_eval, saved_folder, tmp_path, capsys, option, message):
    assert run(tmp_path / "out", saved_folder, "mvbench", option) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_run_that_fails(lmms_eval, saved_folder, tmp_path, capsys):
    model = tmp_path / "fails"
    model.symlink_to(saved_folder)
    assert run(tmp_path / "out", model, "mvbench") == 1
    assert "lmms-eval ended with exit code 1 and 0 files of results" in capsys.readouterr().err


def test_answers_that_lmms_eval_logged_are_counted_by_our_rules(saved_folder, tmp_path, capsys):
    write_evaluation_set(tmp_path / "rows", clips_per_skill=2, seed=0, split="test", skills=["turns"], progress=False)
    folder = write_mvbench(tmp_path / "rows", tmp_path / "mvbench")
    records = json.loads((folder / "json/action_count.json").read_text())
    truth = "ABC"[records[0]["candidates"].index(records[0]["answer"])]
    rows = [{"doc_id": 0, "filtered_resps": [f"({truth})"]}, {"doc_id": 1, "filtered_resps": [""]}]
    samples = tmp_path / "logged/20261123_samples_mvbench_action_count.jsonl"
    samples.parent.mkdir()
    samples.write_text("".join(json.dumps(row) + "\n" for row in rows))

    words = [f"mvbench={folder}", f"--lmms-eval-samples={samples.parent}"]
    assert run(tmp_path / "out", saved_folder, *words) == 0
    [entry] = json.loads((tmp_path / "out/results.json").read_text())["benchmarks"]["mvbench"]["settings"].values()
    values = {rule: column["totals"]["Avg"]["value"] for rule, column in entry["columns"].items()}
    # An empty answer is right officially, wrong strictly and left out by lmms-eval.
    assert values == {"official": 1.0, "strict": 0.5, "lmms_eval": 1.0}
    assert entry["columns"]["lmms_eval"]["not_counted"] == 1

    assert run(tmp_path / "other", saved_folder, *words, "--num-frames=4") == 1
    assert "--num-frames is given with --lmms-eval-samples" in capsys.readouterr().err
    samples.write_text(json.dumps(rows[0]) + "\n")
    assert run(tmp_path / "other", saved_folder, *words) == 1
    assert "1 of 2 questions of MVBench have no answer among those given" in capsys.readouterr().err
