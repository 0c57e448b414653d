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
"""What all plots look like."""

from itertools import combinations

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from ftfv.evaluation.plots.style import CURVES, MAX_CURVES, tidy


def test_no_two_curves_look_alike():
    assert len(CURVES) == MAX_CURVES == 8
    assert len({marker for _, marker in CURVES}) == MAX_CURVES
    colours = [np.array(to_rgb(colour)) for colour, _ in CURVES]
    assert all(np.abs(one - other).max() > 0.2 for one, other in combinations(colours, 2))


def test_a_tidy_panel_has_a_grid_behind_it_and_two_sides():
    panel = Figure().subplots()
    tidy(panel)
    assert {name: spine.get_visible() for name, spine in panel.spines.items()} == {
        "left": True,
        "bottom": True,
        "right": False,
        "top": False,
    }
    assert panel.get_axisbelow() is True
