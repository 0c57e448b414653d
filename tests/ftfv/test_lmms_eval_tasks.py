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
"""The task files that lmms-eval is given, without lmms-eval."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import ftfv.lmms_eval_tasks
from ftfv.evaluation.benchmarks.benchmark import Answered, Question
from ftfv.evaluation.benchmarks.registry import BENCHMARKS
from ftfv.evaluation.scores.benchmark_scores import score_answers
from ftfv.lmms_eval_tasks import __main__ as printing
from ftfv.lmms_eval_tasks import video_bench_totals
from tests.judge_server import running_judge
from tests.lmms_eval.toy_data import ToyData
from tests.lmms_eval_stand_in import import_with_stand_in


FOLDER = Path(ftfv.lmms_eval_tasks.__file__).parent
VIDEO_BENCH = BENCHMARKS["video_bench"]
LEVELS = {"exclusive": "Exc", "prior": "Prior", "decision": "Dec"}


class Loader(yaml.SafeLoader):
    """Reads `!function a.b` as the text `a.b`."""


Loader.add_constructor("!function", lambda loader, node: loader.construct_scalar(node))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return ToyData(tmp_path_factory.mktemp("toy"))


@pytest.fixture
def task_module(monkeypatch, data):
    for name in ("msvd_qa", "msrvtt_qa", "video_bench"):
        monkeypatch.setenv(f"{name.upper()}_FOLDER", str(data.ours / name))
    for name in ("OPENAI_API_KEY", "OPENAI_API_URL", "MODEL_VERSION"):
        monkeypatch.delenv(name, raising=False)
    return import_with_stand_in(monkeypatch, "ftfv.lmms_eval_tasks.benchmark_task")


def configs():
    return [yaml.load(path.read_text(), Loader) for path in sorted(FOLDER.rglob("*.yaml"))]


def test_there_is_a_task_of_each_benchmark_that_lmms_eval_lacks(task_module):
    tasks = {one["task"]: one for one in configs() if isinstance(one["task"], str)}
    assert {name: (one["dataset_path"], one.get("dataset_name")) for name, one in tasks.items()} == {
        "msvd_qa": ("msvd_qa", None),
        "msrvtt_qa": ("msrvtt_qa", None),
        **{f"video_bench_{name.lower().replace('-', '_')}": ("video_bench", name) for name in VIDEO_BENCH.tasks},
    }
    for one in tasks.values():
        assert one["class"] == "ftfv.lmms_eval_tasks.benchmark_task.BenchmarkTask"
        assert one["metadata"] == {"version": 1.0}
        built = task_module.BenchmarkTask(config=one)
        assert len(built.dataset["test"]) == (3 if "video_bench" in one["task"] else 12)


def test_what_lmms_eval_cannot_hand_on_is_not_needed():
    """Its prompts are of one turn: no system message, no beginning of the answer, no part of a video."""
    for name in {one["dataset_path"] for one in configs() if "dataset_path" in one}:
        assert (BENCHMARKS[name].system, BENCHMARKS[name].response_prefix) == ("", "")


def test_groups_list_the_sets_in_the_order_of_their_weights():
    groups = {one["group"]: one for one in configs() if "group" in one}
    assert groups.keys() == {"video_bench", *(f"video_bench_{level}" for level in LEVELS)}
    for level, total in LEVELS.items():
        sets = [f"video_bench_{name.lower().replace('-', '_')}" for name in VIDEO_BENCH.totals[total].weights]
        assert groups[f"video_bench_{level}"]["task"] == sets
    assert groups["video_bench"]["task"] == [f"video_bench_{level}" for level in LEVELS]
    for name, group in groups.items():
        functions = {one["metric"]: one["aggregation"] for one in group["aggregate_metric_list"]}
        assert functions.keys() == VIDEO_BENCH.rules.keys() - {"likelihood"}
        [function] = set(functions.values())
        module, _, function_name = function.rpartition(".")
        assert callable(getattr(importlib.import_module(module), function_name))
        assert function_name == {"video_bench": "overall"}.get(name, name.removeprefix("video_bench_"))


def test_totals_are_those_of_our_evaluation(data):
    answers = []
    for index, question in enumerate(VIDEO_BENCH.read(data.ours / "video_bench")):
        answers.append(Answered(question, question.answer if index * index % 7 < 2 else ""))
    column = score_answers(VIDEO_BENCH, answers)["strict"]
    scores = [column.tasks[name].value for name in VIDEO_BENCH.tasks]
    assert len(set(scores)) > 2
    functions = {"Exc": "exclusive", "Prior": "prior", "Dec": "decision", "All": "overall"}
    places = {"Exc": slice(0, 7), "Prior": slice(7, 10), "Dec": slice(10, 13), "All": slice(0, 13)}
    for total, function in functions.items():
        value = getattr(video_bench_totals, function)(scores[places[total]], [], False)
        assert value == pytest.approx(column.totals[total].value, abs=1e-12)
    # MOT, the last of seven, weighs half.
    assert video_bench_totals.exclusive([0] * 6 + [1], [], False) == pytest.approx(0.5 / 6.5)
    with pytest.raises(ValueError, match="There are 2 scores for Prior of Video-Bench; expected one of each of TVQA,"):
        video_bench_totals.prior([0, 1], [], False)


def test_documents_prompts_and_rules_are_those_of_our_evaluation(task_module, data):
    task = task_module.BenchmarkTask(config={"task": "msvd_qa", "class": object, "dataset_path": "msvd_qa"})
    questions = BENCHMARKS["msvd_qa"].read(data.ours / "msvd_qa")
    config = task.config
    assert "class" not in config and config["test_split"] == "test"
    assert config["generation_kwargs"] == {"max_new_tokens": 64, "until": [], "do_sample": False, "temperature": 0}
    for document, question in zip(task.dataset["test"], questions, strict=True):
        assert config["doc_to_text"](document) == BENCHMARKS["msvd_qa"].prompt(question)
        assert config["doc_to_visual"](document) == [question.video]
        assert config["doc_to_target"](document) == question.answer
        scores = config["process_results"](document, [f"a {question.answer}."])
        assert {name: score["score"] for name, score in scores.items()} == {"exact": 1, "contains": 1}
    assert [metric["metric"] for metric in config["metric_list"]] == list(BENCHMARKS["msvd_qa"].rules)
    assert task_module.mean_score([{"score": 1.0}, {"score": 4.0}]) == 2.5


def test_a_judge_is_asked_where_lmms_evals_variables_say(task_module, monkeypatch):
    pytest.importorskip("openai")
    with running_judge(key="secret") as judge:
        monkeypatch.setenv("OPENAI_API_URL", f"{judge.url}/chat/completions")
        monkeypatch.setenv("OPENAI_API_KEY", "secret")
        monkeypatch.setenv("MODEL_VERSION", "judge-of-the-day")
        opened = task_module.BenchmarkTask(config={"task": "msvd_qa", "dataset_path": "msvd_qa"})
        document = opened.dataset["test"][0]
        scores = opened.config["process_results"](document, [opened.config["doc_to_target"](document)])
        assert scores["judge"] == {
            "id": "msvd_qa0_0",
            "score": 1.0,
            "parsed": True,
            "reply": "{'pred': 'yes', 'score': 5}",
        }
        assert scores["judge_score"]["score"] == 5 and scores["exact"]["score"] == 1
        chosen = task_module.BenchmarkTask(
            config={"task": "video_bench_nba", "dataset_path": "video_bench", "dataset_name": "NBA"}
        )
        document = chosen.dataset["test"][0]
        scores = chosen.config["process_results"](document, [document["options"][1]])
        assert scores["official"]["reply"] == '{"maximum probability": "B"}'
        assert {payload["model"] for payload in judge.payloads} == {"judge-of-the-day"}


def test_a_question_without_reply_is_counted_by_the_other_rules(task_module):
    question = Question("1", "NBA", "who?", "B", ("a", "b"))
    assert task_module.count(VIDEO_BENCH, question, "B", None) == {
        "strict": {"id": "1", "score": 1.0, "parsed": True, "reply": None}
    }


def test_what_is_missing_is_named(task_module, monkeypatch):
    monkeypatch.delenv("MSRVTT_QA_FOLDER")
    with pytest.raises(FileNotFoundError, match="MSRVTT_QA_FOLDER is not set; expected the folder of MSRVTT-QA"):
        task_module.BenchmarkTask(config={"dataset_path": "msrvtt_qa"})
    with pytest.raises(ValueError, match="VIDEO_BENCH_FOLDER=.* has no question of Chess"):
        task_module.BenchmarkTask(config={"dataset_path": "video_bench", "dataset_name": "Chess"})


def test_the_folder_is_printed(capsys):
    printing.main()
    assert capsys.readouterr().out == f"{FOLDER}\n"
    finished = subprocess.run(
        [sys.executable, "-m", "ftfv.lmms_eval_tasks"], capture_output=True, text=True, cwd=FOLDER.parents[1]
    )
    assert finished.stdout == f"{FOLDER}\n"
