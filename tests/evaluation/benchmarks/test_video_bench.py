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
"""Video-Bench's files, prompts, weights, and its rule by a judge."""

import json
import re

import pytest

from ftfv.evaluation.benchmarks.benchmark import Answered, Question, Verdict
from ftfv.evaluation.benchmarks.video_bench import VideoBench, official_video_bench
from ftfv.evaluation.scores.benchmark_scores import score_answers


def record(name, number=1, choices=None, **more):
    return {
        "vid_path": f"Eval_video/{name}/{number}.mp4",
        "video_id": str(number),
        "question": "How many?",
        "choices": choices or {"A": "81", "B": "37"},
        **more,
    }


def write(folder, name, content, place="Eval_QA"):
    (folder / place).mkdir(exist_ok=True)
    (folder / place / f"{name}_QA_new.json").write_text(json.dumps(content), encoding="utf-8")
    for each in content.values():
        video = folder / each["vid_path"]
        video.parent.mkdir(parents=True, exist_ok=True)
        video.touch()


def write_key(folder, key):
    (folder / "answer").mkdir()
    (folder / "answer" / "ANSWER.json").write_text(json.dumps(key), encoding="utf-8")


@pytest.mark.parametrize("place", ["Eval_QA", "."])
def test_answers_come_from_the_file_of_answers(tmp_path, place):
    write(tmp_path, "MOT", {"0": record("MOT"), "1": record("MOT", 2)}, place)
    write(tmp_path, "Driving-exam", {"918600": record("Driving-exam")}, place)
    write_key(tmp_path, {"MOT": {"0": "B", "1": "A"}, "Driving-exam": {"918600": "A"}})

    questions = VideoBench().read(tmp_path)

    assert [(question.id, question.task, question.answer) for question in questions] == [
        ("Driving-exam/918600", "Driving-exam", "A"),
        ("MOT/0", "MOT", "B"),
        ("MOT/1", "MOT", "A"),
    ]
    assert questions[2].video == str(tmp_path / "Eval_video/MOT/2.mp4")
    assert questions[2].options == ("81", "37")


def test_a_set_of_answers_may_go_by_the_folder_of_videos(tmp_path):
    write(tmp_path, "Ucfcrime", {"0": record("UCF-Crime")})
    write_key(tmp_path, {"UCF-Crime": {"0": "B"}})

    assert VideoBench().read(tmp_path)[0].answer == "B"


@pytest.mark.parametrize("key", ["answer", "correct"])
def test_records_may_have_their_answer_themselves(tmp_path, key):
    write(tmp_path, "TVQA", {"124851": record("TVQA", **{key: "B"})})

    assert VideoBench().read(tmp_path)[0].answer == "B"


def test_a_set_without_answers_says_where_they_are(tmp_path):
    write(tmp_path, "TVQA", {"1": record("TVQA", answer="A"), "2": record("TVQA"), "3": record("TVQA")})

    with pytest.raises(
        ValueError, match="2 of 3 questions of TVQA have no answer, 2 first.*answer/ANSWER.json"
    ) as error:
        VideoBench().read(tmp_path)
    assert "maoxx241/videobench_subset" in str(error.value)
    assert "none for TVQA, MV and Youcook2" in str(error.value)


def test_options_keep_their_letters(tmp_path):
    choices = [{"A": "one"}, {"B": "two"}, {"A": "one", "B": None, "C": "three", "D": None}]
    write(tmp_path, "ActivityNet", {str(n): record("ActivityNet", n, each) for n, each in enumerate(choices)})
    write_key(tmp_path, {"ActivityNet": {"0": "A", "1": "B", "2": "C"}})

    benchmark = VideoBench()
    questions = benchmark.read(tmp_path)

    assert [question.options for question in questions] == [("one",), ("", "two"), ("one", "", "three")]
    # Two with one option, which the official script asks without it, and one with two.
    assert [benchmark.prompt(question) for question in questions] == [
        "How many?",
        "How many?",
        "How many? A.one C.three \n Among the two options A, C above, the one closest to the correct answer is: ",
    ]


@pytest.mark.parametrize(
    ("number", "prompt"),
    [
        (2, "Q? A.a B.b \n Among the two options A, B above, the one closest to the correct answer is: "),
        (3, "Q? A.a B.b C.c \n Among the three options A, B, C above, the one closest to the correct answer is: "),
        (
            4,
            "Q? A.a B.b C.c D.d \n Among the four options A, B, C, D above, the one closest to the correct answer is:",
        ),
        (
            5,
            "Q? A.a B.b C.c D.d E.e \n Among the five options A, B, C, D, E above, the one closest to the correct"
            " answer is: ",
        ),
        (
            6,
            "Q?Choices: A.a B.b C.c D.d E.e F.f \n Among the six options A, B, C, D, E, F above, the one closest to"
            " the correct answer is:",
        ),
    ],
)
def test_the_prompt_goes_by_the_number_of_options(number, prompt):
    assert VideoBench().prompt(Question("1", "MOT", "Q?", "A", tuple("abcdef"[:number]))) == prompt


def test_totals_weigh_as_the_official_script():
    # Scores that tell every set from the others: n of 20 questions of the n-th set are right.
    answers = [
        Answered(Question(f"{number}/{index}", name, "?", "A", ("a", "b")), "A" if index < number else "B")
        for number, name in enumerate(VideoBench.tasks, start=1)
        for index in range(20)
    ]
    totals = score_answers(VideoBench(), answers)["strict"].totals

    exclusive = (1 + 2 + 3 + 4 + 5 + 6 + 0.5 * 7) / 6.5 / 20
    prior = (8 + 9 + 10) / 3 / 20
    decision = (0.5 * 11 + 12 + 13) / 2.5 / 20
    assert len(VideoBench.tasks) == 13
    assert {name: figure.value for name, figure in totals.items()} == pytest.approx(
        {"Exc": exclusive, "Prior": prior, "Dec": decision, "All": (exclusive + prior + decision) / 3}, abs=1e-12
    )
    # Without sets that have no public answers, levels still weigh the same.
    kept = [answered for answered in answers if answered.question.task not in ("TVQA", "MV", "Youcook2")]
    totals = score_answers(VideoBench(), kept)["strict"].totals
    exclusive = (1 + 2 + 3 + 4 + 6 + 0.5 * 7) / 5.5 / 20
    assert totals["All"].value == pytest.approx((exclusive + 0.5 + decision) / 3, abs=1e-12)
    assert totals["All"].missing == ("Youcook2", "TVQA", "MV")


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (None, None),
        ('{"maximum probability":"B"}', Verdict(1.0)),
        ('{"maximum probability": "A"}', Verdict(0.0)),
        ('```json\n{"maximum probability": "B"}\n```', Verdict(1.0)),
        ('{"maximum probability": "E"}', Verdict(0.0, parsed=False)),
        ('{"maximum probability": "AB"}', Verdict(0.0, parsed=False)),
        ('{"maximum probability": ["B"]}', Verdict(0.0, parsed=False)),
        ('{"probability": "B"}', Verdict(0.0, parsed=False)),
        ("{'maximum probability': 'B'}", Verdict(1.0)),
        ("B", Verdict(1.0)),
        ("", Verdict(0.0, parsed=False)),
    ],
)
def test_the_judge_s_reply_names_the_letter(reply, expected):
    question = Question("1", "MOT", "Q?", "B", ("a", "b", "c"))

    assert official_video_bench(Answered(question, "The text counts for nothing: A", reply=reply)) == expected


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"answer": "C"}, "the answer 'C' is no letter of the 2 choices"),
        ({"choices": {}}, "`choices` are {}; expected texts under A, B, ...."),
        ({"choices": {"1": "a"}}, "`choices` are {'1': 'a'}; expected texts under A, B, ...."),
        ({"choices": ["a"]}, "`choices` is ['a']; expected dict."),
        ({"question": 3}, "`question` is 3; expected str."),
    ],
)
def test_malformed_records_are_named(tmp_path, change, message):
    write(tmp_path, "MOT", {"7": record("MOT", answer="A") | change})

    with pytest.raises(ValueError, match=re.escape(f"MOT_QA_new.json, record 7: {message}")):
        VideoBench().read(tmp_path)


def test_files_that_are_not_there_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="_QA_new.json. Get Eval_QA/ from the repository PKU-YuanGroup"):
        VideoBench().read(tmp_path)

    write(tmp_path, "MOT", {"0": record("MOT", answer="A"), "1": record("MOT", 2, answer="A")})
    (tmp_path / "Eval_video/MOT/2.mp4").unlink()
    with pytest.raises(FileNotFoundError, match="1 of 2 videos and images are missing: .*MOT/2.mp4. Get Eval_QA/"):
        VideoBench().read(tmp_path)
