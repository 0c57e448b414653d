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
"""One benchmark from questions to figures: asks what has not been answered yet, has it judged, and counts."""

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..modeling_ftfv.modeling_ftfv import FTFVForConditionalGeneration
from ..processing.processing_ftfv import FTFVProcessor
from .asking.predictions import PredictionFile
from .asking.questions import ask_questions
from .asking.setting import Setting
from .benchmarks.benchmark import Answered, Benchmark, Question
from .benchmarks.judge_protocol import Messages, messages_about
from .judges.judging import JudgeError
from .scores.benchmark_scores import columns_to_dict, score_answers


@dataclass(frozen=True)
class BenchmarkRun:
    """
    What [`run_benchmark`] did.

    Attributes:
        document (`dict[str, Any]`): In plain JSON types, what was asked (`title`, `questions`, `media`, hashes) and
            under `settings`, by the name of the setting, `setting` and `columns` from [`columns_to_dict`].
        answers (`dict[Setting, list[Answered]]`): The answers, in the order of the questions.
    """

    document: dict[str, Any]
    answers: dict[Setting, list[Answered]]


# From answers, what to ask about each, and the file for a judge's replies to the same answers with them.
Judge = Callable[[Sequence[Answered], Sequence[Messages], Path], list[Answered]]


def run_benchmark(
    benchmark: Benchmark,
    questions: Sequence[Question],
    settings: Sequence[Setting],
    folder: Path,
    *,
    model_origin: Mapping[str, Any],
    load_model: Callable[[], tuple[FTFVForConditionalGeneration, FTFVProcessor]],
    prompt: Callable[[Question], str] | None = None,
    judge: Judge | None = None,
    batch_size: int = 16,
    seed: int = 0,
    count_unreadable: bool = False,
    given: Mapping[str, str] | None = None,
) -> BenchmarkRun:
    """
    Evaluates a model on a benchmark. What `folder` already holds of the same model, settings and prompts is not done
    again, so an interrupted run goes on where it was, and other rules are applied to the same answers.

    Args:
        benchmark (`Benchmark`): The benchmark.
        questions (`Sequence[Question]`): Its questions, from `benchmark.read`.
        settings (`Sequence[Setting]`): Ways to ask.
        folder (`Path`): Where answers and replies of a judge are, a file for each setting.
        model_origin (`Mapping[str, Any]`): What tells the model from others, in plain JSON types.
        load_model (`Callable`): Returns model and processor; called once, and only where something is to be asked.
        prompt (`Callable`, *optional*): From a question to the user's turn, the benchmark's own if not given. One's
            own comes without the benchmark's system message and beginning of the answer; options are ranked behind
            the benchmark's nevertheless.
        judge (`Judge`, *optional*): Has answers judged.
        batch_size (`int`, *optional*, defaults to 16): Questions that are generated together.
        seed (`int`, *optional*, defaults to 0): Of shuffled and random frames, random token samplers and intervals.
        count_unreadable (`bool`, *optional*, defaults to `False`): Whether media that cannot be read are counted as
            wrong answers, instead of an error.
        given (`Mapping[str, str]`, *optional*): Answers by the ids of their questions, such as those that lmms-eval
            logged, to be counted instead of asking.

    Raises:
        ValueError: answers in `folder` are of another origin, or `given` lacks one; or as [`ask_questions`] does.
    """
    asking = {
        "system": benchmark.system if prompt is None else "",
        "response_prefix": benchmark.response_prefix if prompt is None else "",
        "max_new_tokens": benchmark.max_new_tokens,
    }
    prompt = prompt or benchmark.prompt
    ranked_by = [text for text in map(benchmark.ranking_prompt, questions) if text is not None]
    described = {
        "title": benchmark.title,
        "rules": list(benchmark.rules),
        "questions": len(questions),
        "media": len({question.media for question in questions}),
        "questions_sha256": _hash([_describe(question) for question in questions]),
        "prompts_sha256": _hash([asking["system"], asking["response_prefix"], *map(prompt, questions), *ranked_by]),
        "prompt_example": prompt(questions[0]) if questions else "",
        **asking,
    }
    origin = {
        "benchmark": benchmark.name,
        "model": dict(model_origin),
        "seed": seed,
        **{name: described[name] for name in ("questions_sha256", "prompts_sha256", "max_new_tokens")},
    }
    if given is not None:
        origin["given_sha256"] = _hash(sorted(given.items()))
    files = {
        setting: PredictionFile(folder / f"{setting.name}.jsonl", {**origin, "setting": asdict(setting)}, questions)
        for setting in settings
    }
    if given is not None:
        lacking = [question.id for question in questions if question.id not in given]
        if lacking:
            raise ValueError(
                f"{len(lacking)} of {len(questions)} questions of {benchmark.title} have no answer among those given, "
                f"the first is {lacking[0]!r}; expected one for each. Give all, or fewer questions."
            )
        for file in files.values():
            file.append([Answered(question, given[question.id]) for question in file.missing(questions)])
    elif any(file.missing(questions) for file in files.values()):
        model, processor = load_model()
        for setting, batch in ask_questions(
            model,
            processor,
            questions,
            prompt,
            settings,
            ranking_prompt=benchmark.ranking_prompt,
            **asking,
            batch_size=batch_size,
            seed=seed,
            known={setting: set(file.answers) for setting, file in files.items()},
            count_unreadable=count_unreadable,
            description=f"  {benchmark.title}",
        ):
            files[setting].append(batch)
    results, answers = {}, {}
    for setting, file in files.items():
        answered = [file.answers[question.id] for question in questions]
        if judge is not None and "judge_error" not in described:
            try:
                answered = _judged(benchmark, judge, answered, folder / f"{setting.name}.judged.jsonl")
            except (ConnectionError, JudgeError) as error:
                # What needs no judge is counted nevertheless.
                described["judge_error"] = str(error)
        answers[setting] = answered
        results[setting.name] = {
            "setting": asdict(setting),
            "columns": columns_to_dict(score_answers(benchmark, answered, seed)),
            "unreadable": sum(one.unreadable is not None for one in answered),
            "empty": sum(not one.text and one.unreadable is None for one in answered),
        }
    return BenchmarkRun({**described, "settings": results}, answers)


def _judged(benchmark: Benchmark, judge: Judge, answers: Sequence[Answered], path: Path) -> list[Answered]:
    asked = [one for one in answers if one.unreadable is None and benchmark.needs_judge(one)]
    if not asked:
        return list(answers)
    conversations = [messages_about(benchmark, one) for one in asked]
    replied = {one.question.id: one for one in judge(asked, conversations, path)}
    return [replied.get(one.question.id, one) for one in answers]


def _describe(question: Question) -> dict[str, Any]:
    """What a question is, with names and sizes of its files but not their folders, so that data sets may be moved."""
    described = {
        "id": question.id,
        "task": question.task,
        "question": question.question,
        "options": question.options,
        "answer": question.answer,
        "clip": question.clip,
    }
    for path in (question.video, question.image):
        if isinstance(path, str):
            is_folder = os.path.isdir(path)
            described["file"] = [Path(path).name, len(os.listdir(path)) if is_folder else os.path.getsize(path)]
        elif isinstance(path, bytes):
            described["file"] = hashlib.sha256(path).hexdigest()
    return described


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode()).hexdigest()
