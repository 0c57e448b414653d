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
"""Question sets of pictures with short answers: VQAv2 and GQA."""

from collections.abc import Iterator, Mapping
from functools import partial

from .raw_files import RawFile, RawFiles, read_mapping, read_records, top_level_keys
from .samples import MalformedRecord, Media, PlacedSample, Sample, number_of, pair_turns, parse_records, text_of


SHORT_ANSWER = "Answer with a word or a short phrase."


def read_vqav2_samples(files: RawFiles, seed: int) -> Iterator[PlacedSample]:
    """A sample for each question of VQAv2; its answer is the most frequent of ten.

    `v2_OpenEnded_*_questions.json` is `{"questions": [{"image_id", "question", "question_id"}]}`,
    `v2_*_annotations.json` is `{"annotations": [{"question_id", "multiple_choice_answer", ...}]}`.

    Raises:
        ValueError: a file is neither, or one of the two is not among them.
    """
    questions: list[RawFile] = []
    answers: dict[object, object] = {}
    for file in files:
        kind = next((key for key in top_level_keys(file) if key in ("questions", "annotations")), None)
        if kind == "questions":
            questions.append(file)
        elif kind == "annotations":
            for _, annotation in read_records(file, prefix="annotations"):
                if isinstance(annotation, Mapping):
                    answers[annotation.get("question_id")] = annotation.get("multiple_choice_answer")
        else:
            raise ValueError(
                f"{str(file.path)!r} has neither `questions` nor `annotations`; expected the questions and the "
                "annotations file of VQAv2."
            )
    if not questions or not answers:
        raise ValueError(
            f"Only {'questions' if questions else 'annotations'} of VQAv2 were given; give the questions and the "
            "annotations file."
        )
    for file in questions:
        yield from parse_records(read_records(file, prefix="questions"), partial(parse_vqav2, answers=answers))


def parse_vqav2(record: Mapping, place: str, *, answers: Mapping[object, object]) -> Sample:
    """
    Raises:
        MalformedRecord: a field is missing, or the question has no answer.
    """
    question, image = int(number_of(record, "question_id")), int(number_of(record, "image_id"))
    if question not in answers:
        raise MalformedRecord(f"question {question} is not in the annotations")
    answer = text_of({"multiple_choice_answer": answers[question]}, "multiple_choice_answer")
    files = [f"COCO_{part}2014_{image:012d}.jpg" for part in ("train", "val")]
    names = (*(f"{part}2014/{file}" for part, file in zip(("train", "val"), files, strict=True)), *files)
    return _short_answer(text_of(record, "question"), answer, names, f"coco/{image}", str(question))


def read_gqa_samples(files: RawFiles, seed: int) -> Iterator[PlacedSample]:
    """A sample for each question of GQA: `{question id: {"imageId", "question", "answer", ...}}`."""
    for file in files:
        records = ((f"{file.label}[{key}]", value) for key, value in read_mapping(file))
        yield from parse_records(records, parse_gqa)


def parse_gqa(record: Mapping, place: str) -> Sample:
    """
    Raises:
        MalformedRecord: a field is missing.
    """
    image = text_of(record, "imageId")
    names = (f"{image}.jpg", f"images/{image}.jpg")
    return _short_answer(text_of(record, "question"), text_of(record, "answer"), names, image, None)


def _short_answer(question: str, answer: str, names: tuple[str, ...], image: str, identity: str | None) -> Sample:
    turns = pair_turns([("user", f"{question}\n{SHORT_ANSWER}"), ("assistant", answer)])
    return Sample(turns, Media("image", names, id=image), id=identity, type="vqa")
