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
"""What each rule makes of the same answers to a multiple-choice question."""

from dataclasses import replace

import pytest

from ftfv.evaluation.benchmarks.benchmark import Answered, Question, Verdict
from ftfv.evaluation.benchmarks.option_rules import (
    likelihood,
    lmms_eval_mmbench,
    lmms_eval_mvbench,
    lmms_eval_seed_bench,
    official_mmbench,
    official_mvbench,
    official_seed_bench,
    strict,
)


RIGHT, WRONG, UNPARSED = Verdict(1.0), Verdict(0.0), Verdict(0.0, parsed=False)
# Counted as right though the rule did not single out a letter.
BY_FAULT = Verdict(1.0, parsed=False)
OPTIONS = ("Ate the cake.", "Took the box.", "a dog", "Put the cup down.")


def answered(text: str, *, options=OPTIONS, answer="B", reply=None, log_probs=None) -> Answered:
    return Answered(Question("1", "task", "What happened?", answer, options), text, log_probs, reply=reply)


# Columns: strict, MVBench's own check, lmms-eval's for MVBench, MMBench's own matching, lmms-eval's for MMBench
# (static), lmms-eval's for SEED-Bench. Those of others were derived from their code by hand and run against it once.
ANSWERS = {
    "B": (RIGHT, RIGHT, RIGHT, RIGHT, RIGHT, RIGHT),
    "b": (RIGHT, RIGHT, RIGHT, UNPARSED, UNPARSED, RIGHT),
    "(B)": (RIGHT, RIGHT, RIGHT, RIGHT, RIGHT, UNPARSED),
    "B.": (RIGHT, RIGHT, RIGHT, RIGHT, RIGHT, RIGHT),
    "B)": (RIGHT, RIGHT, RIGHT, RIGHT, RIGHT, RIGHT),
    " B \n": (RIGHT, RIGHT, RIGHT, RIGHT, RIGHT, RIGHT),
    "B: Took the box.": (RIGHT, UNPARSED, RIGHT, RIGHT, RIGHT, RIGHT),
    "B) Took the box.": (RIGHT, RIGHT, RIGHT, RIGHT, RIGHT, RIGHT),
    "(B) Took the box.": (RIGHT, RIGHT, RIGHT, RIGHT, RIGHT, UNPARSED),
    "B\nThey took it.": (RIGHT, RIGHT, RIGHT, RIGHT, RIGHT, RIGHT),
    "Answer: B": (RIGHT, UNPARSED, RIGHT, RIGHT, RIGHT, WRONG),
    "Best option: (B)": (RIGHT, UNPARSED, RIGHT, RIGHT, RIGHT, RIGHT),
    "took  the BOX": (RIGHT, UNPARSED, UNPARSED, UNPARSED, RIGHT, UNPARSED),
    "Took the box.": (RIGHT, UNPARSED, UNPARSED, RIGHT, RIGHT, UNPARSED),
    "C": (WRONG, WRONG, WRONG, WRONG, WRONG, WRONG),
    "(C) a dog": (WRONG, WRONG, WRONG, WRONG, WRONG, UNPARSED),
    "": (UNPARSED, BY_FAULT, None, UNPARSED, UNPARSED, UNPARSED),
    " \n": (UNPARSED, BY_FAULT, UNPARSED, UNPARSED, UNPARSED, UNPARSED),
    "...": (UNPARSED, BY_FAULT, UNPARSED, UNPARSED, UNPARSED, UNPARSED),
    "(": (UNPARSED, UNPARSED, UNPARSED, UNPARSED, UNPARSED, UNPARSED),
    ")": (UNPARSED, UNPARSED, UNPARSED, UNPARSED, UNPARSED, UNPARSED),
    "B, C": (UNPARSED, UNPARSED, RIGHT, UNPARSED, WRONG, RIGHT),
    "B or C": (UNPARSED, RIGHT, RIGHT, UNPARSED, RIGHT, RIGHT),
    "B) or C)": (UNPARSED, RIGHT, RIGHT, UNPARSED, RIGHT, RIGHT),
    "(B) (C)": (UNPARSED, RIGHT, RIGHT, UNPARSED, WRONG, UNPARSED),
    "B) a dog": (UNPARSED, RIGHT, RIGHT, RIGHT, RIGHT, RIGHT),
    "BC": (UNPARSED, UNPARSED, UNPARSED, UNPARSED, WRONG, RIGHT),
    "E": (UNPARSED, UNPARSED, UNPARSED, UNPARSED, UNPARSED, UNPARSED),
    "A person took the box from the shelf": (UNPARSED, WRONG, WRONG, UNPARSED, WRONG, WRONG),
    "I think that the right answer is B": (UNPARSED, UNPARSED, RIGHT, RIGHT, RIGHT, UNPARSED),
    "Took the box and later ate the cake": (UNPARSED, UNPARSED, UNPARSED, UNPARSED, UNPARSED, UNPARSED),
}
RULES = (strict, official_mvbench, lmms_eval_mvbench, official_mmbench, lmms_eval_mmbench, lmms_eval_seed_bench)


@pytest.mark.parametrize("column", range(len(RULES)), ids=[rule.__name__ for rule in RULES])
@pytest.mark.parametrize("text", ANSWERS)
def test_every_rule_has_a_verdict_on_every_answer(text, column):
    assert RULES[column](answered(text)) == ANSWERS[text][column]


@pytest.mark.parametrize(
    ("log_probs", "verdict"),
    [
        ({"A": -2.0, "B": -1.0, "C": -1.5, "D": -3.0}, RIGHT),
        ({"A": -0.5, "B": -1.0, "C": -1.5, "D": -3.0}, WRONG),
        # The earliest of equals.
        ({"A": -1.0, "B": -1.0, "C": -1.5, "D": -3.0}, WRONG),
        ({"A": -2.0, "B": -1.0, "C": -1.0, "D": -3.0}, RIGHT),
        (None, None),
    ],
)
def test_seed_bench_takes_the_likeliest_option_whatever_was_said(log_probs, verdict):
    for text in ("A", "B", "", "("):
        assert official_seed_bench(replace(answered(text), option_log_probs=log_probs)) == verdict


def test_no_answer_is_dropped_but_lmms_eval_s_empty_ones():
    dropped = {(rule.__name__, text) for rule in RULES for text in ANSWERS if rule(answered(text)) is None}

    assert dropped == {("lmms_eval_mvbench", "")}


@pytest.mark.parametrize("letter", "ABCD")
def test_an_empty_answer_is_right_by_mvbench_s_own_check_whatever_the_truth(letter):
    assert official_mvbench(answered("", answer=letter)) == BY_FAULT
    assert strict(answered("", answer=letter)) == UNPARSED


def test_strict_takes_the_text_behind_a_letter_for_a_contradiction_only_if_it_names_another_option():
    assert strict(answered("B) A man took the box.")) == RIGHT
    assert strict(answered("B) vitamin C")) == UNPARSED
    assert strict(answered("B) vitamin C", options=("sugar", "Vitamin C.", "salt"))) == RIGHT
    assert strict(answered("B) salt", options=("sugar", "Vitamin C.", "salt"))) == UNPARSED


def test_strict_needs_the_text_of_exactly_one_option():
    assert strict(answered("no", options=("yes", "no"))) == RIGHT
    assert strict(answered("no", options=("No.", "no"))) == UNPARSED
    assert strict(answered("", options=("yes", ""))) == UNPARSED
    assert strict(answered("A. Smith", options=("J. Doe", "A. Smith"))) == RIGHT
    assert strict(answered("A", options=("B", "A"))) == WRONG  # a bare letter is a letter


def test_strict_and_likelihood_do_not_apply_without_options_or_log_probabilities():
    open_question = answered("a dog", options=(), answer="a dog", log_probs={})

    assert strict(open_question) is None
    assert likelihood(open_question) is None
    assert likelihood(answered("B")) is None


@pytest.mark.parametrize(
    ("log_probs", "expected"),
    [
        ({"A": -3.0, "B": -0.1, "C": -2.0, "D": -4.0}, RIGHT),
        ({"A": -3.0, "B": -0.2, "C": -0.1, "D": -4.0}, WRONG),
        ({"D": -1.0, "C": -1.0, "B": -1.0, "A": -1.0}, WRONG),
    ],
)
def test_likelihood_takes_the_likeliest_letter_and_the_first_of_equals(log_probs, expected):
    assert likelihood(answered("C", log_probs=log_probs)) == expected


def test_mmbench_asks_the_judge_only_where_letter_and_text_fail():
    assert official_mmbench(answered("They carried it away.", reply="B")) == RIGHT
    assert official_mmbench(answered("They carried it away.", reply="C")) == WRONG
    assert official_mmbench(answered("They carried it away.", reply="E")) == UNPARSED
    assert official_mmbench(answered("B", reply="C")) == RIGHT


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A", RIGHT),
        ("A. It is", RIGHT),
        ("A man is in it", UNPARSED),
        ("I can't process this file. A", UNPARSED),
        ("the box, the box, the box, sugar", UNPARSED),
        ("It is Sugar", RIGHT),
    ],
)
def test_mmbench_tells_an_article_and_a_refusal_from_an_answer(text, expected):
    assert official_mmbench(answered(text, options=("sugar", "salt"), answer="A")) == expected


def test_lmms_eval_counts_nan_among_the_options_that_an_mmbench_question_lacks():
    three = ("banana", "apple", "pear")

    assert lmms_eval_mmbench(answered("banana", options=three, answer="A")) == UNPARSED
    assert lmms_eval_mmbench(answered("banana", options=(*three, "fig"), answer="A")) == RIGHT
    assert lmms_eval_mmbench(answered("pear", options=three, answer="C")) == RIGHT


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Option B; since (C) and (D) are out of place", WRONG),  # in parentheses, the last
        ("The answer is surely not (D) but B", RIGHT),  # the end goes before all but the start
        ("答案是B吧", RIGHT),
        ("Because of D.B", RIGHT),
    ],
)
def test_lmms_eval_s_extractor_ranks_forms(text, expected):
    assert lmms_eval_mmbench(answered(text)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("b. anything, with C", RIGHT),
        ("B.x", RIGHT),
        ("x.B", UNPARSED),  # the full stop goes and leaves no space
        ("x-B", RIGHT),  # the dash leaves one
        ("x-B - y", UNPARSED),  # unless one has a space beside it
        ("1,000 x-B", UNPARSED),  # or there is a number in thousands
        ("The person holds a box", WRONG),  # the article is option A
        ("e", UNPARSED),
    ],
)
def test_lmms_eval_reads_mvbench_answers_as_vqa_s_scorer_cleans_them(text, expected):
    assert lmms_eval_mvbench(answered(text)) == expected
