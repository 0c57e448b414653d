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
"""Evaluation results for a card: entries in the Hub's own format, and scores as evaluation writes them."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from huggingface_hub import EvalResult, EvalResultEntry, parse_eval_result_entries

from ..evaluation.formatting import format_table
from ..evaluation.scores.scoring import Score, format_score, scores_from_dict


TASK = "video-text-to-text"


@dataclass(frozen=True)
class Results:
    """
    What one file holds.

    Attributes:
        name (`str`): of the file, without its suffix.
        entries (`tuple[EvalResultEntry, ...]`): results on data sets of the Hub, from a `.yaml` file.
        scores (`Mapping[str, Score]`): accuracy by skill on a data set of one's own, from a `.json` file.
    """

    name: str
    entries: tuple[EvalResultEntry, ...] = ()
    scores: Mapping[str, Score] | None = None


def read_results(path: str | Path) -> Results:
    """
    Reads a `.yaml` file in the format of `.eval_results/` (https://huggingface.co/docs/hub/eval-results), or a `.json`
    file with `scores` from [`scores_to_dict`].

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is neither.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"No results {str(path)!r}; expected a .yaml file in the Hub's format, or a .json file."
        )
    text = path.read_text(encoding="utf-8")
    try:
        if path.suffix == ".yaml":
            return Results(path.stem, entries=tuple(parse_eval_result_entries(yaml.safe_load(text))))
        return Results(path.stem, scores=scores_from_dict(json.loads(text)["scores"]))
    except (KeyError, TypeError, AttributeError, ValueError, yaml.YAMLError) as error:
        raise ValueError(
            f"{str(path)!r} holds no results ({type(error).__name__}: {error}); expected a list of `dataset` with "
            "`id` and `task_id`, and `value`, in a .yaml file, or `scores` by skill in a .json file."
        ) from None


def model_index(results: Iterable[Results]) -> list[EvalResult]:
    """All results as entries of a card's `model-index`; accuracies are in percent."""
    found = []
    for result in results:
        for entry in result.entries:
            found.append(
                EvalResult(
                    task_type=TASK,
                    dataset_type=entry.dataset_id,
                    dataset_name=entry.dataset_id,
                    dataset_config=entry.task_id,
                    metric_type="score",
                    metric_value=entry.value,
                )
            )
        for skill, score in (result.scores or {}).items():
            found.append(
                EvalResult(
                    task_type=TASK,
                    dataset_type=result.name,
                    dataset_name=result.name,
                    dataset_config=skill,
                    metric_type="accuracy",
                    metric_value=round(100 * score.accuracy, 2),
                )
            )
    return found


def results_table(results: Sequence[Results]) -> str:
    """A Markdown table of all results."""
    lines = []
    for result in results:
        for entry in result.entries:
            lines.append([entry.dataset_id, entry.task_id, str(entry.value), entry.notes or ""])
        for skill, score in (result.scores or {}).items():
            lines.append([result.name, skill, format_score(score), f"{score.total} questions"])
    return format_table(["data set", "task", "value", "notes"], lines)
