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
"""The processor: placeholders, tokens per frame, chat templates with their loss masks, and drawing K in training."""

import json
import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoProcessor

from ftfv import FTFVProcessor, VideoTextToTextPipeline
from ftfv.processing.processing_ftfv import draw_tokens_per_frame
from tests.tiny import (
    IMAGE_TOKEN_ID,
    NUM_QUERIES,
    VIDEO_TOKEN_ID,
    build_frames,
    build_model,
    build_processor,
    frame_indices,
    write_video,
)


def image() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8))


def user(question: str, *media: dict[str, Any]) -> dict[str, Any]:
    return {"role": "user", "content": [*media, {"type": "text", "text": question}]}


def assistant(answer: str) -> dict[str, Any]:
    return {"role": "assistant", "content": [{"type": "text", "text": answer}]}


def video_block(path: str) -> dict[str, str]:
    return {"type": "video", "path": path}


def count(input_ids: Any, token_id: int) -> list[int]:
    return [list(row).count(token_id) for row in np.asarray(input_ids)]


# Placeholders


def test_a_video_costs_frames_times_tokens_per_frame(clip):
    processor = build_processor()
    inputs = processor(text="<video> what moves ?", videos=clip, return_tensors="pt")
    assert count(inputs["input_ids"], VIDEO_TOKEN_ID) == [8 * 4]
    assert inputs["input_ids"][0, 32:].tolist() == processor.tokenizer("what moves ?")["input_ids"]
    assert frame_indices(inputs["pixel_values_videos"][0]) == [1, 3, 6, 8, 11, 13, 16, 18]
    assert set(inputs) == {
        "input_ids",
        "attention_mask",
        "pixel_values_videos",
        "video_frame_mask",
        "tokens_per_frame",
    }


def test_an_image_costs_all_queries_unless_images_are_sampled():
    text, media = "<image> what moves ?", image()
    whole = build_processor()(text=text, images=media, return_tensors="pt")
    assert count(whole["input_ids"], IMAGE_TOKEN_ID) == [NUM_QUERIES]
    sampled = build_processor(sample_images=True)(text=text, images=media, return_tensors="pt")
    assert count(sampled["input_ids"], IMAGE_TOKEN_ID) == [4]


def test_images_of_every_format_may_stand_before_and_after_a_video(tmp_path):
    """Row 0: image, short video, image. Row 1: text. Row 2: long video, short video. Row 3: image."""
    short, long = write_video(tmp_path / "short.mp4", 3), write_video(tmp_path / "long.mp4", 20)
    processor = build_processor()
    inputs = processor(
        text=["<image> a <video> the <image> .", "what ?", "<video> <video> ?", "<image>"],
        images=[[image(), image()], [], [], [image()]],
        videos=[[short], [], [long, short], []],
        padding=True,
        return_tensors="pt",
    )
    assert count(inputs["input_ids"], IMAGE_TOKEN_ID) == [32, 0, 0, 16]
    assert count(inputs["input_ids"], VIDEO_TOKEN_ID) == [12, 0, 32 + 12, 0]
    assert inputs["video_frame_mask"].sum(dim=1).tolist() == [3, 8, 3]
    assert inputs["pixel_values"].shape[0] == 3 and inputs["tokens_per_frame"].tolist() == [4, 4, 4]
    order = [token for token in inputs["input_ids"][0].tolist() if token]
    words = [processor.tokenizer.convert_tokens_to_ids(word) for word in ("a", "the", ".")]
    image_run, video_run = [IMAGE_TOKEN_ID] * 16, [VIDEO_TOKEN_ID] * 12
    assert order == [*image_run, words[0], *video_run, words[1], *image_run, words[2]]
    # What the processor returns, the model takes.
    logits = build_model()(**inputs).logits
    assert logits.shape[:2] == inputs["input_ids"].shape and torch.isfinite(logits).all()


def test_the_model_answers_a_row_of_a_batch_as_it_answers_it_alone(tmp_path):
    paths = [write_video(tmp_path / f"{total}.mp4", total) for total in (3, 20)]
    texts = ["<video> what moves ?", "<video> which way does the red circle move ?"]
    processor, model = build_processor(), build_model()
    together = processor(text=texts, videos=paths, padding=True, return_tensors="pt")
    logits = model(**together).logits
    for row in range(2):
        alone = processor(text=texts[row], videos=paths[row], return_tensors="pt")
        length = alone["input_ids"].shape[1]
        torch.testing.assert_close(logits[row, :length], model(**alone).logits[0], rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("text", "media", "message"),
    [
        ("<video> a <video> ?", {"videos": build_frames(8)}, "Found total 2 <video> tokens and 1 videos"),
        ("what ?", {"videos": build_frames(8)}, "Found total 0 <video> tokens and 1 videos"),
        ("<video> ?", {}, "Found 1 <video> tokens in the text but no videos were passed"),
        ("<image> <image>", {"images": image()}, "Found total 2 <image> tokens and 1 images"),
        ("<image> ?", {}, "Found 1 <image> tokens in the text but no images were passed"),
    ],
)
def test_placeholders_that_do_not_match_the_media_raise(text, media, message):
    with pytest.raises(ValueError, match=message) as error:
        build_processor()(text=text, **media)
    assert "\n" not in str(error.value)


def test_the_number_of_tokens_can_be_asked_for_beforehand(clip):
    processor = build_processor()
    counts = processor._get_num_multimodal_tokens(image_sizes=[(30, 40)], video_sizes=[(8, 48, 64), (3, 48, 64)])
    assert (counts.num_image_tokens, counts.num_video_tokens) == ([16], [32, 12])
    counts = processor._get_num_multimodal_tokens(video_sizes=[(8, 48, 64)], tokens_per_frame=7)
    assert counts.num_video_tokens == [56]


def test_servers_learn_where_the_tokens_of_each_medium_stand(clip):
    """vLLM's transformers backend takes the media's positions from these offsets, and a row of tensors per medium."""
    processor = build_processor()
    text = "what <video> moves <image> ?"
    inputs = processor(text=text, videos=[clip], images=[image()], return_text_replacement_offsets=True)
    (offsets,) = inputs["text_replacement_offsets"]
    counts = processor._get_num_multimodal_tokens(image_sizes=[(30, 40)], video_sizes=[(8, 48, 64)])
    assert [offset["type"] for offset in offsets] == ["video", "image"]
    assert [text[slice(*offset["span"])] for offset in offsets] == ["<video>", "<image>"]
    assert offsets[0]["replacement"] == "<video>" * counts.num_video_tokens[0] == "<video>" * 32
    assert offsets[1]["replacement"] == "<image>" * counts.num_image_tokens[0] == "<image>" * 16
    media = {"pixel_values", *processor.video_processor.model_input_names}
    assert {name for name in media if len(inputs[name]) == 1} == media


@pytest.mark.parametrize("tokens_per_frame", [None, 2])
def test_vllm_passes_frames_that_it_sampled_itself(tokens_per_frame):
    """
    It calls the processor with placeholders alone, frames, and metadata whose rate may be unknown, and reads each
    medium's tokens from its replacement; K of a request is an argument of the call and of `from_pretrained`.
    """
    processor = build_processor()
    asked = {} if tokens_per_frame is None else {"tokens_per_frame": tokens_per_frame}
    metadata = [
        {"fps": fps, "duration": None, "total_num_frames": 3, "frames_indices": [0, 1, 2], "video_backend": "opencv"}
        for fps in (None, 2.0)
    ]
    inputs = processor(
        text=processor.image_token + processor.video_token * 2,
        images=[image()],
        videos=[build_frames(3), build_frames(3)],
        video_metadata=metadata,
        do_sample_frames=False,
        return_text_replacement_offsets=True,
        return_tensors="pt",
        add_special_tokens=False,
        truncation=False,
        **asked,
    )
    (offsets,) = inputs["text_replacement_offsets"]
    tokens = [processor.tokenizer.encode(offset["replacement"], add_special_tokens=False) for offset in offsets]
    sizes = [(3, 48, 64), (3, 48, 64)]
    counts = processor._get_num_multimodal_tokens(video_sizes=sizes, **asked)["num_video_tokens"]
    assert counts == [3 * (tokens_per_frame or 4)] * 2
    assert tokens == [[IMAGE_TOKEN_ID] * NUM_QUERIES, *([VIDEO_TOKEN_ID] * number for number in counts)]
    assert processor.tokenizer.encode(processor.video_token, add_special_tokens=False) == [VIDEO_TOKEN_ID]
    assert inputs["input_ids"][0].tolist() == [token for row in tokens for token in row]
    assert all(len(inputs[name]) == 2 for name in processor.video_processor.model_input_names)
    assert [frame_indices(frames) for frames in inputs["pixel_values_videos"]] == [[0, 1, 2]] * 2


def test_vllm_loads_a_processor_with_the_arguments_of_a_request(saved_folder):
    processor = FTFVProcessor.from_pretrained(saved_folder, tokens_per_frame=2)
    inputs = processor(text="<video>", videos=build_frames(3), return_tensors="pt", tokens_per_frame=2)
    assert count(inputs["input_ids"], VIDEO_TOKEN_ID) == [3 * 2]


# Tokens per frame


@pytest.mark.parametrize("tokens_per_frame", [1, 5, NUM_QUERIES])
def test_tokens_per_frame_of_a_call(clip, tokens_per_frame):
    processor = build_processor()
    conversation = [user("what moves ?", video_block(clip))]
    template_arguments = {"tokenize": True, "return_dict": True, "return_tensors": "pt"}
    text = processor.apply_chat_template(conversation)
    calls = [
        processor(text=text, videos=clip, tokens_per_frame=tokens_per_frame, return_tensors="pt"),
        processor(text=text, videos=clip, videos_kwargs={"tokens_per_frame": tokens_per_frame}, return_tensors="pt"),
        processor.apply_chat_template(
            conversation, **template_arguments, processor_kwargs={"tokens_per_frame": tokens_per_frame}
        ),
    ]
    for inputs in calls:
        assert inputs["tokens_per_frame"].tolist() == [tokens_per_frame]
        assert inputs["tokens_per_frame"].dtype == torch.long
        assert count(inputs["input_ids"], VIDEO_TOKEN_ID) == [8 * tokens_per_frame]
    assert processor.video_processor.tokens_per_frame == 4
    without = processor.apply_chat_template(conversation, **template_arguments)
    assert without["tokens_per_frame"].tolist() == [4]


@pytest.mark.parametrize("tokens_per_frame", [0, -2, NUM_QUERIES + 1])
def test_tokens_per_frame_out_of_range_raises(clip, tokens_per_frame):
    message = f"`tokens_per_frame` is {tokens_per_frame}; expected 1 to {NUM_QUERIES}, the adapter's number of query"
    with pytest.raises(ValueError, match=message):
        build_processor()(text="<video>", videos=clip, tokens_per_frame=tokens_per_frame)
    with pytest.raises(ValueError, match=message):
        build_processor()(text="<video>", videos=clip, videos_kwargs={"tokens_per_frame": tokens_per_frame})


def test_an_explicit_none_stands_for_the_processors_own(clip):
    inputs = build_processor()(text="<video>", videos=clip, tokens_per_frame=None, num_frames=None)
    assert inputs["tokens_per_frame"].tolist() == [4]
    assert count(inputs["input_ids"], VIDEO_TOKEN_ID) == [32]


def test_frames_of_a_call(clip):
    processor = build_processor()
    for arguments, frames in (({"num_frames": 5}, 5), ({"fps": 2}, 4), ({"clip": (0.0, 0.5)}, 5)):
        inputs = processor.apply_chat_template(
            [user("what moves ?", video_block(clip))],
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            processor_kwargs=arguments,
        )
        assert inputs["video_frame_mask"].shape == (1, frames)
        assert count(inputs["input_ids"], VIDEO_TOKEN_ID) == [frames * 4]
    with pytest.raises(ValueError, match="30 frames are asked for but the video has 20"):
        processor(text="<video>", videos=clip, num_frames=30)


def test_relative_paths_of_a_chat_start_from_the_media_root(tmp_path, monkeypatch):
    (tmp_path / "clips").mkdir()
    write_video(tmp_path / "clips/a.mp4", 9)
    image().save(tmp_path / "a.png")
    monkeypatch.setenv("FTFV_MEDIA_ROOT", str(tmp_path))
    conversation = [user("what ?", {"type": "image", "image": "a.png"}, video_block("clips/a.mp4"))]
    inputs = build_processor().apply_chat_template(conversation, tokenize=True, return_dict=True, return_tensors="pt")
    assert inputs["pixel_values"].shape[0] == 1 and inputs["pixel_values_videos"].shape[:2] == (1, 8)


# Features in place of videos


def encode(processor: Any, *videos: Any, **kwargs: Any) -> Any:
    """What the model makes of videos, with the times of frames as the pipeline puts them in."""
    return VideoTextToTextPipeline(model=build_model(), processor=processor).encode(list(videos), **kwargs)


def test_features_cost_what_they_hold(clip, tmp_path):
    processor = build_processor()
    features = encode(processor, clip, write_video(tmp_path / "short.mp4", 3), tokens_per_frame=6)
    inputs = processor(text="<video> what <video> ?", videos=features, return_tensors="pt")
    assert set(inputs) == {"input_ids", "attention_mask", "mm_encoder_outputs", "tokens_per_frame"}
    assert count(inputs["input_ids"], VIDEO_TOKEN_ID) == [(8 + 3) * 6] and inputs["tokens_per_frame"].tolist() == [
        6,
        6,
    ]
    given = inputs["mm_encoder_outputs"]["video"]
    assert given is not features and given.last_hidden_state is None
    assert all(torch.equal(*pair) for pair in zip(given.pooler_output, features.pooler_output, strict=True))
    raw = processor(text="<video> what ?", videos=clip, tokens_per_frame=6, return_tensors="pt")
    alone = processor(text="<video> what ?", videos=features.split()[0], return_tensors="pt")
    assert torch.equal(alone["input_ids"], raw["input_ids"])


def test_fewer_tokens_than_features_hold_may_be_asked_for(clip):
    processor, model = build_processor(), build_model()
    features = encode(processor, clip, tokens_per_frame=6)
    for tokens_per_frame in (1, 5, 6):
        arguments = {"text": "<video> what ?", "tokens_per_frame": tokens_per_frame, "return_tensors": "pt"}
        inputs, raw = processor(videos=features, **arguments), processor(videos=clip, **arguments)
        assert torch.equal(inputs["input_ids"], raw["input_ids"])
        assert torch.equal(inputs["tokens_per_frame"], raw["tokens_per_frame"])
        torch.testing.assert_close(model(**inputs).logits, model(**raw).logits, rtol=0, atol=1e-5)
    for tokens_per_frame in (0, 7):
        message = f"`tokens_per_frame` is {tokens_per_frame} but the features hold 6 tokens per frame; expected 1 to 6"
        with pytest.raises(ValueError, match=message):
            processor(text="<video>", videos=features, tokens_per_frame=tokens_per_frame)


def test_a_chat_takes_features_and_its_inputs_may_be_used_again(clip):
    processor, model = build_processor(), build_model()
    features = encode(processor, clip)
    arguments = {"tokenize": True, "return_dict": True, "return_tensors": "pt", "add_generation_prompt": True}
    raw = processor.apply_chat_template([user("what moves ?", video_block(clip))], **arguments)
    block = {"type": "video", "video": features}
    inputs = processor.apply_chat_template([user("what moves ?", block)], **arguments)
    assert torch.equal(inputs["input_ids"], raw["input_ids"])
    for num_beams in (2, 1, 2):
        options = {"max_new_tokens": 3, "do_sample": False, "num_beams": num_beams}
        assert torch.equal(model.generate(**inputs, **options), model.generate(**raw, **options))


def test_features_tell_the_times_of_their_frames(clip):
    processor = build_processor()
    arguments = {"text": "<video> what ?", "frame_timestamps": True, "tokens_per_frame": 2, "return_tensors": "pt"}
    features = encode(processor, clip, num_frames=3)
    raw = processor(videos=clip, num_frames=3, **arguments)
    assert torch.equal(processor(videos=features, **arguments)["input_ids"], raw["input_ids"])
    untimed = type(features)(**{name: value for name, value in features.items() if name != "frame_times"})
    with pytest.raises(
        ValueError, match="`frame_timestamps` needs the times of the frames, which the features do not"
    ):
        processor(videos=untimed, **arguments)


def test_what_features_cannot_do_raises(clip):
    processor = build_processor()
    features = encode(processor, clip)
    for option in ({"num_frames": 3}, {"fps": 2}, {"clip": (0, 1)}, {"videos_kwargs": {"size": {"height": 28}}}):
        name = next(iter(option.get("videos_kwargs", option)))
        with pytest.raises(ValueError, match=f"`{name}` is given but the video is features, whose frames were chosen"):
            processor(text="<video>", videos=features, **option)
    with pytest.raises(ValueError, match="1 of 2 videos are features and the others are not; expected all or none"):
        processor(text="<video> <video>", videos=[features, clip])
    with pytest.raises(ValueError, match="Found total 2 <video> tokens and 1 videos"):
        processor(text="<video> <video>", videos=features)
    with pytest.raises(ValueError, match="A video is features, which need no preprocessing"):
        processor.video_processor(features)


# Times of frames


def test_frame_timestamps_stand_before_the_tokens_of_each_frame(clip):
    processor = build_processor()
    arguments = {"videos": clip, "num_frames": 2, "tokens_per_frame": 3, "return_tensors": "pt"}
    timed = processor(text="a <video> the", frame_timestamps=True, **arguments)
    # Frames 5 and 15 at 10 frames per second.
    written = "a 0.5s: <video><video><video> 1.5s: <video><video><video> the"
    assert timed["input_ids"][0].tolist() == processor.tokenizer(written)["input_ids"]
    plain = processor(text="a <video> the", **arguments)
    assert torch.equal(timed["pixel_values_videos"], plain["pixel_values_videos"])
    assert count(plain["input_ids"], VIDEO_TOKEN_ID) == count(timed["input_ids"], VIDEO_TOKEN_ID) == [6]
    assert set(timed) == set(plain)


def test_frame_timestamps_are_an_option_of_the_video_processor(clip, tmp_path):
    processor = build_processor()
    processor.video_processor.frame_timestamps = True
    processor.save_pretrained(tmp_path)
    loaded = FTFVProcessor.from_pretrained(tmp_path)
    arguments = {"text": "<video>", "videos": clip}
    timed = loaded(**arguments)["input_ids"]
    assert (
        timed
        == processor(**arguments)["input_ids"]
        == build_processor()(**arguments, frame_timestamps=True)["input_ids"]
    )
    untimed = build_processor()(**arguments)["input_ids"]
    assert loaded(**arguments, frame_timestamps=False)["input_ids"] == untimed != timed


def test_the_model_takes_the_tokens_of_each_frame_wherever_they_stand(clip):
    """Text between the frames moves their features, in order, and changes none."""
    model, processor = build_model(), build_processor()
    inputs = processor(text="<video> what ?", videos=clip, frame_timestamps=True, return_tensors="pt")
    features = model.model.get_video_features(
        inputs["pixel_values_videos"], inputs["video_frame_mask"], inputs["tokens_per_frame"]
    ).pooler_output[0]
    embeddings = model.get_input_embeddings()(inputs["input_ids"])
    embeddings[0, inputs["input_ids"][0] == VIDEO_TOKEN_ID] = features
    expected = model(inputs_embeds=embeddings, attention_mask=inputs["attention_mask"]).logits
    torch.testing.assert_close(model(**inputs).logits, expected, rtol=0, atol=1e-5)


def test_the_loss_mask_covers_the_answers_behind_timed_frames(clip):
    conversation = [user("what ?", video_block(clip)), assistant("a red circle"), user("which ?"), assistant("left")]
    processor = build_processor()
    inputs = processor.apply_chat_template(
        conversation,
        tokenize=True,
        return_dict=True,
        return_assistant_tokens_mask=True,
        processor_kwargs={"frame_timestamps": True},
    )
    answers = np.asarray(inputs["input_ids"][0])[np.asarray(inputs["assistant_masks"][0]).astype(bool)]
    assert " ".join(processor.tokenizer.convert_ids_to_tokens(answers)) == "a red circle </s> left </s>"


def test_frame_timestamps_of_frames_in_memory_need_their_rate():
    processor = build_processor()
    arguments = {"text": "<video>", "videos": build_frames(4), "frame_timestamps": True, "tokens_per_frame": 1}
    with pytest.raises(ValueError, match="`frame_timestamps` needs the frame rate of the video, which is unknown"):
        processor(**arguments)
    timed = processor(**arguments, video_metadata=[{"total_num_frames": 4, "fps": 2}])
    written = "0.0s: <video> 0.5s: <video> 1.0s: <video> 1.5s: <video>"
    assert timed["input_ids"][0] == processor.tokenizer(written)["input_ids"]


# Kinds of inputs


def test_videos_of_every_kind_are_counted(clip, tmp_path):
    Image.fromarray(build_frames(1)[0]).save(tmp_path / "0.png")
    processor = build_processor()
    inputs = processor(
        text=["<video> <video>", "what ?", "<video><video>"],
        videos=[[clip, build_frames(3)], [], [[image(), image()], tmp_path]],
        padding=True,
    )
    assert count(inputs["input_ids"], VIDEO_TOKEN_ID) == [4 * (8 + 3), 0, 4 * (2 + 1)]


@pytest.mark.parametrize("kind", ["path", "bytes", "file", "frames", "paths", "folder", "array"])
def test_a_chat_takes_videos_of_every_kind(kind, clip, tmp_path):
    paths = [str(tmp_path / f"{index}.png") for index in range(3)]
    for path, frame in zip(paths, build_frames(3), strict=True):
        Image.fromarray(frame).save(path)
    with open(clip, "rb") as file:
        videos = {
            "path": (tmp_path, 3),
            "bytes": (file.read(), 8),
            "file": (file, 8),
            "frames": ([Image.open(path) for path in paths], 3),
            "paths": (paths, 3),
            "folder": (str(tmp_path), 3),
            "array": (build_frames(3), 3),
        }
        video, num_frames = videos[kind]
        inputs = build_processor().apply_chat_template(
            [user("what ?", {"type": "video", "video": video})], tokenize=True, return_dict=True
        )
    assert count(inputs["input_ids"], VIDEO_TOKEN_ID) == [4 * num_frames]


# Chat templates


def test_the_plain_template(clip):
    conversation = [
        user("what moves ?", video_block(clip)),
        assistant("a red circle"),
        user("which way ?"),
        assistant("left"),
    ]
    processor = build_processor("plain")
    assert processor.apply_chat_template(conversation) == (
        "<s>user: <video>\nwhat moves ? assistant: a red circle</s>user: which way ? assistant: left</s>"
    )
    assert processor.apply_chat_template(conversation[:1], add_generation_prompt=True) == (
        "<s>user: <video>\nwhat moves ? assistant:"
    )


def test_the_vicuna_template(clip):
    system = (
        "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, "
        "detailed, "
        "and polite answers to the user's questions. "
    )
    conversation = [user("what moves ?", video_block(clip)), assistant("a red circle"), user("which way ?")]
    processor = build_processor("vicuna")
    rendered = processor.apply_chat_template(conversation, add_generation_prompt=True)
    turns = "USER: <video>\nwhat moves ? ASSISTANT: a red circle</s>USER: which way ? ASSISTANT:"
    assert rendered == "<s>" + system + turns
    own = [{"role": "system", "content": [{"type": "text", "text": "Be brief."}]}, *conversation]
    assert processor.apply_chat_template(own, add_generation_prompt=True) == "<s>Be brief. " + turns


@pytest.mark.parametrize("template", ["plain", "vicuna"])
def test_a_prompt_is_the_beginning_of_the_whole_conversation(template, clip):
    """What the model is asked with is what it was trained after, token by token."""
    processor = build_processor(template)
    arguments = {"tokenize": True, "return_dict": True}
    question = [user("what moves ?", video_block(clip))]
    prompt = processor.apply_chat_template(question, add_generation_prompt=True, **arguments)["input_ids"][0]
    whole = processor.apply_chat_template([*question, assistant("left")], **arguments)["input_ids"][0]
    assert whole[: len(prompt)] == prompt
    assert processor.tokenizer.convert_ids_to_tokens(whole[len(prompt) :]) == ["left", "</s>"]


@pytest.mark.parametrize("template", ["plain", "vicuna"])
@pytest.mark.parametrize("padding_side", ["left", "right"])
@pytest.mark.parametrize("return_tensors", ["pt", None])
def test_the_loss_mask_covers_exactly_the_answers(template, padding_side, return_tensors, clip, tmp_path):
    short = write_video(tmp_path / "short.mp4", 3)
    conversations = [
        [user("what moves ?", video_block(clip)), assistant("a red circle .")],
        [
            user("which way does the assistant : move ?", video_block(short), {"type": "image", "image": image()}),
            assistant("left"),
            user("what shape ?"),
            assistant("a blue square"),
            user("what ?", video_block(clip)),
            assistant("two"),
        ],
        [user("what ?"), assistant("right")],
    ]
    processor = build_processor(template)
    inputs = processor.apply_chat_template(
        conversations,
        tokenize=True,
        return_dict=True,
        return_tensors=return_tensors,
        return_assistant_tokens_mask=True,
        processor_kwargs={"padding": True, "padding_side": padding_side},
    )
    expected = ["a red circle . </s>", "left </s> a blue square </s> two </s>", "right </s>"]
    for input_ids, mask, attention_mask, answers in zip(
        inputs["input_ids"], inputs["assistant_masks"], inputs["attention_mask"], expected, strict=True
    ):
        input_ids, mask = np.asarray(input_ids), np.asarray(mask).astype(bool)
        assert " ".join(processor.tokenizer.convert_ids_to_tokens(input_ids[mask])) == answers
        assert not (mask & ~np.asarray(attention_mask).astype(bool)).any()
    assert "offset_mapping" not in inputs and "text_replacement_offsets" not in inputs


def test_an_answer_may_hold_the_words_of_the_template(clip):
    processor = build_processor()
    conversation = [user("what ?", video_block(clip)), assistant("user : what ? assistant : left")]
    inputs = processor.apply_chat_template(
        conversation, tokenize=True, return_dict=True, return_assistant_tokens_mask=True
    )
    masked = [token for token, keep in zip(inputs["input_ids"][0], inputs["assistant_masks"][0], strict=True) if keep]
    assert " ".join(processor.tokenizer.convert_ids_to_tokens(masked)) == "user : what ? assistant : left </s>"


# Drawing K in training


LOSS_MASK = {"tokenize": True, "return_dict": True, "return_assistant_tokens_mask": True}


def test_drawn_numbers_are_log_uniform(monkeypatch):
    monkeypatch.setenv("FTFV_TOKENS_PER_FRAME_RANGE", "2-16")
    draws = Counter(draw_tokens_per_frame(f"question {index}", NUM_QUERIES) for index in range(20_000))
    assert set(draws) == set(range(2, 17))
    statistic = 0.0
    for number in range(2, 17):
        expected = 20_000 * math.log((number + 1) / number) / math.log(17 / 2)
        statistic += (draws[number] - expected) ** 2 / expected
    # 14 degrees of freedom: 36.1 is exceeded once in a thousand; the texts are fixed, so this never flickers.
    assert statistic < 36.1


@pytest.mark.parametrize(("bounds", "numbers"), [("1-1", {1}), ("7-7", {7}), ("1-2", {1, 2}), ("15-16", {15, 16})])
def test_both_ends_are_drawn(monkeypatch, bounds, numbers):
    monkeypatch.setenv("FTFV_TOKENS_PER_FRAME_RANGE", bounds)
    assert {draw_tokens_per_frame([f"question {index}"], NUM_QUERIES) for index in range(300)} == numbers


def test_drawing_depends_on_text_and_seed_alone(monkeypatch):
    monkeypatch.setenv("FTFV_TOKENS_PER_FRAME_RANGE", "1-16")
    texts = [[f"a {index}", "b"] for index in range(200)]
    first = [draw_tokens_per_frame(text, NUM_QUERIES) for text in texts]
    assert [draw_tokens_per_frame(text, NUM_QUERIES) for text in texts] == first
    assert [draw_tokens_per_frame(tuple(text), NUM_QUERIES) for text in texts] == first
    monkeypatch.setenv("FTFV_TOKENS_PER_FRAME_SEED", "0")
    assert [draw_tokens_per_frame(text, NUM_QUERIES) for text in texts] == first
    monkeypatch.setenv("FTFV_TOKENS_PER_FRAME_SEED", "1")
    assert [draw_tokens_per_frame(text, NUM_QUERIES) for text in texts] != first
    assert draw_tokens_per_frame("one text", 16) == draw_tokens_per_frame(["one text"], 16)


@pytest.mark.parametrize("bounds", ["4", "4-", "-4", "8-2", "0-4", "a-b", "2.5-4", "2-4-8"])
def test_a_malformed_range_raises(monkeypatch, bounds):
    monkeypatch.setenv("FTFV_TOKENS_PER_FRAME_RANGE", bounds)
    with pytest.raises(ValueError, match=f"`FTFV_TOKENS_PER_FRAME_RANGE` is '{bounds}'; expected two whole numbers"):
        draw_tokens_per_frame("a", NUM_QUERIES)


def test_a_range_beyond_the_queries_raises_whatever_is_drawn(monkeypatch, clip):
    monkeypatch.setenv("FTFV_TOKENS_PER_FRAME_RANGE", f"1-{NUM_QUERIES + 1}")
    message = f"'1-{NUM_QUERIES + 1}'; expected at most {NUM_QUERIES}, the adapter's number of query tokens"
    for question in ("what ?", "what moves ?", "which way ?", "a ?", "the ?"):
        with pytest.raises(ValueError, match=message):
            build_processor().apply_chat_template([user(question, video_block(clip)), assistant("a")], **LOSS_MASK)


def test_k_is_drawn_for_the_loss_only(monkeypatch, clip):
    processor = build_processor()
    conversations = [
        [user(question, video_block(clip)), assistant("left")]
        for question in ("what ?", "what moves ?", "which way ?", "a ?", "the ?", "red ?", "blue ?", "two ?")
    ]

    def numbers(**arguments: Any) -> list[int]:
        drawn = []
        for conversation in conversations:
            inputs = processor.apply_chat_template(conversation, **arguments)
            (number,) = inputs["tokens_per_frame"].tolist()
            assert count(inputs["input_ids"], VIDEO_TOKEN_ID) == [8 * number]
            drawn.append(number)
        return drawn

    assert numbers(**LOSS_MASK) == [4] * 8
    monkeypatch.setenv("FTFV_TOKENS_PER_FRAME_RANGE", "1-16")
    drawn = numbers(**LOSS_MASK)
    assert len(set(drawn)) > 3 and numbers(**LOSS_MASK) == drawn
    # An evaluation asks for no loss mask, and a number that is asked for is kept.
    assert numbers(tokenize=True, return_dict=True) == [4] * 8
    assert numbers(**LOSS_MASK, processor_kwargs={"tokens_per_frame": 3}) == [3] * 8
    assert numbers(**LOSS_MASK, processor_kwargs={"videos_kwargs": {"tokens_per_frame": 3}}) == [3] * 8


def test_a_batch_shares_one_drawn_number(monkeypatch, clip):
    monkeypatch.setenv("FTFV_TOKENS_PER_FRAME_RANGE", "1-16")
    conversations = [[user(question, video_block(clip)), assistant("a")] for question in ("what ?", "a ?", "the ?")]
    inputs = build_processor().apply_chat_template(
        conversations, **LOSS_MASK, return_tensors="pt", processor_kwargs={"padding": True}
    )
    assert len(set(inputs["tokens_per_frame"].tolist())) == 1


def test_a_drawn_number_is_not_saved(monkeypatch, clip, tmp_path):
    monkeypatch.setenv("FTFV_TOKENS_PER_FRAME_RANGE", "9-9")
    processor = build_processor()
    inputs = processor.apply_chat_template([user("what ?", video_block(clip)), assistant("a")], **LOSS_MASK)
    assert inputs["tokens_per_frame"].tolist() == [9]
    processor.save_pretrained(tmp_path)
    saved = json.loads((tmp_path / "processor_config.json").read_text())
    assert saved["video_processor"]["tokens_per_frame"] == 4 and "RANGE" not in json.dumps(saved)


def test_images_alone_draw_nothing(monkeypatch):
    monkeypatch.setenv("FTFV_TOKENS_PER_FRAME_RANGE", "9-9")
    conversation = [user("what ?", {"type": "image", "image": image()}), assistant("a")]
    inputs = build_processor().apply_chat_template(conversation, **LOSS_MASK)
    assert count(inputs["input_ids"], IMAGE_TOKEN_ID) == [NUM_QUERIES] and "tokens_per_frame" not in inputs


# Saving


@pytest.mark.parametrize("auto", [FTFVProcessor, AutoProcessor])
def test_saving_and_loading(tmp_path, clip, auto):
    processor = build_processor("vicuna", tokens_per_frame=7, sample_images=True)
    processor.save_pretrained(tmp_path)
    loaded = auto.from_pretrained(tmp_path)
    assert type(loaded) is FTFVProcessor and loaded.to_dict() == processor.to_dict()
    assert (loaded.num_query_tokens, loaded.sample_images) == (NUM_QUERIES, True)
    assert loaded.chat_template == processor.chat_template
    conversation = [user("what moves ?", video_block(clip), {"type": "image", "image": image()}), assistant("left")]
    for arguments in ({}, {"return_assistant_tokens_mask": True}):
        first, second = (
            one.apply_chat_template(conversation, tokenize=True, return_dict=True, return_tensors="pt", **arguments)
            for one in (processor, loaded)
        )
        assert first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_the_names_of_the_outputs(clip):
    processor = build_processor()
    inputs = processor(text="<video> <image>", videos=clip, images=image())
    assert set(inputs) == set(processor.model_input_names)


@pytest.mark.parametrize("return_tensors", [None, "pt", "np"])
@pytest.mark.parametrize("padding_side", ["left", "right"])
def test_a_prompt_longer_than_the_language_model_is_right_is_refused(return_tensors, padding_side):
    processor = build_processor(padding_side=padding_side)
    processor.tokenizer.model_max_length = 20
    options = {"images": image(), "return_tensors": return_tensors}
    inputs = processor(text="a red square <image> .", **options)
    assert len(inputs["input_ids"][0]) == NUM_QUERIES + 4 == 20
    with pytest.raises(ValueError, match=r"prompt has 21 tokens with those of its media; expected at most 20, the"):
        processor(text="a red square <image> . .", **options)


def test_training_is_not_limited():
    processor = build_processor()
    processor.tokenizer.model_max_length = 5
    conversation = [[user("which way does the red square move ?"), assistant("right")]]
    inputs = processor.apply_chat_template(conversation, **LOSS_MASK)
    assert len(inputs["input_ids"][0]) > 5


def test_the_limit_counts_no_padding():
    processor = build_processor()
    processor.tokenizer.model_max_length = 5
    inputs = processor(text=["a red square .", "what ?"], padding="max_length", max_length=9, return_tensors="pt")
    assert inputs["input_ids"].shape == (2, 9)
    with pytest.raises(ValueError, match="prompt has 6 tokens"):
        processor(text=["what ?", "a red square . . ."], return_attention_mask=False)
