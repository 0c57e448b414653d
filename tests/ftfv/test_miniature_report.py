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
"""The report of `ftfv miniature`: what is done is shown, and what is not says so."""

import pytest

from ftfv.evaluation.scores.scoring import Score, scores_to_dict
from ftfv.miniature_report import write_miniature_report


def scores(**correct):
    return scores_to_dict({skill: Score.from_counts(count, 100) for skill, count in correct.items()})


@pytest.fixture
def results():
    duration = {"seconds": 50.0, "first_step": 0, "last_step": 100, "batch_size": 32}
    return {
        "pictures": {"num_pictures": 20000, "questions_per_skill": 100},
        "join": {"num_parameters": 985600},
        "align": {"scores": scores(shape=30, direction=25), **duration},
        "instruct": {"scores": scores(shape=97, direction=26), **duration},
    }


def test_unfinished_stages_are_not_measured(results, tmp_path):
    write_miniature_report(tmp_path / "report.md", results)
    report = (tmp_path / "report.md").read_text()
    assert "985,600 parameters" in report
    assert "97.0 (91.5 to 99.0)" in report and "| pretrain " not in report
    assert "## Video stages\n\nNot measured." in report
    assert "| instruct |" in report and "0.50 |" in report


def test_video_stages_show_seeds_floors_and_every_k(results, tmp_path):
    video = {
        "scores": scores(shape=60, direction=90),
        "floor": scores(direction=27),
        "tokens_per_frame": {
            sampler: {"4": scores(direction=88), "8": scores(direction=90)} for sampler in ("weighted", "random")
        },
        "seconds": 100.0,
        "first_step": 0,
        "last_step": 1000,
    }
    results |= {
        "clips": {"num_clips": 3000, "num_joint_pictures": 8000, "num_joint_clips": 2000},
        "figures": {"s4v_seed0": video, "s4v_seed1": video, "s3iv": video},
    }
    write_miniature_report(tmp_path / "report.md", results)
    report = (tmp_path / "report.md").read_text()
    for text in (
        "S4-V, seed 1",
        "floor, seed 0",
        "floor, S3-IV",
        "K = 4",
        "highest response, seed 1",
        "random, seed 0",
    ):
        assert text in report
    assert "before (instruct)" in report and "0.10 |" in report
