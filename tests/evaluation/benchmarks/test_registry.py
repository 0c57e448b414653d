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
"""The benchmarks by name."""

import re

import pytest

from ftfv.evaluation.benchmarks.benchmark import Answered, Question
from ftfv.evaluation.benchmarks.registry import BENCHMARKS, find_benchmark


def test_every_benchmark_of_the_paper_is_there():
    assert list(BENCHMARKS) == [
        "msvd_qa",
        "msrvtt_qa",
        "activitynet_qa",
        "mvbench",
        "video_bench",
        "lvlm_ehub",
        "mmbench_en",
        "mmbench_cn",
        "seed_bench",
        "own",
    ]
    assert [total for benchmark in BENCHMARKS.values() for total in benchmark.totals] == [
        *("Acc", "Acc", "Acc", "Avg", "Exc", "Prior", "Dec", "All", "Ehub", "MMB", "MMB^CN", "SEED^I", "All"),
    ]


@pytest.mark.parametrize("name", BENCHMARKS)
def test_totals_are_of_tasks_and_columns_have_distinct_rules(name):
    benchmark = find_benchmark(name)

    assert benchmark is BENCHMARKS[name]
    assert benchmark.name == name
    for total in benchmark.totals.values():
        assert set(total.weights or ()) <= set(benchmark.tasks)
    assert len(set(benchmark.rules.values())) == len(benchmark.rules)


@pytest.mark.parametrize("name", BENCHMARKS)
def test_an_unparsed_answer_is_never_right_but_by_mvbench_s_own_check(name):
    question = Question("1", "task", "?", "B", ("cat", "dog"), details={"answers": ("dog",), "hint": ""})
    for column, rule in BENCHMARKS[name].rules.items():
        for text in ("", " ", "(", "?!", "neither"):
            verdict = rule(Answered(question, text))
            if verdict is not None and not verdict.parsed and (name, column) != ("mvbench", "official"):
                assert verdict.value == 0.0, (column, text)


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_folder_without_the_benchmark_says_how_it_should_look(name, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"(Download|Get|Expected) .*"):
        find_benchmark(name).read(tmp_path)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("MVBench", " Did you mean mvbench?"),
        ("video-bench", " Did you mean video_bench?"),
        ("mmbench", " Did you mean mmbench_en or mmbench_cn?"),
        ("zzz", ""),
    ],
)
def test_a_wrong_name_gets_the_closest_one(name, hint):
    expected = f"There is no benchmark {name!r}; expected one of {', '.join(BENCHMARKS)}.{hint}"

    with pytest.raises(ValueError, match=f"^{re.escape(expected)}$"):
        find_benchmark(name)
