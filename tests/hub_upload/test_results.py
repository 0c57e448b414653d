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
"""Results for the card, from the Hub's own format and from scores."""

import json

import pytest
import yaml
from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml

from ftfv.evaluation.scores.scoring import Score, scores_to_dict
from ftfv.hub_upload.results import model_index, read_results, results_table


@pytest.fixture
def entries_file(tmp_path):
    entry = EvalResultEntry(dataset_id="org/bench", task_id="default", value=51.2, notes="8 frames")
    path = tmp_path / "bench.yaml"
    path.write_text(yaml.safe_dump(eval_result_entries_to_yaml([entry])))
    return path


@pytest.fixture
def scores_file(tmp_path):
    path = tmp_path / "shapes.json"
    path.write_text(json.dumps({"scores": scores_to_dict({"count": Score.from_counts(30, 40)})}))
    return path


def test_entries_of_the_hub(entries_file):
    results = read_results(entries_file)
    assert (results.name, results.entries[0].value, results.scores) == ("bench", 51.2, None)
    (entry,) = model_index([results])
    assert (entry.dataset_type, entry.dataset_config, entry.metric_value) == ("org/bench", "default", 51.2)
    assert results_table([results]).splitlines()[-1].split("|")[1:-1] == [
        " org/bench ",
        " default ",
        "  51.2 ",
        " 8 frames ",
    ]


def test_scores(scores_file):
    results = read_results(scores_file)
    (entry,) = model_index([results])
    assert (entry.dataset_name, entry.dataset_config, entry.metric_type, entry.metric_value) == (
        "shapes",
        "count",
        "accuracy",
        75.0,
    )
    assert "75.0 (59.8 to 85.8)" in results_table([results]) and "40 questions" in results_table([results])


@pytest.mark.parametrize(
    ("name", "text"),
    [("a.json", "{}"), ("a.json", "no"), ("a.json", '{"scores": [1]}'), ("a.yaml", "- value: 3"), ("a.yaml", "3")],
)
def test_what_holds_no_results(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=r"holds no results \(.*expected a list of `dataset`"):
        read_results(tmp_path / name)


def test_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="No results .*expected a .yaml file"):
        read_results(tmp_path / "gone.yaml")
