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
MSVD-QA, MSRVTT-QA and ActivityNet-QA: open questions about videos.

Source: mbzuai-oryx/Video-ChatGPT, `quantitative_evaluation/` and `video_chatgpt/eval/run_inference_activitynet_qa.py`
(`test_q.json` and `test_a.json`, aligned by index; a judge scores the answers); prompt as in `tasks/activitynetqa` of
EvolvingLMMs-Lab/lmms-eval, which has no task for the other two: they are asked in the same way here.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from .benchmark import Benchmark, Question, Total
from .judge_protocol import accuracy_rule, score_rule
from .reading import field, read_json, records, require_media
from .text_rules import contains, exact


LAYOUT = (
    "Expected test_q.json, test_a.json and the videos in videos/, videos/all/, all_test/ or beside the files, as in"
    " the archives GPT_Zero_Shot_QA of PKU-YuanGroup/Video-LLaVA; a video is NAME or v_NAME with one of the suffixes"
    " .mp4, .avi, .mkv, .webm."
)
VIDEO_FOLDERS = ("videos", "videos/all", "all_test", ".")
SUFFIXES = (".mp4", ".avi", ".mkv", ".webm")


class VideoQA(Benchmark):
    """
    One set of open questions.

    Columns: right or wrong by the judge, its score of 0 to 5, and two that need no judge: the same words, and the
    truth's words within the answer. `Acc` is over all questions.

    Args:
        name (`str`): As the command line calls it.
        title (`str`): As tables call it.
        hub_id (`str`, *optional*): Data set on the Hub that holds it.
    """

    rules = {"judge": accuracy_rule, "judge_score": score_rule, "exact": exact, "contains": contains}
    totals = {"Acc": Total()}

    def __init__(self, name: str, title: str, hub_id: str | None = None):
        self.name = name
        self.hub_id = hub_id
        self.title = title
        self.tasks = (title,)

    def read(self, folder: Path) -> list[Question]:
        """Questions of `test_q.json` with the answers of `test_a.json`."""
        paths = folder / "test_q.json", folder / "test_a.json"
        asked, answers = (records(read_json(path, LAYOUT), path) for path in paths)
        if len(asked) != len(answers):
            raise ValueError(f"{paths[0]} has {len(asked)} records and {paths[1]} {len(answers)}; expected as many.")
        videos = list_videos(folder)
        questions = []
        for index, (question, answer) in enumerate(zip(asked, answers, strict=True)):
            place = f"{paths[0]}, record {index}"
            question_id = field(question, "question_id", (str, int), place)
            answer_id = field(answer, "question_id", (str, int), f"{paths[1]}, record {index}")
            if question_id != answer_id:
                raise ValueError(f"{place}: question {question_id} stands beside the answer to {answer_id}.")
            name = field(question, "video_name", str, place)
            found = (videos[key] for key in (name, f"v_{name}") if key in videos)
            questions.append(
                Question(
                    id=str(question_id),
                    task=self.title,
                    question=field(question, "question", str, place),
                    answer=str(field(answer, "answer", (str, int, float), f"{paths[1]}, record {index}")),
                    video=next(found, str(folder / VIDEO_FOLDERS[0] / f"{name}{SUFFIXES[0]}")),
                )
            )
        require_media(questions, LAYOUT)
        return questions

    def prompt(self, question: Question) -> str:
        """The question with a capital letter and a question mark, and the instruction to be brief."""
        text = question.question.capitalize()
        mark = "" if text.endswith("?") else "?"
        return f"{text}{mark} Answer the question using a single word or phrase."


def list_videos(folder: Path) -> Mapping[str, str]:
    """Paths of the videos by their names, with and without suffix."""
    videos: dict[str, str] = {}
    for place in VIDEO_FOLDERS:
        if not (folder / place).is_dir():
            continue
        for name in sorted(os.listdir(folder / place)):
            stem, suffix = os.path.splitext(name)
            if suffix.lower() in SUFFIXES:
                for key in (name, stem):
                    videos.setdefault(key, str(folder / place / name))
    return videos


MSVD_QA = VideoQA("msvd_qa", "MSVD-QA")
MSRVTT_QA = VideoQA("msrvtt_qa", "MSRVTT-QA")
ACTIVITYNET_QA = VideoQA("activitynet_qa", "ActivityNet-QA", "lmms-eval/ActivityNetQA")
