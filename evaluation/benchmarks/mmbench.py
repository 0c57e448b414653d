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
MMBench, English and Chinese development split: multiple choice about images, each question asked once for every
rotation of its options and right only if all of them are.

Source: the TSV files of open-compass/MMBench; matching as in `vlmeval/utils/matching_util.py` of
open-compass/VLMEvalKit; prompts as in `tasks/mmbench` of EvolvingLMMs-Lab/lmms-eval.
"""

import base64
import binascii
import csv
import hashlib
import sys
from collections.abc import Mapping
from pathlib import Path

from .benchmark import Answered, Benchmark, Question, Total
from .option_rules import likelihood, lmms_eval_mmbench, mmbench_letter, official_mmbench, strict


# A rotation has the index of its question plus a multiple of this.
ROTATION_STEP = 1_000_000
# An image column no longer than this is the index of the row that has the image.
LONGEST_INDEX = 64
OPTION_COLUMNS = "ABCDE"
# What stands for an option or a hint that a question does not have.
ABSENT = ("", "nan")
CATEGORIES = (
    "action_recognition",
    "attribute_comparison",
    "attribute_recognition",
    "celebrity_recognition",
    "function_reasoning",
    "future_prediction",
    "identity_reasoning",
    "image_emotion",
    "image_quality",
    "image_scene",
    "image_style",
    "image_topic",
    "nature_relation",
    "object_localization",
    "ocr",
    "physical_property_reasoning",
    "physical_relation",
    "social_relation",
    "spatial_relationship",
    "structuralized_imagetext_understanding",
)


class MMBench(Benchmark):
    """
    MMBench in one language.

    Columns: MMBench's own matching, with a judge where there is one; [`strict`]; the likeliest letter; lmms-eval's
    static evaluation. The total is the share of questions all of whose rotations are right.

    Args:
        language (`str`): `"en"` or `"cn"`.
        total (`str`): Name of the total, the paper's.
        instruction (`str`): Last line of the prompt.
        files (`tuple[str, ...]`): Names under which the development split was published.
    """

    hub_id = "lmms-lab-encoder/MMBench"
    tasks = CATEGORIES
    rules = {
        "official": official_mmbench,
        "strict": strict,
        "likelihood": likelihood,
        "lmms_eval": lmms_eval_mmbench,
    }

    def __init__(self, language: str, total: str, instruction: str, files: tuple[str, ...]):
        self.name = f"mmbench_{language}"
        self.title = f"MMBench ({language.upper()}, dev)"
        self.totals = {total: Total()}
        self.instruction = instruction
        self.files = files

    def read(self, folder: Path) -> list[Question]:
        """Questions of the one TSV file of this language in the folder."""
        layout = f"Expected one of {', '.join(self.files)}, from the repository open-compass/MMBench."
        found = [folder / name for name in self.files if (folder / name).is_file()]
        if not found:
            raise FileNotFoundError(f"{folder} has no development split of {self.title}. {layout}")
        if len(found) > 1:
            raise ValueError(f"{folder} has {len(found)} versions of {self.title}: {found[0].name}, .... {layout}")
        return read_tsv(found[0])

    def prompt(self, question: Question) -> str:
        """Hint and question in a line, the options, and after an empty line the instruction, as lmms-eval has them."""
        hint = question.details["hint"]
        options = [f"{letter}. {option}" for letter, option in zip(question.letters, question.options, strict=True)]
        head = f"{hint} {question.question}" if hint else question.question
        return "\n".join([f"{head} There are several options:", *options, "", self.instruction])

    def needs_judge(self, answered: Answered) -> bool:
        """A judge is asked where neither letter nor text tells which option is meant."""
        return mmbench_letter(answered.question, answered.text) is None


MMBENCH_EN = MMBench(
    "en",
    total="MMB",
    instruction="Answer with the option's letter from the given choices directly.",
    files=("mmbench_dev_20230712.tsv", "mmbench_dev_en_20231003.tsv", "MMBench_DEV_EN.tsv"),
)
MMBENCH_CN = MMBench(
    "cn",
    total="MMB^CN",
    instruction="请直接使用所提供的选项字母作为答案回答。",
    files=("mmbench_dev_cn_20231003.tsv", "MMBench_DEV_CN.tsv"),
)


def read_tsv(path: Path) -> list[Question]:
    """
    Questions of a TSV file.

    Raises:
        ValueError: a row is malformed, an index comes twice, or the file has no rotations.
    """
    # An image in base64 is longer than the module's default limit.
    limit = csv.field_size_limit(sys.maxsize)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file, delimiter="\t")
            missing = {"index", "question", "image", "answer", "A", "B"} - set(rows.fieldnames or ())
            if missing:
                raise ValueError(f"{path}: columns {', '.join(sorted(missing))} are missing.")
            images = Images()
            cells = []
            for row in rows:
                place = f"{path}, line {rows.line_num}"
                images.add(row_index(row, place), row.pop("image") or "", place)
                cells.append((row, place))
    except csv.Error as error:
        raise ValueError(f"{path} is not TSV: {error}.") from error
    finally:
        csv.field_size_limit(limit)
    questions = [read_row(row, images, place) for row, place in cells]
    if len({question.id for question in questions}) < len(questions):
        raise ValueError(f"{path}: an index stands in two rows.")
    if all(question.id == question.unit for question in questions):
        raise ValueError(
            f"{path} has no rotations of options (indices from {ROTATION_STEP} on), which MMBench counts by."
        )
    return questions


class Images:
    """Images by the index of their row; rows that repeat an image share its bytes."""

    def __init__(self) -> None:
        self.by_index: dict[int, bytes] = {}
        self.by_digest: dict[bytes, bytes] = {}
        # Rows whose image is that of another row.
        self.references: dict[int, int] = {}

    def add(self, index: int, text: str, place: str) -> None:
        """Takes in the image column of a row: base64, or the index of the row that has the image."""
        if text.isdecimal() and len(text) <= LONGEST_INDEX:
            self.references[index] = int(text)
            return
        digest = hashlib.sha256(text.encode()).digest()
        if digest not in self.by_digest:
            try:
                self.by_digest[digest] = base64.b64decode(text, validate=True)
            except (binascii.Error, ValueError) as error:
                raise ValueError(f"{place}: the image is not base64: {error}.") from error
        if not self.by_digest[digest]:
            raise ValueError(f"{place}: the image is empty.")
        self.by_index[index] = self.by_digest[digest]

    def find(self, index: int, place: str) -> bytes:
        """The image of a row, once all rows are in."""
        source = self.references.get(index, index)
        if source not in self.by_index:
            raise ValueError(f"{place}: the image is that of row {source}, which has none.")
        return self.by_index[source]


def row_index(row: Mapping[str, str | None], place: str) -> int:
    """The index of a row."""
    text = row["index"] or ""
    if not text.isdecimal():
        raise ValueError(f"{place}: the index is {text!r}; expected a whole number.")
    return int(text)


def read_row(row: Mapping[str, str | None], images: Images, place: str) -> Question:
    """One row as a question."""
    cells = {column: "" if text is None or text in ABSENT else text for column, text in row.items()}
    index = row_index(row, place)
    listed = [cells.get(column, "") for column in OPTION_COLUMNS]
    options = tuple(listed[: next((place for place, text in enumerate(listed) if not text), len(listed))])
    if any(listed[len(options) :]):
        raise ValueError(f"{place}: an option is missing before the last one.")
    if cells["answer"] not in tuple(OPTION_COLUMNS[: len(options)]):
        raise ValueError(
            f"{place}: the answer is {row['answer']!r}; expected a letter of the {len(options)} options (only the"
            " development split has answers)."
        )
    return Question(
        id=str(index),
        task=cells.get("category") or "uncategorized",
        question=cells["question"],
        answer=cells["answer"],
        options=options,
        image=images.find(index, place),
        unit=str(index % ROTATION_STEP),
        details={"hint": cells.get("hint", "")},
    )
