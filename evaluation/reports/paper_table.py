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
"""Results of one's own below those of the paper's Tables 3 and 4, as Markdown."""

from collections.abc import Mapping, Sequence

from ..formatting import MISSING, format_table
from ..scores.measured import Measured
from ..scores.paper_results import TABLE_3, TABLE_3_COLUMNS, TABLE_4, TABLE_4_COLUMNS, PaperRow, Table3Row, Table4Row


# Other than an asterisk, none of them means anything in Markdown.
MARKS = ("†", "‡", "§", "¶", "‖", "#")
# What a row says of the method before its scores.
FACTS = {3: ("LLM", "Res."), 4: ("Align", "Pretrain", "Instruct")}
COLUMNS = {3: TABLE_3_COLUMNS, 4: TABLE_4_COLUMNS}
ROWS: dict[int, Sequence[PaperRow]] = {3: TABLE_3, 4: TABLE_4}
INTERVAL = "  95 % interval"


def paper_table(number: int, results: Mapping[str, Mapping[str, Measured | str]]) -> str:
    """
    The paper's rows in the paper's order, then one's own, each with its intervals in a line below.

    Args:
        number (`int`): 3 (images) or 4 (videos).
        results (`Mapping[str, Mapping[str, Measured | str]]`): For each name of a row, its values by column, in the
            unit of the table: columns of [`paper_results`] such as `"MVBench Avg"`, and text for those of [`FACTS`],
            such as `{"Instruct": "9.8k"}`. Columns that are left out show as `-`. A value with a note bears a mark,
            and the note stands below the table behind the same mark.

    Returns:
        `str` without a final newline.

    Raises:
        ValueError: there is no such table or column, or there are more different notes than marks.
    """
    if number not in COLUMNS:
        raise ValueError(f"The paper's table {number} is asked for; expected 3 or 4.")
    facts, columns = FACTS[number], COLUMNS[number]
    for name, values in results.items():
        unknown = [column for column in values if column not in (*facts, *columns)]
        if unknown:
            raise ValueError(
                f"Row {name!r} has a column {unknown[0]!r}; expected some of {', '.join((*facts, *columns))}."
            )
    notes = [
        value.note
        for values in results.values()
        for column in columns
        if isinstance(value := values.get(column), Measured) and value.note
    ]
    marks = dict(zip(dict.fromkeys(notes), MARKS, strict=False))
    if len(marks) < len(set(notes)):
        raise ValueError(f"The values have {len(set(notes))} different notes; expected at most {len(MARKS)}.")
    lines = [
        [row.method, *_facts(row), *(_number(row.scores.get(column)) for column in columns)] for row in ROWS[number]
    ]
    for name, values in results.items():
        cells = [values.get(column) for column in columns]
        lines.append(
            [name, *(str(values.get(fact, MISSING)) for fact in facts), *(_cell(cell, marks) for cell in cells)]
        )
        if any(isinstance(cell, Measured) and cell.low is not None for cell in cells):
            lines.append([INTERVAL, *([""] * len(facts)), *(_interval(cell) for cell in cells)])
    table = format_table(["Method", *facts, *columns], lines)
    # Two spaces at the end of a line make Markdown begin a new one.
    footnotes = "  \n".join(f"{mark} {note}" for note, mark in marks.items())
    return f"{table}\n\n{footnotes}" if footnotes else table


def _facts(row: PaperRow) -> list[str]:
    if isinstance(row, Table3Row):
        return [row.llm, str(row.resolution)]
    assert isinstance(row, Table4Row)
    return [_thousands(count) for count in (row.align, row.pretrain, row.instruct)]


def _thousands(count: int) -> str:
    return f"{count / 1000:,g}k" if count else "0"


def _number(value: float | None) -> str:
    return MISSING if value is None else f"{value:.1f}"


def _cell(cell: Measured | str | None, marks: Mapping[str, str]) -> str:
    if isinstance(cell, Measured):
        return _number(cell.value) + marks.get(cell.note, "")
    return MISSING if cell is None else cell


def _interval(cell: Measured | str | None) -> str:
    return f"{cell.low:.1f}–{cell.high:.1f}" if isinstance(cell, Measured) and cell.low is not None else ""
