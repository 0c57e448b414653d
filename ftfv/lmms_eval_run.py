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
"""Runs lmms-eval on a model, for `ftfv eval NAME` without a folder."""

import argparse
import importlib.metadata
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from .evaluation.scores.lmms_eval_samples import read_samples


# Options of `ftfv eval` that lmms-eval has nothing for.
REFUSED = ("prompt", "count_unreadable", "image_row", "lmms_eval_samples")
STDERR = 2  # stdout is for the report, or the document of `--json`
PERCENT, SHARE, SCORE = 1, 100, 1
# Task of each benchmark that lmms-eval can download.
TASKS: Mapping[str, str] = {
    "mvbench": "mvbench",
    "activitynet_qa": "activitynetqa",
    "mmbench_en": "mmbench_en_dev_static",
    "mmbench_cn": "mmbench_cn_dev",
    "seed_bench": "seedbench",
}
# For each column of the paper's tables the task, or several to average, the metric, and what makes a percentage of it.
COLUMNS: Mapping[str, tuple[str, str, float]] = {
    "MMB": ("mmbench_en_dev_static", "gpt_eval_score", PERCENT),
    "MMB-CN": ("mmbench_cn_dev", "gpt_eval_score", PERCENT),
    "SEED-I": ("seedbench", "seed_image", SHARE),
    "ActivityNet-QA Acc": ("activitynetqa", "gpt_eval_accuracy", PERCENT),
    "ActivityNet-QA Score": ("activitynetqa", "gpt_eval_score", SCORE),
    # lmms-eval gives no average of its 20 tasks.
    "MVBench Avg": ("mvbench_*", "mvbench_accuracy", PERCENT),
}


def check_lmms_eval(names: Sequence[str], args: argparse.Namespace, swept: Iterable[str]) -> None:
    """
    Checks that lmms-eval can run benchmarks as asked; no names need nothing.

    Args:
        names (`Sequence[str]`): Benchmarks by our names.
        args (`argparse.Namespace`): Options of `ftfv eval`.
        swept (`Iterable[str]`): Those of them that may have several values, of which lmms-eval takes one.

    Raises:
        ImportError: it is not installed here.
        ValueError: it cannot download one of them, or an option is none that it takes.
    """
    unknown = [name for name in names if name not in TASKS]
    if unknown:
        raise ValueError(f"{unknown[0]!r} cannot be downloaded by lmms-eval; name its folder: {unknown[0]}=FOLDER.")
    refused = [name for name in REFUSED if getattr(args, name) not in (None, False)]
    if names and refused:
        raise ValueError(
            f"--{refused[0].replace('_', '-')} is given, but {names[0]!r} names no folder, so that lmms-eval runs it, "
            f"which has no such option; name its folder, {names[0]}=FOLDER, or leave the option out."
        )
    several = [name for name in swept if "," in str(getattr(args, name))]
    if names and several:
        raise ValueError(
            f"--{several[0].replace('_', '-')} has several values, but {names[0]!r} names no folder, so that "
            f"lmms-eval runs it, once; name its folder, {names[0]}=FOLDER, or give one value."
        )
    if names and importlib.util.find_spec("lmms_eval") is None:
        raise ImportError(
            f"{names[0]!r} names no folder, so that lmms-eval is to download and run it, but it is not installed. "
            f"Name one, {names[0]}=FOLDER; or install lmms-eval==0.7.3, and then ftfv, into an environment of its own."
        )


def run_lmms_eval(
    names: Sequence[str], args: argparse.Namespace, model_args: Mapping[str, Any], folder: Path
) -> dict[str, Any]:
    """
    Runs lmms-eval in a process of its own and reads what it found.

    Args:
        names (`Sequence[str]`): Benchmarks by our names.
        args (`argparse.Namespace`): Options of `ftfv eval`.
        model_args (`Mapping[str, Any]`): Arguments of the plug-in; those that are None are left out.
        folder (`Path`): Where it logs samples and results.

    Returns:
        `dict` in plain JSON types: `version`, `columns` (value by column of the paper's tables) and `tasks` (number of
        questions and of empty answers by task of lmms-eval).

    Raises:
        RuntimeError: it failed.
    """
    given = {"pretrained": args.model, **{name: value for name, value in model_args.items() if value is not None}}
    command = [sys.executable, "-m", "lmms_eval", "--model", "ftfv"]
    command += ["--model_args", ",".join(f"{name}={value}" for name, value in given.items())]
    command += ["--tasks", ",".join(TASKS[name] for name in names)]
    command += ["--batch_size", str(args.batch_size), "--seed", str(args.seed)]
    command += ["--log_samples", "--output_path", str(folder)]
    command += ["--limit", str(args.limit)] if args.limit is not None else []
    command += ["--device", args.device] if args.device is not None else []
    before = set(folder.rglob("*_results.json"))
    finished = subprocess.run(command, env={**os.environ, **_judge_environment(args)}, stdout=STDERR)
    # It may end well after an error.
    made = [
        path for path in folder.rglob("*_results.json") if path not in before and path.parent.name != "submissions"
    ]
    if finished.returncode or not made:
        raise RuntimeError(
            f"lmms-eval ended with exit code {finished.returncode} and {len(made)} files of results; what it said is "
            "above."
        )
    results = json.loads(max(made).read_text(encoding="utf-8"))["results"]
    columns = {}
    for column, (task, metric, scale) in COLUMNS.items():
        found = [
            values[f"{metric},none"]
            for name, values in results.items()
            if (name.startswith(task[:-1]) if task.endswith("*") else name == task) and f"{metric},none" in values
        ]
        if found:
            columns[column] = scale * sum(found) / len(found)
    samples = read_samples(folder)
    return {
        "version": importlib.metadata.version("lmms_eval"),
        "columns": columns,
        "tasks": {
            task: {"questions": len(rows), "empty": sum(not row["prediction"].strip() for row in rows)}
            for task, rows in samples.items()
        },
    }


def _judge_environment(args: argparse.Namespace) -> dict[str, str]:
    """How lmms-eval's own tasks, and ours in it, are told of a judge."""
    if args.judge_url is None:
        return {}
    return {
        "API_TYPE": "openai",
        "OPENAI_API_URL": f"{args.judge_url.rstrip('/')}/chat/completions",
        "OPENAI_API_KEY": os.environ.get(args.judge_key, ""),
        "MODEL_VERSION": args.judge,
    }
