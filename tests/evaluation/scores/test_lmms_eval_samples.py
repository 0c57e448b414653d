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
"""Predictions out of lmms-eval's files of samples."""

import json

import pytest

from ftfv.evaluation.scores.lmms_eval_samples import read_samples, samples_by_question


def sample(doc_id, prediction, **others):
    return {"doc_id": doc_id, "filtered_resps": prediction, "target": "A", "input": f"question {doc_id}", **others}


def write(path, *records):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records))
    return path


def test_samples_come_by_task_and_number_from_the_latest_run(tmp_path):
    folder = tmp_path / "results" / "org__model"
    write(folder / "20261123_031500_samples_mvbench_action_count.jsonl", sample(0, "old"))
    latest = "20261124_011500_samples_mvbench_action_count.jsonl"
    write(folder / latest, sample(1, "(B)\u2028", score=1), sample(0, ["A"]))
    write(folder / "20261123_031500_samples_seedbench.jsonl", sample(0, ""))
    write(folder / "20261123_031500_results.json", {"results": {}})
    samples = read_samples(tmp_path / "results")
    assert samples == {
        "mvbench_action_count": [
            {"doc_id": 0, "prediction": "A", "doc": {"target": "A", "input": "question 0"}},
            {"doc_id": 1, "prediction": "(B)\u2028", "doc": {"target": "A", "input": "question 1", "score": 1}},
        ],
        "seedbench": [{"doc_id": 0, "prediction": "", "doc": {"target": "A", "input": "question 0"}}],
    }
    assert read_samples(folder / latest) == {"mvbench_action_count": samples["mvbench_action_count"]}


def test_what_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="No file or folder .*nowhere"):
        read_samples(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=r"No file \*_samples_TASK\.jsonl"):
        read_samples(tmp_path)
    with pytest.raises(ValueError, match=r"named 'answers\.jsonl'; expected TIME_samples_TASK\.jsonl"):
        read_samples(write(tmp_path / "answers.jsonl"))


@pytest.mark.parametrize(
    ("records", "message"),
    [
        (['{"doc_id": 0, "filt'], "line 1: no JSON"),
        ([json.dumps({"doc_id": 0})], "line 1: no filtered_resps; expected a sample of lmms-eval"),
        (["[]"], "line 1: no doc_id and no filtered_resps"),
        ([json.dumps(sample(0, "A")), json.dumps(sample(0, "B"))], "line 2: document 0 again"),
        ([json.dumps(sample(0, [[1.5, False], [0.5, True]]))], "expected a number and a text"),
        ([json.dumps(sample("0", "A"))], "`doc_id` is '0'"),
    ],
)
def test_a_line_that_is_no_sample_is_named(tmp_path, records, message):
    path = tmp_path / "20261123_samples_toy.jsonl"
    path.write_text("\n".join(records) + "\n")
    with pytest.raises(ValueError) as raised:
        read_samples(path)
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("task", "said", "name", "question_id"),
    [
        ("mvbench_fine_grained_pose", {}, "mvbench", "fine_grained_pose/7"),
        ("activitynetqa", {"gpt_eval_score": {"question_id": "v_x_4"}}, "activitynet_qa", "v_x_4"),
        ("mmbench_en_dev_static", {"gpt_eval_score": {"index": 2000241}}, "mmbench_en", "2000241"),
        ("mmbench_cn_dev", {"gpt_eval_score": {"index": 241}}, "mmbench_cn", "241"),
        ("seedbench", {"seed_all": {"question_id": "101669"}}, "seed_bench", "101669"),
        ("msrvtt_qa", {"exact": {"id": "7010_0"}}, "msrvtt_qa", "7010_0"),
        ("video_bench_driving_exam", {"strict": {"id": "Driving-exam/v_1"}}, "video_bench", "Driving-exam/v_1"),
    ],
)
def test_samples_are_found_by_our_ids(task, said, name, question_id):
    one = {"doc_id": 7, "prediction": "A", "doc": {"input": "question", **said}}
    assert samples_by_question(task, [one]) == (name, {question_id: one})


def test_samples_without_an_id_are_refused():
    one = {"doc_id": 7, "prediction": "A", "doc": {"bypass": 999}}
    with pytest.raises(ValueError, match="Document 7 of seedbench has no `question_id` in `seed_all`"):
        samples_by_question("seedbench", [one])
    with pytest.raises(ValueError, match="The task 'mme' is of none of our benchmarks"):
        samples_by_question("mme", [one])
