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
"""What all plots look like: their colours, and the lines around a panel."""

from matplotlib.axes import Axes


# From the palette of Okabe and Ito, which people with any colour vision can tell apart.
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#555555"
# Colours and markers of curves: the whole palette but its yellow, which is faint on white.
CURVES = (
    ("#000000", "o"),
    (BLUE, "s"),
    (ORANGE, "^"),
    (GREEN, "D"),
    ("#CC79A7", "v"),
    ("#E69F00", "P"),
    ("#56B4E9", "X"),
    (GREY, "*"),
)
MAX_CURVES = len(CURVES)


def tidy(panel: Axes) -> None:
    """Takes away the frame at the top and right of a panel, and puts a pale grid behind what it shows."""
    panel.spines[["top", "right"]].set_visible(False)
    panel.grid(axis="both", color="#DDDDDD", linewidth=0.7)
    panel.set_axisbelow(True)
    panel.tick_params(labelsize=10.5)
