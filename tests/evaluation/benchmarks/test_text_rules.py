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
"""Rules for open answers."""

import pytest

from ftfv.evaluation.benchmarks.benchmark import Answered, Question, Verdict
from ftfv.evaluation.benchmarks.text_rules import contains, exact, normalized_words, without_vqa_punctuation


RIGHT, WRONG, UNPARSED = Verdict(1.0), Verdict(0.0), Verdict(0.0, parsed=False)


@pytest.mark.parametrize(
    ("truth", "text", "is_exact", "is_contained"),
    [
        ("ride horse", "Ride horse", RIGHT, RIGHT),
        ("ride horse", "ride a horse.", RIGHT, RIGHT),
        ("ride horse", "They ride the horse!", WRONG, RIGHT),
        ("ride horse", "horse ride", WRONG, WRONG),
        ("ride horse", "ride white horse", WRONG, WRONG),
        ("man", "a woman", WRONG, WRONG),
        ("yes", "yes, yes", WRONG, RIGHT),
        ("black-and-white", "Black and white", RIGHT, RIGHT),
        ("don't", "dont", RIGHT, RIGHT),
        ("a", "A.", RIGHT, RIGHT),
        ("two", "2", WRONG, WRONG),
        ("yes", "", UNPARSED, UNPARSED),
        ("yes", " .\n", UNPARSED, UNPARSED),
        ("...", "no", WRONG, WRONG),
    ],
)
def test_open_answers(truth, text, is_exact, is_contained):
    answered = Answered(Question("1", "task", "what is it", truth), text)

    assert exact(answered) == is_exact
    assert contains(answered) == is_contained


def test_open_rules_do_not_apply_to_options():
    answered = Answered(Question("1", "task", "what is it", "A", ("dog", "cat")), "A")

    assert exact(answered) is None
    assert contains(answered) is None


def test_articles_stay_where_there_is_nothing_else():
    assert normalized_words("The cat, an owl") == ["cat", "owl"]
    assert normalized_words("The") == ["the"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x-B/y", "x B y"),
        ("x-B - y", "xB  y"),
        ("1,000 (or so)", "1000 or so"),
        ("v2.5. End.", "v2.5 End"),
        ("a\nb\tc ", "a b c"),
        ("." * 40, "." * 8),
    ],
)
def test_punctuation_goes_as_in_vqa_s_scorer(text, expected):
    assert without_vqa_punctuation(text) == expected
