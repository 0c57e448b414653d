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
"""
Benchmarks that lmms-eval lacks as tasks of it. Files, prompts and rules are those of `ftfv eval`.

Only lmms-eval imports this file: it is the `class` that the YAML files beside it name.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from datasets import Dataset, DatasetDict
from lmms_eval.api.task import ConfigurableTask
from transformers.utils import logging

from ..evaluation.benchmarks.benchmark import Answered, Benchmark, Question
from ..evaluation.benchmarks.judge_protocol import messages_about
from ..evaluation.benchmarks.registry import BENCHMARKS
from ..evaluation.judges.endpoint import EndpointJudge


logger = logging.get_logger(__name__)

SPLIT = "test"
# The variables by which lmms-eval's own tasks find their judge, and its values where they are not set.
URL_VARIABLE, KEY_VARIABLE, MODEL_VARIABLE = "OPENAI_API_URL", "OPENAI_API_KEY", "MODEL_VERSION"
DEFAULT_URL, DEFAULT_MODEL = "https://api.openai.com/v1/chat/completions", "gpt-4o-2024-11-20"
# lmms-eval's variable holds the address of the requests, clients ask for that of the server.
REQUEST_PATH = "/chat/completions"


class BenchmarkTask(ConfigurableTask):
    """
    A benchmark, or one of its tasks. Its files are in the folder that the environment variable `MSVD_QA_FOLDER` names,
    for instance; see [`folder_variable`]. A judge is asked if `OPENAI_API_KEY` is set, at `OPENAI_API_URL`, for
    `MODEL_VERSION`; without, the columns that need one are left out.

    Args:
        config (`dict`): What the YAML file says: `dataset_path`, name of the benchmark, `dataset_name`, its task (all
            if not given), and whatever else lmms-eval knows.

    Raises:
        FileNotFoundError: the variable is not set, or files are missing.
        ValueError: the folder has no question of the task, or a record is malformed.
    """

    def __init__(self, config: Mapping[str, Any]):
        benchmark = BENCHMARKS[config["dataset_path"]]
        questions = {
            question.id: question
            for question in read_questions(benchmark.name)
            if config.get("dataset_name") in (None, question.task)
        }
        if not questions:
            raise ValueError(
                f"{folder_variable(benchmark.name)}={os.environ[folder_variable(benchmark.name)]} has no question of "
                f"{config['dataset_name']}; expected its files, or another choice of --tasks."
            )
        judge = _judge()
        self._questions = list(questions.values())
        # Functions and no methods: lmms-eval copies its configs deeply, and with methods this task and its data.
        super().__init__(
            config={
                **{key: value for key, value in config.items() if key != "class"},
                "test_split": SPLIT,
                "output_type": "generate_until",
                "doc_to_visual": lambda doc: [questions[doc["id"]].video],
                "doc_to_text": lambda doc: benchmark.prompt(questions[doc["id"]]),
                "doc_to_target": lambda doc: questions[doc["id"]].answer,
                "process_results": lambda doc, results: count(benchmark, questions[doc["id"]], results[0], judge),
                "metric_list": [
                    {"metric": name, "aggregation": mean_score, "higher_is_better": True} for name in benchmark.rules
                ],
                "generation_kwargs": {
                    "max_new_tokens": benchmark.max_new_tokens,
                    "until": [],
                    "do_sample": False,
                    "temperature": 0,
                },
            }
        )

    def download(self, dataset_kwargs: Mapping[str, Any] | None = None) -> None:
        """Takes the questions that were read from the folder for documents; nothing is downloaded."""
        documents = [
            {"id": question.id, "task": question.task, "question": question.question, "options": question.options}
            for question in self._questions
        ]
        self.dataset = DatasetDict({SPLIT: Dataset.from_list(documents)})
        self.dataset_no_image = self.dataset


def folder_variable(name: str) -> str:
    """Environment variable that names the folder of a benchmark: `VIDEO_BENCH_FOLDER` of `"video_bench"`."""
    return f"{name.upper()}_FOLDER"


@cache
def read_questions(name: str) -> tuple[Question, ...]:
    """All questions of a benchmark, read once for all of its tasks."""
    variable = folder_variable(name)
    folder = os.environ.get(variable)
    if not folder:
        raise FileNotFoundError(
            f"The environment variable {variable} is not set; expected the folder of {BENCHMARKS[name].title}, as "
            "docs/evaluation.md describes it."
        )
    return tuple(BENCHMARKS[name].read(Path(folder)))


def count(
    benchmark: Benchmark, question: Question, text: str, judge: EndpointJudge | None
) -> dict[str, dict[str, Any]]:
    """
    What every rule that applies says about an answer.

    Returns:
        `dict` by name of the rule, of `id` (the question's), `score` (0 to 1, or a judge's 0 to 5), `parsed` (whether
        the rule understood the answer) and `reply` (the judge's, None without).
    """
    answered = Answered(question, text)
    if judge is not None:
        [(_, reply, _)] = judge.ask([messages_about(benchmark, answered)])
        answered = replace(answered, reply=reply)
    verdicts = {name: rule(answered) for name, rule in benchmark.rules.items()}
    return {
        name: {"id": question.id, "score": verdict.value, "parsed": verdict.parsed, "reply": answered.reply}
        for name, verdict in verdicts.items()
        if verdict is not None
    }


def mean_score(items: Sequence[Mapping[str, Any]]) -> float:
    """Mean of what [`count`] returned for one rule."""
    return sum(item["score"] for item in items) / len(items)


def _judge() -> EndpointJudge | None:
    if not os.environ.get(KEY_VARIABLE):
        logger.warning_once(f"{KEY_VARIABLE} is not set, so no judge is asked and its columns are left out.")
        return None
    url = os.environ.get(URL_VARIABLE, DEFAULT_URL).removesuffix(REQUEST_PATH)
    return EndpointJudge(url, os.environ.get(MODEL_VARIABLE, DEFAULT_MODEL), api_key_variable=KEY_VARIABLE)
