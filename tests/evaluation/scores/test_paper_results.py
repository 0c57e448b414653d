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
"""The paper's tables as data: spot checks of each, and sums that a slip of the pen would break."""

import pytest

from ftfv.evaluation.scores.paper_results import (
    TABLE_3,
    TABLE_3_COLUMNS,
    TABLE_4,
    TABLE_4_COLUMNS,
    TABLE_5,
    TABLE_5_COLUMNS,
    VIDEO_BENCH_LEVELS,
)


def by_method(table):
    assert len({row.method for row in table}) == len(table)
    return {row.method: row for row in table}


def test_all_of_video_bench_is_the_mean_of_its_levels():
    complete = [row for row in TABLE_4 if "Video-Bench All" in row.scores]
    assert len(complete) == 10
    for row in complete:
        levels = [row.scores[level] for level in VIDEO_BENCH_LEVELS]
        # The total is rounded to a tenth after averaging levels of full precision, so each side may be off by 0.05.
        assert row.scores["Video-Bench All"] == pytest.approx(sum(levels) / 3, abs=0.05 + 1e-9)


def test_table_4_says_what_the_paper_prints():
    rows = by_method(TABLE_4)
    assert [len(rows), len(TABLE_4_COLUMNS), sum(len(row.scores) for row in TABLE_4)] == [16, 11, 125]
    assert list(rows)[0] == "FrozenBiLM" and list(rows)[-1] == "FTFV-LLM S2-S3-IV"
    best = rows["VideoChat2"]
    assert (best.align, best.pretrain, best.instruct) == (10_000_000, 10_000_000, 800_000)
    assert best.scores["MVBench Avg"] == 51.1 and "Video-Bench All" not in best.scores
    # "a gain of 3.1 %" over the previous best, section 4.3
    gain = rows["FTFV-LLM S3-IV"].scores["ActivityNet-QA Acc"] - best.scores["ActivityNet-QA Acc"]
    assert gain == pytest.approx(3.1)
    known = {row.method: row.tokens_per_frame for row in TABLE_4 if row.tokens_per_frame is not None}
    assert known == {"Video-LLaVA": 256, "LLaMA-VID": 2} | dict.fromkeys(list(rows)[-3:], 128)


def test_table_5_agrees_with_the_row_of_table_4_that_it_repeats():
    of_table_4 = by_method(TABLE_4)["FTFV-LLM S4-V"]
    [repeated] = [row for row in TABLE_5 if row.tokens_per_frame == of_table_4.tokens_per_frame]
    for column in TABLE_5_COLUMNS:
        assert repeated.scores[column] == pytest.approx(of_table_4.scores[column], abs=0.05 + 1e-9)
    assert [(row.tokens_per_frame, row.tflops) for row in TABLE_5][:2] == [(4, 32.14), (16, 33.47)]
    # A token more costs the same everywhere: 60.07 - 33.47 over 240 of them, to the rounding of both.
    for before, after in zip(TABLE_5, TABLE_5[1:], strict=False):
        per_token = (after.tflops - before.tflops) / (after.tokens_per_frame - before.tokens_per_frame)
        assert per_token == pytest.approx((60.07 - 32.14) / 252, abs=0.01 / 12)


def test_table_3_says_what_the_paper_prints():
    rows = by_method(TABLE_3)
    assert [len(rows), sum(len(row.scores) for row in TABLE_3)] == [16, 42]
    assert rows["FTFV-LLM image"].scores == dict(zip(TABLE_3_COLUMNS, (325.2, 75.5, 68.1, 69.5), strict=True))
    assert rows["MiniGPT-v2"].scores == {}
    assert (rows["Qwen-VL-Chat"].llm, rows["Qwen-VL-Chat"].resolution) == ("Qwen-7B", 448)
    assert max(row.scores.get("MMB-CN", 0) for row in TABLE_3) == 73.1
