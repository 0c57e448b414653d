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
"""How many tokens are enough, on answers of which that is known."""

import numpy as np
import pytest
from PIL import Image

from ftfv.evaluation.plots.token_budget import plot_token_budget
from ftfv.evaluation.scores.token_budget import token_budget


GREEN = (0, 158, 115)


@pytest.mark.parametrize(("num_questions", "recommended"), [(60, None), (3000, 16)])
def test_the_plot_rings_what_is_recommended(tmp_path, num_questions, recommended):
    difficulty = (np.arange(num_questions) + 0.5) / num_questions
    values = {count: difficulty < accuracy for count, accuracy in {4: 0.4, 16: 0.6, 64: 0.6}.items()}
    costs = {count: 30 + 0.1 * count for count in values}
    budget = token_budget(
        values, range(num_questions), tflops=costs, visual_tokens={count: 8 * count for count in values}
    )
    assert (budget.recommended, budget.likely.tokens_per_frame) == (recommended, 16)

    plot_token_budget(tmp_path / "plot.png", budget)
    picture = np.asarray(Image.open(tmp_path / "plot.png").convert("RGB")).astype(int)
    for border in (picture[:2], picture[-2:], picture[:, :2], picture[:, -2:]):
        assert (border == 255).all()
    ring = (np.abs(picture - np.array(GREEN)).max(axis=-1) < 3).sum()
    assert ring > 100 if recommended else ring == 0
