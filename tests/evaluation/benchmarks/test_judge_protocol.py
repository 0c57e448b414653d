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
"""What a judge is asked, and what its replies mean."""

import hashlib
import json

import pytest

from ftfv.evaluation.benchmarks.benchmark import Answered, Question, Verdict
from ftfv.evaluation.benchmarks.judge_protocol import (
    MAX_PREDICTION_CHARACTERS,
    Judgement,
    accuracy_rule,
    messages,
    messages_about,
    option_messages,
    parse_option,
    parse_reply,
    protocol_hash,
    score_rule,
)
from ftfv.evaluation.benchmarks.mmbench import MMBENCH_EN
from ftfv.evaluation.benchmarks.video_bench import VideoBench
from ftfv.evaluation.benchmarks.video_qa import MSVD_QA


def make_answered(text: str, reply: str | None = None, **question: str | tuple[str, ...]) -> Answered:
    asked = {"id": "0", "task": "msvd", "question": "what is it?", "answer": "a dog", **question}
    return Answered(Question(**asked), text, reply=reply)


def test_an_open_answer_is_judged_by_the_words_that_lmms_eval_sends():
    sent = json.dumps(messages(make_answered("A brown dog.")))

    # Of what `get_eval` of lmms-eval's activitynetqa/utils.py sends for this question, this truth and this answer.
    assert hashlib.sha256(sent.encode()).hexdigest() == (
        "2f233fb5e32302484a1ab34844c133a1e4bcadbfca393f5756d9fb110d1d6a6b"
    )


def test_dollars_and_braces_of_a_question_and_an_answer_are_sent_as_they_are():
    sent = messages(make_answered("$answer {1}", question="$prediction costs $5?"))[1]["content"]

    assert "Question: $prediction costs $5?\nCorrect Answer: a dog\nPredicted Answer: $answer {1}\n\n" in sent


def test_a_prediction_that_repeats_itself_is_clipped():
    sent = messages(make_answered("  " + "dog " * 5000))[1]["content"]

    assert sent.count("dog ") == MAX_PREDICTION_CHARACTERS / len("dog ")
    ordinary = "x" * MAX_PREDICTION_CHARACTERS
    assert f"Predicted Answer: {ordinary}\n" in messages(make_answered(ordinary))[1]["content"]


def test_the_options_and_their_letters_are_asked_about():
    system, user = option_messages(make_answered("the cat", options=("a dog", "a cat", "a hen"), answer="B"))

    assert (system["role"], user["role"]) == ("system", "user")
    assert "Question: what is it?\nOptions:\nA. a dog\nB. a cat\nC. a hen\nAnswer: the cat\n\n" in user["content"]
    assert '{"maximum probability": "X"}, where X is one of the letters A, B, C, or "none" if' in user["content"]


def test_video_bench_is_judged_by_its_own_prompt():
    answered = make_answered("the cat", options=("a dog", "a cat"), answer="B")
    prompt = VideoBench().prompt(answered.question)
    system, task, form = messages_about(VideoBench(), answered)
    assert (system["role"], task["role"], form["role"]) == ("system", "assistant", "user")
    # As `str` of the script's dict, its misspelt key included.
    assert task["content"].endswith(str({"target sequcene": "the cat", "question": prompt}))
    assert "A.a dog B.a cat" in task["content"]
    # Others are asked about by the general ones.
    assert messages_about(MMBENCH_EN, answered) == option_messages(answered)
    assert messages_about(MSVD_QA, make_answered("the cat")) == messages(make_answered("the cat"))


def test_options_are_not_asked_for_where_there_are_none():
    with pytest.raises(ValueError, match=r"^Question '0' has no options; ask a judge about it with `messages`\.$"):
        option_messages(make_answered("a cat"))


# The third column is what lmms-eval's `parse_score` makes of the reply; None where it cannot read it.
@pytest.mark.parametrize(
    ("reply", "judgement", "of_lmms_eval"),
    [
        ("{'pred': 'yes', 'score': 4}", Judgement(True, 4), ["yes", 4]),
        ("{'pred': 'no', 'score': 0}", Judgement(False, 0), ["no", 0]),
        ('```json\n{"pred": "Yes.", "score": 3}\n```', Judgement(True, 3), ["yes", 3]),
        ("Sure: {'pred': 'NO', 'score': 4.8} I hope.", Judgement(False, 4.8), ["no", 4]),
        ("{'pred': 'yes', 'score': 4", Judgement(True, 4), ["yes", 4]),
        ("{'pred': 'yes', 'score': '4'}", Judgement(True, 4), ["yes", 4]),
        ("{'score': 2, 'pred': 'no, a hen'}", Judgement(False, 2), ["no", 2]),
        ("{'pred': 'yes', 'score': 5} {'pred': 'no', 'score': 0}", Judgement(True, 5), ["yes", 5]),
        ("{'pred': 'yes', 'score': '4.8'}", Judgement(True, 4.8), None),
        ("{'x'} {'Pred': 'yes', 'Score': 5}", Judgement(True, 5), None),
        ('{"pred": true, "score": 5}', Judgement(True, 5), None),
        ("{'pred': 'yes'}", Judgement(True, None), None),
        ("{'score': 3}", Judgement(None, 3), None),
        ("Yes.", Judgement(True, None), None),
    ],
)
def test_a_reply_is_read_in_all_its_shapes(reply, judgement, of_lmms_eval):
    found = parse_reply(reply)

    assert found == judgement
    if of_lmms_eval is not None:
        assert ["yes" if found.correct else "no", int(found.score)] == of_lmms_eval


@pytest.mark.parametrize(
    "reply",
    [
        "",
        "I cannot judge this.",
        "yes, it may be right, or no",
        "{}",
        "{'pred': 'unknown', 'score': 'high'}",
        "{'pred': None, 'score': None}",
        "{'pred': 1, 'score': True}",
        "{'pred': 'maybe', 'score': 6}",
        "{'pred': 'maybe', 'score': -1}",
        "{'pred': 'maybe', 'score': 'nan'}",
        "{'pred': 'maybe', 'score': 1" + "0" * 400 + "}",
        "{pred: yes, score: 5}",
        "{" + "(" * 5000 + "}",
        "{" + "[" * 100000 + "}",
        "{'pred': __import__('os').getcwd(), 'score': 5}",
    ],
)
def test_what_a_reply_does_not_say_is_none_and_counts_as_wrong(reply):
    assert parse_reply(reply) == Judgement(None, None)
    answered = make_answered("a hen", reply)
    assert accuracy_rule(answered) == score_rule(answered) == Verdict(0.0, parsed=False)


def test_the_rules_give_the_accuracy_and_the_score_cut_to_an_integer():
    right, wrong = "{'pred': 'yes', 'score': 4.8}", "{'pred': 'no', 'score': 0}"

    assert accuracy_rule(make_answered("a dog", right)) == Verdict(1.0)
    assert score_rule(make_answered("a dog", right)) == Verdict(4.0)
    assert accuracy_rule(make_answered("a hen", wrong)) == score_rule(make_answered("a hen", wrong)) == Verdict(0.0)
    # One of the two may be missing.
    assert accuracy_rule(make_answered("a dog", "{'pred': 'yes'}")) == Verdict(1.0)
    assert score_rule(make_answered("a dog", "{'pred': 'yes'}")) == Verdict(0.0, parsed=False)


def test_the_rules_do_not_apply_where_no_judge_was_asked():
    assert accuracy_rule(make_answered("a dog")) is None
    assert score_rule(make_answered("a dog")) is None


@pytest.mark.parametrize(
    ("reply", "letter"),
    [
        ('{"maximum probability": "B"}', "B"),
        ("{'maximum probability': '(b).'}", "B"),
        ('```\n{"Maximum Probability": "C. A cat"}\n```', "C"),
        ("Here: {'maximum probability': 'D'}", "D"),
        ("{'maximum probability': 'D'", "D"),
        ("B", "B"),
        ("(C)", "C"),
        ("", None),
        ('{"maximum probability": "E"}', None),
        ('{"maximum probability": "A or B"}', None),
        ('{"maximum probability": ""}', None),
        ('{"maximum probability": 2}', None),
        ('{"minimum probability": "A"}', None),
        ("A cat is what I see.", None),
        ("none of them", None),
        ('{"maximum probability": "none"}', None),
    ],
)
def test_an_option_is_read_if_the_reply_names_one(reply, letter):
    assert parse_option(reply, "ABCD") == letter


def test_the_hash_tells_whether_prompts_are_the_same():
    # Changes with every word of the prompts: results before and after do not compare.
    assert protocol_hash() == "fea8a7c1f47ed5a4535415d290b1c4011e004d768a4883a0e3614b61f6fc3c08"
