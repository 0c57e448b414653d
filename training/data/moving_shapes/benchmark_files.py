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
"""The clips of an evaluation set in formats of benchmarks: MVBench's, open-ended video QA's, one's own questions'."""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..dataset_folder import media_path, read_rows
from ..media import write_text
from .questions import NUMBERS, TEMPORAL_SKILLS
from .scenes import DIRECTIONS, FRAMES_PER_SECOND, NUM_FRAMES


# The task of MVBench, and the folder of its videos, that each skill is most like.
MVBENCH_TASKS = {
    "direction": ("moving_direction", "clevrer/video_validation"),
    "moves_first": ("action_sequence", "star/Charades_v1_480"),
    "appears_first": ("character_order", "perception/videos"),
    "turns": ("action_count", "perception/videos"),
}
# Tasks of MVBench that ask about a part of a video; here it is the whole.
TASKS_WITH_CLIPS = ("action_sequence",)


def write_mvbench(evaluation_set: str | Path, folder: str | Path, *, seed: int = 0) -> Path:
    """
    Writes `json/<task>.json` and the videos where MVBench has them, with options in random order.

    Args:
        evaluation_set (`str` or `Path`): From [`write_evaluation_set`]; its pictures are left out.
        folder (`str` or `Path`): Where to write.
        seed (`int`, *optional*, defaults to 0): Of the order of options.

    Returns:
        `Path`: The folder.

    Raises:
        ValueError: there are no clips.
    """
    folder = Path(folder)
    tasks: dict[str, list[dict[str, Any]]] = {}
    for row in _clip_rows(evaluation_set):
        task, videos = MVBENCH_TASKS[row["skill"]]
        name = f"{row['skill']}_{Path(media_path(row) or '').name}"
        _copy(Path(evaluation_set) / str(media_path(row)), folder / "video" / videos / name)
        question, answer = _texts(row)
        options = list(candidates(row["skill"], question))
        np.random.default_rng([seed, len(tasks.get(task, ()))]).shuffle(options)
        record = {"video": name, "question": question, "candidates": options, "answer": answer}
        if task in TASKS_WITH_CLIPS:
            record |= {"start": 0.0, "end": NUM_FRAMES / FRAMES_PER_SECOND}
        tasks.setdefault(task, []).append(record)
    for task, records in tasks.items():
        write_text(folder / "json" / f"{task}.json", json.dumps(records, indent=2))
    return folder


def write_video_qa(evaluation_set: str | Path, folder: str | Path) -> Path:
    """
    Writes `test_q.json`, `test_a.json` and the videos, as the open-ended benchmarks of Video-ChatGPT's protocol have
    them. See [`write_mvbench`].
    """
    folder = Path(folder)
    questions, answers = [], []
    for number, row in enumerate(_clip_rows(evaluation_set)):
        name = f"v_{number:06d}"
        _copy(Path(evaluation_set) / str(media_path(row)), folder / "videos" / f"{name}.mp4")
        question, answer = _texts(row)
        questions.append({"video_name": name.removeprefix("v_"), "question": question, "question_id": name})
        answers.append({"answer": answer, "type": row["skill"], "question_id": name})
    write_text(folder / "test_q.json", json.dumps(questions, indent=2))
    write_text(folder / "test_a.json", json.dumps(answers, indent=2))
    return folder


def write_own_questions(evaluation_set: str | Path, folder: str | Path) -> Path:
    """Writes `questions.jsonl` and the videos, as `ftfv eval own` reads them. See [`write_mvbench`]."""
    folder, lines = Path(folder), []
    for row in _clip_rows(evaluation_set):
        video = str(media_path(row))
        _copy(Path(evaluation_set) / video, folder / video)
        question, answer = _texts(row)
        record = {"video": video, "question": question, "answer": answer, "task": row["skill"], "id": row["id"]}
        lines.append(json.dumps(record))
    write_text(folder / "questions.jsonl", "\n".join(lines) + "\n")
    return folder


def candidates(skill: str, question: str) -> tuple[str, ...]:
    """The answers that a question about a clip allows."""
    if skill == "direction":
        return tuple(DIRECTIONS)
    if skill == "turns":
        return NUMBERS[:3]
    # "which moves first , white triangle or yellow square ?"
    first, second = question.rsplit(", ", 1)[-1].removesuffix(" ?").split(" or ")
    return first, second


def _clip_rows(evaluation_set: str | Path) -> list[Mapping[str, Any]]:
    rows = [row for row in read_rows(evaluation_set) if row["skill"] in TEMPORAL_SKILLS]
    if not rows:
        raise ValueError(f"{str(evaluation_set)!r} holds no questions about clips; expected an evaluation set.")
    return rows


def _texts(row: Mapping[str, Any]) -> tuple[str, str]:
    """Question and answer."""
    texts = [block["text"] for message in row["messages"] for block in message["content"] if block["type"] == "text"]
    return texts[0], texts[-1]


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


# Each with the folder of an evaluation set and the one to write.
FORMATS: Mapping[str, Callable[[Path, Path], Path]] = {
    "mvbench": write_mvbench,
    "video_qa": write_video_qa,
    "own": write_own_questions,
}
