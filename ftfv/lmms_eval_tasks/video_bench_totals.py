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
"""Totals of Video-Bench for lmms-eval's groups, with the weights of `ftfv eval`."""

from collections.abc import Sequence

from ..evaluation.benchmarks.registry import BENCHMARKS


def exclusive(scores: Sequence[float], sizes: Sequence[int], weight_by_size: bool) -> float:
    """Video-exclusive understanding."""
    return weighted_mean("Exc", scores)


def prior(scores: Sequence[float], sizes: Sequence[int], weight_by_size: bool) -> float:
    """Prior knowledge-based question answering."""
    return weighted_mean("Prior", scores)


def decision(scores: Sequence[float], sizes: Sequence[int], weight_by_size: bool) -> float:
    """Comprehension and decision-making."""
    return weighted_mean("Dec", scores)


def overall(scores: Sequence[float], sizes: Sequence[int], weight_by_size: bool) -> float:
    """Mean of the three levels."""
    return weighted_mean("All", scores)


def weighted_mean(total: str, scores: Sequence[float]) -> float:
    """
    A total of Video-Bench.

    Args:
        total (`str`): Its name.
        scores (`Sequence[float]`): One of each of its tasks, in the benchmark's order, in which groups list them.

    Raises:
        ValueError: there are not as many scores as tasks.
    """
    weights = BENCHMARKS["video_bench"].totals[total].weights
    assert weights is not None
    if len(scores) != len(weights):
        raise ValueError(
            f"There are {len(scores)} scores for {total} of Video-Bench; expected one of each of {', '.join(weights)}."
        )
    return sum(weight * score for weight, score in zip(weights.values(), scores, strict=True)) / sum(weights.values())
