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
Tiny LVLM-eHub: open questions about images in five abilities.

Source: `tiny_lvlm_evaluation/` of OpenGVLab/Multi-Modality-Arena: `updated_eval_tiny.py` (abilities, and the sum of
their scores), `task_datasets/__init__.py` (`dataset.json` of each ability), `utils/vqa.py` and `utils/tools.py` (an
answer is right if it contains a truth as a word). The judging by an ensemble of ChatGPT prompts that the Tiny
LVLM-eHub paper describes is another protocol, of its earlier files (a folder for each of 42 data sets), and not read
here.

What is public: the README there links an archive of the sampled questions with their images on file hosts, not on the
Hub; earlier links led to the folders by data set. The data sets that questions were sampled from have their own
licences; some, such as ImageNet and VCR, are to be asked for from their owners, so that not all can be sampled anew.
"""

import re
from pathlib import Path
from typing import Any

from .benchmark import Answered, Benchmark, Question, Total, Verdict
from .reading import field, read_json, records, require_media
from .text_rules import ARTICLES, without_vqa_punctuation


ABILITIES = (
    "Visual_Reasoning",
    "Visual_Perception",
    "Visual_Knowledge_Acquisition",
    "Visual_Commonsense",
    "Object_Hallucination",
)
LAYOUT = (
    "Download the archive of sampled questions (updated_datasets) that tiny_lvlm_evaluation/README.md of"
    " OpenGVLab/Multi-Modality-Arena links, and unpack it so that there are Visual_Reasoning/dataset.json, ... with"
    " the images beside each file. The data sets that questions were sampled from, ImageNet and VCR among them, are"
    " not all public, so that an ability without its folder can only be left out."
)

NUMBERS = {
    word: str(number)
    for number, words in enumerate(
        ("none zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
    )
    for word in words.split()
}
# Words that the scorer also knows with one apostrophe missing. Some that it lists in capitals never meet its words,
# which are in lower case.
CONTRACTED = (
    "ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't haven't he'd"
    " he'd've he's how'd how'll how's isn't it'd it'll ma'am might've mightn't mightn't've must've mustn't needn't"
    " not've o'clock oughtn't shan't she'd've should've shouldn't shouldn't've somebody'd've somebody'll somebody's"
    " someone'd someone'd've someone'll someone's something'd something'd've something'll that's there'd there'd've"
    " there're there's they'd they'd've they'll they're they've 'twas wasn't we'd've we've weren't what'll what're"
    " what's what've when's where'd where's where've who'd who'd've who'll who's who've why'll why're why's won't"
    " would've wouldn't wouldn't've y'all y'all'll y'all'd've 'ow's'at you'd you'd've you'll you're you've"
).split()
CONTRACTIONS = {
    # The scorer's one entry the other way round.
    "somebody'd": "somebodyd",
    **{
        word[:place] + word[place + 1 :]: word
        for word in CONTRACTED
        for place, character in enumerate(word)
        if character == "'"
    },
}


def scorer_text(text: str) -> str:
    """A text as the scorer compares it: lower case, few marks, numbers as digits, no articles."""
    words = (NUMBERS.get(word, word) for word in without_vqa_punctuation(text).lower().split())
    return " ".join(CONTRACTIONS.get(word, word) for word in words if word not in ARTICLES)


def official_lvlm_ehub(answered: Answered) -> Verdict:
    """
    Right if one of the truths stands in the answer as a word or words of its own, both as [`scorer_text`]. An answer
    without a character is not parsed.
    """
    text = scorer_text(answered.text)
    truths = answered.question.details["answers"]
    found = any(re.search(rf"\b{re.escape(scorer_text(truth))}\b", text) for truth in truths)
    return Verdict(float(found), parsed=bool(answered.text.strip()))


class LVLMEhub(Benchmark):
    """Column: the scorer's word matching. `Ehub` is the sum of the abilities' percentages, at most 500."""

    name = "lvlm_ehub"
    title = "LVLM-eHub (Tiny)"
    tasks = ABILITIES
    rules = {"official": official_lvlm_ehub}
    totals = {"Ehub": Total(dict.fromkeys(ABILITIES, 1.0), is_sum=True)}

    def read(self, folder: Path) -> list[Question]:
        """Questions of the abilities whose folders are there."""
        abilities = [ability for ability in ABILITIES if (folder / ability).is_dir()]
        if not abilities:
            raise FileNotFoundError(f"{folder} has none of the folders {', '.join(ABILITIES)}. {LAYOUT}")
        questions = []
        for ability in abilities:
            path = folder / ability / "dataset.json"
            for index, record in enumerate(records(read_json(path, LAYOUT), path)):
                questions.append(read_question(path, f"{ability}/{index}", record, f"{path}, record {index}"))
        require_media(questions, LAYOUT)
        return questions

    def prompt(self, question: Question) -> str:
        """The question as the file words it, options and request for a form of answer included."""
        return question.question


def read_question(path: Path, question_id: str, record: Any, place: str) -> Question:
    """A record of one ability's file as a question."""
    answers = field(record, "gt_answers", (str, list), place)
    answers = (answers,) if isinstance(answers, str) else tuple(map(str, answers))
    if not answers:
        raise ValueError(f"{place}: `gt_answers` is empty; expected a text or a list of them.")
    return Question(
        id=question_id,
        task=path.parent.name,
        question=field(record, "question", str, place),
        answer=answers[0],
        image=str(path.parent / field(record, "image_path", str, place)),
        details={"answers": answers},
    )
