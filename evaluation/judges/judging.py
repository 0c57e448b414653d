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
"""Asking a judge about answers, with every reply kept in a file, so that nothing is asked or paid for twice."""

import hashlib
import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from tqdm import tqdm

from ..atomic_write import atomic_write
from ..benchmarks.benchmark import Answered
from ..benchmarks.judge_protocol import Messages


# No tokenizer is at hand for a model behind an endpoint; English text has about so many bytes to a token.
BYTES_PER_TOKEN = 4
# `{'pred': 'yes', 'score': 4}` and `{"maximum probability": "A"}`, by common tokenizers.
TOKENS_PER_REPLY = 12
FIELDS = ("id", "kind", "key", "judge", "model", "reply")
LINE_START = b'{"id": "'


class JudgeError(ValueError):
    """A judge that refuses: the key, the model or the request."""


class Judge(Protocol):
    """
    Whoever replies to the judge's prompts.

    Attributes:
        name (`str`): Which model it is, in results and in the keys of stored replies.
    """

    name: str

    def ask(self, conversations: Sequence[Messages]) -> Iterator[tuple[int, str, str]]:
        """Yields, once for each conversation and in any order, its index, the reply and the model that gave it."""
        ...


@dataclass(frozen=True)
class Estimate:
    """
    What judging will take, about.

    Attributes:
        requests (`int`): Number of conversations.
        tokens_in (`int`): Tokens of their messages, one for every 4 bytes of UTF-8.
        tokens_out (`int`): Tokens of the replies, 12 for each.
        price (`float`, *optional*): In the currency of the prices; None if none were given.
    """

    requests: int
    tokens_in: int
    tokens_out: int
    price: float | None = None

    def __str__(self) -> str:
        price = "" if self.price is None else f", {self.price:,.2f} at the given prices"
        return (
            f"{self.requests:,} requests to the judge, about {self.tokens_in:,} tokens in and {self.tokens_out:,} out "
            f"(counted as {BYTES_PER_TOKEN} bytes to a token and {TOKENS_PER_REPLY} tokens to a reply){price}"
        )


def estimate(judge_messages: Sequence[Messages], prices: tuple[float, float] | None = None) -> Estimate:
    """
    What asking a judge will take, without asking it. Retries, and replies longer than they were asked to be, come on
    top.

    Args:
        judge_messages (`Sequence[list[dict]]`): The conversations.
        prices (`tuple[float, float]`, *optional*): Price of a million tokens in, and of a million tokens out.
    """
    num_bytes = sum(len(message["content"].encode()) for conversation in judge_messages for message in conversation)
    tokens_in, tokens_out = num_bytes // BYTES_PER_TOKEN, TOKENS_PER_REPLY * len(judge_messages)
    price = None if prices is None else (prices[0] * tokens_in + prices[1] * tokens_out) / 1e6
    return Estimate(len(judge_messages), tokens_in, tokens_out, price)


def judge_answers(
    judge: Judge,
    answered: Sequence[Answered],
    conversations: Sequence[Messages],
    path: str | os.PathLike,
    *,
    prices: tuple[float, float] | None = None,
    progress: bool = True,
) -> list[Answered]:
    """
    Has a judge reply about every answer: whether it is right if it is open, which option it means if there are any.
    Replies go to a file as they come. Asked is only what that file does not hold for the same judge and the same
    messages, and equal messages only once.

    Args:
        judge ([`Judge`]): The judge.
        answered (`Sequence[Answered]`): The answers.
        conversations (`Sequence[list[dict]]`): What to ask about each, from [`messages_about`].
        path (`str` or `os.PathLike`):
            JSON lines with `id` of the question, `kind` ("open" or "option"), `key` (SHA-256 of judge and messages),
            `judge`, `model` (that gave the reply, as the server says) and `reply`. Once all are there, lines are in
            the order of the answers, and after them those of other answers or judges that the file held before.
        prices (`tuple[float, float]`, *optional*): Of a million tokens in and out, for the estimate.
        progress (`bool`, *optional*, defaults to `True`): Whether to show the estimate and a progress bar on stderr.

    Returns:
        `list[Answered]`: The answers in their order, each with the judge's `reply`.

    Raises:
        ValueError: the file holds something else than replies; nothing is asked then.
        ConnectionError: the judge cannot be reached. What it replied so far is in the file.
        JudgeError: the judge refuses. What it replied so far is in the file.
    """
    path = Path(path)
    records = _read_records(path)
    replies = {record["key"]: record for record in records}
    keys = [_key(judge.name, conversation) for conversation in conversations]
    first = {key: index for index, key in reversed(list(enumerate(keys)))}
    missing = [index for index, key in enumerate(keys) if first[key] == index and key not in replies]
    asked = [conversations[index] for index in missing]
    if progress and asked:
        tqdm.write(str(estimate(asked, prices)), file=sys.stderr)
    path.parent.mkdir(parents=True, exist_ok=True)
    with (
        path.open("ab") as file,
        tqdm(total=len(first), initial=len(first) - len(asked), desc="Judging", disable=not progress) as bar,
    ):
        for number, reply, model in judge.ask(asked):
            index = missing[number]
            replies[keys[index]] = record = {
                "key": keys[index],
                "judge": judge.name,
                "model": model,
                "reply": reply,
                **_about(answered[index]),
            }
            file.write(_line(record))
            file.flush()
            bar.update()
    ordered = [{**replies[key], **_about(item)} for key, item in zip(keys, answered, strict=True)]
    mine = {(record["id"], record["key"]) for record in ordered}
    ordered += [record for record in records if (record["id"], record["key"]) not in mine]
    with atomic_write(path) as temporary:
        temporary.write_bytes(b"".join(map(_line, ordered)))
    return [replace(item, reply=replies[key]["reply"]) for key, item in zip(keys, answered, strict=True)]


def _about(answered: Answered) -> dict[str, str]:
    return {"id": answered.question.id, "kind": "option" if answered.question.options else "open"}


def _key(judge: str, conversation: Messages) -> str:
    return hashlib.sha256(json.dumps([judge, conversation], sort_keys=True).encode()).hexdigest()


def _line(record: dict[str, Any]) -> bytes:
    return json.dumps({name: record[name] for name in FIELDS}).encode() + b"\n"


def _read_records(path: Path) -> list[dict[str, Any]]:
    """Records of a file, none if there is no file. What an interruption left of a last line is cut off."""
    if not path.exists():
        return []
    content = path.read_bytes()
    # Not `splitlines`, which also ends lines at separators that texts may hold.
    *lines, rest = content.split(b"\n")
    records = []
    for number, line in enumerate(lines, start=1):
        record = _parse(line)
        if record is None:
            raise ValueError(
                f"Line {number} of {str(path)!r} is no judge's reply; expected a file that judging wrote. Name "
                "another."
            )
        records.append(record)
    if rest:
        if not rest.startswith(LINE_START[: len(rest)]):
            raise ValueError(
                f"{str(path)!r} holds no judge's replies; expected a file that judging wrote. Name another."
            )
        with path.open("r+b") as file:
            file.truncate(len(content) - len(rest))
    return records


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except ValueError:
        return None
    is_reply = isinstance(record, dict) and all(isinstance(record.get(name), str) for name in FIELDS)
    return record if is_reply else None
