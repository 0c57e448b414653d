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
"""The bootstrap against arithmetic."""

import numpy as np
import pytest

from ftfv.evaluation.scores import bootstrap
from ftfv.evaluation.scores.bootstrap import interval, resample


def test_the_spread_is_the_standard_error_of_a_proportion():
    values = np.arange(400) % 4 == 0

    draws = resample(values, np.arange(400), num_draws=4000)

    expected = np.sqrt(0.25 * 0.75 / 400)
    # The spread of 4000 draws is itself known to about 1 / sqrt(2 * 4000) = 1.1 %; four times that is allowed.
    assert draws.std() == pytest.approx(expected, rel=0.045)
    assert draws.mean() == pytest.approx(0.25, abs=4 * expected / np.sqrt(4000))
    low, high = interval(draws)
    assert (high - low) / 2 == pytest.approx(1.96 * expected, rel=0.06)


def test_means_are_those_of_the_drawn_clusters():
    clusters = np.array(["b", "a", "b", "c", "b"])
    values = np.array([1.0, 0.0, 2.0, 5.0, 3.0])
    by_name = {"a": (0.0, 1), "b": (6.0, 3), "c": (5.0, 1)}

    draws = resample(values, clusters, num_draws=50, seed=3)

    # The same clusters, one draw at a time.
    generator = np.random.default_rng(3)
    for draw in draws:
        drawn = ["abc"[index] for index in generator.integers(3, size=3)]
        total, number = (sum(by_name[name][part] for name in drawn) for part in (0, 1))
        assert draw == pytest.approx(total / number, abs=1e-12)


def test_questions_of_one_video_that_agree_widen_the_interval():
    outcomes = np.arange(50) % 2
    values, videos = np.repeat(outcomes, 4), np.repeat(np.arange(50), 4)

    together, apart = resample(values, videos).std(), resample(values, np.arange(200)).std()

    # Four copies of an answer say no more than one: sqrt(4) times as wide, known to about 3 % from 1000 draws each.
    assert together / apart == pytest.approx(2.0, rel=0.12)


def test_the_same_seed_gives_the_same_draws_however_they_are_chunked(monkeypatch):
    values, videos = np.arange(30) % 3 == 0, np.arange(30) // 2
    first = resample(values, videos, num_draws=64)
    monkeypatch.setattr(bootstrap, "CHUNK", 40)
    second = resample(values, videos, num_draws=64)

    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, resample(values, videos, num_draws=64, seed=1))


def test_resamples_of_the_same_clusters_are_paired():
    videos = np.arange(40)
    one, other = np.arange(40) % 2, np.arange(40) % 5 == 0

    difference = resample(one - other.astype(float), videos)

    np.testing.assert_allclose(difference, resample(one, videos) - resample(other, videos), atol=1e-12)


def test_the_interval_leaves_as_many_draws_below_as_above():
    assert interval(np.arange(1001) / 1000) == pytest.approx((0.025, 0.975))
    assert interval(np.arange(101), level=0.5) == pytest.approx((25, 75))
    assert interval(resample(np.ones(5), np.arange(5))) == (1.0, 1.0)


@pytest.mark.parametrize(
    ("values", "clusters", "num_draws", "message"),
    [
        ([], [], 10, r"shape \(0,\)"),
        ([1.0, 0.0], [1], 10, r"`clusters` \(1,\); expected one cluster per value"),
        ([1.0, float("nan")], [1, 2], 10, r"`values\[1\]` is not finite"),
        ([1.0], [1], 0, "`num_draws` is 0; expected at least 1"),
    ],
)
def test_what_cannot_be_resampled_is_refused(values, clusters, num_draws, message):
    with pytest.raises(ValueError, match=message):
        resample(np.array(values), np.array(clusters), num_draws)


def test_a_level_that_is_no_share_is_refused():
    with pytest.raises(ValueError, match="a level of 95; expected"):
        interval(np.zeros(3), level=95)
