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
"""Figures that are drawn without a screen and written as a whole."""

import os
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ..atomic_write import atomic_write


DOTS_PER_INCH = 120


def new_figure(width: float, height: float, *, dpi: float = DOTS_PER_INCH, layout: Any = "constrained") -> Figure:
    """
    A figure of so many inches, whose canvas knows the size of texts before they are drawn.

    Args:
        width, height (`float`): In inches.
        dpi (`float`, *optional*, defaults to 120): Pixels per inch.
        layout (*optional*, defaults to `"constrained"`): As matplotlib's `Figure` takes it; None for none.
    """
    figure = Figure(figsize=(width, height), dpi=dpi, layout=layout)
    FigureCanvasAgg(figure)
    return figure


def write_figure(figure: Figure, path: str | os.PathLike) -> None:
    """Writes a figure as a PNG that is either complete or absent."""
    with atomic_write(path) as temporary:
        figure.savefig(temporary, format="png")
