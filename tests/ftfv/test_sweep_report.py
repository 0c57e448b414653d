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
"""The report of a sweep: means, lowest and highest seeds, and what is not there."""

import pytest

from ftfv.sweep_grid import Cell, Grid
from ftfv.sweep_report import write_sweep_report


GRID = Grid("Title", "What was done.", (0, 1), (Cell("a", ()), Cell("b", ())), "test", (), ("direction",))


def result(direction, shuffled, shape, by_count=None):
    def score(accuracy):
        return {"correct": round(10 * accuracy), "total": 10, "accuracy": accuracy, "low": 0.0, "high": 1.0}

    return {
        "scores": {"shape": score(shape), "direction": score(direction)},
        "floor": {"direction": score(shuffled)},
        "by_tokens_per_frame": {
            count: {"scores": {"direction": score(value)}, "floor": {"direction": score(shuffled)}}
            for count, value in (by_count or {}).items()
        },
    }


def lines(report, cell):
    return [
        [part.strip() for part in line.split("|")[1:-1]]
        for line in report.splitlines()
        if line.startswith(f"| {cell} ")
    ]


def test_tables_hold_means_and_ranges(tmp_path):
    results = {"a": [result(0.8, 0.3, 0.9), result(0.9, 0.5, 1.0)], "b": [result(0.25, 0.25, 0.5)]}
    path = write_sweep_report(tmp_path, GRID, results)
    report = path.read_text()
    assert report.startswith("# Title\n\nWhat was done.\n\n")
    assert "the same 10 questions a skill" in report
    assert lines(report, "a") == [
        ["a", "2", "85.0 (80.0 to 90.0)", "40.0 (30.0 to 50.0)"],
        ["a", "2", "95.0 (90.0 to 100.0)"],
    ]
    assert lines(report, "b") == [["b", "1", "25.0", "25.0"], ["b", "1", "50.0"]]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["plot.png", "report.md", "results.json"]
    assert "tokens_per_frame.png" not in report


def test_each_k_has_its_columns(tmp_path):
    grid = Grid("Title", "", (0,), (Cell("a", ()),), "test", (2, 8), ("direction",))
    report = write_sweep_report(tmp_path, grid, {"a": [result(0.8, 0.3, 0.9, {"2": 0.6, "8": 0.8})]}).read_text()
    assert lines(report, "a")[1] == ["a", "1", "60.0", "30.0", "80.0", "30.0"]
    assert "![Title](tokens_per_frame.png)" in report and (tmp_path / "tokens_per_frame.png").is_file()


def test_a_model_that_cannot_be_drawn_leaves_no_half_report(tmp_path):
    cells = {f"cell {number}": [result(0.8, 0.3, 0.9, {"2": 0.6})] for number in range(9)}
    grid = Grid("Title", "", (0,), tuple(Cell(name, ()) for name in cells), "test", (2,), ("direction",))
    with pytest.raises(ValueError, match="9 models are to be drawn; expected 1 to 8"):
        write_sweep_report(tmp_path, grid, cells)
    assert not (tmp_path / "report.md").exists()
