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
MVBench: 20 tasks of multiple choice about short videos.

Source: `video_chat2/mvbench.ipynb` of OpenGVLab/Ask-Anything (data list, prompts, check); files as in the main branch
of the dataset OpenGVLab/MVBench. lmms-eval reads another branch, whose clips are cut already.
"""

import string
from pathlib import Path
from typing import Any, NamedTuple

from .benchmark import Benchmark, Question, Total
from .option_rules import likelihood, lmms_eval_mvbench, official_mvbench, strict
from .reading import clip_of, field, first_existing, read_json, records, require_media


LAYOUT = (
    "Download the dataset OpenGVLab/MVBench and unpack the archives of its folder video/, so that there are"
    " json/action_sequence.json, ... and video/star/Charades_v1_480, video/clevrer/video_validation, ...; the NTU"
    " RGB+D videos of fine-grained pose (video/nturgbd) are to be had from their authors only. Tasks are left out by"
    " removing their file from json/."
)
# Where archives leave their folders: as the data list has them, in the folder that one archive wraps around them, or
# unpacked beside json/.
VIDEO_FOLDERS = ("video", "video/data0613", ".")
# Frames per second of TVQA's folders of frames.
FRAME_RATE = 3.0
SYSTEM = (
    "Carefully watch the video and pay attention to the cause and sequence of events, the detail and movement of"
    " objects, and the action and pose of persons. Based on your observations, select the best option that accurately"
    " addresses the question."
)


class Task(NamedTuple):
    """Folder of a task's videos, whether its questions are about parts of them, and whether they are frames."""

    folder: str
    has_clips: bool = False
    has_frames: bool = False


TASKS = {
    "Action Sequence": Task("star/Charades_v1_480", has_clips=True),
    "Action Prediction": Task("star/Charades_v1_480", has_clips=True),
    "Action Antonym": Task("ssv2_video"),
    "Fine-grained Action": Task("Moments_in_Time_Raw/videos"),
    "Unexpected Action": Task("FunQA_test/test"),
    "Object Existence": Task("clevrer/video_validation"),
    "Object Interaction": Task("star/Charades_v1_480", has_clips=True),
    "Object Shuffle": Task("perception/videos"),
    "Moving Direction": Task("clevrer/video_validation"),
    "Action Localization": Task("sta/sta_video", has_clips=True),
    "Scene Transition": Task("scene_qa/video"),
    "Action Count": Task("perception/videos"),
    "Moving Count": Task("clevrer/video_validation"),
    "Moving Attribute": Task("clevrer/video_validation"),
    "State Change": Task("perception/videos"),
    "Fine-grained Pose": Task("nturgbd"),
    "Character Order": Task("perception/videos"),
    "Egocentric Navigation": Task("vlnqa"),
    "Episodic Reasoning": Task("tvqa/frames_fps3_hq", has_clips=True, has_frames=True),
    "Counterfactual Inference": Task("clevrer/video_validation"),
}
# "fine_grained_action" of fine_grained_action.json: "Fine-grained Action"
TASKS_BY_FILE = {name.lower().replace(" ", "_").replace("-", "_"): name for name in TASKS}


class MVBench(Benchmark):
    """
    Columns: MVBench's own check, [`strict`], the likeliest letter, and lmms-eval's rule (on answers to MVBench's own
    prompt; lmms-eval's has neither system message nor the beginning of the answer). `Avg` is the mean over tasks.
    """

    name = "mvbench"
    title = "MVBench"
    hub_id = "OpenGVLab/MVBench"
    tasks = tuple(TASKS)
    rules = {
        "official": official_mvbench,
        "strict": strict,
        "likelihood": likelihood,
        "lmms_eval": lmms_eval_mvbench,
    }
    totals = {"Avg": Total(dict.fromkeys(TASKS, 1.0))}
    system = SYSTEM
    response_prefix = "Best option:("
    max_new_tokens = 100

    def read(self, folder: Path) -> list[Question]:
        """
        Questions of the tasks whose files are there. A file by another name is a task of that name, with its videos in
        `video/NAME/` or `video/` and `start` and `end` heeded where a record has them; it is in no total.
        """
        files = sorted((folder / "json").glob("*.json"))
        if not files:
            raise FileNotFoundError(f"{folder / 'json'} has no task files. {LAYOUT}")
        order = list(TASKS_BY_FILE)
        files.sort(key=lambda path: order.index(path.stem) if path.stem in order else len(order))
        questions = []
        for path in files:
            name = TASKS_BY_FILE.get(path.stem, path.stem)
            for index, record in enumerate(records(read_json(path, LAYOUT), path)):
                questions.append(
                    read_question(folder, name, f"{path.stem}/{index}", record, f"{path}, record {index}")
                )
        require_media(questions, LAYOUT)
        return questions

    def prompt(self, question: Question) -> str:
        """The official prompt, which says the system message again before the question."""
        options = [f"({letter}) {option}" for letter, option in zip(question.letters, question.options, strict=True)]
        lines = [SYSTEM, f"Question: {question.question}", "Options:", *options, "Only give the best option."]
        return "\n".join(lines)


def read_question(folder: Path, name: str, question_id: str, record: Any, place: str) -> Question:
    """A record of the task called `name` as a question."""
    task = TASKS.get(name, Task(name))
    video = field(record, "video", str, place)
    options = tuple(str(option) for option in field(record, "candidates", list, place))
    answer = str(field(record, "answer", (str, int, float), place))
    if answer not in options:
        raise ValueError(f"{place}: the answer {answer!r} is none of the candidates {list(options)}.")
    clip = None
    if task.has_clips or (name not in TASKS and "start" in record):
        start, end = (field(record, key, (int, float), place) for key in ("start", "end"))
        clip = clip_of(start, end, place)
    places = [folder / videos / task.folder / video for videos in VIDEO_FOLDERS]
    if name not in TASKS:
        places.append(folder / "video" / video)
    letters = {option: letter for letter, option in zip(string.ascii_uppercase, options, strict=False)}
    return Question(
        id=question_id,
        task=name,
        question=field(record, "question", str, place),
        answer=letters[answer],
        options=options,
        video=first_existing(places),
        clip=clip,
        frame_rate=FRAME_RATE if task.has_frames else None,
    )
