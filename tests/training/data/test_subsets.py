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
"""Shares of the videos and numbers of pairs: exact, nested, and independent of order."""

import random

import pytest

from ftfv.training.data.subsets import PairChooser, choose_share, rank


# Table 2: 13,040 videos of VideoInstruct, and 228,914 of Valley.
@pytest.mark.parametrize(
    ("num_videos", "fraction", "num_kept"),
    [(13_040, 0.1, 1_304), (13_040, 0.3, 3_912), (13_040, 0.6, 7_824), (228_914, 0.1, 22_891), (13_040, 1.0, 13_040)],
)
def test_number_of_videos_is_that_of_table_2(num_videos, fraction, num_kept):
    names = [f"v_{number}" for number in range(num_videos)]
    share = choose_share(names, fraction, seed=0)
    assert (share.num_kept, share.num_total) == (num_kept, num_videos)
    assert sum(name in share for name in names) == num_kept


def test_shares_of_one_seed_are_nested_and_of_another_differ():
    names = [f"v_{number}" for number in range(1000)]
    shares = [choose_share(names, fraction, seed) for fraction, seed in ((0.1, 3), (0.3, 3), (0.6, 3), (0.1, 4))]
    small, middle, large, other = ({name for name in names if name in share} for share in shares)
    assert small < middle < large
    # of 100 drawn twice from 1000, 10 are expected to be the same
    assert len(small & other) < 30


def test_repeated_names_count_once_and_order_does_not_matter():
    names = [f"v_{number % 50}" for number in range(500)]
    shuffled = random.Random(0).sample(names, len(names))
    assert choose_share(names, 0.2, seed=0) == choose_share(shuffled, 0.2, seed=0)
    assert choose_share(names, 0.2, seed=0).num_kept == 10


@pytest.mark.parametrize(
    ("fraction", "message"), [(0.0, "is 0.0"), (1.5, "is 1.5"), (0.01, "0.01 of 20 leaves nothing")]
)
def test_a_share_out_of_range_is_refused(fraction, message):
    with pytest.raises(ValueError, match=message):
        choose_share([f"v_{number}" for number in range(20)], fraction, seed=0)


def test_no_names_give_an_empty_share():
    assert "v" not in choose_share([], 0.5, seed=0)


def test_ranks_are_uniform():
    ranks = [rank(0, str(number)) / 2**64 for number in range(2000)]
    # the mean of 2000 uniform numbers is off by more than 0.03 in one of 300,000 draws
    assert abs(sum(ranks) / 2000 - 0.5) < 0.03


def offered(num_pairs: int, rows: dict[str, int], seed: int = 0) -> dict[str, int]:
    chooser = PairChooser(num_pairs, seed)
    places = list(rows)
    for index, (place, count) in enumerate(rows.items()):
        chooser.offer(index, place, count, None)
    return {places[index]: count for index, count in chooser.chosen().items()}


def test_pairs_are_exact_and_only_the_last_conversation_is_cut():
    rows = {f"f[{number}]": number % 5 + 1 for number in range(300)}
    for num_pairs in (1, 100, 333, sum(rows.values())):
        chosen = offered(num_pairs, rows)
        assert sum(chosen.values()) == num_pairs
        cut = [place for place, count in chosen.items() if count != rows[place]]
        assert len(cut) <= 1 and set(cut) <= {list(chosen)[-1]}


def test_pairs_do_not_depend_on_order_and_are_nested():
    rows = {f"f[{number}]": 1 for number in range(300)}
    shuffled = dict(random.Random(0).sample(list(rows.items()), len(rows)))
    assert offered(40, rows) == offered(40, shuffled)
    assert offered(40, rows).keys() < offered(80, rows).keys()
    assert offered(40, rows).keys() != offered(40, rows, seed=1).keys()


def test_too_few_pairs_are_an_error():
    with pytest.raises(ValueError, match="10 pairs are asked for but only 6 are there"):
        offered(10, {"a": 2, "b": 4})
    with pytest.raises(ValueError, match="`pairs` is 0"):
        PairChooser(0, 0)


def test_files_of_the_chosen_rows_are_known():
    chooser = PairChooser(2, 0)
    for number in range(20):
        chooser.offer(number, f"f[{number}]", 1, ("video", f"{number}.mp4") if number % 2 else None)
    assert chooser.files == {("video", f"{number}.mp4") for number in chooser.chosen() if number % 2}
