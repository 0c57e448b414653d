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
What a judge is asked about an answer, and what its reply says.

Open answers go by the protocol of Video-ChatGPT (`quantitative_evaluation/evaluate_activitynet_qa.py`), which MSVD-QA,
MSRVTT-QA and ActivityNet-QA are reported by; its prompt stands here word for word, as lmms-eval sends it, because
figures of differently worded prompts do not compare. Answers to questions with options go by Video-Bench's procedure:
the judge names the option that the answer most probably means, and that letter is compared with the truth.
"""

import ast
import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from string import Template
from typing import Any

from .benchmark import Answered, Benchmark, Verdict


Messages = list[dict[str, str]]

OPEN_SYSTEM = (
    "You are an intelligent chatbot designed for evaluating the correctness of generative outputs for "
    "question-answer pairs. "
    "Your task is to compare the predicted answer with the correct answer and determine if they match meaningfully. "
    "Here's how you can accomplish the task:"
    "------"
    "##INSTRUCTIONS: "
    "- Focus on the meaningful match between the predicted answer and the correct answer.\n"
    "- Consider synonyms or paraphrases as valid matches.\n"
    "- Evaluate the correctness of the prediction compared to the answer."
)
# The example's 4.8 is no integer and a blank is missing after STRING: so is the original.
OPEN_USER = Template(
    "Please evaluate the following video-based question-answer pair:\n\n"
    "Question: $question\n"
    "Correct Answer: $answer\n"
    "Predicted Answer: $prediction\n\n"
    "Provide your evaluation only as a yes/no and score where the score is an integer value between 0 and 5, with 5 "
    "indicating the highest meaningful match. "
    "Please generate the response in the form of a Python dictionary string with keys 'pred' and 'score', where value "
    "of 'pred' is  a string of 'yes' or 'no' and value of 'score' is in INTEGER, not STRING."
    "DO NOT PROVIDE ANY OTHER OUTPUT TEXT OR EXPLANATION. Only provide the Python dictionary string. "
    "For example, your response should look like this: {'pred': 'yes', 'score': 4.8}."
)
OPTION_SYSTEM = "You find out which option of a multiple-choice question a written answer stands for."
OPTION_USER = Template(
    "Question: $question\n"
    "Options:\n"
    "$options\n"
    "Answer: $prediction\n\n"
    "Which option does the answer most probably stand for? Reply with a JSON dictionary and nothing else: "
    '{"maximum probability": "X"}, where X is one of the letters $letters, or "none" if it stands for none of them.'
)
# Step2_chatgpt_judge.py of PKU-YuanGroup/Video-Bench (Apache License 2.0), to the letter, a misspelt key included.
VIDEO_BENCH_SYSTEM = "As a language expert, please complete the following task."
VIDEO_BENCH_TASK = (
    "You are now an answer selection expert, and I will provide you with a question with several options, "
    "as well as a target sentence. Please return the alphabet of the option with the highest probability of matching "
    "this target sentence. Given question with options and the target sequence:\n"
)
VIDEO_BENCH_FORM = (
    'Please output your responses in the form of a dictionary {"maximum probability":"xxx"}  '
    "where xxx is A or B or C or ..."
)
VIDEO_BENCH_KEY = "target sequcene"
OPTION_KEY = "maximum probability"

# A model that repeats itself until its limit makes judges continue the repetition instead of judging it
# (mbzuai-oryx/Video-ChatGPT#115). Answers of the benchmarks' usual 64 new tokens are far shorter and stay whole.
MAX_PREDICTION_CHARACTERS = 1000


@dataclass(frozen=True)
class Judgement:
    """
    What a reply to [`messages`] says.

    Attributes:
        correct (`bool`, *optional*): Whether the answer matches the truth; None where the reply does not say.
        score (`float`, *optional*): How well it matches, 0 to 5; None where the reply does not say.
    """

    correct: bool | None
    score: float | None


def messages(answered: Answered) -> Messages:
    """The conversation that asks a judge whether an open answer matches the truth, and how well from 0 to 5."""
    question = answered.question
    user = OPEN_USER.substitute(question=question.question, answer=question.answer, prediction=_clip(answered.text))
    return [{"role": "system", "content": OPEN_SYSTEM}, {"role": "user", "content": user}]


def option_messages(answered: Answered) -> Messages:
    """
    The conversation that asks a judge which option an answer means, if any; in our words.

    Raises:
        ValueError: the question has no options.
    """
    question = answered.question
    if not question.options:
        raise ValueError(f"Question {question.id!r} has no options; ask a judge about it with `messages`.")
    user = OPTION_USER.substitute(
        question=question.question,
        options="\n".join(
            f"{letter}. {text}" for letter, text in zip(question.letters, question.options, strict=True)
        ),
        prediction=_clip(answered.text),
        letters=", ".join(question.letters),
    )
    return [{"role": "system", "content": OPTION_SYSTEM}, {"role": "user", "content": user}]


def video_bench_messages(answered: Answered, prompt: str) -> Messages:
    """
    The conversation by which Video-Bench asks a judge for an option. It has to choose one, so that an answer that
    means none of them is right now and then.

    Args:
        answered (`Answered`): The answer.
        prompt (`str`): What the model was asked, with the options.
    """
    task = {VIDEO_BENCH_KEY: _clip(answered.text), "question": prompt}
    return [
        {"role": "system", "content": VIDEO_BENCH_SYSTEM},
        {"role": "assistant", "content": VIDEO_BENCH_TASK + str(task)},
        {"role": "user", "content": VIDEO_BENCH_FORM},
    ]


def messages_about(benchmark: Benchmark, answered: Answered) -> Messages:
    """The conversation about an answer: the benchmark's own, or the one for options or open answers."""
    own = benchmark.judge_messages(answered)
    if own is not None:
        return own
    return option_messages(answered) if answered.question.options else messages(answered)


def parse_reply(reply: str) -> Judgement:
    """
    Reads a reply to [`messages`]: the first dictionary in it, Python's or JSON's, that has one of the two keys, or a
    bare yes or no. What it does not say, or says outside of 0 to 5, is None.
    """
    for found in _dictionaries(reply):
        if "pred" in found or "score" in found:
            return Judgement(_read_correct(found.get("pred")), _read_score(found.get("score")))
    bare = re.fullmatch(r"\W*(yes|no)\W*", reply, flags=re.IGNORECASE)
    return Judgement(_read_correct(bare[1]) if bare else None, None)


def parse_option(reply: str, letters: str) -> str | None:
    """
    Reads a reply to [`option_messages`]: the letter in the first dictionary that has the key, or a bare letter.

    Args:
        reply (`str`): What the judge said.
        letters (`str`): The letters there are, such as `"ABCD"`.

    Returns:
        `str`, *optional*: One of `letters`; None where the reply names none of them, or several.
    """
    named = next((found[OPTION_KEY] for found in _dictionaries(reply) if OPTION_KEY in found), reply)
    if not isinstance(named, str):
        return None
    # A letter alone in any brackets, or before the text of its option. "A or B" is neither.
    match = re.fullmatch(r"\W*([A-Za-z])\W*", named) or re.match(r"\W*([A-Z])[.):]\s", named)
    letter = match[1].upper() if match else ""
    return letter if letter and letter in letters else None


def accuracy_rule(answered: Answered) -> Verdict | None:
    """Whether a judge found an open answer right (Video-ChatGPT's accuracy); None if none was asked."""
    if answered.reply is None:
        return None
    correct = parse_reply(answered.reply).correct
    return Verdict(float(correct or False), parsed=correct is not None)


def score_rule(answered: Answered) -> Verdict | None:
    """
    A judge's score of an open answer, cut to an integer as Video-ChatGPT does before it averages; None if none was
    asked.
    """
    if answered.reply is None:
        return None
    score = parse_reply(answered.reply).score
    return Verdict(float(int(score or 0)), parsed=score is not None)


def protocol_hash() -> str:
    """SHA-256 of the prompts and of where predictions are clipped. Results of another hash do not compare."""
    texts = [OPEN_SYSTEM, OPEN_USER.template, OPTION_SYSTEM, OPTION_USER.template, MAX_PREDICTION_CHARACTERS]
    texts += [VIDEO_BENCH_SYSTEM, VIDEO_BENCH_TASK, VIDEO_BENCH_FORM, VIDEO_BENCH_KEY]
    return hashlib.sha256(json.dumps(texts).encode()).hexdigest()


def _clip(prediction: str) -> str:
    return prediction.strip()[:MAX_PREDICTION_CHARACTERS]


def _dictionaries(reply: str) -> Iterator[dict[str, Any]]:
    """Dictionaries without inner ones in a text, their keys in lower case; the last may lack its closing brace."""
    for inside in re.findall(r"\{([^{}]*)", reply):
        for parse in (ast.literal_eval, json.loads):
            try:
                found = parse("{" + inside + "}")
            except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
                continue
            if isinstance(found, dict):
                yield {str(key).strip().lower(): value for key, value in found.items()}
                break


def _read_correct(value: Any) -> bool | None:
    if isinstance(value, bool):
        return value
    words = re.findall(r"\w+", value.lower()) if isinstance(value, str) else []
    # The order of Video-ChatGPT's scorer, which looks for yes first.
    return True if "yes" in words else False if "no" in words else None


def _read_score(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        score = float(value)
    except (ValueError, OverflowError):
        return None
    return score if 0 <= score <= 5 else None
