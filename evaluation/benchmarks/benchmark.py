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
"""What a benchmark is: questions in files of its own format, how they are asked, and how answers are counted."""

import string
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Question:
    """
    One question about one video or image.

    Attributes:
        id (`str`): Unique within its benchmark.
        task (`str`): What answers are counted by first: an MVBench task, a Video-Bench set.
        question (`str`): The question as the benchmark words it, without its options.
        answer (`str`): The truth: a letter where there are options, text where the answer is open.
        options (`tuple[str, ...]`): Texts of the options, `A` first; none where the answer is open.
        video (`str`, *optional*): Path of a video, or of a folder of frames.
        image (`str`, `bytes` or `PIL.Image.Image`, *optional*): Path or content of an image file, or an image.
        clip (`tuple[float, float]`, *optional*): Part of the video that is asked about, in seconds.
        frame_rate (`float`, *optional*): Frames per second of a folder of frames.
        unit (`str`, *optional*): Questions of one unit count as one, right only if all are (MMBench's rotations);
            each is its own unit if not given.
        details (`Mapping[str, Any]`): Whatever else prompt or scoring need, such as MMBench's hint.
    """

    id: str
    task: str
    question: str
    answer: str
    options: tuple[str, ...] = ()
    video: str | None = None
    image: Any = field(default=None, repr=False)
    clip: tuple[float, float] | None = None
    frame_rate: float | None = None
    unit: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def letters(self) -> str:
        """Letters of the options, `ABCD` for four."""
        return string.ascii_uppercase[: len(self.options)]

    @property
    def media(self) -> Any:
        """What questions about the same part of the same video, or about the same image, have in common, if any."""
        if self.video is not None:
            return self.video, self.clip
        return self.image if isinstance(self.image, (str, bytes, type(None))) else id(self.image)


@dataclass(frozen=True)
class Answered:
    """
    A question with what a model said.

    Attributes:
        question (`Question`): The question.
        text (`str`): What the model generated, without what its turn was made to begin with; may be empty.
        letter_log_probs (`Mapping[str, float]`, *optional*): Log probability of each option's letter as the first
            token of the answer; None where the tokenizer cannot tell the letters apart, or there are no options.
        unreadable (`str`, *optional*): Why video or image could not be read, so that the model was not asked. Such an
            answer is wrong by every rule.
        reply (`str`, *optional*): What a judge said about it; None where none was asked.
        option_log_probs (`Mapping[str, float]`, *optional*): By the options' letters, how likely the model finds their
            texts as its answer: the mean of their tokens' log probabilities. None where the benchmark does not rank
            them, or the tokenizer cannot write one.
    """

    question: Question
    text: str
    letter_log_probs: Mapping[str, float] | None = None
    unreadable: str | None = None
    reply: str | None = None
    option_log_probs: Mapping[str, float] | None = None


@dataclass(frozen=True)
class Verdict:
    """
    What a rule says about an answer.

    Attributes:
        value (`float`): 1 for right and 0 for wrong, or a judge's score of 0 to 5.
        parsed (`bool`): Whether the rule understood the answer; one that it did not is counted, as wrong.
    """

    value: float
    parsed: bool = True


# None where the rule does not apply and the answer is left out of its count: there is no judge's reply, there are no
# log probabilities, or the rule leaves out empty answers (lmms-eval's for MVBench).
Rule = Callable[[Answered], Verdict | None]


@dataclass(frozen=True)
class Total:
    """
    One figure out of the scores of tasks.

    Attributes:
        weights (`Mapping[str, float]`, *optional*): Weight of each task. None: every unit weighs the same.
        is_sum (`bool`): Whether scores are added up (LVLM-eHub) instead of averaged.
        levels (`tuple[str, ...]`): Totals named before it that it is the mean of (Video-Bench), instead of tasks.
    """

    weights: Mapping[str, float] | None = None
    is_sum: bool = False
    levels: tuple[str, ...] = ()


class Benchmark(ABC):
    """
    A benchmark. Its module says where its rules come from.

    Attributes:
        name (`str`): As the command line calls it: `"mvbench"`.
        title (`str`): As tables call it: `"MVBench"`.
        hub_id (`str`, *optional*): Data set on the Hub that holds it, for entries in `.eval_results/`.
        tasks (`tuple[str, ...]`): Tasks of the complete benchmark; fewer in the files make totals incomplete.
        rules (`Mapping[str, Rule]`): Ways to count answers, by column; the first is the official one.
        totals (`Mapping[str, Total]`): Totals by the name that the paper's tables give them.
        system (`str`): System message, empty for none.
        response_prefix (`str`): What the assistant's turn is made to begin with.
        max_new_tokens (`int`): Longest answer.
    """

    name: str
    title: str
    hub_id: str | None = None
    tasks: tuple[str, ...] = ()
    rules: Mapping[str, Rule]
    totals: Mapping[str, Total]
    system: str = ""
    response_prefix: str = ""
    max_new_tokens: int = 64

    @abstractmethod
    def read(self, folder: Path) -> list[Question]:
        """
        Questions from files in the benchmark's own format.

        Raises:
            FileNotFoundError: a file or a video is missing; the message says which, and how the folder should look.
            ValueError: a record is malformed; the message names file and record.
        """

    @abstractmethod
    def prompt(self, question: Question) -> str:
        """Text of the user's turn."""

    def ranking_prompt(self, question: Question) -> str | None:
        """Text of the user's turn behind which options are ranked by their likelihood, where the benchmark does so."""
        return None

    def judge_messages(self, answered: Answered) -> list[dict[str, str]] | None:
        """The conversation by which the benchmark asks a judge, where it has one of its own."""
        return None

    def needs_judge(self, answered: Answered) -> bool:
        """Whether a judge has anything to say about an answer; as a rule about open ones."""
        return not answered.question.options
