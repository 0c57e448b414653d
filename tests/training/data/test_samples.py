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
"""Conversations out of messages: placeholders, empty turns, speakers."""

import pytest

from ftfv.training.data.samples import (
    MalformedRecord,
    Rejection,
    Sample,
    list_of,
    number_of,
    objects_of,
    pair_turns,
    parse_records,
    text_of,
    without_placeholders,
    without_suffix,
)


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("<video>\nWhat happens?", "What happens?"),
        ("What happens?\n<video>", "What happens?"),
        ("<image>\nWhat is this?\n<image>", "What is this?"),
        ("What does <image> show?", "What does show?"),
        ("First.\n<video>\nThen?", "First.\nThen?"),
        ("<video><video> What?", "What?"),
        ("a < b and <images>", "a < b and <images>"),
    ],
)
def test_placeholders_go_wherever_they_stand(text, cleaned):
    assert without_placeholders(text) == cleaned


def test_messages_of_one_speaker_are_joined():
    turns = pair_turns([("user", "a"), ("user", "b"), ("assistant", "c"), ("user", "d"), ("assistant", "e")])
    assert turns == (("a\nb", "c"), ("d", "e"))


def test_an_empty_turn_takes_the_other_half_of_its_pair_along():
    messages = [("user", "a"), ("assistant", "  "), ("user", "<video>"), ("assistant", "c"), ("user", "d")]
    assert pair_turns([*messages, ("assistant", "e"), ("user", "unanswered")]) == (("d", "e"),)


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ([("assistant", "a"), ("user", "b")], "the assistant speaks first"),
        ([("user", "a"), ("assistant", "")], "no question with an answer"),
        ([], "no question with an answer"),
    ],
)
def test_conversations_without_a_question_and_answer_are_malformed(messages, reason):
    with pytest.raises(MalformedRecord, match=f"^{reason}$"):
        pair_turns(messages)


@pytest.mark.parametrize(
    ("read", "record", "reason"),
    [
        (text_of, {}, "no `key`"),
        (text_of, {"key": None}, "`key` is null, expected text"),
        (text_of, {"key": 3}, "`key` is a number, expected text"),
        (text_of, {"key": " "}, "`key` is empty"),
        (list_of, {}, "no `key`"),
        (list_of, {"key": {}}, "`key` is an object, expected a list"),
        (objects_of, {"key": [{}, "a"]}, "`key` 1 is text, expected an object"),
        (number_of, {}, "no `key`"),
        (number_of, {"key": "3"}, "`key` is text, expected a number"),
        (number_of, {"key": True}, "`key` is of type bool, expected a number"),
    ],
)
def test_a_field_of_another_form_is_named(read, record, reason):
    with pytest.raises(MalformedRecord, match=f"^{reason}$"):
        read(record, "key")


@pytest.mark.parametrize(
    ("path", "stem"), [("a.b/v_1.mp4", "a.b/v_1"), ("a.b/v_1", "a.b/v_1"), ("v_1.x.mkv", "v_1.x"), (".mp4", ".mp4")]
)
def test_suffix_is_that_of_the_file(path, stem):
    assert without_suffix(path) == stem


def test_what_cannot_be_parsed_is_rejected_and_the_rest_goes_on():
    one, two = Sample((("a", "b"),)), Sample((("c", "d"),))

    def parse(record, place):
        if "wrong" in record:
            raise MalformedRecord("wrong")
        return [one, two] if "two" in record else one

    records = [
        ("f[0]", {}),
        ("f[1]", {"wrong": 1}),
        ("f[2]", []),
        ("f[3]", MalformedRecord("no JSON")),
        ("f[4]", {"two": 1}),
    ]
    assert list(parse_records(records, parse)) == [
        ("f[0]", one),
        ("f[1]", Rejection("wrong")),
        ("f[2]", Rejection("the record is a list, expected an object")),
        ("f[3]", Rejection("no JSON")),
        ("f[4]", one),
        ("f[4].1", two),
    ]
