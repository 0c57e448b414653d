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
Rules that say which option an answer to a multiple-choice question means.

Sources: MVBench's own check, `check_ans` in `video_chat2/mvbench.ipynb` of OpenGVLab/Ask-Anything; MMBench's own
matching, `vlmeval/utils/matching_util.py` of open-compass/VLMEvalKit; and what lmms-eval 0.7.3 does, in
`tasks/mvbench/utils.py`, `tasks/mmbench/mmbench_evals.py` (static evaluation), `tasks/_task_utils/mcq_extract.py` and
`tasks/seedbench/utils.py` of EvolvingLMMs-Lab/lmms-eval; SEED-Bench's own choice, `eval.py` of AILab-CVC/SEED-Bench.
`strict` and `likelihood` are FTFV's.
"""

import re
import string
from collections.abc import Mapping, Sequence

from .benchmark import Answered, Question, Verdict
from .judge_protocol import parse_option
from .text_rules import without_vqa_punctuation


def verdict(question: Question, letter: str | None) -> Verdict:
    """What it means that an answer was understood as `letter`; None or no letter of the question: not understood."""
    if letter not in tuple(question.letters):
        return Verdict(0.0, parsed=False)
    return Verdict(float(letter == question.answer))


# FTFV's own rules


# An answer may say that it is one, as the assistant's turn in MVBench begins: "Answer: B", "Best option: (B)".
ANNOUNCED = re.compile(r"(?:answer|best option)\s*:\s*", re.IGNORECASE)
# "B", "(B)", "B.", "B)", "B:", and what follows the mark or, without one, stands on the lines below.
LETTER_FORM = re.compile(r"(?:\(([A-Z])\)[.:]*|([A-Z])(?:[.):]+|(?=\s*\n)|\s*$))(.*)", re.IGNORECASE | re.DOTALL)
# Letters in a text that could be meant as options; a capital A without a mark is an article.
MENTION = re.compile(r"\(([A-Za-z])\)|(?<!\w)([A-Za-z])(?=\))|(?<!\w)([A-Z])(?=[.:])|(?<!\w)([B-Z])(?!\w)")


def plain(text: str) -> str:
    """Text by which options are compared: case, white space and a final full stop aside."""
    return " ".join(text.casefold().split()).removesuffix(".").rstrip()


def letters_of(question: Question, text: str) -> list[str]:
    """The letters of the options that have this text; none for a text of white space or a full stop."""
    wanted = plain(text)
    options = zip(question.letters, question.options, strict=True)
    return [letter for letter, option in options if wanted and plain(option) == wanted]


def strict_letter(question: Question, text: str) -> str | None:
    """
    The letter that an answer clearly names, None if it does not.

    Clear are `B`, `(B)`, `B.`, `B)`, `B: text`, each also after `Answer:`, and the exact text of one option. A letter
    with the text of another option, or with another letter in the text after it, is not clear.
    """
    text = text.strip()
    announced = ANNOUNCED.match(text)
    if announced:
        text = text[announced.end() :]
    form = LETTER_FORM.fullmatch(text)
    same = letters_of(question, text)
    # The text of an option may itself begin like a letter with a text: "B. Smith".
    if form is None or (form[3].strip() and same):
        return same[0] if len(same) == 1 else None
    letter, rest = (form[1] or form[2]).upper(), form[3]
    if letter not in question.letters:
        return None
    named = letters_of(question, rest)
    if named:
        return letter if letter in named else None
    mentioned = {"".join(groups).upper() for groups in MENTION.findall(rest)}
    return None if mentioned & set(question.letters) - {letter} else letter


def strict(answered: Answered) -> Verdict | None:
    """
    Right if the answer clearly names the right option; see [`strict_letter`]. Everything else is wrong and not parsed:
    nothing, a bracket, two letters, prose. None where the question has no options.
    """
    if not answered.question.options:
        return None
    return verdict(answered.question, strict_letter(answered.question, answered.text))


def likelihood(answered: Answered) -> Verdict | None:
    """
    Right if the right option's letter is the likeliest of the letters as the first token; the earliest of equals. None
    where there are no log probabilities.
    """
    return _likeliest(answered.question, answered.letter_log_probs)


def _likeliest(question: Question, log_probs: Mapping[str, float] | None) -> Verdict | None:
    if not log_probs:
        return None
    return verdict(question, max(sorted(log_probs), key=log_probs.__getitem__))


# MVBench


def official_mvbench(answered: Answered) -> Verdict:
    """
    MVBench's own check, applied, as there, to the first line behind an opening bracket (the one that the assistant's
    turn was made to end with): right if the first word, full stops aside, lies within the truth's `(x)`, or `(x)`
    within the word; upper and lower case aside.

    Its known fault is kept, so that figures compare with published ones (OpenGVLab/Ask-Anything#227): the bracket
    alone lies within `(x)` whatever `x` is, so **an empty answer, or one of full stops, counts as right**. `parsed`
    tells: it is True only where the check takes exactly one of the letters.
    """
    question = answered.question
    lines = answered.text.strip().split("\n")
    word = f"({lines[0]}".lower().split(" ")[0]
    taken = [x for x in question.letters if word.replace(".", "") in f"({x.lower()})" or f"({x.lower()})" in word]
    return Verdict(float(question.answer in taken), parsed=len(taken) == 1)


LMMS_LEADING_LETTER = re.compile(r"([A-E])\.\s*.+$", re.IGNORECASE)
LMMS_STANDALONE_LETTER = re.compile(r"\b([A-E])\b", re.IGNORECASE)


def lmms_eval_mvbench_letter(text: str) -> str | None:
    """The letter that lmms-eval's MVBench task reads out of an answer: a leading `B.` or the first one on its own."""
    text = text.strip()
    leading = LMMS_LEADING_LETTER.match(text)
    if leading:
        return leading[1].upper()
    standalone = LMMS_STANDALONE_LETTER.search(without_vqa_punctuation(text))
    return standalone[1].upper() if standalone else None


def lmms_eval_mvbench(answered: Answered) -> Verdict | None:
    """
    lmms-eval's rule for MVBench. It takes the article "a" for option A, and **leaves empty answers out of the count**:
    None for those, so that the figure equals lmms-eval's.
    """
    if answered.text == "":
        return None
    return verdict(answered.question, lmms_eval_mvbench_letter(answered.text))


# MMBench


def only_contained_option(options: Sequence[str], text: str) -> str | None:
    """The letter of the only option whose text occurs in `text`, case aside; None if there is not exactly one."""
    text = text.lower()
    found = [index for index, option in enumerate(options) if option.lower() in text]
    return string.ascii_uppercase[found[0]] if len(found) == 1 else None


MMBENCH_PUNCTUATION = str.maketrans(dict.fromkeys(".()[],:;!*#{}", " "))
# Words after which a lone "A" is rather an article than an option.
MMBENCH_ARTICLE_WORDS = 3
MMBENCH_REFUSALS = (
    "Sorry, I can't help with images of people yet.",
    "I can't process this file.",
    "I'm sorry, but without the image provided",
    "Cannot determine the answer",
)


def mmbench_letter(question: Question, text: str) -> str | None:
    """
    The letter that MMBench's matching reads out of an answer: the only one that is a word of its own, else that of the
    only option whose text it contains. A lone "A" among more than three words counts as an article, which VLMEvalKit
    does only with `VERBOSE` set; texts more than twice as long as all options together are not searched for them.
    """
    if any(refusal in text for refusal in MMBENCH_REFUSALS):
        return None
    words = text.translate(MMBENCH_PUNCTUATION).split()
    letters = [letter for letter in question.letters if letter in words]
    if len(letters) == 1 and not (letters[0] == "A" and len(words) > MMBENCH_ARTICLE_WORDS):
        return letters[0]
    if len(text) > 2 * sum(map(len, question.options)):
        return None
    return only_contained_option(question.options, text)


def official_mmbench(answered: Answered) -> Verdict:
    """
    MMBench's own matching: by letter, by option text, and, only where both fail and there is one, by the judge's
    reply. What stays without a match is wrong and not parsed; where MMBench draws a random
    option after three failed replies, this rule draws none.
    """
    question = answered.question
    letter = mmbench_letter(question, answered.text)
    if letter is None and answered.reply is not None:
        letter = parse_option(answered.reply, question.letters)
    return verdict(question, letter)


# Forms in which lmms-eval's static evaluation of MMBench looks for a letter as a word, in its order.
LMMS_MMBENCH_FORMS = ("{}.", "{},", "{}:", "{})", "{}).", "({})", "({}).", ":{}", ":{},", ":{}.", ":{})", ":{}).")
LMMS_MMBENCH_LETTERS = "ABCDE"
# The options of MMBench as lmms-eval holds them: four, with this text in place of those that a question lacks.
LMMS_MMBENCH_NUM_OPTIONS = 4
LMMS_MMBENCH_NO_OPTION = "nan"


def lmms_eval_mmbench_prefetched(options: Sequence[str], text: str) -> str | None:
    """What lmms-eval's MMBench evaluator reads out of an answer before it would ask a judge."""
    words = text.split()
    letters = [letter for letter in LMMS_MMBENCH_LETTERS if letter in words]
    if len(letters) == 1 and not ("A" in words and len(words) > MMBENCH_ARTICLE_WORDS):
        return letters[0]
    for form in LMMS_MMBENCH_FORMS:
        letters = [letter for letter in LMMS_MMBENCH_LETTERS if form.format(letter) in words]
        if len(letters) == 1:
            return letters[0]
    return only_contained_option(options, text)


LMMS_PHRASES = (
    *(f"{head} is" for head in ("the answer", "answer", "the correct answer", "correct answer", "the best answer")),
    *(f"{head} is" for head in ("best answer", "the correct option", "correct option", "the best option")),
    *(f"{head} is" for head in ("best option", "the choice", "choice", "the correct choice", "correct choice")),
    *("i choose", "i select", "i pick", "my answer is", "my choice is"),
    *("옵션", "정답은", "답은", "답:", "答案是", "答案为", "选", "答えは"),
)
# Rank of each form in which lmms-eval's general extractor looks for a letter.
LMMS_FORM_RANKS = (("({})", 6), ("{}.", 5), ("{}:", 4), ("{})", 3), ("{} ", 2))
LMMS_START_RANK, LMMS_END_RANK, LMMS_PHRASE_RANK, LMMS_ANYWHERE_RANK = 10, 9, 7, 0


def lmms_eval_extracted(text: str, letters: str) -> str | None:
    """
    What lmms-eval's general extractor reads out of an answer: of all letters found in any form, the one in the form of
    the highest rank; of those, the one furthest back; of those, the earliest in the alphabet.
    """
    text = text.strip()
    for mark in ",.!?;:'\"":
        text = text.strip(mark)
    if not text:
        return None
    padded = f" {text} "
    stripped = padded.strip()
    found: list[tuple[int, int, str]] = []
    for form, rank in LMMS_FORM_RANKS:
        found += [(rank, padded.rfind(form.format(x)), x) for x in letters if form.format(x) in padded]
    for phrase in LMMS_PHRASES:
        start = padded.lower().find(phrase)
        if start >= 0:
            places = ((padded.find(letter, start + len(phrase)), letter) for letter in letters)
            found += [(LMMS_PHRASE_RANK, place, letter) for place, letter in places if place >= 0]
    alone = len(stripped) == 1
    for letter in letters:
        if stripped.startswith(letter) and (alone or not stripped[1].isalpha()):
            found.append((LMMS_START_RANK, 0, letter))
        if stripped.endswith(letter) and (alone or not stripped[-2].isalpha()):
            found.append((LMMS_END_RANK, len(padded) - 1, letter))
    if not found:
        found = [(LMMS_ANYWHERE_RANK, padded.rfind(letter), letter) for letter in letters if letter in padded]
    return max(found, key=lambda each: each[:2])[2] if found else None


def lmms_eval_mmbench(answered: Answered) -> Verdict:
    """
    lmms-eval's static evaluation of MMBench (`mmbench_en_dev_static`): its letter and option rules, then its general
    extractor. As there, a question with fewer than four options has "nan" in their place, letters included.
    """
    question = answered.question
    missing = LMMS_MMBENCH_NUM_OPTIONS - len(question.options)
    options = (*question.options, *[LMMS_MMBENCH_NO_OPTION] * missing)
    text = answered.text.strip()
    letter = lmms_eval_mmbench_prefetched(options, text)
    if letter is None:
        letter = lmms_eval_extracted(text, "ABCD")
    return verdict(question, letter)


# SEED-Bench


def official_seed_bench(answered: Answered) -> Verdict | None:
    """
    SEED-Bench's own choice: the option whose text is the likeliest answer, by the mean of its tokens' log
    probabilities; the earliest of equals. What the model said is not looked at. None where options were not ranked, as
    for answers from elsewhere.
    """
    return _likeliest(answered.question, answered.option_log_probs)


def lmms_eval_seed_bench(answered: Answered) -> Verdict:
    """lmms-eval's rule for SEED-Bench: the first character that is not white space, upper or lower case."""
    return verdict(answered.question, answered.text.strip()[:1].upper() or None)
