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
"""The demo: its steps for real, at a size that a test can afford."""

import json

import pytest
from PIL import Image

import ftfv.demo
import ftfv.training.stages
from ftfv.cli import main


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """A demo of 8 clips and 2 training steps."""
    folder = tmp_path_factory.mktemp("demo") / "demo"
    original = ftfv.training.stages.run_stage
    options = {"max_steps": 2, "save_steps": 1, "per_device_train_batch_size": 2, "dataloader_num_workers": 0}

    def run_short(*args, **kwargs):
        return original(*args, overrides=options, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ftfv.training.stages, "run_stage", run_short)
        command = ["demo", "--output", str(folder), "--clips", "8", "--questions-per-skill", "12"]
        assert main(command) == 0
    return folder, command


def test_every_step_leaves_its_result(demo):
    folder, _ = demo
    assert sorted(path.stem for path in (folder / "results").iterdir()) == sorted(
        ["clips", *(step.name for step in ftfv.demo.LATER_STEPS)]
    )


def test_the_report_shows_every_skill_and_every_k(demo):
    folder, _ = demo
    report = (folder / "report.md").read_text()
    for word in ("direction", "appears_first", "moves_first", "turns", "shape", "left_right", "top_bottom", "count"):
        assert f"| {word}" in report
    assert all(f"K = {count}" in report for count in ftfv.demo.TOKENS_PER_FRAME)
    assert "frames shuffled" in report and "What these figures do not show" in report


def test_plot_and_picture_are_there(demo):
    folder, _ = demo
    for name in ("accuracy_and_cost.png", "look.png"):
        assert Image.open(folder / name).width >= 1000


def test_three_answers_come_from_a_process_with_remote_code(demo):
    folder, _ = demo
    answers = json.loads((folder / "results" / "ask.json").read_text())
    assert len(answers) == 3
    assert all(answer["video"].endswith(".mp4") and answer["truth"] for answer in answers)
    assert all(isinstance(answer["answer"], str) for answer in answers)


def test_a_rerun_does_nothing_again(demo, capsys):
    _, command = demo
    assert main(command) == 0
    captured = capsys.readouterr()
    assert captured.err.count("done before") == 1 + len(ftfv.demo.LATER_STEPS)
    assert captured.out.count("Q: ") == 3 and "Report: " in captured.out


def test_json_is_one_document(demo, capsys):
    _, command = demo
    assert main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["clips"]["num_clips"] == 8
