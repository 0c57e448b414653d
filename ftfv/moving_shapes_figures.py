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
The figures of a model on a MovingShapes evaluation set: accuracy by skill, the shuffled-frames floor, accuracy against
K.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .evaluation.asking.encoded_rows import answer_encoded_rows, encode_rows
from .evaluation.scores.scoring import score_by_skill, scores_to_dict
from .modeling_ftfv.modeling_ftfv import FTFVForConditionalGeneration
from .processing.processing_ftfv import FTFVProcessor
from .training.data.dataset_folder import read_rows
from .training.data.moving_shapes.questions import IMAGE_SKILLS, TEMPORAL_SKILLS


def measure_skills(
    model_folder: str | Path,
    evaluation_folder: str | Path,
    *,
    tokens_per_frame: int | None = None,
    floor: bool = False,
) -> dict[str, Any]:
    """
    Accuracy by skill, images and videos.

    Args:
        model_folder (`str` or `Path`): model to ask.
        evaluation_folder (`str` or `Path`): from `write_evaluation_set`.
        tokens_per_frame (`int`, *optional*): K, the model's own by default.
        floor (`bool`, *optional*, defaults to `False`): whether to ask again about the clips with their frames
            shuffled.

    Returns:
        `dict` with `scores`, and `floor` if asked for: from skill to `correct`, `total`, `accuracy` and the 95 %
        interval `low`, `high`.
    """
    model, processor, rows = _load(model_folder, evaluation_folder)
    measured = {}
    encoded = encode_rows(model, processor, rows, media_root=evaluation_folder, description="    looking")
    answers = answer_encoded_rows(
        model, processor, encoded, tokens_per_frame=tokens_per_frame, description="    answering"
    )
    measured["scores"] = scores_to_dict(score_by_skill(answers))
    if floor:
        clips = [row for row in rows if row["skill"] in TEMPORAL_SKILLS]
        encoded = encode_rows(
            model,
            processor,
            clips,
            media_root=evaluation_folder,
            shuffle_frames=True,
            description="    looking, shuffled",
        )
        answers = answer_encoded_rows(
            model, processor, encoded, tokens_per_frame=tokens_per_frame, description="    answering, shuffled"
        )
        measured["floor"] = scores_to_dict(score_by_skill(answers))
    return measured


def measure_tokens_per_frame(
    model_folder: str | Path,
    evaluation_folder: str | Path,
    *,
    skills: Sequence[str],
    tokens_per_frame: Sequence[int],
    token_samplers: Sequence[str] = ("weighted", "random"),
) -> dict[str, dict[str, dict[str, Any]]]:
    """
    Accuracy of one set of weights at several K and with several token samplers.

    Returns:
        From token sampler to K (as text, for JSON) to skill to score.
    """
    model, processor, rows = _load(model_folder, evaluation_folder)
    rows = [row for row in rows if row["skill"] in skills]
    encoded = encode_rows(model, processor, rows, media_root=evaluation_folder, description="    looking")
    measured: dict[str, dict[str, dict[str, Any]]] = {}
    for token_sampler in token_samplers:
        measured[token_sampler] = {}
        for count in tokens_per_frame:
            answers = answer_encoded_rows(
                model,
                processor,
                encoded,
                tokens_per_frame=count,
                token_sampler=token_sampler,
                description=f"    answering, {token_sampler}, K = {count}",
            )
            measured[token_sampler][str(count)] = scores_to_dict(score_by_skill(answers))
    return measured


def measure_model(
    model_folder: str | Path,
    evaluation_folder: str | Path,
    *,
    skills: Sequence[str],
    tokens_per_frame: Sequence[int] = (),
) -> dict[str, Any]:
    """
    Accuracy by skill, in order and with frames shuffled, at the model's own K and at others; each clip is encoded once
    for all K.

    Args:
        model_folder (`str` or `Path`): model to ask.
        evaluation_folder (`str` or `Path`): from `write_evaluation_set`.
        skills (`Sequence[str]`): what is asked at other K.
        tokens_per_frame (`Sequence[int]`, *optional*): those K.

    Returns:
        `dict` with `scores` and `floor` (frames shuffled, clips only) of all skills at the model's own K, and
        `by_tokens_per_frame`, from K (as text, for JSON) to `scores` and `floor` of `skills`.
    """
    model, processor, rows = _load(model_folder, evaluation_folder)
    measured: dict[str, Any] = {"by_tokens_per_frame": {str(count): {} for count in tokens_per_frame}}
    clips = [row for row in rows if row["skill"] in TEMPORAL_SKILLS]
    for name, asked in (("scores", rows), ("floor", clips)):
        shuffled = {"shuffle_frames": name == "floor"}
        chosen = [row for row in asked if row["skill"] in skills]
        others = [row for row in asked if row["skill"] not in skills]
        scores: dict[str, Any] = {}
        for group, counts in ((others, ()), (chosen, tokens_per_frame)):
            if not group:
                continue
            encoded = encode_rows(
                model, processor, group, media_root=evaluation_folder, description="    looking", **shuffled
            )
            answers = answer_encoded_rows(model, processor, encoded, description="    answering")
            scores.update(scores_to_dict(score_by_skill(answers)))
            for count in counts:
                answers = answer_encoded_rows(
                    model, processor, encoded, tokens_per_frame=count, description=f"    answering, K = {count}"
                )
                measured["by_tokens_per_frame"][str(count)][name] = scores_to_dict(score_by_skill(answers))
        measured[name] = {skill: scores[skill] for skill in dict.fromkeys(row["skill"] for row in asked)}
    return measured


def _load(
    model_folder: str | Path, evaluation_folder: str | Path
) -> tuple[FTFVForConditionalGeneration, FTFVProcessor, list[dict]]:
    model = FTFVForConditionalGeneration.from_pretrained(model_folder, dtype="float32").eval()
    order = {skill: index for index, skill in enumerate((*IMAGE_SKILLS, *TEMPORAL_SKILLS))}
    rows = sorted(read_rows(evaluation_folder), key=lambda row: order[row["skill"]])
    return model, FTFVProcessor.from_pretrained(model_folder), rows
