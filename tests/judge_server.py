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
"""An OpenAI-compatible server that judges answers by comparing words, and fails as it is told to."""

import ast
import json
import re
import string
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.hub_stub import QuietServer


REPORTED_MODEL = "judge-2026-01-01"


def words(text: str) -> list[str]:
    return text.casefold().translate(str.maketrans("", "", string.punctuation)).split()


def judge(messages: Sequence[dict[str, str]]) -> str:
    """
    A reply in the protocol that the messages ask for. Open answers: the same words as the truth get 5, all of its
    words among others 4, some of them 3, and none 0 and a no. Options: the one that shares most words with the answer.
    """
    user = messages[-1]["content"]
    if len(messages) > 2:
        # Video-Bench's: the task stands in a turn of the assistant.
        task = ast.literal_eval("{" + messages[1]["content"].partition("sequence:\n{")[2])
        options = re.findall(r"([A-Z])\.(.*?)(?= [A-Z]\.| \n|$)", task["question"])
        prediction = set(words(task["target sequcene"]))
        best = max(options, key=lambda option: len(prediction & {*words(option[1]), option[0].casefold()}))
        return json.dumps({"maximum probability": best[0]})
    is_open = re.search(r"\nCorrect Answer: (.*)\nPredicted Answer: (.*?)\n\nProvide your", user, flags=re.DOTALL)
    if is_open:
        truth, prediction = words(is_open[1]), words(is_open[2])
        shared = set(truth) & set(prediction)
        score = 5 if truth == prediction else 4 if shared == set(truth) else 3 if shared else 0
        return str({"pred": "yes" if score else "no", "score": score})
    prediction = set(words(user.split("\nAnswer: ")[1].split("\n\n")[0]))
    options = re.findall(r"^([A-Z])\. (.*)$", user, flags=re.MULTILINE)
    best = max(options, key=lambda option: len(prediction & set(words(option[1]))))
    return json.dumps({"maximum probability": best[0]})


class JudgeServer:
    """
    Args:
        failures (`Sequence[int]`): Status codes that the first requests get.
        replies (`Sequence[str]`): What the first requests after those get in place of a judgement.
        body (`bytes`, *optional*): Sent with status 200 in place of every chat completion.
        error (`dict`): What a failure's body says beside the status.
        retry_after (`int`, *optional*): Milliseconds that failures tell the client to wait; 1, so that no test waits.
        hang (`float`): Seconds until a request is answered.
        down_after (`int`, *optional*): Number of replies after which it drops connections and takes no new ones.
        key (`str`, *optional*): Other keys get 401, with the key in the message.

    Attributes:
        url (`str`): Base address for clients.
        payloads (`list[dict]`): Bodies of all requests, failed ones included, as they came.
    """

    def __init__(
        self,
        *,
        failures: Sequence[int] = (),
        replies: Sequence[str] = (),
        body: bytes | None = None,
        error: dict[str, Any] | None = None,
        retry_after: int | None = 1,
        hang: float = 0,
        down_after: int | None = None,
        key: str | None = None,
    ):
        self.failures, self.replies = list(failures), list(replies)
        self.body, self.error, self.retry_after = body, error or {}, retry_after
        self.hang, self.down_after, self.key = hang, down_after, key
        self.payloads: list[dict[str, Any]] = []
        self.replied = 0
        self.lock, self.closing = threading.Lock(), threading.Event()
        self.http = QuietServer(("127.0.0.1", 0), Handler)
        self.http.state = self  # type: ignore[attr-defined]
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"

    def close(self) -> None:
        self.closing.set()
        self.http.shutdown()
        self.http.server_close()

    def answer(self, path: str, key: str, payload: dict[str, Any]) -> tuple[int, bytes] | None:
        """Status and body; None to drop the connection."""
        with self.lock:
            self.payloads.append(payload)
            if self.down_after is not None and self.replied >= self.down_after:
                threading.Thread(target=self.close, daemon=True).start()
                return None
            status = self.failures.pop(0) if self.failures else 200
            if path != "/v1/chat/completions":
                status = 404
            elif self.key is not None and key != self.key:
                status = 401
            if status != 200:
                error = {"message": f"told to fail\nwith the key {key}", **self.error}
                return status, json.dumps({"error": error}).encode()
            self.replied += 1
            reply = self.replies.pop(0) if self.replies else judge(payload["messages"])
        if self.body is not None:
            return 200, self.body
        message = {"role": "assistant", "content": reply}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        completion = {"id": "0", "object": "chat.completion", "created": 0, "model": REPORTED_MODEL}
        return 200, json.dumps({**completion, "choices": [choice]}).encode()


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        state: JudgeServer = self.server.state  # type: ignore[attr-defined]
        payload = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        state.closing.wait(state.hang)
        answer = state.answer(self.path, self.headers.get("Authorization", "").removeprefix("Bearer "), payload)
        if answer is None:
            return
        status, body = answer
        self.send_response(status)
        self.send_header("Content-Type", "application/json" if body.startswith(b"{") else "text/html")
        self.send_header("Content-Length", str(len(body)))
        if status != 200 and state.retry_after is not None:
            self.send_header("retry-after-ms", str(state.retry_after))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        pass


@contextmanager
def running_judge(**options: Any) -> Iterator[JudgeServer]:
    """A [`JudgeServer`] that answers for as long as the context lasts."""
    server = JudgeServer(**options)
    # How often it looks whether it was told to end.
    thread = threading.Thread(target=server.http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.close()
        thread.join()
