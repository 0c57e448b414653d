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
"""The bootstrap: how much a mean would vary had other videos been drawn, their questions staying together."""

import numpy as np


# Drawn clusters that are held at once; 8 bytes each, and as much again for what is gathered by them.
CHUNK = 1_000_000


def resample(values: np.ndarray, clusters: np.ndarray, num_draws: int = 1000, seed: int = 0) -> np.ndarray:
    """
    Means of the values in resamples of their clusters. Questions about one video are not independent of each other, so
    whole videos are drawn with replacement, as many as there are, and the mean is that of all values they bring: the
    cluster bootstrap (Davison and Hinkley, Bootstrap Methods and their Application, 1997, section 3.8). Resamples
    depend on `clusters` and `seed` only, so that two calls with the same ones are paired.

    Args:
        values (`np.ndarray` of shape `(num_values,)`): One value a question, such as 1 for right and 0 for wrong.
        clusters (`np.ndarray` of shape `(num_values,)`): What each value belongs to, such as the name of its video.
        num_draws (`int`, *optional*, defaults to 1000): Number of resamples.
        seed (`int`, *optional*, defaults to 0): Seed of the resamples.

    Returns:
        `np.ndarray` of shape `(num_draws,)`, fp64.

    Raises:
        ValueError: there are no values, not one cluster per value, or no draws; or a value is not finite.
    """
    values, clusters = np.asarray(values, dtype=np.float64), np.asarray(clusters)
    if values.ndim != 1 or len(values) == 0 or clusters.shape != values.shape:
        raise ValueError(
            f"`values` has shape {values.shape} and `clusters` {clusters.shape}; expected one cluster per value, and "
            "at least one value."
        )
    if not np.isfinite(values).all():
        raise ValueError(f"`values[{int(np.flatnonzero(~np.isfinite(values))[0])}]` is not finite; expected numbers.")
    if num_draws < 1:
        raise ValueError(f"`num_draws` is {num_draws}; expected at least 1.")
    _, membership = np.unique(clusters, return_inverse=True)
    sizes = np.bincount(membership).astype(np.float64)
    sums = np.bincount(membership, weights=values)
    num_clusters = len(sizes)
    generator = np.random.default_rng(seed)
    means = np.empty(num_draws)
    num_rows = max(1, CHUNK // num_clusters)
    for start in range(0, num_draws, num_rows):
        drawn = generator.integers(num_clusters, size=(min(num_rows, num_draws - start), num_clusters))
        means[start : start + num_rows] = sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)
    return means


def interval(draws: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """
    Ends of the interval that holds the share `level` of the draws and leaves as many below as above: the percentile
    bootstrap interval.

    Raises:
        ValueError: there are no draws, or `level` is not between 0 and 1.
    """
    if len(draws) == 0 or not 0 < level < 1:
        raise ValueError(f"{len(draws)} draws and a level of {level}; expected at least one draw, and 0 < level < 1.")
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
