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
"""The qualitative sheet: its input, its five sections, one pass through the tower a video, and what the page holds."""

import dataclasses
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from ftfv.evaluation.pages.qualitative_sheet import ABILITIES, Case, read_cases, write_sheet
from ftfv.processing.pipeline_ftfv import VideoTextToTextPipeline
from tests.tiny import build_model, build_processor


QUESTION = "which way does the red circle move ?"
VOID = {"meta", "img", "br", "image", "use", "rect"}


class Texts(HTMLParser):
    """The text of each element with one of the given tags, in the order in which they open."""

    def __init__(self, page: str, *tags: str):
        super().__init__()
        self.tags, self.open, self.found = tags, [], []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag in VOID:
            return
        self.open.append((tag, len(self.found) if tag in self.tags else None))
        if tag in self.tags:
            self.found.append("")

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        for _, index in self.open:
            if index is not None:
                self.found[index] += data


@pytest.fixture(scope="module")
def pipe() -> VideoTextToTextPipeline:
    return VideoTextToTextPipeline(model=build_model(seed=1), processor=build_processor())


def write_questions(folder: Path, *records: Any) -> Path:
    lines = [record if isinstance(record, str) else json.dumps(record) for record in records]
    (folder / "questions.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def record(**changes: Any) -> dict:
    return {"video": "clip.mp4", "question": QUESTION, "ability": "caption", **changes}


@pytest.fixture
def folder(tmp_path: Path, clip: str) -> Path:
    (tmp_path / "clip.mp4").symlink_to(clip)
    return tmp_path


def test_questions_are_read_with_what_they_may_leave_out(folder):
    write_questions(folder, record(), "", record(ability="OCR", answer="left", clip=[0.5, 1]))
    plain, full = read_cases(folder)
    assert plain == Case(str(folder / "clip.mp4"), QUESTION, "caption")
    assert full == Case(str(folder / "clip.mp4"), QUESTION, "OCR", "left", (0.5, 1))


def test_a_file_of_ftfv_eval_will_do_with_abilities(folder):
    # A line separator within a text does not end the line of JSON.
    question = "left\u2028or right ?"
    line = json.dumps(record(question=question, id=3, task="moves", options=["left", "right"]), ensure_ascii=False)
    assert [case.question for case in read_cases(write_questions(folder, line))] == [question]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", r"questions.jsonl, line 2: .*Expecting property name"),
        ("[1]", r"line 2: it holds \[1\]; expected an object with video, question, ability"),
        (
            record(ability="colour"),
            "line 2: `ability` is 'colour'; expected one of caption, attribute, OCR, direction of",
        ),
        ({"video": "clip.mp4", "ability": "OCR"}, "line 2: `question` is None; expected text"),
        (record(question=" "), "line 2: `question` is empty"),
        (record(truth="left"), "line 2: there is a field 'truth'; expected some of video, question, ability, answer"),
        (record(clip=[1]), r"line 2: `clip` is \[1\]; expected start and end in seconds"),
        (record(answer=3), "line 2: `answer` is 3; expected text"),
        (record(video="none.mp4"), "line 2: no file '.*none.mp4'; expected a video of the folder"),
    ],
)
def test_a_wrong_line_is_named(folder, line, message):
    write_questions(folder, record(), line)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        read_cases(folder)


def test_a_folder_without_questions_is_refused(folder):
    with pytest.raises(FileNotFoundError, match="questions.jsonl'; expected a line of JSON for each question"):
        read_cases(folder)
    with pytest.raises(ValueError, match="questions.jsonl has no questions"):
        read_cases(write_questions(folder, ""))


def test_the_page_has_five_sections_and_every_answer(pipe, clip, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(
        "ftfv.evaluation.pages.qualitative_sheet._ask",
        lambda pipe, features, question, count, max_new_tokens: (
            asked.append((question, count)) or f"{question} {count}"
        ),
    )
    cases = [
        Case(clip, "the order ?", "action order", "first this"),
        Case(clip, "tell !", "caption"),
        Case(clip, "more !", "caption", "<b>bold</b>"),
    ]
    write_sheet(tmp_path / "deep" / "sheet.html", cases, pipe, tokens_per_frame=[8, 2], num_frames=3)

    page = (tmp_path / "deep" / "sheet.html").read_text(encoding="utf-8")
    assert list((tmp_path / "deep").iterdir()) == [tmp_path / "deep" / "sheet.html"]
    sections = Texts(page, "section").found
    titles = ["(a) Caption", "(b) Attribute", "(c) OCR", "(d) Direction of motion", "(e) Action order"]
    assert Texts(page, "h2").found == titles
    assert ["no case given" in section for section in sections] == [False, True, True, True, False]
    assert Texts(page, "h3").found == ["tell !", "more !", "the order ?"]
    # By question: the reference where there is one, then each K, the smallest first.
    assert Texts(page, "dt").found[-8:] == [
        *("K = 2, 6 visual tokens", "K = 8, 24 visual tokens"),
        *("Reference answer", "K = 2, 6 visual tokens", "K = 8, 24 visual tokens") * 2,
    ]
    assert Texts(page, "dd").found[-8:] == [
        *("tell ! 2", "tell ! 8"),
        *("<b>bold</b>", "more ! 2", "more ! 8"),
        *("first this", "the order ? 2", "the order ? 8"),
    ]
    assert "<b>bold" not in page and len(asked) == 6


def test_pictures_are_stored_once_a_video_and_have_texts(pipe, clip, tmp_path):
    cases = [Case(clip, QUESTION, ability) for ability in ABILITIES]
    write_sheet(tmp_path / "sheet.html", cases, pipe, tokens_per_frame=[2, 8], num_frames=3, max_new_tokens=2)
    page = (tmp_path / "sheet.html").read_text(encoding="utf-8")
    assert page.count("data:image/jpeg") == 3 and page.count("data:image/png") == 1 + 3 * 2
    assert page.count('role="img" aria-label="Frame') == 5 * 3
    assert page.count('role="img" aria-label="What is kept of frame') == 5 * 3 * 2
    assert re.findall(r'<img class="scale" src="data:image/png[^"]*" alt="Colours', page)
    assert page.count("0.30 s") == page.count("1.00 s") == page.count("1.60 s") == 5
    # Nothing is fetched, and nothing runs.
    for attribute in re.findall(r"(?:href|src)=\"([^\"]*)\"", page):
        assert attribute.startswith(("#", "data:image/"))
    assert "<script" not in page and "default-src 'none'" in page and "url(" not in page
    assert "prefers-color-scheme: dark" in page and "@media print" in page and "max-width: 44rem" in page


def test_each_video_is_encoded_once_and_each_part_by_itself(pipe, clip, tmp_path, monkeypatch):
    passes = []
    hook = pipe.model.model.vision_tower.register_forward_hook(lambda *call: passes.append(len(call[1])))
    cases = [
        Case(clip, QUESTION, "caption"),
        Case(clip, "what moves ?", "OCR"),
        Case(clip, QUESTION, "attribute", clip=(0, 1.0)),
    ]
    try:
        write_sheet(tmp_path / "sheet.html", cases, pipe, tokens_per_frame=[2, 4, 8], max_new_tokens=2)
    finally:
        hook.remove()
    assert len(passes) == 2
    page = (tmp_path / "sheet.html").read_text(encoding="utf-8")
    assert "clip.mp4, 0 to 1 s" in page


def test_answers_are_those_of_asking_each_by_itself(pipe, clip, tmp_path):
    write_sheet(
        tmp_path / "sheet.html", [Case(clip, QUESTION, "OCR")], pipe, tokens_per_frame=[2, 8], max_new_tokens=6
    )
    found = Texts((tmp_path / "sheet.html").read_text(encoding="utf-8"), "dd").found[-2:]
    for count, text in zip((2, 8), found, strict=True):
        [alone] = pipe(
            videos=clip,
            text=QUESTION,
            tokens_per_frame=count,
            max_new_tokens=6,
            generate_kwargs={"do_sample": False},
            return_full_text=False,
        )
        assert text == (alone["generated_text"].strip() or "(no answer)")


def test_what_cannot_be_asked_is_refused(pipe, clip, tmp_path):
    with pytest.raises(ValueError, match="There are no cases; expected at least one question"):
        write_sheet(tmp_path / "sheet.html", [], pipe)
    with pytest.raises(ValueError, match="`tokens_per_frame` is 17; expected 1 to 16"):
        write_sheet(tmp_path / "sheet.html", [Case(clip, QUESTION, "OCR")], pipe, tokens_per_frame=[17])
    with pytest.raises(ValueError, match="`ability` is 'ocr'; expected one of caption, attribute, OCR"):
        dataclasses.replace(Case(clip, QUESTION, "OCR"), ability="ocr")
    assert not list(tmp_path.iterdir())
