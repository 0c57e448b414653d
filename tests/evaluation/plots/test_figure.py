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
"""Figures without a screen."""

import pytest
from PIL import Image

from ftfv.evaluation.plots.figure import new_figure, write_figure


def test_a_figure_has_the_size_that_was_asked_for(tmp_path):
    write_figure(new_figure(3, 2), tmp_path / "plot.png")
    write_figure(new_figure(3, 2, dpi=50, layout=None), tmp_path / "small.png")
    assert Image.open(tmp_path / "plot.png").size == (360, 240)
    assert Image.open(tmp_path / "small.png").size == (150, 100)


def test_a_plot_that_fails_leaves_the_one_before(tmp_path, monkeypatch):
    path = tmp_path / "plot.png"
    write_figure(new_figure(3, 2), path)
    before = path.read_bytes()
    figure = new_figure(3, 2)
    monkeypatch.setattr(figure, "savefig", lambda file, format: file.write_bytes(b"half") and 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_figure(figure, path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
