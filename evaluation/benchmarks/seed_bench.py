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
SEED-Bench, its questions about images: multiple choice in nine dimensions.

Source: `SEED-Bench.json` of the dataset AILab-CVC/SEED-Bench; `eval.py` and the interfaces of models in the repository
of that name, which do not ask for a letter but take the option whose text is the likeliest answer; and, for the prompt
that asks for a letter, `tasks/seedbench` of EvolvingLMMs-Lab/lmms-eval. The paper does not say how it chose an option;
its figures of other models are those of SEED-Bench's leaderboard.
"""

from pathlib import Path
from typing import Any

from .benchmark import Benchmark, Question, Total
from .option_rules import likelihood, lmms_eval_seed_bench, official_seed_bench, strict
from .reading import field, first_existing, read_json, records, require_media


LAYOUT = (
    "Download SEED-Bench.json and SEED-Bench-image.zip of the dataset AILab-CVC/SEED-Bench and unpack the archive, so"
    " that there are SEED-Bench.json and SEED-Bench-image/ with an image by the name of each `data_id`."
)
# The dimensions of questions about images, by `question_type_id`.
DIMENSIONS = {
    1: "Scene Understanding",
    2: "Instance Identity",
    3: "Instance Attributes",
    4: "Instance Location",
    5: "Instances Counting",
    6: "Spatial Relation",
    7: "Instance Interaction",
    8: "Visual Reasoning",
    9: "Text Understanding",
}
LETTERS = "ABCD"
# Images were published without a suffix; copies of the archive have one.
SUFFIXES = ("", ".jpg", ".png")


class SeedBench(Benchmark):
    """
    Columns: the option whose text is the likeliest; lmms-eval's rule (the first character) and [`strict`], of the
    answer to lmms-eval's prompt; and the likeliest letter. The total is the share of right answers over all questions.
    """

    name = "seed_bench"
    title = "SEED-Bench (image)"
    hub_id = "AILab-CVC/SEED-Bench"
    tasks = tuple(DIMENSIONS.values())
    rules = {
        "official": official_seed_bench,
        "lmms_eval": lmms_eval_seed_bench,
        "strict": strict,
        "likelihood": likelihood,
    }
    totals = {"SEED^I": Total()}

    def read(self, folder: Path) -> list[Question]:
        """The questions about images; those about videos are passed over."""
        path = folder / "SEED-Bench.json"
        content = field(read_json(path, LAYOUT), "questions", list, str(path))
        questions = []
        for index, record in enumerate(records(content, path)):
            place = f"{path}, record {index}"
            if field(record, "data_type", str, place) == "image":
                questions.append(read_question(folder, record, place))
        if not questions:
            raise ValueError(f"{path} has no question about an image.")
        require_media(questions, LAYOUT)
        return questions

    def prompt(self, question: Question) -> str:
        """Question, options, and lmms-eval's instruction."""
        options = [f"{letter}. {option}" for letter, option in zip(question.letters, question.options, strict=True)]
        return "\n".join(
            [question.question, *options, "Answer with the option's letter from the given choices directly."]
        )

    def ranking_prompt(self, question: Question) -> str:
        """The prompt of SEED-Bench's own interfaces, which does not name the options."""
        return f"Question: {question.question}\nAnswer:"


def read_question(folder: Path, record: Any, place: str) -> Question:
    """A record about an image as a question."""
    dimension = field(record, "question_type_id", int, place)
    if dimension not in DIMENSIONS:
        raise ValueError(f"{place}: `question_type_id` is {dimension}; expected 1 to {max(DIMENSIONS)} for an image.")
    answer = field(record, "answer", str, place)
    if answer not in tuple(LETTERS):
        raise ValueError(f"{place}: `answer` is {answer!r}; expected one of {', '.join(LETTERS)}.")
    data_id = field(record, "data_id", (str, int), place)
    options = tuple(str(field(record, f"choice_{x}", (str, int, float), place)).strip() for x in LETTERS.lower())
    if "" in options:
        raise ValueError(f"{place}: `choice_{LETTERS[options.index('')].lower()}` is empty; expected an option.")
    return Question(
        id=str(field(record, "question_id", (str, int), place)),
        task=DIMENSIONS[dimension],
        question=field(record, "question", str, place),
        answer=answer,
        options=options,
        image=first_existing(folder / "SEED-Bench-image" / f"{data_id}{suffix}" for suffix in SUFFIXES),
    )
