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
"""Comparing texts without a judge: rules for open answers, and the punctuation rule of VQA's scorer."""

import re

from .benchmark import Answered, Verdict


ARTICLES = ("a", "an", "the")
VQA_PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
THOUSANDS = re.compile(r"\d,\d")
FULL_STOP = re.compile(r"\.(?!\d)")
# VQA's scorer and those that took it over hand `re.UNICODE` to the argument that limits how many are taken out.
MOST_FULL_STOPS = int(re.UNICODE)


def without_vqa_punctuation(text: str) -> str:
    """
    A text without the marks that VQA's scorer takes out, which lmms-eval's MVBench task and Tiny LVLM-eHub took over.
    A mark leaves a space where it stood, unless it has one beside it somewhere in the text, or the text has a number
    like 1,000; of full stops, the first 32 that no digit follows are taken out.
    """
    text = text.replace("\n", " ").replace("\t", " ").strip()
    cleaned = text
    for mark in VQA_PUNCTUATION:
        beside_space = f"{mark} " in text or f" {mark}" in text
        cleaned = cleaned.replace(mark, "" if beside_space or THOUSANDS.search(text) else " ")
    return FULL_STOP.sub("", cleaned, count=MOST_FULL_STOPS)


def normalized_words(text: str) -> list[str]:
    """
    The words of a text: lower case, without punctuation; without articles too, unless there is nothing else.

    An apostrophe within a word is taken out of it ("don't" is "dont"), other marks part words ("black-and-white" is
    three).
    """
    words = re.sub(r"[\W_]+", " ", re.sub(r"(?<=\w)['’](?=\w)", "", text.casefold())).split()
    return [word for word in words if word not in ARTICLES] or words


def exact(answered: Answered) -> Verdict | None:
    """
    Right if answer and truth have the same words. An answer without a word is not parsed. None where the question has
    options.
    """
    if answered.question.options:
        return None
    words = normalized_words(answered.text)
    return Verdict(float(bool(words) and words == normalized_words(answered.question.answer)), parsed=bool(words))


def contains(answered: Answered) -> Verdict | None:
    """
    Right if the words of the truth stand in the answer, next to each other and in their order. An answer without a
    word is not parsed. None where the question has options.
    """
    if answered.question.options:
        return None
    words, truth = normalized_words(answered.text), normalized_words(answered.question.answer)
    found = any(words[start : start + len(truth)] == truth for start in range(len(words) - len(truth) + 1))
    return Verdict(float(bool(truth) and found), parsed=bool(words))
