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
`ftfv ask`: one answer on stdout, and for bad input one line that says what, what was expected and how to mend it.
"""

import json

import av
import numpy as np
import pytest

from ftfv.cli import main


@pytest.fixture
def ask(saved_folder, clip):
    def run(video=clip, question="which way does the shape move ?", *options, model=saved_folder):
        return main(["ask", str(video), question, "--model", str(model), "--max-new-tokens", "3", *options])

    return run


def test_the_answer_is_all_that_stdout_gets(ask, capsys):
    assert ask() == 0
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_json_is_one_document(ask, clip, capsys):
    assert ask(clip, "which way ?", "--tokens-per-frame", "2", "--num-frames", "3", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["video"] == clip and document["question"] == "which way ?"
    assert document["tokens_per_frame"] == 2


def test_more_frames_than_there_are_give_all_of_them(ask, clip, caplog):
    assert ask(clip, "which way ?", "--num-frames", "5000") == 0
    assert [record.getMessage() for record in caplog.records] == [
        "5000 frames were asked for but the video has 20; all of them are used."
    ]


def test_a_placeholder_in_the_question_is_text(ask, clip, capsys):
    assert ask(clip, "<video> what </s> ?", "--json") == 0
    assert json.loads(capsys.readouterr().out)["question"] == "<video> what </s> ?"


def write_bad_media(kind, folder):
    path = folder / f"{kind}.mp4"
    if kind == "empty":
        path.touch()
    elif kind == "text":
        path.write_text("not a video at all\n" * 50)
    elif kind == "truncated":
        whole = folder / "whole.mp4"
        write_clip(whole)
        path.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    elif kind == "audio":
        with av.open(str(path), "w") as container:
            stream = container.add_stream("aac", rate=16000, layout="mono")
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 16000), dtype=np.float32), format="fltp", layout="mono")
            frame.sample_rate = 16000
            container.mux([*stream.encode(frame), *stream.encode(None)])
    return path


def write_clip(path):
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        noise = np.random.default_rng(0).integers(0, 255, (20, 64, 64, 3), dtype=np.uint8)
        for image in noise:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("missing", "No file .*missing.mp4.*; expected an existing file"),
        ("empty", "is empty; expected a video or an image"),
        ("text", "cannot be decoded by .*Expected a complete video file"),
        ("truncated", "(ends early: .* of the 8 sampled frames are missing|cannot be decoded by)"),
        ("audio", "holds no video frames; expected a file with a video stream"),
    ],
)
def test_bad_media_give_one_line(ask, tmp_path, capsys, kind, message):
    import re

    assert ask(write_bad_media(kind, tmp_path)) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    [line] = captured.err.splitlines()
    assert line.startswith("ftfv ask: error: ") and re.search(message, line), line


@pytest.mark.parametrize(
    ("question", "options", "message"),
    [
        ("what ?", ["--tokens-per-frame", "0"], "`tokens_per_frame` is 0; expected 1 to 16"),
        ("what ?", ["--tokens-per-frame", "17"], "`tokens_per_frame` is 17; expected 1 to 16"),
        ("what ?", ["--num-frames", "0"], "--num-frames is 0; expected at least 1"),
        ("  ", [], "The question is empty; expected text to answer"),
    ],
)
def test_bad_arguments_give_one_line(ask, clip, capsys, question, options, message):
    assert ask(clip, question, *options) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    [line] = captured.err.splitlines()
    assert line.startswith("ftfv ask: error: ") and message in line, line


def test_bad_models_give_one_line(ask, tmp_path, capsys):
    assert ask(model=tmp_path / "nothing") == 1
    assert "No model folder" in capsys.readouterr().err
    assert ask(model=tmp_path) == 1
    assert "No config.json in the folder" in capsys.readouterr().err
    (tmp_path / "adapter_config.json").write_text("{}")
    assert ask(model=tmp_path) == 1
    assert "Merge it with `ftfv merge` first" in capsys.readouterr().err
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    assert ask(model=tmp_path) == 1
    assert "is of type 'llama'; expected 'ftfv'" in capsys.readouterr().err
