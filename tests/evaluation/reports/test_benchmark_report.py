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

from dataclasses import asdict
from typing import Any

import pytest

from ftfv.evaluation.asking.setting import Setting
from ftfv.evaluation.reports.benchmark_report import (
    label,
    main_column,
    paper_values,
    render_benchmark_report,
    shortened,
)
from ftfv.evaluation.scores.benchmark_scores import Column, Figure, columns_to_dict


def figure(value: float, **options: Any) -> Figure:
    return Figure(value, value - 0.05, value + 0.05, **{"count": 10, **options})


def document(columns: dict[str, Column], settings: list[Setting], **options: Any) -> dict[str, Any]:
    return {
        "title": "MVBench",
        "rules": ["official", "strict", "likelihood"],
        "questions": 10,
        "available": 10,
        "media": 5,
        "prompts_sha256": "0" * 64,
        "count_by": None,
        **options,
        "settings": {
            setting.name: {
                "setting": asdict(setting),
                "columns": columns_to_dict(columns),
                "unreadable": 1,
                "empty": 2,
            }
            for setting in settings
        },
    }


COLUMNS = {
    "official": Column({"Action Count": figure(0.4, unparsed=3)}, {"Avg": figure(0.4, missing=("a", "b"))}),
    "strict": Column({"Action Count": figure(0.3)}, {"Avg": figure(0.3)}, not_counted=1),
}
FIRST = Setting(tokens_per_frame=8)


def results(**benchmarks: dict[str, Any]) -> dict[str, Any]:
    return {
        "model": {
            "name": "tiny",
            "sha256": "f" * 64,
            "dtype": "float32",
            "num_query_tokens": 16,
        },
        "asked": {
            "tokens_per_frame": 8,
            "num_frames": 8,
            "frame_size": 56,
            "token_sampler": "weighted",
            "token_order": "response",
        },
        "run": {
            "seed": 0,
            "batch_size": 16,
            "device": "cpu",
            "video_pairs": 9800,
            "tolerance": 2.0,
            "versions": {"torch": "2"},
        },
        "judge": None,
        "benchmarks": benchmarks,
        "token_budgets": {},
    }


def test_labels_say_what_differs():
    assert label(FIRST, FIRST) == ""
    assert label(Setting(tokens_per_frame=4), FIRST) == "K = 4"
    assert label(Setting(8, num_frames=4, shuffle_frames=True), FIRST) == "4 frames, frames shuffled"
    assert label(Setting(8, token_sampler="random", token_order="query"), FIRST) == "random sampler, query order"
    assert label(Setting(as_image=True), FIRST) == "one random frame, as an image"


def test_values_of_the_paper_s_columns_say_what_they_lack():
    documents = {"mvbench": document(COLUMNS, [FIRST], available=40)}
    values = paper_values(documents, FIRST)
    [(column, value)] = values.items()
    assert (column, value.value, value.note) == ("MVBench Avg", 40.0, "without a, b; 10 of 40 questions")
    assert (value.low, value.high) == (pytest.approx(35.0), pytest.approx(45.0))
    strict_only = {"strict": Column({"MOT": figure(0.3)}, {"Exc": figure(0.3), "All": figure(0.2)})}
    values = paper_values({"video_bench": document(strict_only, [FIRST])}, FIRST)
    assert list(values) == ["Video-Bench Exc", "Video-Bench All"]
    assert values["Video-Bench All"].value == 20.0
    assert values["Video-Bench All"].note == "counted by the strict rule, without a judge"
    # The deterministic columns of open answers are nothing that the paper has.
    exact = {"exact": Column({"MSVD-QA": figure(0.3)}, {"Acc": figure(0.3)})}
    assert paper_values({"msvd_qa": document(exact, [FIRST])}, FIRST) == {}


def test_columns_that_plots_go_by():
    assert main_column(document(COLUMNS, [FIRST])) == "official"
    assert main_column(document(COLUMNS, [FIRST], count_by="strict")) == "strict"
    assert main_column(document(COLUMNS, [FIRST], count_by="judge")) == "official"


def test_the_report_shows_what_was_not_understood_left_out_or_lacking():
    settings = [FIRST, Setting(tokens_per_frame=4), Setting(8, shuffle_frames=True), Setting(4, shuffle_frames=True)]
    report = render_benchmark_report(results(mvbench=document(COLUMNS, settings)), {"plot.png": "A plot"})

    lines = report.splitlines()
    assert "| Action Count                     |        10 | 40.0 (35.0 to 45.0) | 30.0 (25.0 to 35.0) |" in lines
    assert "| not understood, counted as wrong |           |                   3 |                   0 |" in lines
    assert "| left out by the rule             |           |                   0 |                   1 |" in lines
    assert "2 answers were empty, and 1 files could not be read. Totals are without a, b" in report
    assert "Not counted by likelihood" in report
    assert "for: no task (official); no task (strict)." in report
    [row] = [line for line in lines if line.startswith("| tiny ")]
    assert "9.8k" in row and row.endswith("40.0† |")
    assert any(line.startswith("| tiny, K = 4 ") for line in lines)
    # The control of the first setting stands in the table, those of others below.
    assert any(line.startswith("| tiny, frames shuffled ") for line in lines)
    assert not any(line.startswith("| tiny, K = 4, frames shuffled") for line in lines)
    assert any(line.startswith("| K = 4, frames shuffled ") for line in lines)
    assert "![A plot](<plot.png>)" in lines


def test_a_judge_that_did_not_reply_is_told_of():
    report = render_benchmark_report(
        results(mvbench=document(COLUMNS, [FIRST], judge_error="no connection to http://host")), {}
    )
    assert "**The judge has not replied about all answers**, so its columns are missing: no connection" in report


def test_shortened():
    assert shortened("abcd") == "a, b, c, d"
    assert shortened("abcdef") == "a, b, c, d and 2 others"
