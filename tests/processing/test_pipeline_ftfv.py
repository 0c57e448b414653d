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

import threading
from typing import Any

import datasets
import numpy as np
import pytest
import torch
from PIL import Image
from transformers import TextIteratorStreamer, pipeline
from transformers.pipelines.pt_utils import KeyDataset

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


# Arguments


def asked(recorder: Recorder) -> tuple[int, int, int]:
    """Frames, tokens per frame and new tokens of the last call."""
    inputs = recorder.inputs
    return inputs["video_frame_mask"].shape[1], int(inputs["tokens_per_frame"]), inputs["max_new_tokens"]


def test_arguments_of_the_constructor_hold_until_a_call_gives_its_own(clip, monkeypatch):
    pipe = VideoTextToTextPipeline(
        model=build_model(),
        processor=build_processor(),
        tokens_per_frame=2,
        num_frames=3,
        clip=(0, 1.5),
        generate_kwargs={"max_new_tokens": 4, "do_sample": False},
        return_full_text=False,
    )
    recorder = Recorder(pipe.model)
    monkeypatch.setattr(pipe.model, "generate", recorder)
    question = {"videos": clip, "text": "what moves ?"}
    (answer,) = pipe(**question)
    assert asked(recorder) == (3, 2, 4) and isinstance(answer["generated_text"], str)
    pipe(**question, tokens_per_frame=5, fps=4)
    assert asked(recorder) == (6, 5, 4), "`fps` takes the place of `num_frames`"
    pipe(**question, fps=4, clip=(0, 0.5), max_new_tokens=2)
    assert asked(recorder) == (2, 2, 2) and recorder.inputs["do_sample"] is False
    (answer,) = pipe(**question, return_full_text=True, generate_kwargs={"max_new_tokens": 1})
    assert asked(recorder) == (3, 2, 1) and recorder.inputs["do_sample"] is False
    assert [message["role"] for message in answer["generated_text"]] == ["user", "assistant"]
    pipe(**question)
    assert asked(recorder) == (3, 2, 4)


def test_arguments_of_generate_may_be_given_one_by_one(pipe, recorder, clip):
    arguments = {"num_beams": 2}
    for _ in range(2):
        pipe(videos=clip, text="what ?", max_new_tokens=2, do_sample=False, generate_kwargs=arguments)
        assert (recorder.inputs["num_beams"], recorder.inputs["max_new_tokens"]) == (2, 2)
    assert arguments == {"num_beams": 2}
    with pytest.raises(ValueError, match="'max_new_tokens' is defined twice"):
        pipe(videos=clip, text="what ?", max_new_tokens=2, generate_kwargs={"max_new_tokens": 3})


def test_arguments_of_the_processor_may_be_given_one_by_one(pipe, recorder, clip):
    pipe(videos=clip, text="what ?", size={"height": 28, "width": 28}, video_backend="pyav", **GENERATE)
    assert recorder.inputs["pixel_values_videos"].shape[-2:] == (28, 28)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"token_per_frame": 4}, TypeError, "`token_per_frame` is no argument .* did you mean `tokens_per_frame`"),
        ({"frobnicate": 4}, TypeError, "`frobnicate` is no argument .* expected one of tokens_per_frame, num_frames"),
        ({"tokens_per_frame": "4"}, ValueError, "`tokens_per_frame` is '4'; expected a whole number"),
        ({"tokens_per_frame": 2.5}, ValueError, "`tokens_per_frame` is 2.5; expected a whole number"),
        ({"num_frames": True}, ValueError, "`num_frames` is True; expected a whole number"),
        ({"fps": 0}, ValueError, "`fps` is 0; expected a number above 0"),
        ({"fps": "2"}, ValueError, "`fps` is '2'; expected a number above 0"),
        ({"fps": 2, "num_frames": 4}, ValueError, r"Both `num_frames` \(4\) and `fps` \(2\) are given"),
        ({"clip": 3}, ValueError, "`clip` is 3; expected start and end in seconds"),
        ({"clip": (3, 4)}, ValueError, r"`clip` is \(3, 4\) seconds; expected 0 <= start < end"),
        ({"generate_kwargs": 3}, ValueError, "`generate_kwargs` is 3; expected a dict"),
        ({"streamer": "stdout"}, ValueError, "`streamer` is of type str; expected one such as `TextStreamer`"),
        ({"return_full_text": False, "return_tensors": True}, ValueError, "`return_full_text` is mutually exclusive"),
    ],
)
def test_wrong_arguments_are_named(pipe, clip, arguments, error, message):
    with pytest.raises(error, match=message):
        pipe(videos=clip, text="what ?", **arguments)
    if "clip" not in arguments:
        with pytest.raises(error, match=message):
            VideoTextToTextPipeline(model=pipe.model, processor=pipe.processor, **arguments)


# Rows, datasets and generators


@pytest.fixture
def rows(clip, tmp_path) -> list[Any]:
    """A chat over two videos, a question about a short one, one about an image, and a chat without media."""
    short, image = write_video(tmp_path / "short.mp4", 3), tmp_path / "a.png"
    Image.fromarray(build_frames(1)[0]).save(image)
    question = {"type": "text", "text": "which way does the red circle move ?"}
    blocks = [{"type": "video", "path": clip}, {"type": "video", "path": short}, question]
    return [
        [{"role": "user", "content": blocks}],
        {"text": "what moves ?", "videos": short},
        {"text": "what ?", "images": str(image)},
        [{"role": "user", "content": [{"type": "text", "text": "which ?"}]}],
    ]


class Rows(torch.utils.data.Dataset):
    def __init__(self, rows: list[Any]):
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Any:
        return self.rows[index]


def answers(outputs: Any) -> list[str]:
    return [output["generated_text"] for (output,) in outputs]


@pytest.mark.parametrize("padding_side", ["left", "right"])
def test_lists_datasets_and_generators_in_batches(pipe, rows, padding_side):
    pipe.tokenizer.padding_side = padding_side
    arguments = {"return_full_text": False, **GENERATE}
    alone = answers(pipe(text=row, **arguments) for row in rows)
    assert len(set(alone)) > 1, "the test needs different answers"
    for batch_size in (1, 3):
        for given in (rows, tuple(rows), Rows(rows), (row for row in rows)):
            assert answers(pipe(text=given, batch_size=batch_size, **arguments)) == alone


def test_generators_are_read_as_their_answers_are(pipe, clip):
    read = []

    def questions() -> Any:
        for question in ("what ?", "which ?", "what moves ?"):
            read.append(question)
            yield {"text": question, "videos": clip}

    outputs = iter(pipe(text=questions(), **GENERATE))
    next(outputs)
    assert len(read) < 3
    assert len(list(outputs)) == 2


def test_datasets_of_the_library_datasets(pipe, rows):
    """Blocks have the keys of all blocks there, most of them None."""
    arguments = {"return_full_text": False, **GENERATE}
    chats = [row for row in rows if isinstance(row, list)]
    chats.append(
        [{"role": "user", "content": [{"type": "video", "path": rows[1]["videos"]}, chats[1][0]["content"][0]]}]
    )
    dataset = datasets.Dataset.from_list([{"messages": chat, "images": []} for chat in chats])
    alone = answers(pipe(text=chat, **arguments) for chat in chats)
    assert answers(pipe(text=dataset, batch_size=2, **arguments)) == alone
    assert answers(pipe(text=dataset.to_iterable_dataset(), **arguments)) == alone
    assert answers(pipe(text=KeyDataset(Rows(dataset), "messages"), batch_size=2, **arguments)) == alone


def test_beams_and_several_answers_in_batches(pipe, rows):
    arguments = {"generate_kwargs": {**GREEDY, "num_beams": 3, "num_return_sequences": 2}, "return_full_text": False}
    alone = [[output["generated_text"] for output in pipe(text=row, **arguments)] for row in rows]
    together = [
        [output["generated_text"] for output in outputs] for outputs in pipe(text=rows, batch_size=4, **arguments)
    ]
    assert together == alone and {len(outputs) for outputs in alone} == {2}


def test_a_list_without_anything_raises(pipe):
    with pytest.raises(ValueError, match="`text` is an empty list; expected questions, chats or rows"):
        pipe(text=[])


# Streaming


class Listener:
    """Keeps the tokens that `generate` streams, the prompt first."""

    def __init__(self) -> None:
        self.streamed, self.ended = [], 0

    def put(self, tokens: torch.Tensor) -> None:
        self.streamed.append(tokens.flatten().tolist())

    def end(self) -> None:
        self.ended += 1


def test_tokens_are_streamed_as_they_come(pipe, clip):
    listener = Listener()
    (answer,) = pipe(videos=clip, text="what moves ?", streamer=listener, return_tensors=True, **GENERATE)
    prompt, *tokens = listener.streamed
    assert [len(token) for token in tokens] == [1, 1, 1] and listener.ended == 1
    assert [*prompt, *(token for (token,) in tokens)] == answer["generated_token_ids"].flatten().tolist()


def test_text_is_streamed_to_another_thread(pipe, clip):
    streamer = TextIteratorStreamer(pipe.tokenizer, skip_prompt=True, skip_special_tokens=True, timeout=250)
    arguments = {"videos": clip, "text": "what moves ?", "streamer": streamer, "return_full_text": False, **GENERATE}
    outputs: list[Any] = []
    thread = threading.Thread(target=lambda: outputs.extend(pipe(**arguments)))
    thread.start()
    streamed = "".join(streamer)
    thread.join()
    assert streamed.split() == outputs[0]["generated_text"].split() and len(streamed.split()) == 3


def test_one_answer_is_streamed_at_a_time(pipe, clip):
    listener = Listener()
    arguments = {"videos": [clip, clip], "text": ["what ?", "which ?"], "streamer": listener, **GENERATE}
    pipe(**arguments)
    assert listener.ended == 2
    with pytest.raises(ValueError, match="`streamer` is given for 2 questions at once; .* Use `batch_size=1`"):
        pipe(**arguments, batch_size=2)
    with pytest.raises(ValueError, match="streamer"):
        pipe(videos=clip, text="what ?", streamer=listener, generate_kwargs={"num_beams": 2})


# Encoding once


TEN_QUESTIONS = [
    f"{start} {subject} ?"
    for start in ("what", "which way", "does the", "what does the", "which")
    for subject in ("red circle move", "blue square")
]


def test_ten_questions_on_one_clip_run_the_encoder_once(pipe, clip):
    """Every other one with beams, which change features in place."""
    kwargs = [{"generate_kwargs": {**GREEDY, "num_beams": 1 + 2 * (index % 2)}} for index in range(10)]
    fresh = [
        pipe(videos=clip, text=question, return_full_text=False, **arguments)
        for question, arguments in zip(TEN_QUESTIONS, kwargs, strict=True)
    ]
    assert len({answer["generated_text"] for (answer,) in fresh}) > 1, "the test needs different answers"
    calls = []
    pipe.model.model.vision_tower.register_forward_hook(lambda *_: calls.append(1))
    features = pipe.encode(clip)
    for question, arguments, (expected,) in zip(TEN_QUESTIONS, kwargs, fresh, strict=True):
        (answer,) = pipe(videos=features, text=question, return_full_text=False, **arguments)
        assert answer["generated_text"] == expected["generated_text"]
    assert len(calls) == 1


def test_logits_on_features_are_those_of_the_video_bit_for_bit(pipe, clip):
    features = pipe.encode(clip)
    rows = [pipe.preprocess({"text": "what moves ?", "videos": video})["row"] for video in (clip, features)]
    with torch.no_grad():
        assert torch.equal(*(pipe.model(**row).logits for row in rows))


def test_features_of_several_videos_in_batches(pipe, clip, tmp_path):
    videos = [clip, write_video(tmp_path / "short.mp4", 3), build_frames(5)]
    questions = ["what moves ?", "which way ?", "what does the red circle ?"]
    arguments = {"text": questions, "return_full_text": False, **GENERATE}
    expected = answers(pipe(videos=videos, **arguments))
    features = pipe.encode(videos)
    calls = []
    pipe.model.model.vision_tower.register_forward_hook(lambda *_: calls.append(1))
    for given in (features, features.split()):
        for batch_size in (1, 3):
            assert answers(pipe(videos=given, batch_size=batch_size, **arguments)) == expected
    assert calls == []
    fewer = answers(pipe(videos=videos, tokens_per_frame=2, **arguments))
    assert answers(pipe(videos=features, tokens_per_frame=2, batch_size=3, **arguments)) == fewer


def test_features_in_a_chat(pipe, clip):
    question = {"type": "text", "text": "what moves ?"}
    chats = [
        [{"role": "user", "content": [{"type": "video", "video": video}, question]}]
        for video in (clip, pipe.encode(clip))
    ]
    first, second = (pipe(text=chat, return_full_text=False, **GENERATE)[0] for chat in chats)
    assert first["generated_text"] == second["generated_text"]


def test_frames_are_chosen_where_a_video_is_encoded(clip):
    pipe = VideoTextToTextPipeline(model=build_model(), processor=build_processor(), num_frames=3, tokens_per_frame=2)
    features = pipe.encode(clip)
    assert features.token_indices.shape == (1, 3, 2)
    assert pipe(videos=features, text="what ?", **GENERATE) and pipe.encode(clip, fps=2).token_indices.shape[1] == 4
    with pytest.raises(ValueError, match="`num_frames` is given but the video is features"):
        pipe(videos=features, text="what ?", num_frames=4)
    with pytest.raises(ValueError, match="`tokens_per_frame` is 3 but the features hold 2 tokens per frame"):
        pipe(videos=features, text="what ?", tokens_per_frame=3)
    with pytest.raises(ValueError, match="`videos` are features; expected videos to encode"):
        pipe.encode(features)
    with pytest.raises(ValueError, match="features in one row and a video in another"):
        pipe(videos=[features, clip], text=["what ?", "which ?"], batch_size=2)


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
