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
"""`ftfv eval`: from benchmark files to figures, with and without a judge, interrupted and taken up again."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import parse_eval_result_entries

from ftfv.cli import main
from ftfv.demo import _copy_image_model
from ftfv.eval import NAMES, draw_questions, own_prompt
from ftfv.evaluation.benchmarks.benchmark import Question
from ftfv.evaluation.benchmarks.registry import BENCHMARKS
from ftfv.hub_upload.results import read_results
from ftfv.training.data.moving_shapes import write_evaluation_set
from ftfv.training.data.moving_shapes.benchmark_files import FORMATS
from tests.judge_server import running_judge
from tests.lmms_eval.toy_data import ToyData
from tests.tiny import ROOT


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The shipped miniature, an image model that can be asked about clips."""
    folder = tmp_path_factory.mktemp("miniature")
    _copy_image_model(folder, {})
    return str(folder / "image_model")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clips of MovingShapes, two for each of four skills, in three formats."""
    folder = tmp_path_factory.mktemp("shapes")
    write_evaluation_set(folder / "rows", clips_per_skill=2, seed=0, split="test", progress=False)
    for name, write in FORMATS.items():
        write(folder / "rows", folder / name)
    return folder


@pytest.fixture
def judge_key(monkeypatch: pytest.MonkeyPatch) -> str:
    pytest.importorskip("openai")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-of-tests")
    return "sk-secret-of-tests"


def evaluate(capsys: pytest.CaptureFixture, *words: str) -> dict[str, Any]:
    code = main(["eval", *words, "--json"])
    captured = capsys.readouterr()
    assert code == 0, captured.err
    return json.loads(captured.out)


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_mvbench_with_sweeps_control_and_image_row(model, data, tmp_path, capsys):
    arguments = [f"mvbench={data / 'mvbench'}", "--model", model, "--output", str(tmp_path / "out")]
    asked = ["--tokens-per-frame", "8,2", "--token-sampler", "weighted,random", "--image-row", "--count-by", "strict"]
    results = evaluate(capsys, *arguments, *asked, "--prompt", "{question}")

    document = results["benchmarks"]["mvbench"]
    assert (document["questions"], document["media"]) == (8, 8)
    assert (document["system"], document["response_prefix"]) == ("", "")
    first = "tokens_per_frame=8,token_sampler=weighted"
    assert list(document["settings"]) == [
        first,
        "tokens_per_frame=2,token_sampler=weighted",
        "tokens_per_frame=8,token_sampler=random",
        "as_image",
        f"{first},shuffle_frames",
        "tokens_per_frame=2,token_sampler=weighted,shuffle_frames",
        "tokens_per_frame=8,token_sampler=random,shuffle_frames",
    ]
    columns = document["settings"][first]["columns"]
    # The miniature knows no letters: it answers in words, which the official rule does not take.
    assert list(columns) == ["official", "strict", "lmms_eval"]
    assert columns["official"]["totals"]["Avg"]["value"] == 0
    answers = [json.loads(line) for line in (tmp_path / "out/mvbench" / f"{first}.jsonl").read_text().splitlines()[1:]]
    truths = {
        f"{path.stem}/{index}": record["answer"]
        for path in sorted((data / "mvbench/json").glob("*.json"))
        for index, record in enumerate(json.loads(path.read_text()))
    }
    right = [answer["text"] == truths[answer["id"]] for answer in answers]
    strict = columns["strict"]
    assert sum(task["value"] * task["count"] for task in strict["tasks"].values()) == sum(right)
    assert len(strict["totals"]["Avg"]["missing"]) == 16
    assert results["token_budgets"]["mvbench"]["likely"] in (2, 8)

    report = (tmp_path / "out/report.md").read_text()
    assert results["model"]["dtype"] == "float32"
    assert "## Beside the paper's Table 4" in report
    assert "| FTFV-LLM S4-V " in report
    assert "image_model, one random frame, as an image" in report
    assert "Totals are without Action Prediction, Action Antonym" in report
    assert {"mvbench_tokens_per_frame.png", "mvbench_token_sampler.png", "mvbench_token_budget.png"} <= {
        path.name for path in (tmp_path / "out").glob("*.png")
    }


def test_open_answers_with_a_judge(model, data, tmp_path, capsys, judge_key):
    folder = data / "video_qa"
    arguments = [f"activitynet_qa={folder}", f"msvd_qa={folder}", "--model", model, "--output", str(tmp_path / "out")]
    arguments += ["--prompt", "{question}", "--video-pairs", "0", "--name", "tiny"]
    with running_judge() as server:
        asked = ["--judge", "judge-1", "--judge-url", server.url]
        results = evaluate(capsys, *arguments, *asked)
        payloads = list(server.payloads)
        assert {(payload["model"], payload["temperature"]) for payload in payloads} == {("judge-1", 0)}
        # Answers and replies are there: nothing is asked again.
        assert evaluate(capsys, *arguments, *asked) == results
        assert len(server.payloads) == len(payloads)

    columns = results["benchmarks"]["activitynet_qa"]["settings"]["default"]["columns"]
    assert list(columns) == ["judge", "judge_score", "exact", "contains"]
    values = {rule: column["totals"]["Acc"]["value"] for rule, column in columns.items()}
    # The judge of the test says yes to any shared word, and 5 only to equal ones.
    assert values["judge"] >= values["contains"] >= values["exact"]
    assert 5 * values["exact"] <= values["judge_score"] <= 5 * values["judge"]
    assert results["judge"]["name"] == "judge-1"
    assert len(results["judge"]["protocol_sha256"]) == 64
    assert (tmp_path / "out/figure_1.png").exists()
    for content in files(tmp_path / "out").values():
        assert judge_key.encode() not in content
    assert "| tiny, frames shuffled " in (tmp_path / "out/report.md").read_text()


def test_every_benchmark_in_its_own_format(saved_folder, tmp_path, capsys, judge_key):
    """Toy data in the formats as published, with a judge: every column and every total of the paper's tables."""
    data = ToyData(tmp_path / "data").ours
    names = sorted(path.name for path in data.iterdir())
    arguments = [*(f"{name}={data / name}" for name in names), "--no-shuffled-frames", "--judge-retries", "0"]
    with running_judge() as server:
        results = evaluate(
            capsys,
            *arguments,
            *("--judge", "judge-1", "--judge-url", server.url),
            *("--model", str(saved_folder), "--output", str(tmp_path / "out"), "--name", "tiny"),
        )

    columns = {
        name: list(document["settings"]["default"]["columns"]) for name, document in results["benchmarks"].items()
    }
    open_answers, options = ["judge", "judge_score", "exact", "contains"], ["official", "strict"]
    assert columns == {
        **dict.fromkeys(("activitynet_qa", "msrvtt_qa", "msvd_qa"), open_answers),
        **dict.fromkeys(("mmbench_cn", "mmbench_en", "mvbench"), [*options, "lmms_eval"]),
        "seed_bench": ["official", "lmms_eval", "strict"],
        "video_bench": options,
    }
    rows = [
        line.split("|")[1:-1] for line in (tmp_path / "out/report.md").read_text().splitlines() if "| tiny " in line
    ]
    # Table 3 without LVLM-eHub, of which there is no toy data; Table 4 whole.
    assert [cell.strip()[:1] in ("", "-") for cell in rows[0][1:]] == [True, True, True, False, False, False]
    assert [cell.strip()[:1] in ("", "-") for cell in rows[1][1:]] == [True] * 3 + [False] * 11
    video_bench = results["benchmarks"]["video_bench"]
    total = video_bench["settings"]["default"]["columns"]["official"]["totals"]["All"]
    assert (total["missing"], total["count"]) == ([], video_bench["questions"])


def test_a_judge_that_is_down_leaves_the_other_columns_and_fails(model, data, tmp_path, capsys, judge_key):
    arguments = ["eval", f"msvd_qa={data / 'video_qa'}", "--model", model, "--output", str(tmp_path / "out")]
    arguments += ["--no-shuffled-frames", "--prompt", "{question}", "--judge-retries", "0"]
    with running_judge(down_after=3) as server:
        asked = ["--judge", "judge-1", "--judge-url", server.url]
        assert main([*arguments, *asked]) == 1
        captured = capsys.readouterr()
        assert f"{server.url}" in captured.err.splitlines()[-1]
    assert "**The judge has not replied about all answers**" in captured.out
    document = json.loads((tmp_path / "out/results.json").read_text())["benchmarks"]["msvd_qa"]
    assert list(document["settings"]["default"]["columns"]) == ["exact", "contains"]
    judged = tmp_path / "out/msvd_qa/default.judged.jsonl"
    kept = judged.read_text().splitlines()
    assert 0 < len(kept) <= 3

    whole = tmp_path / "whole"
    with running_judge() as server:
        asked = ["--judge", "judge-1", "--judge-url", server.url]
        evaluate(capsys, *arguments[1:], *asked)
        assert len(server.payloads) == len({json.dumps(one["messages"]) for one in server.payloads})
        evaluate(capsys, *arguments[1:5], str(whole), *arguments[6:], *asked)
    assert files(tmp_path / "out/msvd_qa") == files(whole / "msvd_qa")


def test_killed_in_the_middle_and_taken_up_again_gives_the_same_files(model, data, tmp_path, judge_key):
    """Both formats of benchmarks, with a judge, killed while the model answers."""
    command = [sys.executable, "-m", "ftfv", "eval"]
    command += [f"activitynet_qa={data / 'video_qa'}", f"mvbench={data / 'mvbench'}"]
    command += ["--model", model, "--tokens-per-frame", "8,2", "--batch-size", "1", "--judge", "judge-1"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    with running_judge() as server:

        def start(folder: Path) -> subprocess.Popen:
            words = [*command, "--judge-url", server.url, "--output", str(folder)]
            return subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL)

        assert start(tmp_path / "whole").wait() == 0
        process = start(tmp_path / "killed")
        path = tmp_path / "killed/activitynet_qa/tokens_per_frame=8.jsonl"
        while process.poll() is None and not (path.exists() and path.read_bytes().count(b"\n") > 3):
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        num_answers = path.read_bytes().count(b"\n") - 1
        assert 0 < num_answers < 8
        with open(path, "ab") as file:
            file.write(b'{"id": "half')
        assert not (tmp_path / "killed/results.json").exists()

        assert start(tmp_path / "killed").wait() == 0
    assert files(tmp_path / "killed") == files(tmp_path / "whole")
    assert (tmp_path / "whole/activitynet_qa/tokens_per_frame=8.judged.jsonl").exists()


def test_counts_again_without_the_model(model, data, tmp_path, capsys, monkeypatch):
    arguments = [f"own={data / 'own'}", "--model", model, "--output", str(tmp_path)]
    results = evaluate(capsys, *arguments)
    monkeypatch.setattr("ftfv.eval._load_model", None)  # would fail if it were called
    assert evaluate(capsys, *arguments) == results


def test_results_are_what_a_card_takes(model, data, tmp_path, capsys):
    results = evaluate(capsys, f"mvbench={data / 'mvbench'}", "--model", model, "--output", str(tmp_path))
    path = tmp_path / "eval_results.yaml"
    [entry] = parse_eval_result_entries(yaml.safe_load(path.read_text()))
    total = results["benchmarks"]["mvbench"]["settings"]["default"]["columns"]["official"]["totals"]["Avg"]
    assert (entry.dataset_id, entry.task_id) == ("OpenGVLab/MVBench", "mvbench")
    assert entry.value == round(100 * total["value"], 2)
    assert "without Action Prediction" in entry.notes
    assert read_results(path).entries == (entry,)

    results = evaluate(capsys, f"own={data / 'own'}", "--model", model, "--output", str(tmp_path / "own"))
    scores = read_results(tmp_path / "own/own.json").scores
    tasks = results["benchmarks"]["own"]["settings"]["default"]["columns"]["exact"]["tasks"]
    assert {task: score.accuracy for task, score in scores.items()} == {
        task: figure["value"] for task, figure in tasks.items()
    }


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["mvbenc=x"], "There is no benchmark 'mvbenc'; expected one of msvd_qa"),
        (["own=nowhere"], "nowhere/questions.jsonl is missing"),
        (["own={own}", "--prompt", "what"], "--prompt is 'what'; expected {question}"),
        (["own={own}", "--prompt", "{question} {answer}"], "expected {question} and perhaps {options} in it"),
        (["own={own}", "--limit", "0"], "--limit is 0; expected at least 1"),
        (["own={own}", "--tokens-per-frame", "four"], "--tokens-per-frame is 'four'; expected whole numbers"),
        (["own={own}", "--tokens-per-frame", "17"], "`tokens_per_frame` is 17; expected 1 to 16"),
        (["own={own}", "--count-by", "best"], "--count-by is 'best'; expected one of exact, contains"),
        (["own={own}", "--tolerance", "0"], "--tolerance is 0.0; expected points of accuracy"),
        (["own={own}", "own={own}"], "A benchmark is named twice"),
        (["own={own}", "--token-sampler", "best"], "`token_sampler` is 'best'; expected one of weighted"),
        (["own={own}", "--judge", "./nowhere"], "--judge is './nowhere', which holds no config.json"),
        (["own={own}", "--judge", "judge-1", "--judge-url", "http://127.0.0.1:9/v1"], "holds no key"),
        (["own={own}", "--judge-url", "http://x"], "--judge-url is given without --judge"),
        (["own={own}", "--batch-size", "0"], "--batch-size is 0; expected at least 1"),
    ],
)
def test_bad_options_are_one_line(model, data, tmp_path, capsys, monkeypatch, words, message):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    words = [word.replace("{own}", str(data / "own")) for word in words]
    assert main(["eval", *words, "--model", model, "--output", str(tmp_path / "out")]) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("ftfv eval: error: ")
    assert message in error
    # Found before anything was asked.
    assert not (tmp_path / "out").exists()


def test_the_report_tells_of_what_was_asked_and_not_of_what_was_there(model, data, tmp_path, capsys):
    arguments = [f"mvbench={data / 'mvbench'}", "--model", model, "--output", str(tmp_path), "--no-shuffled-frames"]
    evaluate(capsys, *arguments, "--tokens-per-frame", "2,4", "--num-frames", "4")
    report = (tmp_path / "report.md").read_text()
    assert re.search(r"\| tokens per frame \(K\) +\| +2 of 16 \|", report)
    assert re.search(r"\| frames +\| +4, \d+ pixels wide and high \|", report)
    assert "K = 2, 4 frames; weighted sampler" in " ".join((tmp_path / "eval_results.yaml").read_text().split())
    assert {path.name for path in tmp_path.glob("*.png")} == {
        "mvbench_tokens_per_frame.png",
        "mvbench_token_budget.png",
    }

    # A later run leaves neither plots nor a card of this one.
    evaluate(capsys, f"own={data / 'own'}", *arguments[1:])
    assert not list(tmp_path.glob("*.png")) and not (tmp_path / "eval_results.yaml").exists()
    assert (tmp_path / "own.json").exists()


def test_what_changed_in_the_files_is_not_answered_from_before(model, data, tmp_path, capsys):
    shutil.copytree(data / "own", tmp_path / "own")
    arguments = [f"own={tmp_path / 'own'}", "--model", model, "--output", str(tmp_path / "out")]
    evaluate(capsys, *arguments)
    # Moved as a whole it is the same.
    (tmp_path / "own").rename(tmp_path / "moved")
    evaluate(capsys, f"own={tmp_path / 'moved'}", *arguments[1:])
    clip = next((tmp_path / "moved/clips").iterdir())
    clip.write_bytes(clip.read_bytes() + b" ")
    assert main(["eval", f"own={tmp_path / 'moved'}", *arguments[1:]]) == 1
    assert "holds answers for other questions, files or --limit" in capsys.readouterr().err
    assert main(["eval", f"own={data / 'own'}", *arguments[1:], "--dtype", "bfloat16"]) == 1
    assert "holds answers for model" in capsys.readouterr().err


def test_a_file_that_was_mended_is_asked_about(model, data, tmp_path, capsys):
    shutil.copytree(data / "own", tmp_path / "own")
    clip = sorted((tmp_path / "own/clips").iterdir())[0]
    good = clip.read_bytes()
    clip.write_bytes(bytes(len(good)))
    arguments = [f"own={tmp_path / 'own'}", "--model", model, "--output", str(tmp_path / "out")]
    assert main(["eval", *arguments]) == 1
    assert "--count-unreadable counts such questions as wrong" in capsys.readouterr().err
    results = evaluate(capsys, *arguments, "--count-unreadable")
    assert results["benchmarks"]["own"]["settings"]["default"]["unreadable"] == 1
    clip.write_bytes(good)
    results = evaluate(capsys, *arguments)
    assert results["benchmarks"]["own"]["settings"]["default"]["unreadable"] == 0


def test_a_benchmark_that_stops_leaves_the_report_of_those_before(model, data, tmp_path, capsys):
    shutil.copytree(data / "own", tmp_path / "own")
    next((tmp_path / "own/clips").iterdir()).write_bytes(b"no video")
    arguments = [f"mvbench={data / 'mvbench'}", f"own={tmp_path / 'own'}", "--model", model]
    assert main(["eval", *arguments, "--output", str(tmp_path / "out")]) == 1
    assert "--count-unreadable counts such questions as wrong" in capsys.readouterr().err
    assert list(json.loads((tmp_path / "out/results.json").read_text())["benchmarks"]) == ["mvbench"]


def test_a_judge_that_refuses_leaves_the_other_columns_of_all_benchmarks(model, data, tmp_path, capsys, judge_key):
    names = [f"{name}={data / 'video_qa'}" for name in ("msvd_qa", "msrvtt_qa")]
    with running_judge(key="another") as server:
        judge = ["--judge", "judge-1", "--judge-url", server.url]
        assert main(["eval", *names, "--model", model, "--output", str(tmp_path), *judge]) == 1
    assert "refused the key (401)" in capsys.readouterr().err
    documents = json.loads((tmp_path / "results.json").read_text())["benchmarks"]
    for document in documents.values():
        assert "refused the key" in document["judge_error"]
        assert list(document["settings"]["default"]["columns"]) == ["exact", "contains"]


def test_a_folder_of_answers_of_another_model_is_refused(model, saved_folder, data, tmp_path, capsys):
    arguments = [f"own={data / 'own'}", "--output", str(tmp_path)]
    evaluate(capsys, *arguments, "--model", model)
    before = files(tmp_path)
    assert main(["eval", *arguments, "--model", str(saved_folder)]) == 1
    assert "holds answers for model" in capsys.readouterr().err
    assert files(tmp_path) == before


def test_limit_draws_whole_units_of_each_task():
    questions = [
        Question(f"{task}{unit}{turn}", task, "?", "A", unit=f"{task}{unit}")
        for task in "xy"
        for unit in range(10)
        for turn in range(3)
    ]
    drawn = draw_questions(questions, 4, seed=0)
    assert len(drawn) == 24
    assert {task: len({question.unit for question in drawn if question.task == task}) for task in "xy"} == {
        "x": 4,
        "y": 4,
    }
    assert draw_questions(questions, 4, seed=0) == drawn != draw_questions(questions, 4, seed=1)
    assert draw_questions(questions, None, seed=0) == questions


def test_help_names_every_benchmark(capsys):
    assert (*NAMES, "own") == tuple(BENCHMARKS)
    with pytest.raises(SystemExit):
        main(["eval", "--help"])
    assert ", ".join(NAMES) in " ".join(capsys.readouterr().out.split())


def test_own_prompt_fills_in_question_and_options():
    prompt = own_prompt("{{Q}} {question}\n{options}")
    question = Question("0", "task", "which {way} ?", "A", ("left", "right"))
    assert prompt(question) == "{Q} which {way} ?\n(A) left\n(B) right"
