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
Tiny data of all benchmarks in their real formats, once as `ftfv eval` reads them and once as lmms-eval does.

lmms-eval asks `datasets` for names like `OpenGVLab/MVBench`. A folder of that name below the working directory is
taken before the Hub is asked, so its tasks run as they are, without network; videos lie in `HF_HOME`, where it unpacks
them.
"""

import base64
import csv
import io
import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset, Image, List
from PIL import Image as PILImage

from ftfv.evaluation.benchmarks.mmbench import ROTATION_STEP
from ftfv.evaluation.benchmarks.mvbench import TASKS, TASKS_BY_FILE
from ftfv.evaluation.benchmarks.video_bench import LEVELS
from tests.tiny import write_video


# What the tiny model can say: letters in the forms that rules read, and words of which some are answers.
SAID = ("A", "(A)", "B", "(B)", "C", "C.", "D", "D:", "yes", "no", "red", "blue", "circle", "square", "two", "left")
TRUTHS = ("red", "blue", "circle", "square", "two", "left", "yes", "no")
# Where lmms-eval 0.7.3 looks for the clips of each task of MVBench, by its name there: `DATA_LIST` of its utils.py.
MVBENCH_FOLDERS = {
    "Action Sequence": "star/Charades_segment",
    "Action Prediction": "star/Charades_segment",
    "Object Interaction": "star/Charades_segment",
    "Action Localization": "sta/sta_video_segment",
    "Fine-grained Pose": "nturgbd_convert",
    "Episodic Reasoning": "tvqa/video_fps3_hq_segment",
    "Action Antonym": "ssv2_video_mp4",
}
QUESTIONS_PER_TASK = 3


class ToyData:
    """
    Writes everything into a folder.

    Attributes:
        ours (`Path`): A folder for each benchmark by its name in `ftfv eval`.
        hub (`Path`): Working directory for lmms-eval, with data sets by their names on the Hub.
        hf_home (`Path`): `HF_HOME` for it, with the videos.
    """

    def __init__(self, folder: Path):
        self.ours, self.hub, self.hf_home = folder / "ours", folder / "hub", folder / "hf_home"
        self.random = random.Random(0)
        self._write_mvbench()
        for name in ("msvd_qa", "msrvtt_qa", "activitynet_qa"):
            self._write_video_qa(name)
        self._write_video_bench()
        for language in ("en", "cn"):
            self._write_mmbench(language)
        self._write_seed_bench()

    def _question(self, number: int) -> str:
        color, shape = self.random.choice(("red", "blue")), self.random.choice(("circle", "square"))
        return f"which way does the {color} {shape} number {number} move"

    def _options(self, number: int = 4) -> list[str]:
        return self.random.sample(TRUTHS, number)

    def _video(self, *paths: Path) -> None:
        """One clip of noise, at every place where it is looked for."""
        generator = np.random.default_rng(self.random.randrange(10**6))
        frames = generator.integers(0, 256, (9, 48, 64, 3), dtype=np.uint8)
        paths[0].parent.mkdir(parents=True, exist_ok=True)
        content = Path(write_video(paths[0], frames)).read_bytes()
        for path in paths[1:]:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    def _picture(self) -> bytes:
        generator = np.random.default_rng(self.random.randrange(10**6))
        file = io.BytesIO()
        PILImage.fromarray(generator.integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(file, "PNG")
        return file.getvalue()

    def _write_mvbench(self) -> None:
        """All 20 tasks; two of the questions of each are about the same video."""
        for file, name in TASKS_BY_FILE.items():
            task, records = TASKS[name], []
            for number in range(QUESTIONS_PER_TASK):
                video = f"{file}_{number // 2}" + ("" if task.has_frames else ".mp4")
                options = self._options()
                record: dict[str, Any] = {
                    "video": video,
                    "question": self._question(number) + "?",
                    "candidates": options,
                    "answer": self.random.choice(options),
                }
                if task.has_clips:
                    record |= {"start": 0.0, "end": 0.5}
                records.append(record)
                if number % 2:
                    continue
                theirs = self.hf_home / "mvbench_video" / MVBENCH_FOLDERS.get(name, task.folder) / video
                ours = self.ours / "mvbench/video" / task.folder / video
                if task.has_frames:
                    ours.mkdir(parents=True)
                    for index in range(1, 5):
                        (ours / f"{index:05d}.png").write_bytes(self._picture())
                    self._video(theirs.with_suffix(".mp4"))
                    theirs.with_suffix(".mp4").rename(theirs)
                else:
                    self._video(theirs, ours)
            write_json(self.ours / "mvbench/json" / f"{file}.json", records)
            write_json(self.hub / "OpenGVLab/MVBench/json" / f"{file}.json", records)
        configs = [{"config_name": file, "data_files": f"json/{file}.json"} for file in TASKS_BY_FILE]
        write_card(self.hub / "OpenGVLab/MVBench", configs)

    def _write_video_qa(self, name: str) -> None:
        asked, answers, rows = [], [], []
        for number in range(12):
            video, question, answer = f"{name}{number // 2}", self._question(number), self.random.choice(TRUTHS)
            asked.append({"video_name": video, "question": question, "question_id": f"{video}_{number}"})
            answers.append({"answer": answer, "type": number % 3, "question_id": f"{video}_{number}"})
            rows.append({**asked[-1], "answer": answer, "type": str(number % 3)})
            if number % 2 == 0:
                places = [self.ours / name / "videos" / f"v_{video}.mp4"]
                if name == "activitynet_qa":
                    places.append(self.hf_home / "activitynetqa/all_test" / f"v_{video}.mp4")
                self._video(*places)
        write_json(self.ours / name / "test_q.json", asked)
        write_json(self.ours / name / "test_a.json", answers)
        if name == "activitynet_qa":
            write_parquet(self.hub / "lmms-eval/ActivityNetQA/data/test-00000-of-00001.parquet", rows)

    def _write_video_bench(self) -> None:
        key: dict[str, dict[str, str]] = {}
        for name in (name for level in LEVELS.values() for name in level):
            records: dict[str, Any] = {}
            for number in range(QUESTIONS_PER_TASK):
                options = dict(zip("ABCDEF", self._options(2 + number), strict=False))
                video = f"Eval_video/{name}/{name}_{number // 2}.mp4"
                records[f"v_{number}"] = {
                    "vid_path": f"./{video}",
                    "video_id": f"{name}_{number // 2}",
                    "question": self._question(number) + "?",
                    "choices": options,
                }
                key.setdefault(name, {})[f"v_{number}"] = self.random.choice(list(options))
                if number % 2 == 0:
                    self._video(self.ours / "video_bench" / video)
            write_json(self.ours / "video_bench/Eval_QA" / f"{name}_QA_new.json", records)
        write_json(self.ours / "video_bench/answer/ANSWER.json", key)

    def _write_mmbench(self, language: str) -> None:
        """Questions with four, three and two options, each with all of its rotations."""
        rows = []
        # lmms-eval's Chinese task would print the word.
        no_hint = "nan" if language == "en" else None
        for number in range(24):
            options, image = self._options(2 + number % 3), self._picture()
            right = self.random.randrange(len(options))
            shared = {
                "question": self._question(number) + "?",
                "hint": "look at the shape" if number % 2 else no_hint,
                "category": ("action_recognition", "ocr")[number % 2],
                "L2-category": "coarse_perception",
                "source": "toy",
                "comment": "nan",
                "split": "dev",
            }
            for turn in range(len(options)):
                rotated = [options[(index + turn) % len(options)] for index in range(len(options))]
                rows.append(
                    {
                        "index": number + turn * ROTATION_STEP,
                        **shared,
                        **dict(zip("ABCD", [*rotated, "nan", "nan"], strict=False)),
                        "answer": "ABCD"[(right - turn) % len(options)],
                        "image": image,
                    }
                )
        rows.sort(key=lambda row: row["index"])
        repository = self.hub / "lmms-lab-encoder/MMBench"
        write_parquet(repository / language / "dev-00000-of-00001.parquet", rows, image=Image())
        configs = [
            {"config_name": name, "data_files": [{"split": "dev", "path": f"{name}/dev-*"}]} for name in ("en", "cn")
        ]
        write_card(repository, configs)
        name = {"en": "MMBench_DEV_EN.tsv", "cn": "MMBench_DEV_CN.tsv"}[language]
        path = self.ours / f"mmbench_{language}" / name
        path.parent.mkdir(parents=True)
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), delimiter="\t")
            writer.writeheader()
            writer.writerows({**row, "image": base64.b64encode(row["image"]).decode()} for row in rows)

    def _write_seed_bench(self) -> None:
        """Questions about images, and one about a video, which lmms-eval holds as a list of frames."""
        questions, rows = [], []
        for number in range(9):
            kind = "video" if number == 8 else "image"
            record = {
                "answer": self.random.choice("ABCD"),
                **dict(zip(("choice_a", "choice_b", "choice_c", "choice_d"), self._options(), strict=True)),
                "data_id": f"seed_{number // 2}",
                "data_type": kind,
                "question": self._question(number) + "?",
                "question_id": str(101 + number),
                "question_type_id": 10 if kind == "video" else 1 + number,
            }
            questions.append(record)
            if number % 2 == 0:
                pictures = [self._picture() for _ in range(3 if kind == "video" else 1)]
            if kind == "image":
                path = self.ours / "seed_bench/SEED-Bench-image" / record["data_id"]
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(pictures[0])
            rows.append({**record, "image": pictures, "segment": [0, 1]})
        write_json(self.ours / "seed_bench/SEED-Bench.json", {"questions": questions})
        path = self.hub / "lmms-lab-encoder/SEED-Bench/data/test-00000-of-00001.parquet"
        write_parquet(path, rows, image=List(Image()))


def write_json(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def write_parquet(path: Path, rows: Sequence[Mapping[str, Any]], **kinds: Any) -> None:
    """Rows as a file of the Hub; `kinds` are the features of columns that hold the content of image files."""
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset = Dataset.from_list([dict(row) for row in rows])
    for column, kind in kinds.items():
        dataset = dataset.cast_column(column, kind)
    dataset.to_parquet(path)


def write_card(repository: Path, configs: Sequence[Mapping[str, Any]]) -> None:
    """The data card of a repository, whose head says which files belong to which configuration."""
    repository.mkdir(parents=True, exist_ok=True)
    head = json.dumps({"configs": configs}, indent=2)  # JSON is YAML
    (repository / "README.md").write_text(f"---\n{head}\n---\n", encoding="utf-8")
