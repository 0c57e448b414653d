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
"""Random subsets of data sets that do not fit into memory: a share of the videos, or a number of questions.

A name's rank is a hash of the seed and the name, and a subset is made of the lowest ranks. So it does not depend on
the order of the files, and of two subsets with one seed the smaller lies in the larger.
"""

import hashlib
import heapq
from array import array
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from .samples import MediaKind


def rank(seed: int, name: str) -> int:
    """A number below 2**64, uniform over names."""
    return int.from_bytes(hashlib.blake2b(f"{seed}\0{name}".encode(), digest_size=8).digest(), "big")


@dataclass(frozen=True)
class Share:
    """Some of the names of a data set, see [`choose_share`]."""

    num_kept: int
    num_total: int
    highest_rank: int
    seed: int

    def __contains__(self, name: str) -> bool:
        return self.num_kept > 0 and rank(self.seed, name) <= self.highest_rank


def choose_share(names: Iterable[str], fraction: float, seed: int) -> Share:
    """Chooses a share of the distinct names, the nearest whole number of them (paper Table 2: of 13,040 videos 1,304,
    3,912 and 7,824).

    Args:
        names (`Iterable[str]`): the name of the video of each row; 8 bytes are kept of each.
        fraction (`float`): share of the distinct names, above 0 and at most 1.
        seed (`int`): names the order of the names.

    Raises:
        ValueError: `fraction` is out of range, or so small that nothing is left.
    """
    if not 0 < fraction <= 1:
        raise ValueError(f"`fraction` is {fraction}; expected more than 0 and at most 1, such as 0.1.")
    ranks = np.unique(np.frombuffer(array("Q", (rank(seed, name) for name in names)), dtype=np.uint64))
    num_kept = round(fraction * len(ranks))
    if len(ranks) and not num_kept:
        raise ValueError(f"`fraction` {fraction} of {len(ranks)} leaves nothing; ask for a larger one.")
    return Share(num_kept, len(ranks), int(ranks[num_kept - 1]) if num_kept else 0, seed)


class PairChooser:
    """Chooses rows at random until they have exactly a number of question-answer pairs; the last one is cut to fit.

    Conversations stay whole that way, and every pair has about the same chance. Only what is chosen so far is kept.

    Args:
        num_pairs (`int`): number of pairs.
        seed (`int`): names the order of the rows.

    Raises:
        ValueError: `num_pairs` is below 1.
    """

    def __init__(self, num_pairs: int, seed: int):
        if num_pairs < 1:
            raise ValueError(f"`pairs` is {num_pairs}; expected 1 or more.")
        self.num_pairs = num_pairs
        self.seed = seed
        self.num_offered = 0
        self._heap: list[tuple[int, int, int, tuple[MediaKind, str] | None]] = []  # highest rank first
        self._num_held = 0

    def offer(self, index: int, place: str, num_pairs: int, file: tuple[MediaKind, str] | None) -> None:
        """Considers a row, the `index`-th, which lies at `place` and names the picture or video `file`."""
        self.num_offered += num_pairs
        heapq.heappush(self._heap, (-rank(self.seed, place), index, num_pairs, file))
        self._num_held += num_pairs
        while self._num_held - self._heap[0][2] >= self.num_pairs:
            self._num_held -= heapq.heappop(self._heap)[2]

    @property
    def files(self) -> set[tuple[MediaKind, str]]:
        """The files of the rows chosen so far."""
        return {file for _, _, _, file in self._heap if file is not None}

    def chosen(self) -> dict[int, int]:
        """The indices of the chosen rows and how many pairs each gives.

        Raises:
            ValueError: fewer pairs were offered than are asked for.
        """
        if self._num_held < self.num_pairs:
            raise ValueError(
                f"{self.num_pairs} pairs are asked for but only {self._num_held} are there and usable; ask for fewer."
            )
        rows = {index: num_pairs for _, index, num_pairs, _ in sorted(self._heap, reverse=True)}
        last = next(reversed(rows))
        rows[last] -= self._num_held - self.num_pairs
        return rows
