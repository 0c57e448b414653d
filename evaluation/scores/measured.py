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
"""A figure of one's own, with the interval it is known to."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Measured:
    """
    A value beside others of the same column.

    Attributes:
        value (`float`): In the unit of its column: percent, or a judge's score.
        low, high (`float`, *optional*): Ends of its 95 % interval in the same unit; both or none.
        note (`str`): What it lacks, such as `"10 of 13 sets"`; empty for a complete one.

    Raises:
        ValueError: only one end is given, or the value is outside the interval.
    """

    value: float
    low: float | None = None
    high: float | None = None
    note: str = ""

    def __post_init__(self) -> None:
        if self.low is None and self.high is None:
            return
        if self.low is None or self.high is None or not self.low <= self.value <= self.high:
            raise ValueError(
                f"The value {self.value} has the interval {self.low} to {self.high}; expected both ends, with the "
                "value between them, or none."
            )

    @property
    def reach(self) -> tuple[float, float]:
        """How far the interval goes below and above the value; 0 without one."""
        if self.low is None or self.high is None:
            return 0.0, 0.0
        return self.value - self.low, self.high - self.value
