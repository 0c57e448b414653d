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
"""The pipeline: a video and a question, at a cost the caller chooses, and what it refuses."""

from typing import Any

import numpy as np
import pytest
import torch
from transformers import pipeline

from ftfv import VideoTextToTextPipeline
from ftfv.processing.pipeline_ftfv import check_agreement
from tests.tiny import (
    IMAGE_TOKEN_ID,
    VIDEO_TOKEN_ID,
    build_config,
    build_frames,
    build_model,
    build_processor,
    write_audio,
    write_video,
)


GREEDY: dict[str, Any] = {"max_new_tokens": 3, "min_new_tokens": 3, "do_sample": False}
GENERATE: dict[str, Any] = {"generate_kwargs": GREEDY}


class Recorder:
    """Runs `model.generate` and keeps what it was given."""

    def __init__(self, model: Any):
        self.generate, self.inputs = model.generate, {}

    def __call__(self, **kwargs: Any) -> Any:
        self.inputs = kwargs
        return self.generate(**kwargs)


@pytest.fixture
def pipe() -> VideoTextToTextPipeline:
    # The placeholder tokens of a model with random weights would be part of its answers.
    model = build_model()
    model.generation_config.suppress_tokens = list(range(6))
    return VideoTextToTextPipeline(model=model, processor=build_processor(padding_side="left"))


@pytest.fixture
def recorder(pipe, monkeypatch) -> Recorder:
    recorder = Recorder(pipe.model)
    monkeypatch.setattr(pipe.model, "generate", recorder)
    return recorder


def test_a_video_and_a_question(pipe, clip):
    (answer,) = pipe(videos=clip, text="what moves ?", return_full_text=False, **GENERATE)
    processor, model = pipe.processor, pipe.model
    inputs = processor.apply_chat_template(
        [{"role": "user", "content": [{"type": "video", "path": clip}, {"type": "text", "text": "what moves ?"}]}],
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
        add_generation_prompt=True,
    )
    generated = model.generate(**inputs, **GREEDY)[0, inputs["input_ids"].shape[1] :]
    assert len(generated) == 3 and answer["generated_text"].split() == processor.decode(generated).split()


@pytest.mark.parametrize("tokens_per_frame", [1, 7, 16])
def test_the_cost_is_chosen_per_call(pipe, recorder, clip, tokens_per_frame):
    pipe(videos=clip, text="what moves ?", tokens_per_frame=tokens_per_frame, **GENERATE)
    assert recorder.inputs["tokens_per_frame"].tolist() == [tokens_per_frame]
    assert (recorder.inputs["input_ids"] == VIDEO_TOKEN_ID).sum() == 8 * tokens_per_frame
    pipe(videos=clip, text="what moves ?", **GENERATE)
    assert recorder.inputs["tokens_per_frame"].tolist() == [4]


def test_num_frames_is_clipped_to_the_video_with_one_line(pipe, recorder, clip, caplog):
    pipe(videos=clip, text="what moves ?", num_frames=5, **GENERATE)
    assert recorder.inputs["video_frame_mask"].shape == (1, 5) and not caplog.records
    pipe(videos=clip, text="what moves ?", num_frames=5000, **GENERATE)
    assert recorder.inputs["video_frame_mask"].shape == (1, 20)
    messages = [record.getMessage() for record in caplog.records]
    assert messages == ["5000 frames were asked for but the video has 20; all of them are used."]


def test_processor_arguments_travel_beside_ours(pipe, recorder, clip):
    arguments = {"clip": (0.0, 0.6)}
    pipe(videos=clip, text="what ?", tokens_per_frame=2, num_frames=3, processor_kwargs=arguments, **GENERATE)
    assert recorder.inputs["tokens_per_frame"].tolist() == [2]
    assert recorder.inputs["video_frame_mask"].shape == (1, 3)
    assert arguments == {"clip": (0.0, 0.6)}


def test_several_videos(pipe, clip, tmp_path):
    short = write_video(tmp_path / "short.mp4", 3)
    questions = ["what moves ?", "which way ?"]
    alone = [pipe(videos=video, text=text, **GENERATE) for video, text in zip([clip, short], questions, strict=True)]
    for batch_size in (1, 2):
        together = pipe(videos=[clip, short], text=questions, batch_size=batch_size, **GENERATE)
        assert [answer[0]["generated_text"] for answer in together] == [a[0]["generated_text"] for a in alone]


def test_chats(pipe, clip):
    content = [{"type": "video", "path": clip}, {"type": "text", "text": "what moves ?"}]
    (answer,) = pipe(text=[{"role": "user", "content": content}], return_full_text=False, **GENERATE)
    (same,) = pipe(videos=clip, text="what moves ?", return_full_text=False, **GENERATE)
    assert answer["generated_text"] == same["generated_text"]
    followed_up = [
        {"role": "user", "content": content},
        {"role": "assistant", "content": [{"type": "text", "text": "left"}]},
        {"role": "user", "content": [{"type": "text", "text": "what ?"}]},
    ]
    (answer,) = pipe(text=followed_up, **GENERATE)
    assert answer["generated_text"][-1]["role"] == "assistant"


def test_arrays(pipe):
    (answer,) = pipe(videos=build_frames(9), text="what moves ?", **GENERATE)
    assert answer["generated_text"]


def test_a_question_without_text_raises(pipe, clip):
    for question in (None, "", "  \n"):
        with pytest.raises(ValueError, match="The question is empty; expected text to answer"):
            pipe(videos=clip, text=question)


@pytest.mark.parametrize("token", ["<video>", "<image>", "</s>"])
def test_control_tokens_of_a_question_stay_text(pipe, recorder, clip, token):
    pipe(videos=clip, text=f"what {token} moves ?", **GENERATE)
    ids = recorder.inputs["input_ids"][0].tolist()
    assert ids.count(VIDEO_TOKEN_ID) == 8 * 4 and "moves" in pipe.tokenizer.convert_ids_to_tokens(ids)
    assert not {IMAGE_TOKEN_ID, pipe.tokenizer.eos_token_id} & set(ids)


def test_questions_for_another_number_of_videos_raise(pipe, clip):
    with pytest.raises(ValueError, match="2 questions for 1 videos; expected one question per video"):
        pipe(videos=[clip], text=["what ?", "which ?"])


def test_control_tokens_of_a_chat_stay_text_and_come_back_as_they_were(pipe, recorder, clip):
    content = [{"type": "video", "path": clip}, {"type": "text", "text": "<video> what </s> ?"}]
    for chat in (
        [{"role": "user", "content": content}],
        # The last one is continued.
        [
            {"role": "user", "content": content},
            {"role": "assistant", "content": [{"type": "text", "text": "a <video>"}]},
        ],
    ):
        (answer,) = pipe(text=chat, **GENERATE)
        assert (recorder.inputs["input_ids"] == VIDEO_TOKEN_ID).sum() == 8 * 4
        assert pipe.tokenizer.eos_token_id not in recorder.inputs["input_ids"]
        assert answer["generated_text"][0] == chat[0]
    assert answer["generated_text"][1]["content"][0]["text"].startswith("a <video>")


def test_marks_in_a_plain_prompt_count(pipe, clip):
    with pytest.raises(ValueError, match="Found 1 <video> tokens in the text but no videos were passed"):
        pipe(text="<video> what ?")


@pytest.mark.parametrize("tokens_per_frame", [0, 17])
def test_tokens_per_frame_out_of_range_raises(pipe, clip, tokens_per_frame):
    with pytest.raises(ValueError, match=f"`tokens_per_frame` is {tokens_per_frame}; expected 1 to 16"):
        pipe(videos=clip, text="what ?", tokens_per_frame=tokens_per_frame)


def test_no_frames_raise(pipe, clip):
    with pytest.raises(ValueError, match="0 frames are asked for but the video has 20"):
        pipe(videos=clip, text="what ?", num_frames=0)


@pytest.mark.parametrize("kind", ["missing", "empty", "text", "truncated", "audio"])
def test_bad_files_raise_in_one_line(pipe, tmp_path, kind):
    path = tmp_path / "clip.mp4"
    if kind == "empty":
        path.touch()
    elif kind == "text":
        path.write_text("This is no video.\n" * 20)
    elif kind == "truncated":
        write_video(path, 30)
        path.write_bytes(path.read_bytes()[:-500])
    elif kind == "audio":
        write_audio(path)
    expected = {
        "missing": "No file .*clip.mp4'; expected an existing file",
        "empty": "clip.mp4' is empty; expected a video",
        "text": "clip.mp4' cannot be decoded",
        "truncated": "clip.mp4' (cannot be decoded|holds no video frames.* or cut off)",
        "audio": "clip.mp4' holds no video frames",
    }
    with pytest.raises((ValueError, FileNotFoundError), match=expected[kind]) as error:
        pipe(videos=str(path), text="what moves ?")
    assert "\n" not in str(error.value)


def test_saving_keeps_everything_to_load_it_again(pipe, clip, tmp_path):
    (answer,) = pipe(videos=clip, text="what moves ?", **GENERATE)
    pipe.save_pretrained(tmp_path)
    (again,) = pipeline("video-text-to-text", model=str(tmp_path))(videos=clip, text="what moves ?", **GENERATE)
    assert again["generated_text"] == answer["generated_text"]


# Agreement of model and processor


def test_a_pair_that_agrees_passes():
    check_agreement(build_config(), build_processor())
    check_agreement(
        build_config(sample_images=True, tokens_per_frame=7), build_processor("plain", 7, sample_images=True)
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tokens_per_frame": 5}, "`tokens_per_frame` is 5 in config.json but 4 in processor_config.json"),
        ({"sample_images": True}, "`sample_images` is True in config.json but False in processor_config.json"),
        (
            {"adapter_config": {"num_query_tokens": 9}},
            "`num_query_tokens` is 9 in config.json but 16 in processor_config",
        ),
    ],
)
def test_a_pair_that_disagrees_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        check_agreement(build_config(**options), build_processor())
    with pytest.raises(ValueError, match=message):
        VideoTextToTextPipeline(model=build_model(**options), processor=build_processor())


def test_inputs_keep_their_types(pipe, recorder, clip):
    pipe(videos=clip, text="what moves ?", **GENERATE)
    inputs = recorder.inputs
    assert inputs["tokens_per_frame"].dtype == torch.long and inputs["pixel_values_videos"].dtype == torch.float32
    assert np.isfinite(inputs["pixel_values_videos"].numpy()).all()
