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
"""`ftfv sweep` on the command line: real runs of a small grid, which are not done twice, and its errors."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
import yaml
from PIL import Image

import ftfv.sweep_cells
from ftfv.cli import main
from ftfv.sweep_cells import list_runs
from ftfv.sweep_grid import read_grid
from ftfv.training.data.frame_cache import cache_frames
from ftfv.training.data.moving_shapes import write_dataset, write_evaluation_set


IN_SMALL = {
    "max_steps": 3,
    "save_steps": 1,
    "per_device_train_batch_size": 2,
    "dataloader_num_workers": 0,
    "warmup_steps": 1,
}


@pytest.fixture(scope="module")
def image_model(tmp_path_factory):
    from ftfv.demo import _copy_image_model

    folder = tmp_path_factory.mktemp("start")
    _copy_image_model(folder, {})
    return folder / "image_model"


@pytest.fixture(scope="module")
def questions(tmp_path_factory):
    folder = tmp_path_factory.mktemp("questions") / "test"
    write_evaluation_set(folder, clips_per_skill=2, images_per_skill=2, seed=0, split="test", progress=False)
    return cache_frames(folder, progress=False)


@pytest.fixture
def grid(image_model, questions, tmp_path):
    """Writes a grid with these cells."""

    def write(**cells):
        evaluation = {"questions": str(questions), "skills": ["direction"], "tokens_per_frame": [2, 8]}
        path = tmp_path / "grid.yaml"
        path.write_text(
            yaml.safe_dump(
                {"title": "Mine", "seeds": [3, 4], "cells": cells, "evaluation": evaluation}, sort_keys=False
            )
        )
        return str(path)

    return write


def test_every_cell_is_asked_and_a_rerun_asks_nothing(grid, image_model, tmp_path, capsys):
    other = tmp_path / "other"
    shutil.copytree(image_model, other)
    command = ["sweep", grid(**{"one": str(image_model), "the same": str(other)}), "--output", str(tmp_path / "out")]
    assert main([*command, "--dry-run"]) == 0
    assert capsys.readouterr().out.splitlines() == ["one: to do", "the_same: to do"]
    assert main([*command, "--jobs", "2"]) == 0
    captured = capsys.readouterr()
    assert captured.out.strip() == str(tmp_path / "out" / "report.md")
    assert "[2/2]" in captured.err
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert list(results) == ["one", "the same"]
    measured = [{name: run[name] for name in ("scores", "floor", "by_tokens_per_frame")} for [run] in results.values()]
    assert measured[0] == measured[1]
    assert set(measured[0]["by_tokens_per_frame"]) == {"2", "8"}
    # The model's own K is 8.
    assert measured[0]["by_tokens_per_frame"]["8"]["scores"]["direction"] == measured[0]["scores"]["direction"]
    assert {score["total"] for score in measured[0]["scores"].values()} == {2}
    assert "answering" in (tmp_path / "out" / "one" / "log.txt").read_text()
    for name in ("plot.png", "tokens_per_frame.png"):
        assert Image.open(tmp_path / "out" / name).width > 500
    written = (tmp_path / "out" / "one" / "result.json").stat().st_mtime_ns
    assert main([*command, "--json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out) == results and "[" not in captured.err
    assert (tmp_path / "out" / "one" / "result.json").stat().st_mtime_ns == written
    grid(**{"one": str(other), "the same": str(other)})
    assert main(command) == 1
    assert f"{tmp_path}/out/one/result.json was made with other cell; take another --output" in capsys.readouterr().err


def test_a_run_that_fails_does_not_stop_the_others(grid, image_model, tmp_path, capsys):
    broken = tmp_path / "broken"
    shutil.copytree(image_model, broken)
    (broken / "model.safetensors").write_bytes(b"no weights")
    command = ["sweep", grid(bad=str(broken), good=str(image_model)), "--output", str(tmp_path / "out")]
    assert main([*command, "--jobs", "2"]) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("ftfv sweep: error: 1 of 2 runs failed: bad; their messages are above and in ")
    assert (tmp_path / "out" / "good" / "result.json").is_file()
    assert "Traceback" in (tmp_path / "out" / "bad" / "log.txt").read_text()
    shutil.copy(image_model / "model.safetensors", broken)
    assert main(command) == 0
    assert (tmp_path / "out" / "bad" / "result.json").is_file()


def test_what_is_missing_is_said_before_the_first_run(grid, image_model, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(ftfv.sweep_cells, "run_cells", lambda *args: pytest.fail("nothing should run"))
    output = ["--output", str(tmp_path / "out")]
    stage = {"recipe": "miniature/s4v", "model": str(image_model)}
    assert main(["sweep", grid(one=str(tmp_path / "absent")), *output]) == 1
    assert "No model folder" in capsys.readouterr().err
    assert main(["sweep", grid(one=[{**stage, "data": str(tmp_path / "absent")}]), *output]) == 1
    assert "error: Cell 'one': no data set folder" in capsys.readouterr().err
    path = grid(one=[stage])
    content = yaml.safe_load(open(path))
    content["evaluation"]["skills"] = ["jumps"]
    with open(path, "w") as stream:
        yaml.safe_dump(content, stream)
    assert main(["sweep", path, *output]) == 1
    assert "has no questions of the skill 'jumps', which the grid asks for." in capsys.readouterr().err
    assert main(["sweep", grid(one=[stage]), *output, "--jobs", "0"]) == 1
    assert "--jobs is 0; expected 1 or more." in capsys.readouterr().err
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert main(["sweep", grid(one=[stage]), *output, "--jobs", "2"]) == 1
    assert "a run takes all GPUs; leave out --jobs" in capsys.readouterr().err


def test_the_first_seed_of_all_cells_comes_first(grid):
    stage = {"recipe": "miniature/s4v", "model": "start"}
    runs = list_runs(read_grid(grid(before="start", a=[stage], b=[stage])))
    assert [run.name for run in runs] == ["before", "a/seed_3", "b/seed_3", "a/seed_4", "b/seed_4"]


@pytest.mark.slow
def test_two_stages_and_two_seeds_survive_a_kill(grid, image_model, tmp_path):
    data = tmp_path / "clips"
    write_dataset(data, num_clips=12, seed=4, progress=False)
    stage = {"recipe": "miniature/s4v", "data": str(cache_frames(data, progress=False)), "options": IN_SMALL}
    path = grid(image=str(image_model), twice=[{**stage, "model": str(image_model)}, stage])

    def start(output):
        command = [sys.executable, "-m", "ftfv", "sweep", path, "--output", str(output)]
        return subprocess.Popen(command, start_new_session=True)  # noqa: S603

    process = start(tmp_path / "killed")
    while not (tmp_path / "killed/twice/seed_3/stage_1/training/checkpoint-2/trainer_state.json").exists():
        assert process.poll() is None
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert start(tmp_path / "killed").wait() == 0
    assert start(tmp_path / "whole").wait() == 0
    results = [json.loads((tmp_path / name / "results.json").read_text()) for name in ("killed", "whole")]
    assert results[0] == results[1]
    assert [run["request"]["seed"] for run in results[0]["twice"]] == [3, 4]
    recipe = yaml.safe_load((tmp_path / "whole/twice/seed_4/stage_1/recipe.yaml").read_text())
    assert recipe["model_name_or_path"] == str(tmp_path / "whole/twice/seed_4/stage_0/model")
    assert recipe["seed"] == recipe["data_seed"] == 4
