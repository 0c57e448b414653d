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
"""Questions of one's own: a file `questions.jsonl` with an object a line, about videos and images."""

import json
import string
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from .benchmark import Benchmark, Question, Total
from .judge_protocol import accuracy_rule, score_rule
from .option_rules import likelihood, strict
from .reading import clip_of, field, require_media
from .text_rules import contains, exact


LAYOUT = (
    'Expected a file questions.jsonl, an object a line: {"video" or "image": path from the file\'s folder, "question":'
    ' text, "answer": text, or a letter or the text of an option}, and if wanted "options": [texts], "id", "task",'
    ' "clip": [start, end] in seconds.'
)


# `ability` is what `ftfv look` puts a question of the same file under.
FIELDS = ("video", "image", "question", "answer", "options", "id", "task", "clip", "ability")


class OwnQuestions(Benchmark):
    """
    Columns: for open questions the same words, the truth's words within the answer, and, with a judge, right or wrong
    and its score of 0 to 5; for questions with options [`strict`] and the likeliest letter. `All` is over all
    questions that a column counts.
    """

    name = "own"
    title = "Own questions"
    rules = {
        "exact": exact,
        "contains": contains,
        "strict": strict,
        "likelihood": likelihood,
        "judge": accuracy_rule,
        "judge_score": score_rule,
    }
    totals = {"All": Total()}

    def read(self, folder: Path) -> list[Question]:
        """Questions of `questions.jsonl`; empty lines are passed over."""
        path = folder / "questions.jsonl"
        if not path.is_file():
            raise FileNotFoundError(f"{path} is missing. {LAYOUT}")
        questions: dict[str, Question] = {}
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, start=1):
                if not line.strip():
                    continue
                place = f"{path}, line {number}"
                try:
                    record = json.loads(line)
                except ValueError as error:
                    raise ValueError(f"{place} is not JSON: {error}.") from error
                question = read_question(folder, record, str(number), place)
                if question.id in questions:
                    raise ValueError(f"{place}: the id {question.id!r} was there before.")
                questions[question.id] = question
        if not questions:
            raise ValueError(f"{path} has no question. {LAYOUT}")
        require_media(list(questions.values()), LAYOUT)
        return list(questions.values())

    def prompt(self, question: Question) -> str:
        """The question as it is; with options, these and the request for a letter."""
        if not question.options:
            return question.question
        options = [f"{letter}. {option}" for letter, option in zip(question.letters, question.options, strict=True)]
        return "\n".join([question.question, *options, "Answer with the letter of the right option only."])


def read_question(folder: Path, record: Any, number: str, place: str) -> Question:
    """A record as a question; its id is the number of its line unless it has one."""
    for name in record if isinstance(record, Mapping) else ():
        close = get_close_matches(name, FIELDS, n=1, cutoff=0.75)
        if name not in FIELDS and close:
            raise ValueError(f"{place}: there is a field {name!r}; did you mean {close[0]!r}?")
    text = field(record, "question", str, place)
    media = {kind: str(folder / field(record, kind, str, place)) for kind in ("video", "image") if kind in record}
    if len(media) != 1:
        raise ValueError(f"{place}: expected `video` or `image`, one of them. {LAYOUT}")
    answer = str(field(record, "answer", (str, int, float), place))
    for name in ("video", "image", "question", "answer"):
        if name in record and not str(record[name]).strip():
            raise ValueError(f"{place}: `{name}` is empty. {LAYOUT}")
    options: tuple[str, ...] = ()
    if record.get("options") is not None:
        options = tuple(str(option) for option in field(record, "options", list, place))
        most = len(string.ascii_uppercase)
        if not 1 <= len(options) <= most:
            raise ValueError(f"{place}: there are {len(options)} options; expected 1 to {most}, a letter each.")
        answer = letter_of(answer, options, place)
    clip = None
    if record.get("clip") is not None:
        if "image" in record:
            raise ValueError(f"{place}: there is a `clip` of an image; expected one of a video only.")
        ends = field(record, "clip", list, place)
        if len(ends) != 2 or not all(isinstance(end, (int, float)) for end in ends):
            raise ValueError(f"{place}: `clip` is {ends}; expected [start, end] in seconds.")
        clip = clip_of(ends[0], ends[1], place)
    return Question(
        id=number if record.get("id") is None else str(record["id"]),
        task=OwnQuestions.title if record.get("task") is None else str(record["task"]),
        question=text,
        answer=answer,
        options=options,
        video=media.get("video"),
        image=media.get("image"),
        clip=clip,
    )


def letter_of(answer: str, options: tuple[str, ...], place: str) -> str:
    """
    The letter of the option that `answer` is the text or, if it is no option's text, the letter of.

    Raises:
        ValueError: it is neither, or two options have this text.
    """
    letters = string.ascii_uppercase[: len(options)]
    same = [letter for letter, option in zip(letters, options, strict=True) if option == answer]
    if len(same) == 1:
        return same[0]
    if same or answer not in tuple(letters):
        raise ValueError(
            f"{place}: the answer {answer!r} is no letter and not the text of one option of {list(options)}."
        )
    return answer
