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
"""Values with intervals."""

import pytest

from ftfv.evaluation.scores.measured import Measured


def test_the_reach_goes_from_the_value_to_the_ends():
    assert Measured(50.0, 48.0, 53.0).reach == (2.0, 3.0)
    assert Measured(50.0).reach == (0.0, 0.0)


@pytest.mark.parametrize("ends", [(51.0, 53.0), (40.0, 49.0), (48.0, None), (None, 53.0)])
def test_an_interval_holds_its_value(ends):
    with pytest.raises(ValueError, match="The value 50.0 has the interval .*; expected both ends"):
        Measured(50.0, *ends)
