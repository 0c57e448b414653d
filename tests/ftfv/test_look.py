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
"""`ftfv look`: a picture or a page of any clip with any model."""

import json

import pytest
from PIL import Image

from ftfv.cli import main


def test_a_picture_with_one_row_for_each_k(saved_folder, clip, tmp_path, capsys):
    command = ["look", clip, "--model", str(saved_folder), "--num-frames", "4", "--tokens-per-frame"]
    assert main([*command, "2", "--output", str(tmp_path / "one.png")]) == 0
    assert main([*command, "2", "8", "--output", str(tmp_path / "two.png"), "--question", "which way ?"]) == 0
    assert capsys.readouterr().out.split() == [str(tmp_path / "one.png"), str(tmp_path / "two.png")]
    one, two = (Image.open(tmp_path / name) for name in ("one.png", "two.png"))
    assert one.width > 500 and two.height > one.height
    # Colours, and not an empty canvas.
    assert len(one.convert("RGB").getcolors(maxcolors=10**6)) > 100


def test_trades_change_the_picture(saved_folder, clip, tmp_path):
    pictures = []
    for trade in ([], ["--frame-size", "28"], ["--skip-unchanged-patches", "0.9"], ["--merge-patches", "0.5"]):
        path = tmp_path / "look.png"
        assert main(["look", clip, "--model", str(saved_folder), "--output", str(path), *trade]) == 0
        pictures.append(path.read_bytes())
    assert len(set(pictures)) == len(pictures)


def test_a_page_for_a_name_that_says_so(saved_folder, clip, tmp_path, capsys):
    output = tmp_path / "look.html"
    command = ["look", clip, "--model", str(saved_folder), "--output", str(output), "--num-frames", "3"]
    assert main([*command, "--tokens-per-frame", "2", "8", "--question", "which way ?"]) == 0
    assert capsys.readouterr().out == f"{output}\n"
    page = output.read_text(encoding="utf-8")
    assert page.startswith("<!DOCTYPE html>") and page.count('<section class="frame"') == 3
    # The name of the folder, and not where it lies.
    assert f"<dd>{saved_folder.name}</dd>" in page and str(saved_folder.parent) not in page


@pytest.mark.parametrize("name", ["look.jpg", "look", "look.html.gz"])
def test_other_kinds_of_files_are_refused_before_anything_is_loaded(tmp_path, capsys, name):
    assert main(["look", "none.mp4", "--model", "none", "--output", str(tmp_path / name)]) == 1
    expected = f"--output is {str(tmp_path / name)!r}; expected a name that ends in .png or .html."
    assert capsys.readouterr().err == f"ftfv look: error: {expected}\n"


@pytest.mark.parametrize("count", ["0", "17"])
def test_k_out_of_range_is_refused(saved_folder, clip, tmp_path, capsys, count):
    command = ["look", clip, "--model", str(saved_folder), "--output", str(tmp_path / "look.png")]
    assert main([*command, "--tokens-per-frame", count]) == 1
    assert f"`tokens_per_frame` is {count}; expected 1 to 16" in capsys.readouterr().err
    assert not (tmp_path / "look.png").exists()


def make_folder(folder, clip):
    folder.mkdir()
    (folder / "clip.mp4").symlink_to(clip)
    line = {"video": "clip.mp4", "question": "which way ?", "ability": "direction of motion", "answer": "left"}
    (folder / "questions.jsonl").write_text(json.dumps(line), encoding="utf-8")
    return str(folder)


def test_a_folder_of_questions_becomes_a_sheet(saved_folder, clip, tmp_path, capsys):
    output = tmp_path / "sheet.html"
    command = ["look", make_folder(tmp_path / "cases", clip), "--model", str(saved_folder), "--output", str(output)]
    assert main([*command, "--tokens-per-frame", "2", "8", "--num-frames", "3"]) == 0
    assert capsys.readouterr().out == f"{output}\n"
    page = output.read_text(encoding="utf-8")
    assert page.startswith("<!DOCTYPE html>") and "(d) Direction of motion" in page and "24 visual tokens" in page
    assert f"<dd>{saved_folder.name}</dd>" in page and str(saved_folder.parent) not in page


def test_a_folder_of_frames_is_a_video(saved_folder, tmp_path):
    (tmp_path / "frames").mkdir()
    for index in range(3):
        Image.new("RGB", (48, 48), (80 * index, 90, 90)).save(tmp_path / "frames" / f"{index}.png")
    output = tmp_path / "look.html"
    assert main(["look", str(tmp_path / "frames"), "--model", str(saved_folder), "--output", str(output)]) == 0
    assert output.read_text(encoding="utf-8").count('<section class="frame"') == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--output", "look.png"],
            "--output is 'look.png'; expected a name that ends in .html for a folder of questions.",
        ),
        (
            ["--output", "a.html", "--question", "what ?"],
            "--question is given for a folder of questions; expected it in",
        ),
    ],
)
def test_what_a_folder_of_questions_has_no_use_for_is_refused(clip, tmp_path, capsys, options, message):
    assert main(["look", make_folder(tmp_path / "cases", clip), "--model", "none", *options]) == 1
    assert message in capsys.readouterr().err
