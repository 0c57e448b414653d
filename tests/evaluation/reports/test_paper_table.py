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
"""One's own rows below the paper's."""

import pytest

from ftfv.evaluation.reports.paper_table import paper_table
from ftfv.evaluation.scores.measured import Measured
from ftfv.evaluation.scores.paper_results import TABLE_3, TABLE_4


OWN = {
    "mine": {
        "Instruct": "9.8k",
        "Video-Bench All": Measured(50.26, 48.04, 52.31, "10 of 13 sets"),
        "MVBench Avg": Measured(43.5, 42.0, 45.1),
        "MSVD-QA Acc": Measured(69.2, note="half of the questions"),
    },
    "mine, before": {"Video-Bench All": Measured(20.0, note="10 of 13 sets")},
}


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_paper_comes_first_and_in_its_order():
    for number, rows, width in ((3, TABLE_3, 7), (4, TABLE_4, 15)):
        lines = paper_table(number, {}).splitlines()
        assert [cells(line)[0] for line in lines[2:]] == [row.method for row in rows]
        assert {len(cells(line)) for line in lines} == {width} and len(set(map(len, lines))) == 1
    head, _, first, second, *_ = paper_table(4, {}).splitlines()
    assert cells(head)[:5] == ["Method", "Align", "Pretrain", "Instruct", "MSVD-QA Acc"]
    assert cells(first)[:6] == ["FrozenBiLM", "0", "10,000k", "0", "33.8", "-"]
    assert cells(second)[3:6] == ["11k", "51.6", "2.5"]
    assert cells(paper_table(4, {}).splitlines()[-1])[2:4] == ["86.3k", "9.8k"]
    assert cells(paper_table(3, {}).splitlines()[-1])[1:4] == ["Vicuna-7B", "448", "318.5"]


def test_own_rows_follow_with_intervals_and_what_they_lack():
    table, footnotes = paper_table(4, OWN).split("\n\n")
    head, *_, mine, interval, before = table.splitlines()
    columns = cells(head)
    assert dict(zip(columns, cells(mine), strict=True)) == {
        **dict.fromkeys(columns, "-"),
        "Method": "mine",
        "Instruct": "9.8k",
        "Video-Bench All": "50.3‡",
        "MVBench Avg": "43.5",
        "MSVD-QA Acc": "69.2†",
    }
    found = {column: cell for column, cell in zip(columns, cells(interval), strict=True) if cell}
    assert found == {"Method": "95 % interval", "Video-Bench All": "48.0–52.3", "MVBench Avg": "42.0–45.1"}
    # No interval, no line for it; the same note, the same mark.
    assert dict(zip(columns, cells(before), strict=True))["Video-Bench All"] == "20.0‡"
    assert footnotes.splitlines() == ["† half of the questions  ", "‡ 10 of 13 sets"]
    assert len({len(line) for line in table.splitlines()}) == 1


def test_other_tables_and_columns_are_refused():
    with pytest.raises(ValueError, match="table 5 is asked for; expected 3 or 4"):
        paper_table(5, {})
    with pytest.raises(ValueError, match="Row 'mine' has a column 'MVBench'; expected some of Align, Pretrain"):
        paper_table(4, {"mine": {"MVBench": Measured(1.0)}})
    many = {str(index): {"Ehub": Measured(1.0, note=f"note {index}")} for index in range(7)}
    with pytest.raises(ValueError, match="7 different notes; expected at most 6"):
        paper_table(3, many)
