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
"""The plot of a cost's parts."""

import pytest
from PIL import Image

from ftfv.evaluation.plots.cost import plot_cost_parts


PARTS = {4: {"tower": 30e12, "language": 1e12}, 256: {"tower": 30e12, "language": 27e12}}


def test_bars_grow_with_their_parts(tmp_path):
    path = tmp_path / "figures" / "cost.png"
    plot_cost_parts(path, PARTS, title="FLOPs")
    picture = Image.open(path).convert("RGB")
    assert picture.size == (1200, 660)
    colours = [picture.getpixel((x, y)) for x in range(1000) for y in range(660)]
    blue, pale = colours.count((0x00, 0x72, 0xB2)), colours.count((0x56, 0xB4, 0xE9))
    assert pale / blue == pytest.approx(28 / 60, rel=0.05)


@pytest.mark.parametrize("parts", [{}, {4: {}}, {4: dict.fromkeys("abcdefgh", 1.0)}])
def test_what_cannot_be_drawn(tmp_path, parts):
    with pytest.raises(ValueError, match="expected 1 to 7 for at least one K"):
        plot_cost_parts(tmp_path / "cost.png", parts, title="FLOPs")
    assert not (tmp_path / "cost.png").exists()
