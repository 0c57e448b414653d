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
"""Answers in a file as they come: what an interrupted run goes on from, and what is scored again at no cost."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..atomic_write import atomic_write
from ..benchmarks.benchmark import Answered, Question


# What a person changes, for messages.
NAMES = {
    "questions_sha256": "other questions, files or --limit, of digest",
    "prompts_sha256": "other prompts, of digest",
    "given_sha256": "other answers that were given, of digest",
}


class PredictionFile:
    """
    Answers to the questions of one benchmark in one setting, as JSON lines: first what the answers depend on, then one
    line for each answer.

    Attributes:
        path (`Path`): The file.
        origin (`Mapping[str, Any]`): What the answers depend on, in plain JSON types.
        answers (`dict[str, Answered]`): Answers by the id of their question.
    """

    def __init__(self, path: str | os.PathLike, origin: Mapping[str, Any], questions: Sequence[Question]):
        """
        Opens a file, or makes it. A line that was not written to its end is cut off, and questions about files that
        could not be read are taken for unanswered.

        Args:
            path (`str` or `os.PathLike`): The file.
            origin (`Mapping[str, Any]`): What the answers depend on: model, setting, prompts.
            questions (`Sequence[Question]`): The questions.

        Raises:
            ValueError: the file holds answers of another origin, or is no such file.
        """
        self.path = Path(path)
        self.origin = json.loads(json.dumps(origin))
        self.answers: dict[str, Answered] = {}
        if not self.path.exists():
            with atomic_write(self.path) as temporary:
                temporary.write_text(_line({"origin": self.origin}), encoding="utf-8")
            return
        content = self.path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) < len(content):
            os.truncate(self.path, len(whole))
        by_id = {question.id: question for question in questions}
        try:
            first, *lines = [json.loads(line) for line in whole.decode().split("\n") if line]
            written = first["origin"]
            # A file that could not be read may have been mended since.
            read = [line for line in lines if line.get("unreadable") is None]
            self.answers = {
                line["id"]: Answered(
                    by_id[line["id"]],
                    line["text"],
                    line.get("letter_log_probs"),
                    line.get("unreadable"),
                    option_log_probs=line.get("option_log_probs"),
                )
                for line in read
                if line["id"] in by_id
            }
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{str(self.path)!r} holds no answers ({type(error).__name__}: {error}); expected what a run of "
                "`ftfv eval` wrote. Delete it, or name another --output."
            ) from error
        for name in {**written, **self.origin}:
            if written.get(name) != self.origin.get(name):
                raise ValueError(
                    f"{str(self.path)!r} holds answers for {NAMES.get(name, name)} {_short(written.get(name))}, but "
                    f"{_short(self.origin.get(name))} is asked for; expected the same. Name another --output, or "
                    "delete the file to ask again."
                )
        if len(read) < len(lines):
            with atomic_write(self.path) as temporary:
                temporary.write_text("".join(map(_line, [first, *read])), encoding="utf-8")

    def append(self, answers: Sequence[Answered]) -> None:
        """Adds answers; those that an interruption leaves incomplete are asked again."""
        lines = []
        for answered in answers:
            record: dict[str, Any] = {"id": answered.question.id, "text": answered.text}
            if answered.letter_log_probs is not None:
                record["letter_log_probs"] = dict(answered.letter_log_probs)
            if answered.option_log_probs is not None:
                record["option_log_probs"] = dict(answered.option_log_probs)
            if answered.unreadable is not None:
                record["unreadable"] = answered.unreadable
            lines.append(_line(record))
        with open(self.path, "a", encoding="utf-8") as file:
            file.write("".join(lines))
            file.flush()
            os.fsync(file.fileno())
        self.answers.update({answered.question.id: answered for answered in answers})

    def missing(self, questions: Sequence[Question]) -> list[Question]:
        """Questions without an answer."""
        return [question for question in questions if question.id not in self.answers]


def _line(record: Mapping[str, Any]) -> str:
    return json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n"


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:77]}..."
