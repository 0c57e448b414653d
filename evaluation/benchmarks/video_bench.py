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
"""
Video-Bench: 13 sets of multiple choice in three levels of ability.

Source: PKU-YuanGroup/Video-Bench: `Eval_QA/*_QA_new.json`, the prompts of its README, `Step2_chatgpt_judge.py` (an
answer is matched to an option by a judge) and `Step3_compute_scores.py` (weights). The file of answers is that of the
dataset maoxx241/videobench_subset, as AISBench reads it (`ais_bench/benchmark/datasets/videobench.py`).
"""

import string
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .benchmark import Answered, Benchmark, Question, Total, Verdict
from .judge_protocol import Messages, parse_option, video_bench_messages
from .option_rules import likelihood, strict, verdict
from .reading import field, read_json, require_media


LAYOUT = (
    "Get Eval_QA/ from the repository PKU-YuanGroup/Video-Bench and Eval_video/ from the dataset"
    " LanguageBind/Video-Bench into one folder. Sets are left out by removing their file."
)
KEY_LAYOUT = (
    "Video-Bench's files come without answers. For ten sets they are in answer/ANSWER.json of the dataset"
    " maoxx241/videobench_subset, to be put into the folder as it is there ({set: {question: letter}}); it has none"
    " for TVQA, MV and Youcook2, which are scored by the leaderboard (remove their files here), unless the records say"
    " `answer` or `correct` themselves."
)
QUESTION_FILE = "_QA_new.json"
# Weights of the sets within their level, of Step3_compute_scores.py; levels weigh the same in the score over all.
LEVELS: dict[str, dict[str, float]] = {
    "Exc": {"ActivityNet": 1, "MSVD": 1, "MSRVTT": 1, "TGIF": 1, "Youcook2": 1, "Ucfcrime": 1, "MOT": 0.5},
    "Prior": {"TVQA": 1, "MV": 1, "NBA": 1},
    "Dec": {"Driving-exam": 0.5, "Driving-decision-making": 1, "SQA3D": 1},
}
NUMBER_WORDS = {2: "two", 3: "three", 4: "four", 5: "five", 6: "six"}
# A space stands behind the prompt of these numbers of options.
SPACE_BEHIND = (2, 3, 5)
# From this many options on, the list has a heading.
HEADED = 6


def official_video_bench(answered: Answered) -> Verdict | None:
    """
    Right if the judge's reply, `{"maximum probability": "B"}`, names the right letter. A reply without such an object,
    or with no option's letter in it, is wrong and not parsed (the official script asks again until there is one). None
    without a reply.
    """
    if answered.reply is None:
        return None
    return verdict(answered.question, parse_option(answered.reply, answered.question.letters))


class VideoBench(Benchmark):
    """
    Columns: the judge's choice as in Video-Bench, [`strict`], and the likeliest letter. Totals: the three levels, and
    `All`, their mean.
    """

    name = "video_bench"
    title = "Video-Bench"
    hub_id = "LanguageBind/Video-Bench"
    tasks = tuple(name for level in LEVELS.values() for name in level)
    rules = {"official": official_video_bench, "strict": strict, "likelihood": likelihood}
    totals = {
        **{level: Total(weights) for level, weights in LEVELS.items()},
        "All": Total(levels=tuple(LEVELS)),
    }

    def read(self, folder: Path) -> list[Question]:
        """Questions of the sets whose files are there: in `Eval_QA/` or, if it has none, in the folder itself."""
        places = (folder / "Eval_QA", folder)
        files = next((found for place in places if (found := sorted(place.glob(f"*{QUESTION_FILE}")))), None)
        if files is None:
            raise FileNotFoundError(f"{folder} and its Eval_QA have no *{QUESTION_FILE}. {LAYOUT}")
        key_file = folder / "answer" / "ANSWER.json"
        key = read_json(key_file, KEY_LAYOUT) if key_file.exists() else {}
        if not isinstance(key, Mapping):
            raise ValueError(f"{key_file}: expected an object of sets, got {type(key).__name__}.")
        questions = []
        for path in files:
            questions += read_set(folder, path, key)
        require_media(questions, LAYOUT)
        return questions

    def prompt(self, question: Question) -> str:
        """
        The official prompt, whose wording goes by the number of options. A question with one is asked without it, as
        the official script does.
        """
        listed = [(letter, text) for letter, text in zip(question.letters, question.options, strict=True) if text]
        if len(listed) not in NUMBER_WORDS:
            return question.question
        head = "Choices:" if len(listed) >= HEADED else ""
        options = " ".join(f"{letter}.{text}" for letter, text in listed)
        letters = ", ".join(letter for letter, _ in listed)
        tail = " " if len(listed) in SPACE_BEHIND else ""
        return (
            f"{question.question}{head} {options} \n Among the {NUMBER_WORDS[len(listed)]} options {letters} above,"
            f" the one closest to the correct answer is:{tail}"
        )

    def judge_messages(self, answered: Answered) -> Messages:
        """Those of the official script, with the official prompt as the question."""
        return video_bench_messages(answered, self.prompt(answered.question))

    def needs_judge(self, answered: Answered) -> bool:
        """The official script has a judge choose the option of every answer."""
        return True


def read_set(folder: Path, path: Path, key: Mapping[str, Any]) -> list[Question]:
    """The questions of one file."""
    name = path.name.removesuffix(QUESTION_FILE)
    content = read_json(path, LAYOUT)
    if not isinstance(content, Mapping) or not content:
        raise ValueError(f"{path}: expected an object of questions by their id, got {type(content).__name__}.")
    questions, unanswered = [], []
    for question_id, record in content.items():
        place = f"{path}, record {question_id}"
        video = field(record, "vid_path", str, place)
        options = read_options(field(record, "choices", dict, place), place)
        answer = read_answer(question_id, record, (key.get(name), key.get(Path(video).parent.name)))
        if answer is None:
            unanswered.append(question_id)
        elif answer not in tuple(string.ascii_uppercase[: len(options)]):
            raise ValueError(f"{place}: the answer {answer!r} is no letter of the {len(options)} choices.")
        else:
            text = field(record, "question", str, place)
            questions.append(Question(f"{name}/{question_id}", name, text, answer, options, video=str(folder / video)))
    if unanswered:
        count = f"{len(unanswered)} of {len(content)}"
        raise ValueError(f"{path}: {count} questions of {name} have no answer, {unanswered[0]} first. {KEY_LAYOUT}")
    return questions


def read_answer(question_id: str, record: Mapping[str, Any], keys: tuple[Any, ...]) -> Any:
    """A question's letter from the file of answers, or from its record; None if it is in neither."""
    for key in keys:
        if isinstance(key, Mapping) and key.get(question_id) is not None:
            return key[question_id]
    return record.get("answer", record.get("correct"))


def read_options(choices: Mapping[str, Any], place: str) -> tuple[str, ...]:
    """
    Texts of the options by letter. Letters that are left out, or null, before the last that is there have an empty
    text, so that the others keep their letters.
    """
    listed = {letter: str(text) for letter, text in choices.items() if text is not None}
    if not listed or not all(len(letter) == 1 and letter in string.ascii_uppercase for letter in listed):
        raise ValueError(f"{place}: `choices` are {dict(choices)}; expected texts under A, B, ....")
    return tuple(listed.get(letter, "") for letter in string.ascii_uppercase[: ord(max(listed)) - ord("A") + 1])
