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
"""A judge at an endpoint: what it sends, what it makes of failures, and where its key does not go."""

import json
import socket
import sys
import time

import pytest

from ftfv.evaluation.judges.endpoint import EndpointJudge
from tests.judge_server import REPORTED_MODEL, running_judge


pytest.importorskip("openai")

KEY = "sk-very-secret-0123456789"
MODEL = "judge-1"


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


def conversations(count):
    """Conversations whose replies tell them apart, when the judge compares words."""
    return [
        [
            {"role": "system", "content": "Judge."},
            {
                "role": "user",
                "content": f"\nCorrect Answer: dog\nPredicted Answer: {'dog' if index % 3 else 'hen'}\n\nProvide your",
            },
        ]
        for index in range(count)
    ]


RIGHT, WRONG = "{'pred': 'yes', 'score': 5}", "{'pred': 'no', 'score': 0}"


def test_it_asks_the_pinned_model_at_temperature_zero():
    with running_judge() as server:
        judge = EndpointJudge(server.url, MODEL)
        replies = sorted(judge.ask(conversations(7)))

    assert replies == [(index, RIGHT if index % 3 else WRONG, REPORTED_MODEL) for index in range(7)]
    expected = [{"messages": each, "model": MODEL, "temperature": 0, "max_tokens": 64} for each in conversations(7)]
    assert sorted(server.payloads, key=str) == sorted(expected, key=str)
    assert (judge.name, judge.url) == (MODEL, server.url)


def test_nothing_to_ask_asks_nothing():
    with running_judge() as server:
        assert list(EndpointJudge(server.url, MODEL).ask([])) == []
        assert server.payloads == []


def test_a_few_requests_are_in_flight_at_once():
    with running_judge(hang=0.1) as server:
        started = time.monotonic()
        replies = list(EndpointJudge(server.url, MODEL, max_in_flight=6).ask(conversations(6)))
        took = time.monotonic() - started

    assert len(replies) == 6
    assert took < 0.6 - 0.1  # one after the other takes 6 times 0.1 s


@pytest.mark.parametrize("failures", [[429], [500, 503, 429], [408]])
def test_passing_failures_are_asked_again(failures):
    with running_judge(failures=failures) as server:
        assert list(EndpointJudge(server.url, MODEL).ask(conversations(1))) == [(0, WRONG, REPORTED_MODEL)]
        assert len(server.payloads) == len(failures) + 1


@pytest.mark.parametrize(
    ("status", "tries", "kind", "says"),
    [
        (
            500,
            3,
            ConnectionError,
            r" failed \(500\); see its log, then run the same command again\. The server said: ",
        ),
        (429, 3, ConnectionError, r" is out of quota or asked too often \(429\); wait or raise the limit, then run "),
        (
            401,
            1,
            ValueError,
            r" refused the key \(401\); set OPENAI_API_KEY to a valid one, then run the same command ",
        ),
        (
            403,
            1,
            ValueError,
            r" refused the key \(403\); set OPENAI_API_KEY to a valid one, then run the same command ",
        ),
        (404, 1, ValueError, r" was not found \(404\); expected a model that the server has and its base address, "),
        (400, 1, ValueError, r" refused the request \(400\)\. The server said: .*told to fail with the key \*\*\*"),
    ],
)
def test_lasting_failures_raise_one_line_that_says_what_to_do(status, tries, kind, says):
    with running_judge(failures=[status] * 10) as server:
        with pytest.raises(kind, match=rf"^Judge 'judge-1' at {server.url}{says}") as failure:
            list(EndpointJudge(server.url, MODEL, max_retries=2).ask(conversations(1)))
        assert len(server.payloads) == tries
    assert "\n" not in str(failure.value)
    assert KEY not in str(failure.value)


def test_a_server_that_is_not_there_is_named():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}/v1"
    with pytest.raises(ConnectionError) as failure:
        list(EndpointJudge(url, MODEL, max_retries=0).ask(conversations(3)))
    assert str(failure.value) == (
        f"Judge 'judge-1' at {url} cannot be reached; start the server or mend the address, then run the same command "
        "again."
    )


def test_a_server_that_hangs_is_given_up():
    with running_judge(hang=5) as server:
        with pytest.raises(
            ConnectionError, match=r"gave no answer within 0\.05 seconds \(tries: 1\); see whether the"
        ):
            list(EndpointJudge(server.url, MODEL, timeout=0.05, max_retries=0).ask(conversations(1)))


def test_replies_that_were_under_way_come_before_the_failure():
    with running_judge(down_after=4) as server:
        judge, replies = EndpointJudge(server.url, MODEL, max_retries=0), []
        with pytest.raises(ConnectionError, match="cannot be reached"):
            for reply in judge.ask(conversations(20)):
                replies.append(reply)
    assert len(replies) == 4
    assert len(server.payloads) < 20


def test_an_empty_reply_is_asked_for_once_more():
    with running_judge(replies=[""]) as server:
        assert list(EndpointJudge(server.url, MODEL).ask(conversations(1))) == [(0, WRONG, REPORTED_MODEL)]
        assert len(server.payloads) == 2
    with running_judge(replies=["", " \n"]) as server:
        assert list(EndpointJudge(server.url, MODEL).ask(conversations(1))) == [(0, "", REPORTED_MODEL)]
        assert len(server.payloads) == 2


def test_a_filtered_request_is_an_empty_reply():
    with running_judge(failures=[400, 400], error={"code": "content_filter"}) as server:
        assert list(EndpointJudge(server.url, MODEL).ask(conversations(1))) == [(0, "", MODEL)]


@pytest.mark.parametrize("body", [b"<html>Welcome</html>", b'{"error": "no"}', b'{"choices": []}', b"{broken"])
def test_something_else_than_a_completion_is_refused(body):
    with running_judge(body=body) as server:
        with pytest.raises(
            ValueError, match=rf"^Judge 'judge-1' at {server.url} answered with .*; expected the base "
        ):
            list(EndpointJudge(server.url, MODEL).ask(conversations(1)))


def test_a_wrong_base_address_is_not_found():
    with running_judge() as server:
        with pytest.raises(ValueError, match=r"/v1/chat was not found \(404\).*mostly ends in /v1"):
            list(EndpointJudge(server.url + "/chat", MODEL).ask(conversations(1)))


def test_the_key_comes_from_the_variable_that_is_named(monkeypatch):
    monkeypatch.setenv("JUDGE_KEY", f"{KEY}-other\n")
    with running_judge(key=f"{KEY}-other") as server:
        judge = EndpointJudge(server.url, MODEL, api_key_variable="JUDGE_KEY")
        assert len(list(judge.ask(conversations(1)))) == 1
        with pytest.raises(ValueError, match=r"refused the key \(401\); set OPENAI_API_KEY"):
            list(EndpointJudge(server.url, MODEL).ask(conversations(1)))
    assert KEY not in json.dumps(server.payloads)
    assert KEY not in repr(judge)


@pytest.mark.parametrize("value", [None, "", "  ", f"{KEY}\n{KEY}", f"{KEY}é"])
def test_a_missing_key_is_asked_for(monkeypatch, value):
    monkeypatch.delenv("OPENAI_API_KEY") if value is None else monkeypatch.setenv("OPENAI_API_KEY", value)
    with pytest.raises(ValueError) as failure:
        EndpointJudge("http://localhost:8000/v1", MODEL)
    assert str(failure.value) == (
        "The environment variable OPENAI_API_KEY holds no key for http://localhost:8000/v1; set it, to any word if "
        "the server asks for none: `export OPENAI_API_KEY=none`."
    )


@pytest.mark.parametrize("url", ["", "localhost:8000", "api.openai.com/v1", "ftp://host/v1", "https://"])
def test_an_address_that_is_none_is_refused(url):
    with pytest.raises(ValueError, match=r"; expected one such as 'https://api\.openai\.com/v1'\.$"):
        EndpointJudge(url, MODEL)


@pytest.mark.parametrize("url", [f"https://user:{KEY}@host/v1", f"https://host/v1?key={KEY}"])
def test_an_address_with_a_key_is_refused_without_showing_it(url):
    with pytest.raises(ValueError, match=r"^The judge's url on 'host' has a user or a query; expected a ") as failure:
        EndpointJudge(url, MODEL)
    assert KEY not in str(failure.value)


def test_a_model_has_to_be_named():
    with pytest.raises(ValueError, match=r"^A judge at an endpoint needs the name of a model, such as 'gpt-4o-2024"):
        EndpointJudge("http://localhost:8000/v1", "")


@pytest.mark.parametrize("option", ["max_tokens", "max_in_flight"])
def test_numbers_below_one_are_refused(option):
    with pytest.raises(ValueError, match=rf"^`{option}` is 0; expected at least 1\.$"):
        EndpointJudge("http://localhost:8000/v1", MODEL, **{option: 0})


def test_the_client_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(ImportError, match=r"^A judge at an endpoint needs openai; `pip install 'ftfv\[judge\]'`\.$"):
        EndpointJudge("http://localhost:8000/v1", MODEL)
