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
from itertools import islice

from ..evaluation.benchmarks.registry import BENCHMARKS


def exclusive(scores: Sequence[float], sizes: Sequence[int], weight_by_size: bool) -> float:
    """Video-exclusive understanding."""
    return total_score("Exc", scores)


def prior(scores: Sequence[float], sizes: Sequence[int], weight_by_size: bool) -> float:
    """Prior knowledge-based question answering."""
    return total_score("Prior", scores)


def decision(scores: Sequence[float], sizes: Sequence[int], weight_by_size: bool) -> float:
    """Comprehension and decision-making."""
    return total_score("Dec", scores)


def overall(scores: Sequence[float], sizes: Sequence[int], weight_by_size: bool) -> float:
    """Mean of the three levels."""
    return total_score("All", scores)


def total_score(name: str, scores: Sequence[float]) -> float:
    """
    A total of Video-Bench.

    Args:
        name (`str`): Its name in `ftfv eval`.
        scores (`Sequence[float]`): One of each of its tasks, in the benchmark's order, in which groups list them.

    Raises:
        ValueError: there are not as many scores as tasks.
    """
    tasks = _tasks(name)
    if len(scores) != len(tasks):
        raise ValueError(
            f"There are {len(scores)} scores for {name} of Video-Bench; expected one of each of {', '.join(tasks)}."
        )
    total = BENCHMARKS["video_bench"].totals[name]
    if total.levels:
        rest = iter(scores)
        levels = [total_score(level, list(islice(rest, len(_tasks(level))))) for level in total.levels]
        return sum(levels) / len(levels)
    weights = list((total.weights or {}).values())
    return sum(weight * score for weight, score in zip(weights, scores, strict=True)) / sum(weights)


def _tasks(name: str) -> list[str]:
    """Tasks of a total, those of its levels one after another."""
    total = BENCHMARKS["video_bench"].totals[name]
    return [task for level in total.levels for task in _tasks(level)] or list(total.weights or ())
