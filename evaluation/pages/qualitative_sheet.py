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
"""The qualitative sheet: questions about videos with the answers at several K, sorted by ability, as one HTML file."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ...modeling_ftfv.modeling_ftfv import FTFVFeaturesOutput
from ...processing.pipeline_ftfv import VideoTextToTextPipeline
from ..atomic_write import atomic_write
from .kept_queries import KeptQueries, encode_kept_queries
from .overlay import data_uri, heat_image, kept_tokens, peaks_of, place_of
from .page_template import render_template
from .pictures import SATURATION, shrink


# As in the paper's Figure 4, (a) to (e).
ABILITIES = ("caption", "attribute", "OCR", "direction of motion", "action order")
QUESTIONS = "questions.jsonl"
FIELDS = ("video", "question", "ability", "answer", "clip")
# What `ftfv eval own` reads of the same file besides.
EVALUATED = ("id", "task", "options")
# Longest side of a frame in pixels: sheets hold many, each small.
FRAME_PIXELS = 224
JPEG_QUALITY = 80


@dataclass(frozen=True)
class Case:
    """
    A question about a video.

    Attributes:
        video (`str`): Path of the video.
        question (`str`): What to ask.
        ability (`str`): What it takes to answer, one of [`ABILITIES`].
        answer (`str`, *optional*): The reference, shown beside the model's answers.
        clip (`tuple[float, float]`, *optional*): Part of the video to look at, as start and end in seconds.

    Raises:
        ValueError: `ability` is none of them, or the question is empty.
    """

    video: str
    question: str
    ability: str
    answer: str | None = None
    clip: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if self.ability not in ABILITIES:
            raise ValueError(f"`ability` is {self.ability!r}; expected one of {', '.join(ABILITIES)}.")
        if not self.question.strip():
            raise ValueError("`question` is empty; expected text, such as 'What happens in the video?'.")


def read_cases(folder: str | os.PathLike) -> list[Case]:
    """
    Cases out of a folder of videos and a file `questions.jsonl`, in which each line is an object with `video` (a path
    in the folder), `question`, `ability` and, where there are, `answer` and `clip` (a list of two numbers).

    Raises:
        FileNotFoundError: there is no such file, or a video is missing.
        ValueError: a line is no such object, or there is none; the message names file and line.
    """
    folder = Path(folder).resolve()
    path = folder / QUESTIONS
    if not path.is_file():
        raise FileNotFoundError(f"No file {str(path)!r}; expected a line of JSON for each question.")
    cases = []
    # Not by `splitlines`, which also ends lines at separators that texts may hold.
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").split("\n"), start=1):
        if not line.strip():
            continue
        try:
            case = _case(json.loads(line), folder)
        except (ValueError, TypeError) as error:
            raise ValueError(f"{path}, line {number}: {error}") from None
        if not os.path.exists(case.video):
            raise FileNotFoundError(f"{path}, line {number}: no file {case.video!r}; expected a video of the folder.")
        cases.append(case)
    if not cases:
        raise ValueError(f"{path} has no questions; expected a line of JSON for each.")
    return cases


def write_sheet(
    path: str | os.PathLike,
    cases: Sequence[Case],
    pipe: VideoTextToTextPipeline,
    *,
    tokens_per_frame: Sequence[int] | None = None,
    num_frames: int | None = None,
    max_new_tokens: int = 64,
    processor_kwargs: Mapping[str, Any] | None = None,
) -> None:
    """
    Asks the questions at each K and writes one page that needs nothing beside it: for each case the frames, what was
    kept of them at each K, and the answers side by side, in the sections of the paper's Figure 4. Each video, or part
    of one, is encoded once for all its questions and all K.

    Args:
        path (`str` or `os.PathLike`): The HTML file to write.
        cases (`Sequence[Case]`): The questions.
        pipe (`VideoTextToTextPipeline`): The model.
        tokens_per_frame (`Sequence[int]`, *optional*): One K or several, the processor's own if not given.
        num_frames (`int`, *optional*): Frames to look at, the processor's own if not given; a shorter video gives all.
        max_new_tokens (`int`, *optional*, defaults to 64): Longest answer.
        processor_kwargs (`Mapping`, *optional*): Other arguments of the processor, such as the `size` of frames.

    Raises:
        ValueError: there are no cases, K is out of range, several K are asked of a token sampler other than
            `"weighted"`, or a file is no complete video.
    """
    if not cases:
        raise ValueError("There are no cases; expected at least one question about a video.")
    counts = sorted(set(tokens_per_frame or [pipe.processor.video_processor.tokens_per_frame]))
    videos: dict[tuple[str, tuple[float, float] | None], list[Case]] = {}
    for case in cases:
        videos.setdefault((case.video, case.clip), []).append(case)
    shown, answered = [], []
    for index, ((video, clip), about) in enumerate(videos.items()):
        features, kept = encode_kept_queries(
            pipe, video, counts, num_frames=num_frames, clip=clip, **(processor_kwargs or {})
        )
        shown.append({"clip": clip, **_shown(kept, counts)})
        for case in about:
            answers = {count: _ask(pipe, features, case.question, count, max_new_tokens) for count in counts}
            answered.append((case, index, answers))
    name = pipe.model.name_or_path or ""
    page = render_sheet(
        shown,
        answered,
        counts,
        # Where a model lies on this disk is nobody's business.
        model_name=Path(name).name if os.path.isdir(name) else name,
        num_query_tokens=pipe.model.config.adapter_config.num_query_tokens,
    )
    with atomic_write(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def render_sheet(
    videos: Sequence[Mapping[str, Any]],
    answered: Sequence[tuple[Case, int, Mapping[int, str]]],
    counts: Sequence[int],
    *,
    model_name: str,
    num_query_tokens: int,
) -> str:
    """
    The page that [`write_sheet`] writes.

    Args:
        videos (`Sequence[Mapping]`): What is shown of each video.
        answered (`Sequence[tuple[Case, int, Mapping[int, str]]]`): Each case with the index of its video and the
            answer at each K.
        counts (`Sequence[int]`): Each K, the smallest first.
        model_name (`str`): Name of the model.
        num_query_tokens (`int`): Queries per frame, of which K are kept.
    """
    sections = [
        {
            "ability": ability,
            "letter": letter,
            "cases": [
                {"case": case, "video": video, "answers": answers}
                for case, video, answers in answered
                if case.ability == ability
            ],
        }
        for letter, ability in zip("abcde", ABILITIES, strict=True)
    ]
    return render_template(
        "sheet.html.jinja",
        videos=videos,
        sections=sections,
        counts=counts,
        num_cases=len(answered),
        model_name=model_name,
        num_query_tokens=num_query_tokens,
        saturation=SATURATION,
        numbered=0,
        scale=data_uri(heat_image(np.arange(256, dtype=np.uint8)[None]), "PNG"),
    )


def _case(record: Any, folder: Path) -> Case:
    if not isinstance(record, dict):
        raise ValueError(f"it holds {record!r}; expected an object with {', '.join(FIELDS[:3])}.")
    missing = [name for name in FIELDS[:3] if not isinstance(record.get(name), str)]
    if missing:
        raise ValueError(f"`{missing[0]}` is {record.get(missing[0])!r}; expected text.")
    unknown = [name for name in record if name not in (*FIELDS, *EVALUATED)]
    if unknown:
        raise ValueError(f"there is a field {unknown[0]!r}; expected some of {', '.join(FIELDS)}.")
    answer, clip = record.get("answer"), record.get("clip")
    if answer is not None and not isinstance(answer, str):
        raise ValueError(f"`answer` is {answer!r}; expected text.")
    if clip is not None and not (
        isinstance(clip, list) and len(clip) == 2 and all(isinstance(bound, (int, float)) for bound in clip)
    ):
        raise ValueError(f"`clip` is {clip!r}; expected start and end in seconds, such as [1.5, 4].")
    return Case(
        video=str(folder / record["video"]),
        question=record["question"],
        ability=record["ability"],
        answer=answer,
        clip=None if clip is None else (clip[0], clip[1]),
    )


def _ask(
    pipe: VideoTextToTextPipeline, features: FTFVFeaturesOutput, question: str, count: int, max_new_tokens: int
) -> str:
    [output] = pipe(
        videos=features,
        text=question,
        tokens_per_frame=count,
        max_new_tokens=max_new_tokens,
        generate_kwargs={"do_sample": False},
        return_full_text=False,
    )
    return output["generated_text"].strip()


def _shown(kept: KeptQueries, counts: Sequence[int]) -> dict[str, Any]:
    """What a page shows of a video: its frames, and for each K their heat maps and the patches of the peaks."""
    strongest = max(float(kept.attention[count].max()) for count in counts)
    pictures = [shrink(frame, FRAME_PIXELS) for frame in kept.frames]
    height, width = pictures[0].shape[:2]
    frames = []
    for index, picture in enumerate(pictures):
        views: list[dict[str, Any]] = []
        before = kept.queries[counts[0]][index].tolist()
        for count in counts:
            attention, queries = kept.attention[count][index].numpy(), kept.queries[count][index].tolist()
            heat = attention.max(axis=0)
            grid_size = round(len(heat) ** 0.5)
            levels = np.sqrt(heat / strongest).reshape(grid_size, grid_size)
            views.append(
                {
                    "heat": data_uri(heat_image((255 * levels).round().astype(np.uint8)), "PNG"),
                    "peaks": peaks_of(kept_tokens(attention, queries, before, width, height)),
                    "brightest": place_of(*divmod(int(heat.argmax()), grid_size)),
                }
            )
            before = queries
        time = f"{kept.times[index]:.2f} s" if kept.times is not None else f"frame {index + 1}"
        uri = data_uri(Image.fromarray(picture), "JPEG", quality=JPEG_QUALITY)
        frames.append({"picture": uri, "time": time, "views": views})
    return {"name": kept.video, "width": width, "height": height, "frames": frames}
