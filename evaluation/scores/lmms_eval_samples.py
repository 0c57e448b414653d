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
"""Predictions out of the files that lmms-eval writes with `--log_samples`, to be counted again by our rules."""

import json
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any


SUFFIX = ".jsonl"
# `20261123_031500_samples_mvbench_action_count.jsonl`, with the time of the run in front.
NAME = re.compile(r"(?P<time>.+?)_samples_(?P<task>.+)\.jsonl")
# Our names of the benchmarks, and where a sample holds the id that a question has in ours: metric and key.
IDS = {
    "activitynetqa": ("activitynet_qa", "gpt_eval_score", "question_id"),
    "mmbench_en_dev": ("mmbench_en", "gpt_eval_score", "index"),
    "mmbench_en_dev_static": ("mmbench_en", "gpt_eval_score", "index"),
    "mmbench_cn_dev": ("mmbench_cn", "gpt_eval_score", "index"),
    "seedbench": ("seed_bench", "seed_all", "question_id"),
    "msvd_qa": ("msvd_qa", "exact", "id"),
    "msrvtt_qa": ("msrvtt_qa", "exact", "id"),
}
MVBENCH, VIDEO_BENCH = "mvbench", "video_bench"


def read_samples(path: str | os.PathLike) -> dict[str, list[dict[str, Any]]]:
    """
    Reads one file of samples, or all below a folder; of several runs of a task in a folder, the latest.

    Args:
        path (`str` or `os.PathLike`): A file `*_samples_TASK.jsonl`, or what `--output_path` was.

    Returns:
        `dict` from the name of each task to its samples, by number of the document:

        - `doc_id` (`int`): number of the document in its data set, from 0.
        - `prediction` (`str`): what the model said.
        - `doc` (`dict`): all that the file says about the document besides: `input`, the prompt, `target`, and what
          the task's own rules made of the prediction. Of the document itself, lmms-eval 0.7.3 writes nothing more.

    Raises:
        FileNotFoundError: there is no such path, or no such file in the folder.
        ValueError: a file has another name, a line is no sample, or two samples are of the same document.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(
            f"No file or folder {str(path)!r}; expected samples that `lmms-eval --log_samples --output_path` wrote."
        )
    files = sorted(path.rglob(f"*_samples_*{SUFFIX}")) if path.is_dir() else [path]
    if not files:
        raise FileNotFoundError(
            f"No file *_samples_TASK{SUFFIX} in {str(path)!r}; expected what `lmms-eval --log_samples` writes there."
        )
    latest: dict[str, tuple[str, Path]] = {}
    for file in files:
        matched = NAME.fullmatch(file.name)
        if matched is None:
            raise ValueError(f"The file is named {file.name!r}; expected TIME_samples_TASK{SUFFIX}.")
        task, time = matched["task"], matched["time"]
        if task not in latest or time > latest[task][0]:
            latest[task] = (time, file)
    return {task: _read_file(file) for task, (_, file) in sorted(latest.items())}


def samples_by_question(task: str, samples: Iterable[Mapping[str, Any]]) -> tuple[str, dict[str, Mapping[str, Any]]]:
    """
    Samples by the ids that `ftfv eval` gives the questions.

    Args:
        task (`str`): A task of lmms-eval: `"mvbench_action_count"`, `"mmbench_en_dev"`.
        samples (`Iterable[Mapping]`): Its samples, from [`read_samples`].

    Returns:
        Our name of the benchmark, and its samples by the id of their question. Documents of MVBench are identified by
        their place in the task's file, all others by an id of their own.

    Raises:
        ValueError: the benchmark is none of ours, or a sample does not say which question it is about.
    """
    if task.startswith(f"{MVBENCH}_"):
        return MVBENCH, {f"{task.removeprefix(f'{MVBENCH}_')}/{sample['doc_id']}": sample for sample in samples}
    name, metric, key = (
        (VIDEO_BENCH, "strict", "id") if task.startswith(f"{VIDEO_BENCH}_") else IDS.get(task, (None,) * 3)
    )
    if name is None:
        raise ValueError(
            f"The task {task!r} is of none of our benchmarks; expected mvbench_..., video_bench_... or one of "
            f"{', '.join(IDS)}."
        )
    by_question = {}
    for sample in samples:
        said = sample["doc"].get(metric)
        if not isinstance(said, Mapping) or key not in said:
            raise ValueError(
                f"Document {sample['doc_id']} of {task} has no `{key}` in `{metric}`; expected samples of a run with "
                "metrics, without --predict_only."
            )
        by_question[str(said[key])] = sample
    return name, by_question


def logged_answers(path: str | os.PathLike) -> dict[str, dict[str, str]]:
    """
    Answers that a run of lmms-eval with `--log_samples` left, by our names of the benchmarks and ids of the questions.

    Raises:
        FileNotFoundError, ValueError: see [`read_samples`] and [`samples_by_question`].
    """
    answers: dict[str, dict[str, str]] = {}
    for task, samples in read_samples(path).items():
        name, by_question = samples_by_question(task, samples)
        answers.setdefault(name, {}).update({key: str(one["prediction"]) for key, one in by_question.items()})
    return answers


def _read_file(file: Path) -> list[dict[str, Any]]:
    samples: dict[int, dict[str, Any]] = {}
    with file.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            sample = _read_sample(line, f"{file}, line {number}")
            if sample["doc_id"] in samples:
                raise ValueError(
                    f"{file}, line {number}: document {sample['doc_id']} again; expected each once. Give each run an "
                    "--output_path of its own."
                )
            samples[sample["doc_id"]] = sample
    return [samples[doc_id] for doc_id in sorted(samples)]


def _read_sample(line: str, where: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except ValueError as error:
        raise ValueError(f"{where}: no JSON ({error}); the file may be cut off. Run lmms-eval again.") from error
    missing = [key for key in ("doc_id", "filtered_resps") if not isinstance(record, dict) or key not in record]
    if missing:
        raise ValueError(f"{where}: no {' and no '.join(missing)}; expected a sample of lmms-eval.")
    doc_id, prediction = record.pop("doc_id"), record.pop("filtered_resps")
    # Releases differ in whether the one answer of a document is in a list.
    if isinstance(prediction, list) and len(prediction) == 1:
        [prediction] = prediction
    if not isinstance(doc_id, int) or not isinstance(prediction, str):
        raise ValueError(
            f"{where}: `doc_id` is {doc_id!r} and `filtered_resps` is {prediction!r}; expected a number and a text, "
            "as tasks that generate answers have them."
        )
    return {"doc_id": doc_id, "prediction": prediction, "doc": record}
