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
"""Quantities and tables as text."""

import pytest

from ftfv.evaluation.formatting import format_quantity, format_table


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (64, "64"), (1024, "1.02k"), (33.75e6, "33.8M"), (2.5e9, "2.5G"), (41.31e12, "41.3T")],
)
def test_quantities_have_three_digits(value, text):
    assert format_quantity(value) == text


def test_a_table_aligns_its_columns():
    assert format_table(["K", "tokens"], [["1", "8"], ["16", "128"]]).splitlines() == [
        "| K   | tokens |",
        "| --- | -----: |",
        "| 1   |      8 |",
        "| 16  |    128 |",
    ]
