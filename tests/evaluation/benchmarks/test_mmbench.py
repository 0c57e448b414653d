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
"""MMBench's TSV files and prompts."""

import base64
import csv
import re

import pytest

from ftfv.evaluation.benchmarks.mmbench import MMBENCH_CN, MMBENCH_EN


COLUMNS = ("index", "question", "hint", "A", "B", "C", "D", "answer", "category", "image", "l2-category", "split")
# Longer than the limit of fields that Python's module starts out with.
IMAGE = b"\x89PNG" + bytes(150_000)


def row(index, answer="A", options=("cat", "dog", "", ""), **more):
    return {
        "index": index,
        "question": "What is it?",
        "hint": "nan",
        **dict(zip("ABCD", options, strict=True)),
        "answer": answer,
        "category": "image_topic",
        "image": base64.b64encode(IMAGE).decode(),
        "l2-category": "coarse_perception",
        "split": "dev",
        **more,
    }


ROWS = [
    row(241, hint="A picture\tof a pet.", options=("cat", "dog", "nan", "")),
    row(1_000_241, "B", ("dog", "cat", "", ""), image="241"),
    row(252, "D", ("1", "2", "3", 'of "four"'), category="ocr", image=base64.b64encode(b"other").decode()),
]


def write(folder, rows, name="mmbench_dev_20230712.tsv"):
    with (folder / name).open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, delimiter="\t")
        writer.writeheader()
        writer.writerows(rows)


def test_rotations_are_of_one_unit(tmp_path):
    write(tmp_path, ROWS)
    limit = csv.field_size_limit()

    questions = MMBENCH_EN.read(tmp_path)

    assert [(question.id, question.unit, question.task) for question in questions] == [
        ("241", "241", "image_topic"),
        ("1000241", "241", "image_topic"),
        ("252", "252", "ocr"),
    ]
    assert [question.answer for question in questions] == ["A", "B", "D"]
    assert [question.options for question in questions] == [
        ("cat", "dog"),
        ("dog", "cat"),
        ("1", "2", "3", 'of "four"'),
    ]
    assert csv.field_size_limit() == limit


def test_rows_that_repeat_an_image_share_it(tmp_path):
    write(tmp_path, [ROWS[1], ROWS[2], ROWS[0], row(1_000_252)])

    images = [question.image for question in MMBENCH_EN.read(tmp_path)]

    assert images == [IMAGE, b"other", IMAGE, IMAGE]
    assert images[0] is images[2] is images[3]


def test_the_prompt_is_lmms_eval_s(tmp_path):
    write(tmp_path, ROWS)
    write(tmp_path, ROWS, "mmbench_dev_cn_20231003.tsv")
    questions = MMBENCH_EN.read(tmp_path)

    assert MMBENCH_EN.prompt(questions[0]) == (
        "A picture\tof a pet. What is it? There are several options:\nA. cat\nB. dog\n\n"
        "Answer with the option's letter from the given choices directly."
    )
    assert MMBENCH_EN.prompt(questions[2]).startswith("What is it? There are several options:\nA. 1\n")
    assert MMBENCH_CN.prompt(MMBENCH_CN.read(tmp_path)[0]).endswith(
        "\nB. dog\n\n请直接使用所提供的选项字母作为答案回答。"
    )


def test_the_two_languages_have_the_paper_s_columns():
    assert (MMBENCH_EN.name, *MMBENCH_EN.totals) == ("mmbench_en", "MMB")
    assert (MMBENCH_CN.name, *MMBENCH_CN.totals) == ("mmbench_cn", "MMB^CN")
    assert MMBENCH_EN.totals["MMB"].weights is None
    assert len(set(MMBENCH_EN.tasks)) == 20


def test_the_file_must_be_there_once(tmp_path):
    with pytest.raises(
        FileNotFoundError, match="no development split of MMBench .CN, dev.. .*mmbench_dev_cn_20231003"
    ):
        MMBENCH_CN.read(tmp_path)

    write(tmp_path, ROWS)
    write(tmp_path, ROWS, "MMBench_DEV_EN.tsv")
    with pytest.raises(ValueError, match="has 2 versions of MMBench"):
        MMBENCH_EN.read(tmp_path)


def test_a_file_without_rotations_is_an_error(tmp_path):
    write(tmp_path, [ROWS[0], ROWS[2]])

    with pytest.raises(ValueError, match="has no rotations of options .indices from 1000000 on."):
        MMBENCH_EN.read(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"answer": ""}, "line 5: the answer is ''; expected a letter of the 2 options"),
        ({"answer": "C"}, "line 5: the answer is 'C'; expected a letter of the 2 options"),
        ({"index": "x"}, "line 5: the index is 'x'; expected a whole number."),
        ({"C": "", "D": "last"}, "line 5: an option is missing before the last one."),
        ({"image": "777"}, "line 5: the image is that of row 777, which has none."),
        ({"image": "no base64!"}, "line 5: the image is not base64"),
        ({"image": ""}, "line 5: the image is empty."),
        ({"index": 252}, "an index stands in two rows."),
    ],
)
def test_malformed_rows_are_named(tmp_path, change, message):
    write(tmp_path, [*ROWS, row(3) | change])

    with pytest.raises(ValueError, match=re.escape(message)):
        MMBENCH_EN.read(tmp_path)


def test_missing_columns_are_named(tmp_path):
    (tmp_path / "mmbench_dev_20230712.tsv").write_text("index\tquestion\tA\tB\n", encoding="utf-8")

    with pytest.raises(ValueError, match="columns answer, image are missing."):
        MMBENCH_EN.read(tmp_path)
