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
"""Judging answers: what is asked, what is kept, and what happens after an interruption."""

import json
from dataclasses import replace

import pytest

from ftfv.evaluation.benchmarks.benchmark import Answered, Question, Verdict
from ftfv.evaluation.benchmarks.judge_protocol import (
    accuracy_rule,
    messages,
    messages_about,
    parse_option,
    score_rule,
)
from ftfv.evaluation.benchmarks.own import OwnQuestions
from ftfv.evaluation.judges.endpoint import EndpointJudge
from ftfv.evaluation.judges.judging import Estimate, estimate
from ftfv.evaluation.judges.judging import judge_answers as judge_conversations
from tests.judge_server import REPORTED_MODEL, judge, running_judge


class WordJudge:
    """Compares words, in this process; the last question first. `limit` is the number of replies before it fails."""

    def __init__(self, name="words", limit=None, replies=None):
        self.name, self.limit, self.replies, self.asked = name, limit, replies, []

    def ask(self, conversations):
        for count, index in enumerate(reversed(range(len(conversations)))):
            if count == self.limit:
                raise ConnectionError("the judge went away")
            self.asked.append(conversations[index])
            yield index, self.replies[index] if self.replies else judge(conversations[index]), f"{self.name}-2026"


def judge_answers(judge, answered, path, **options):
    """Asked by the general prompts, which questions of one's own are asked about by."""
    conversations = [messages_about(OwnQuestions(), item) for item in answered]
    return judge_conversations(judge, answered, conversations, path, **options)


def make_answered(id, text, answer="a brown dog", options=()):
    return Answered(Question(id, "msvd", "what is it?", answer, options), text)


ANSWERS = [
    make_answered("right", "A brown dog."),
    make_answered("wrong", "hen"),
    make_answered("empty", ""),
    make_answered("verbose", "I see a big dog that is brown, on a meadow"),
    make_answered("near", "a dog"),
    make_answered("option", "I think it is the cat", "B", ("a dog", "a cat", "a hen")),
]
VALUES = [(1, 5), (0, 0), (0, 0), (1, 4), (1, 3)]


def read(path):
    return [json.loads(line) for line in path.read_text().split("\n")[:-1]]


def test_every_answer_gets_its_reply_in_its_place(tmp_path):
    judged = judge_answers(WordJudge(), ANSWERS, tmp_path / "new" / "replies.jsonl", progress=False)

    assert [replace(item, reply=None) for item in judged] == ANSWERS
    assert [(accuracy_rule(item).value, score_rule(item).value) for item in judged[:5]] == VALUES
    assert all(accuracy_rule(item).parsed and score_rule(item).parsed for item in judged[:5])
    assert parse_option(judged[5].reply, "ABC") == "B"


def test_the_file_says_who_said_what_about_what(tmp_path):
    path = tmp_path / "replies.jsonl"
    judge_answers(WordJudge(), ANSWERS, path, progress=False)

    records = read(path)
    assert [record["id"] for record in records] == [item.question.id for item in ANSWERS]
    assert [record["kind"] for record in records] == ["open"] * 5 + ["option"]
    assert list(records[1]) == ["id", "kind", "key", "judge", "model", "reply"]
    assert records[1]["reply"] == "{'pred': 'no', 'score': 0}"
    assert (records[1]["judge"], records[1]["model"]) == ("words", "words-2026")
    assert len({record["key"] for record in records}) == len(records)


def test_a_reply_that_cannot_be_read_is_kept_and_counted(tmp_path):
    path, garbled = (
        tmp_path / "replies.jsonl",
        ["", "no idea", "{'pred': 'yes', 'score': 5}", "\x1e\u2028 \ud800{", "", ""],
    )
    judged = judge_answers(WordJudge(replies=garbled), ANSWERS, path, progress=False)

    assert [item.reply for item in judged] == garbled
    assert [accuracy_rule(item) for item in judged[:3]] == [Verdict(0.0, False), Verdict(0.0, False), Verdict(1.0)]
    again = WordJudge()
    assert judge_answers(again, ANSWERS, path, progress=False) == judged
    assert again.asked == []


def test_only_what_changed_is_asked_again(tmp_path):
    path = tmp_path / "replies.jsonl"
    judge_answers(WordJudge(), ANSWERS, path, progress=False)
    changed = [*ANSWERS[:1], replace(ANSWERS[1], text="dog"), *ANSWERS[2:]]

    second = WordJudge()
    judged = judge_answers(second, changed, path, progress=False)

    assert second.asked == [messages(changed[1])]
    assert score_rule(judged[1]) == Verdict(3.0)
    other = WordJudge("other")
    judge_answers(other, changed, path, progress=False)
    assert len(other.asked) == len(ANSWERS)


def test_replies_to_others_stay_in_the_file(tmp_path):
    path = tmp_path / "replies.jsonl"
    judge_answers(WordJudge(), ANSWERS, path, progress=False)
    judge_answers(WordJudge("other"), ANSWERS[:2], path, progress=False)

    assert [(record["judge"], record["id"]) for record in read(path)] == [
        *(("other", item.question.id) for item in ANSWERS[:2]),
        *(("words", item.question.id) for item in ANSWERS),
    ]
    first = WordJudge()
    judge_answers(first, ANSWERS, path, progress=False)
    assert first.asked == []


def test_equal_messages_are_asked_once(tmp_path):
    twice = [ANSWERS[0], make_answered("same", " A brown dog."), ANSWERS[1]]
    asked = WordJudge()
    judged = judge_answers(asked, twice, tmp_path / "replies.jsonl", progress=False)

    assert len(asked.asked) == 2
    assert judged[0].reply == judged[1].reply != judged[2].reply
    assert [record["id"] for record in read(tmp_path / "replies.jsonl")] == ["right", "same", "wrong"]


@pytest.mark.parametrize("limit", [0, 1, 4])
def test_a_run_that_was_cut_short_goes_on_to_the_same_file(tmp_path, limit):
    whole, cut = tmp_path / "whole.jsonl", tmp_path / "cut.jsonl"
    expected = judge_answers(WordJudge(), ANSWERS, whole, progress=False)

    with pytest.raises(ConnectionError, match="the judge went away"):
        judge_answers(WordJudge(limit=limit), ANSWERS, cut, progress=False)
    assert len(read(cut)) == limit
    second = WordJudge()
    assert judge_answers(second, ANSWERS, cut, progress=False) == expected

    assert len(second.asked) == len(ANSWERS) - limit
    assert cut.read_bytes() == whole.read_bytes()


def test_a_line_that_was_cut_short_is_asked_again_wherever_it_was_cut(tmp_path):
    whole, cut = tmp_path / "whole.jsonl", tmp_path / "cut.jsonl"
    judge_answers(WordJudge(), ANSWERS[:3], whole, progress=False)
    content = whole.read_bytes()
    last = content.rindex(b"\n", 0, -1) + 1

    for length in range(last + 1, len(content), 12):
        cut.write_bytes(content[:length])
        second = WordJudge()
        judge_answers(second, ANSWERS[:3], cut, progress=False)
        assert second.asked == [messages(ANSWERS[2])]
        assert cut.read_bytes() == content


def test_a_line_that_was_cut_short_does_not_spoil_the_next(tmp_path):
    path = tmp_path / "replies.jsonl"
    judge_answers(WordJudge(), ANSWERS, path, progress=False)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ConnectionError):
        judge_answers(WordJudge("other", limit=2), ANSWERS, path, progress=False)

    assert [record["judge"] for record in read(path)] == ["words"] * 5 + ["other"] * 2


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b'{"id": "0"}\n', "^Line 1 of '.*' is no judge's reply; expected a file that judging wrote. Name another.$"),
        (b"\n", "^Line 1 of '.*' is no judge's reply; expected a file that judging wrote. Name another.$"),
        (b'{"questions": []}', "^'.*' holds no judge's replies; expected a file that judging wrote. Name another.$"),
        (b"\xff\xfe\n", "^Line 1 of '.*' is no judge's reply; expected a file that judging wrote. Name another.$"),
    ],
)
def test_a_file_of_something_else_is_left_alone(tmp_path, content, says):
    path, asked = tmp_path / "other.json", WordJudge()
    path.write_bytes(content)
    with pytest.raises(ValueError, match=says):
        judge_answers(asked, ANSWERS, path, progress=False)
    assert path.read_bytes() == content
    assert asked.asked == []


def test_no_answers_give_an_empty_file(tmp_path):
    assert judge_answers(WordJudge(), [], tmp_path / "replies.jsonl", progress=False) == []
    assert (tmp_path / "replies.jsonl").read_bytes() == b""


def test_the_estimate_counts_bytes_and_takes_prices():
    conversations = [[{"role": "system", "content": "x" * 300}, {"role": "user", "content": "é" * 50}]] * 1000

    # 400 bytes are 100 tokens; 12 for each reply.
    assert estimate(conversations) == Estimate(1000, 100_000, 12_000)
    assert estimate(conversations, (2.5, 10.0)) == Estimate(1000, 100_000, 12_000, pytest.approx(0.25 + 0.12))
    assert estimate([], (2.5, 10.0)) == Estimate(0, 0, 0, 0.0)
    assert str(estimate(conversations, (2.5, 10.0))) == (
        "1,000 requests to the judge, about 100,000 tokens in and 12,000 out (counted as 4 bytes to a token and 12 "
        "tokens to a reply), 0.37 at the given prices"
    )


def test_the_estimate_of_what_is_missing_is_shown_before_it_starts(tmp_path, capsys):
    path = tmp_path / "replies.jsonl"
    judge_answers(WordJudge(), ANSWERS[:4], path, progress=False)
    assert capsys.readouterr().err == ""
    judge_answers(WordJudge(), ANSWERS, path, prices=(1e6, 0.0))

    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("2 requests to the judge, about ")
    assert " at the given prices\n" in shown.err
    assert "4/6" in shown.err
    assert "6/6" in shown.err
    judge_answers(WordJudge(), ANSWERS, path)
    assert "requests" not in capsys.readouterr().err


def test_a_server_that_goes_down_in_the_middle_costs_nothing_twice(tmp_path, monkeypatch, capsys):
    pytest.importorskip("openai")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret-0123456789")
    answers = [make_answered(f"{index:02}", f"a dog {'x' * index}") for index in range(20)]
    whole, cut = tmp_path / "whole.jsonl", tmp_path / "cut.jsonl"
    with running_judge() as server:
        expected = judge_answers(EndpointJudge(server.url, "judge-1"), answers, whole)

    with running_judge(down_after=7) as server:
        with pytest.raises(ConnectionError, match="cannot be reached"):
            judge_answers(EndpointJudge(server.url, "judge-1", max_retries=0), answers, cut)
    assert len(read(cut)) == 7
    with running_judge() as server:
        assert judge_answers(EndpointJudge(server.url, "judge-1"), answers, cut) == expected
        assert len(server.payloads) == 13

    assert cut.read_bytes() == whole.read_bytes()
    assert {(record["judge"], record["model"]) for record in read(cut)} == {("judge-1", REPORTED_MODEL)}
    assert "secret" not in whole.read_text() + "".join(capsys.readouterr())
