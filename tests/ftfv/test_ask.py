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
`ftfv ask`: answers alone on stdout, from a video that is encoded once, and for bad input one line that says what, what
was expected and how to mend it.
"""

import io
import json

import av
import numpy as np
import pytest
from transformers import pipeline

from ftfv import FTFVVisionModel
from ftfv.ask import read_questions
from ftfv.cli import main


QUESTION = "which way does the shape move ?"


@pytest.fixture
def ask(saved_folder, clip):
    def run(video=clip, *words, model=saved_folder):
        return main(["ask", str(video), *words, "--model", str(model), "--max-new-tokens", "3"])

    return run


def test_the_answer_is_all_that_stdout_gets(ask, clip, capsys):
    assert ask(clip, QUESTION) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_json_is_one_document(ask, clip, capsys):
    assert ask(clip, "which way ?", "--tokens-per-frame", "2", "--num-frames", "3", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["video"] == clip and document["question"] == "which way ?"
    assert document["tokens_per_frame"] == 2


def test_trades_reach_the_vision_tower(ask, clip, capsys, monkeypatch):
    calls, forward = [], FTFVVisionModel.forward

    def record(self, pixel_values, return_dict, **kwargs):
        calls.append((tuple(pixel_values.shape), kwargs))
        return forward(self, pixel_values, **kwargs)

    monkeypatch.setattr(FTFVVisionModel, "forward", record)
    trades = [
        "--frame-size",
        "28",
        "--skip-unchanged-patches",
        "0.75",
        "--merge-patches",
        "0.25",
        "--merge-layers",
        "1",
    ]
    assert ask(clip, QUESTION, *trades) == 0
    options = {"skip_unchanged_patches": 0.75, "clip_lengths": [8], "merge_patches": 0.25, "merge_layers": 1}
    assert calls == [((8, 3, 28, 28), options)]
    calls.clear()
    assert ask(clip, QUESTION) == 0 and calls == [((8, 3, 42, 42), {})]


@pytest.fixture
def encoded(monkeypatch):
    """How many frames went through the vision tower in each of its calls."""
    calls, forward = [], FTFVVisionModel.forward

    def count(self, pixel_values, **kwargs):
        calls.append(len(pixel_values))
        return forward(self, pixel_values, **kwargs)

    monkeypatch.setattr(FTFVVisionModel, "forward", count)
    return calls


QUESTIONS = ["which way ?", "what moves ?", "what does the red circle ?"]


def test_several_questions_are_answered_each_by_itself(ask, clip, capsys, encoded):
    alone = []
    for question in QUESTIONS:
        assert ask(clip, question) == 0
        alone.append(capsys.readouterr().out)
    encoded.clear()
    assert ask(clip, *QUESTIONS) == 0
    assert capsys.readouterr().out == "".join(alone) and encoded == [8]
    assert ask(clip, *QUESTIONS, "--json", "--tokens-per-frame", "2") == 0
    document = json.loads(capsys.readouterr().out)
    assert [turn["question"] for turn in document["answers"]] == QUESTIONS and document["tokens_per_frame"] == 2


def test_questions_may_stand_behind_options(saved_folder, clip, capsys):
    options = ["--model", str(saved_folder), "--max-new-tokens", "3"]
    assert main(["ask", clip, *QUESTIONS[:2], *options]) == 0
    together = capsys.readouterr().out
    assert main(["ask", clip, *options, *QUESTIONS[:2]]) == 0
    assert capsys.readouterr().out == together
    assert main(["ask", clip, QUESTIONS[0], *options, QUESTIONS[1]]) == 0
    assert capsys.readouterr().out == together
    with pytest.raises(SystemExit, match="2"):
        main(["ask", clip, *options, QUESTIONS[0], "--fast"])
    assert "unrecognized arguments:" in capsys.readouterr().err


def test_a_conversation_keeps_its_turns(ask, clip, saved_folder, capsys, monkeypatch, encoded):
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join([QUESTIONS[0], "", "  ", *QUESTIONS[1:]])))
    assert ask(clip) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 and encoded == [8]

    pipe = pipeline("video-text-to-text", model=str(saved_folder))
    chat = []
    for question, line in zip(QUESTIONS, lines, strict=True):
        video = [] if chat else [{"type": "video", "path": clip}]
        chat.append({"role": "user", "content": [*video, {"type": "text", "text": question}]})
        (answer,) = pipe(text=chat, max_new_tokens=3, do_sample=False, return_full_text=False)
        assert line == answer["generated_text"].strip()
        chat.append({"role": "assistant", "content": [{"type": "text", "text": line}]})


def test_a_conversation_without_questions_ends(ask, clip, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert ask(clip, "--json") == 0
    assert json.loads(capsys.readouterr().out)["answers"] == []


def test_a_person_is_prompted_on_stderr(capsys, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr("sys.stdin", Terminal("which ?\n\n what ? "))
    assert list(read_questions()) == ["which ?", "what ?"]
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err == "> " * 4


def test_features_are_kept_in_a_folder(ask, clip, tmp_path, capsys, encoded):
    folder = tmp_path / "features"
    for _ in range(2):
        assert ask(clip, "which way ?", "--cache", str(folder)) == 0
    assert ask(clip, "which way ?") == 0
    assert len(set(capsys.readouterr().out.splitlines())) == 1
    assert encoded == [8, 8] and len(list(folder.rglob("*.safetensors"))) == 1


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

    assert ask(write_bad_media(kind, tmp_path), QUESTION) == 1
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
        (
            "what ?",
            ["--frame-size", "30"],
            "--frame-size is 30; expected a multiple of the vision tower's patch size, 7",
        ),
        ("what ?", ["--merge-patches", "1"], "`merge_patches` is 1.0; expected a share from 0 to less than 1"),
        ("  ", [], "The question is empty; expected text to answer"),
    ],
)
def test_bad_arguments_give_one_line(ask, clip, capsys, question, options, message):
    assert ask(clip, question, *options) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    [line] = captured.err.splitlines()
    assert line.startswith("ftfv ask: error: ") and message in line, line


def test_bad_models_give_one_line(ask, clip, tmp_path, capsys):
    assert ask(clip, QUESTION, model=tmp_path / "nothing") == 1
    assert "No model folder" in capsys.readouterr().err
    assert ask(clip, QUESTION, model=tmp_path) == 1
    assert "No config.json in the folder" in capsys.readouterr().err
    (tmp_path / "adapter_config.json").write_text("{}")
    assert ask(clip, QUESTION, model=tmp_path) == 1
    assert "Merge it with `ftfv merge` first" in capsys.readouterr().err
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    assert ask(clip, QUESTION, model=tmp_path) == 1
    assert "is of type 'llama'; expected 'ftfv'" in capsys.readouterr().err
