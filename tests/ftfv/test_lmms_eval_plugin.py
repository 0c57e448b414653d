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
"""FTFV as a model of lmms-eval, without lmms-eval."""

import sys
import tomllib

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import pipeline

from ftfv import FTFVModel
from ftfv.evaluation.asking.batches import UnreadableMediaError
from tests.lmms_eval_stand_in import Instance, import_with_stand_in
from tests.tiny import ROOT, build_frames, write_video


GREEDY = {"do_sample": False, "temperature": 0, "num_beams": 1, "until": []}
QUESTIONS = ("what moves ?", "which way does the red circle move ?", "what shape moves ? answer briefly")


@pytest.fixture
def plugin(monkeypatch):
    return import_with_stand_in(monkeypatch, "ftfv.lmms_eval_plugin")


@pytest.fixture
def load(plugin, saved_folder):
    def load(documents=(), **arguments):
        model = plugin.FTFV(**{"pretrained": str(saved_folder), "device": "cpu", "batch_size": 2, **arguments})
        model.task_dict = {"toy": {"test": list(documents)}}
        return model

    return load


@pytest.fixture
def encoded(monkeypatch):
    """Number of frames of each call of vision tower and adapter."""
    calls, encode_frames = [], FTFVModel.encode_frames

    def counted(self, *args, **kwargs):
        output = encode_frames(self, *args, **kwargs)
        calls.append(len(output[3]))
        return output

    monkeypatch.setattr(FTFVModel, "encode_frames", counted)
    return calls


def request(doc_id, prompt=QUESTIONS[0], **options):
    return Instance(
        (prompt, {**GREEDY, "max_new_tokens": 6, **options}, lambda document: document, doc_id, "toy", "test")
    )


def option_request(doc_id, option, prompt=QUESTIONS[0]):
    return Instance((prompt, option, lambda document: document, doc_id, "toy", "test"))


def loss_of(plugged, prompt, video, option):
    """The loss that the model itself gives for the option's tokens, from the file."""
    chat = [
        {"role": "user", "content": [{"type": "video", "video": str(video)}, {"type": "text", "text": prompt}]},
        {"role": "assistant", "content": [{"type": "text", "text": option}]},
    ]
    inputs = plugged.processor.apply_chat_template(
        chat,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
        continue_final_message=True,
        processor_kwargs={"tokens_per_frame": 3, "num_frames": 4},
    )
    labels = inputs["input_ids"].clone()
    labels[:, : -len(option.split())] = -100
    with torch.no_grad():
        return plugged.model(**inputs, labels=labels).loss.item()


def picture(seed):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (48, 64, 3), dtype=np.uint8))


def ask_pipeline(folder, prompt, length=6, videos=None, **arguments):
    pipe = pipeline("video-text-to-text", model=str(folder))
    media = {"videos": videos} if videos is not None else {}
    generate = {"max_new_tokens": length, "do_sample": False}
    [answer] = pipe(text=prompt, return_full_text=False, generate_kwargs=generate, **media, **arguments)
    return answer["generated_text"].strip()


def test_the_entry_point_gives_the_manifest_of_the_class(plugin):
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())
    module, name = pyproject["project"]["entry-points"]["lmms_eval.models"]["ftfv"].split(":")
    manifest = getattr(sys.modules[module], name)()
    assert (manifest.model_id, manifest.simple_class_path) == ("ftfv", "ftfv.lmms_eval_plugin.FTFV")


def test_answers_are_those_of_the_pipeline_and_each_clip_is_encoded_once(load, encoded, saved_folder, clip, tmp_path):
    other = write_video(tmp_path / "other.mp4", build_frames(9)[::-1])
    requests = [request(index % 2, question) for index, question in enumerate((*QUESTIONS, *QUESTIONS))]
    answers = load([[clip], [other]], tokens_per_frame=3, num_frames=4).generate_until(requests)
    assert encoded == [4, 4]
    expected = [
        ask_pipeline(saved_folder, question, videos=(clip, other)[index % 2], tokens_per_frame=3, num_frames=4)
        for index, question in enumerate((*QUESTIONS, *QUESTIONS))
    ]
    assert answers == expected
    assert len(set(answers)) > 1


def test_random_tokens_go_by_the_seed(load, clip):
    requests = [option_request(0, "left"), option_request(0, "left", QUESTIONS[1])]
    first, again, other = (
        [result.text[0] for result in load([[clip]], token_sampler="random", seed=seed).loglikelihood(requests)]
        for seed in (0, 0, 1)
    )
    assert first == again
    assert all(abs(one - another) > 1e-6 for one, another in zip(first, other, strict=True))


def test_every_request_has_its_own_length_and_end(load, saved_folder, clip):
    whole = ask_pipeline(saved_folder, QUESTIONS[1], length=8, videos=clip)
    first, second, *_ = whole.split()
    assert first != second
    requests = [
        request(0, QUESTIONS[1], max_new_tokens=8),
        request(0, QUESTIONS[1], max_new_tokens=1),
        request(0, QUESTIONS[1], max_new_tokens=8, until=["nothing", second]),
        request(0, QUESTIONS[1], max_new_tokens=8, until=None),
    ]
    answers = load([[clip]]).generate_until(requests)
    assert answers == [whole, first, whole.split(second)[0].strip(), whole]


def test_where_a_task_sets_no_length_that_of_the_model_holds(load, saved_folder, clip):
    options = request(0, QUESTIONS[1]).args[1]
    del options["max_new_tokens"]
    asked = Instance((QUESTIONS[1], options, lambda document: document, 0, "toy", "test"))
    [answer] = load([[clip]], max_new_tokens=2).generate_until([asked])
    assert answer == ask_pipeline(saved_folder, QUESTIONS[1], length=2, videos=clip)


def test_images_of_the_same_content_are_encoded_once(load, encoded, saved_folder, tmp_path):
    documents = [[picture(1)], [picture(2)], [picture(1)]]
    answers = load(documents).generate_until([request(index) for index in range(3)])
    assert encoded == [1, 1]
    block = {"type": "image", "image": picture(1)}
    chat = [{"role": "user", "content": [block, {"type": "text", "text": QUESTIONS[0]}]}]
    assert answers[0] == answers[2] == ask_pipeline(saved_folder, chat)
    picture(1).save(tmp_path / "picture.PNG")
    assert load([[str(tmp_path / "picture.PNG")]]).generate_until([request(0)]) == [answers[0]]


def test_a_list_of_images_is_a_video(load, encoded, saved_folder, tmp_path):
    frames = [Image.fromarray(frame) for frame in build_frames(5)]
    [answer] = load([frames], num_frames=5).generate_until([request(0)])
    assert encoded == [5]
    assert answer == ask_pipeline(saved_folder, QUESTIONS[0], videos=build_frames(5), num_frames=5)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"seed": "x"}, ValueError, "`seed` is 'x'; expected a whole number."),
        ({"as_image": "off"}, ValueError, "`as_image` is 'off'; expected True or False."),
        ({"num_frame": 8}, TypeError, "`num_frame` is no argument of the model ftfv; expected pretrained,"),
        ({"pretrained": ""}, ValueError, "`pretrained` is not given"),
        ({"pretrained": "./nowhere"}, FileNotFoundError, "No model folder './nowhere'"),
        ({"batch_size": "auto"}, ValueError, "--batch_size is 'auto'; expected a number of at least 1."),
        ({"batch_size": 0}, ValueError, "--batch_size is 0"),
        ({"dtype": "int8"}, ValueError, "`dtype` is 'int8'; expected one of auto, float32, bfloat16, float16."),
        ({"token_sampler": "best"}, ValueError, "`token_sampler` is 'best'; expected one of weighted,"),
        ({"token_order": "best"}, ValueError, "`token_order` is 'best'"),
        ({"tokens_per_frame": 17}, ValueError, "`tokens_per_frame` is 17; expected 1 to 16"),
        ({"frame_size": 40}, ValueError, "`frame_size` is 40; expected a multiple"),
        ({"max_new_tokens": "many"}, ValueError, "`max_new_tokens` is 'many'; expected a number of at least 1."),
    ],
)
def test_a_wrong_argument_is_refused_before_anything_is_asked(load, arguments, error, message):
    with pytest.raises(error) as raised:
        load(**arguments)
    assert str(raised.value).startswith(message)


@pytest.mark.parametrize(
    ("document", "options", "message"),
    [
        ([], {}, "Document 0 of toy has neither video nor image"),
        (None, {}, "Document 0 of toy has neither video nor image"),
        ([{"array": []}], {}, "Document 0 of toy has media of the types dict"),
        (["a.mp4", "b.mp4"], {}, "Document 0 of toy has media of the types str, str"),
        (["a.mp4"], {"do_sample": True}, "Document 0 of toy asks for sampling"),
        (["a.mp4"], {"do_sample": None, "temperature": 0.7}, "Document 0 of toy asks for sampling"),
        (["a.mp4"], {"num_beams": 4}, "Document 0 of toy asks for beams"),
        (["a.mp4"], {"max_new_tokens": 0}, "`max_new_tokens` is 0"),
    ],
)
def test_a_request_that_cannot_be_answered_is_refused(load, document, options, message):
    with pytest.raises(ValueError) as raised:
        load([document]).generate_until([request(0, **options)])
    assert str(raised.value).startswith(message)


def test_a_missing_video_is_an_error(load, tmp_path):
    with pytest.raises(UnreadableMediaError, match=r"gone\.mp4.* Question 'Document 0 of toy, 0' is about it\."):
        load([[str(tmp_path / "gone.mp4")]]).generate_until([request(0)])


def test_other_kinds_of_requests_are_refused(load):
    with pytest.raises(NotImplementedError, match="several rounds"):
        load().generate_until_multi_round([])


def test_options_are_ranked_and_each_clip_is_encoded_once(load, encoded, clip, tmp_path):
    other = write_video(tmp_path / "other.mp4", build_frames(9)[::-1])
    model = load([[clip], [other]], tokens_per_frame=3, num_frames=4)
    options = ("left", "red circle", "the circle moves right")
    # As lmms-eval asks: every option of a document, behind a space; then the same documents with another prompt.
    asked = [(doc_id, prompt, option) for prompt in QUESTIONS[:2] for doc_id in (0, 1) for option in options]
    requests = [option_request(doc_id, f" {option}", prompt) for doc_id, prompt, option in asked]
    results = [result.text for result in model.loglikelihood(requests)]
    assert encoded == [4, 4]

    expected = [loss_of(model, prompt, (clip, other)[doc_id], option) for doc_id, prompt, option in asked]
    assert [loss for loss, _ in results] == pytest.approx(expected, abs=2e-5)
    assert len({round(loss, 4) for loss, _ in results}) == len(asked)
    assert all(type(is_greedy) is bool for _, is_greedy in results)
    assert model.loglikelihood([]) == []
    [by_function] = model.loglikelihood([option_request(1, lambda document: "red circle", QUESTIONS[1])])
    assert by_function.text == pytest.approx(results[10], abs=2e-5)


@pytest.mark.parametrize(
    ("requests", "message"),
    [
        (lambda: [option_request(0, "")], "One of the options [''] of toy is empty, or has tokens"),
        (lambda: [option_request(0, "xylophone")], "One of the options ['xylophone'] of toy is empty, or has tokens"),
        (lambda: [Instance(("", "left"))], "A request asks for the likelihood of an option without prompt"),
        (lambda: [option_request(1, "left")], "Document 1 of toy has neither video nor image"),
        (lambda: [option_request(0, 2)], "Document 0 of toy asks for the likelihood of 2; expected a text."),
    ],
)
def test_options_that_cannot_be_ranked(load, clip, requests, message):
    with pytest.raises(ValueError) as raised:
        load([[clip], []]).loglikelihood(requests())
    assert str(raised.value).startswith(message)
