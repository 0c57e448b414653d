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

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from ftfv.evaluation.asking.questions import ask_questions
from ftfv.evaluation.asking.rows import shuffled_order
from ftfv.evaluation.asking.setting import Setting
from ftfv.evaluation.benchmarks.benchmark import Answered, Question
from tests.plain_answers import answer_rows
from tests.tiny import NUM_QUERIES, build_llama_tokenizer, build_model, build_processor


QUESTIONS = ("which way does the red circle move ?", "what moves ?", "which shape ?")


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Frame caches of 3 to 12 frames, one of a single frame, and a picture."""
    folder = tmp_path_factory.mktemp("media")
    rng = np.random.default_rng(0)
    for num_frames in (1, 3, 8, 12):
        np.save(folder / f"{num_frames}.npy", rng.integers(0, 256, (num_frames, 42, 42, 3), dtype=np.uint8))
    Image.fromarray(rng.integers(0, 256, (42, 42, 3), dtype=np.uint8)).save(folder / "0.png")
    return folder


@pytest.fixture(scope="module")
def questions(media: Path) -> list[Question]:
    """Three questions about each of three videos, in turn, then one about a picture."""
    asked = [
        Question(f"{text}{frames}", "moves", QUESTIONS[text], "left", video=str(media / f"{frames}.npy"))
        for text in range(3)
        for frames in (8, 3, 12)
    ]
    return [*asked, Question("picture", "shape", QUESTIONS[2], "left", image=str(media / "0.png"))]


def ask(model: Any, processor: Any, questions: list[Question], settings: list[Setting], **options: Any) -> Any:
    """Answers by setting and id of the question."""
    options = {"max_new_tokens": 5, "progress": False, **options}
    answers: dict[Setting, dict[str, Answered]] = {}
    for setting, batch in ask_questions(model, processor, questions, lambda q: q.question, settings, **options):
        answers.setdefault(setting, {}).update({answered.question.id: answered for answered in batch})
    return answers


def texts(answers: dict[str, Answered]) -> dict[str, str]:
    return {name: answered.text for name, answered in answers.items()}


def as_row(question: Question) -> dict[str, Any]:
    block = {"type": "video", "path": question.video}
    if question.video is None:
        block = {"type": "image", "image": question.image}
    return {
        "id": question.id,
        "type": "vqa",
        "source": "tiny",
        "messages": [
            {"role": "user", "content": [block, {"type": "text", "text": question.question}]},
            {"role": "assistant", "content": [{"type": "text", "text": question.answer}]},
        ],
    }


SETTINGS = [
    Setting(),
    Setting(tokens_per_frame=1),
    Setting(tokens_per_frame=NUM_QUERIES),
    Setting(num_frames=3),
    Setting(token_sampler="uniform", tokens_per_frame=3),
    Setting(token_sampler="none"),
]


def test_answers_are_those_of_rows_asked_one_by_one(model, processor, media, questions):
    answers = ask(model, processor, questions, SETTINGS, batch_size=4)

    assert list(answers) == SETTINGS
    for setting in SETTINGS:
        kept = NUM_QUERIES if setting.token_sampler == "none" else setting.tokens_per_frame
        rows = answer_rows(
            model,
            processor,
            [as_row(question) for question in questions],
            media_root="",
            tokens_per_frame=kept,
            num_frames=setting.num_frames,
            token_sampler=setting.token_sampler,
            batch_size=1,
            max_new_tokens=5,
            progress=False,
        )
        assert texts(answers[setting]) == {row.id: row.answer for row in rows}
    # A test of equal answers says nothing if all are alike.
    assert len({answered.text for of_setting in answers.values() for answered in of_setting.values()}) > 5


@pytest.mark.parametrize("batch_size", [1, 4, 16])
def test_encodes_each_video_once_for_all_settings_and_orders(processor, questions, model, batch_size):
    calls = []
    model.model.vision_tower.register_forward_hook(lambda module, args, output: calls.append(len(args[0])))
    settings = [Setting(), Setting(tokens_per_frame=2), Setting(shuffle_frames=True), Setting(token_sampler="random")]

    ask(model, processor, questions, settings, batch_size=batch_size)

    # Of 3, 8 and 12 frames, at most 8 are looked at; the picture is one.
    assert sorted(calls) == [1, 3, 8, 8]


def test_shuffled_frames_are_those_of_a_video_with_shuffled_frames(model, processor, media, tmp_path):
    def about(path: Path) -> list[Question]:
        return [Question(text, "moves", text, "left", video=str(path)) for text in QUESTIONS]

    plain, shuffled = Setting(), Setting(shuffle_frames=True)
    answers = ask(model, processor, about(media / "8.npy"), [plain, shuffled])
    np.save(tmp_path / "8.npy", np.load(media / "8.npy")[shuffled_order(8, "0 8.npy None")])
    assert texts(answers[shuffled]) == texts(ask(model, processor, about(tmp_path / "8.npy"), [plain])[plain])
    assert texts(answers[shuffled]) != texts(answers[plain])


def test_a_video_of_one_frame_keeps_its_order(model, processor, media):
    question = Question("0", "moves", QUESTIONS[0], "left", video=str(media / "1.npy"))
    answers = ask(model, processor, [question], [Setting(), Setting(shuffle_frames=True)])
    assert len({answered["0"].text for answered in answers.values()}) == 1


def test_one_random_frame_as_an_image_is_that_frame_as_an_image(model, processor, media, tmp_path):
    frames = np.load(media / "12.npy")
    video = Question("0", "moves", QUESTIONS[0], "left", video=str(media / "12.npy"))
    got = ask(model, processor, [video], [Setting(as_image=True)])[Setting(as_image=True)]["0"].text
    expected = []
    for index, frame in enumerate(frames):
        Image.fromarray(frame).save(tmp_path / f"{index}.png")
        question = Question("0", "moves", QUESTIONS[0], "left", image=str(tmp_path / f"{index}.png"))
        expected.append(ask(model, processor, [question], [Setting()])[Setting()]["0"].text)
    assert got in expected
    assert len(set(expected)) > 1
    again = ask(model, processor, [video], [Setting(as_image=True)])
    assert again[Setting(as_image=True)]["0"].text == got


def test_what_is_known_is_not_asked_again(model, processor, questions):
    calls = []
    model.model.vision_tower.register_forward_hook(lambda module, args, output: calls.append(len(args[0])))
    whole = texts(ask(model, processor, questions, [Setting()], batch_size=3)[Setting()])
    calls.clear()

    known = {question.id for question in questions if question.video and question.video.endswith("8.npy")} | {"03"}
    rest = ask(model, processor, questions, [Setting()], batch_size=3, known={Setting(): known})

    assert texts(rest[Setting()]) == {name: text for name, text in whole.items() if name not in known}
    assert sorted(calls) == [1, 3, 8]


def test_log_probabilities_of_letters_are_those_of_the_next_token(media):
    tokenizer = build_llama_tokenizer()
    sizes = {"vocab_size": len(tokenizer), "max_position_embeddings": 4096}
    ids = {"image_token_id": tokenizer.image_token_id, "video_token_id": tokenizer.video_token_id}
    model = build_model(text_config=sizes, **ids)
    processor = build_processor(tokenizer=tokenizer)
    question = Question("0", "moves", "B?", "B", ("left", "right", "up"), video=str(media / "8.npy"))

    def log_probs(prefix: str) -> Any:
        [(_, [answered])] = ask_questions(
            model,
            processor,
            [question],
            lambda question: question.question,
            [Setting()],
            response_prefix=prefix,
            max_new_tokens=2,
            progress=False,
        )
        return answered.letter_log_probs

    chat = [
        {"role": "user", "content": [{"type": "video", "video": question.video}, {"type": "text", "text": "B?"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "Best option:("}]},
    ]
    inputs = processor.apply_chat_template(
        chat, tokenize=True, return_dict=True, return_tensors="pt", continue_final_message=True
    )
    with torch.no_grad():
        next_token = model(**inputs).logits[0, -1].log_softmax(-1)
    expected = {letter: next_token[tokenizer.convert_tokens_to_ids(letter)].item() for letter in "ABC"}
    assert log_probs("Best option:(") == pytest.approx(expected, abs=2e-5)

    model.generation_config.update(repetition_penalty=5.0, suppress_tokens=[tokenizer.convert_tokens_to_ids("A")])
    assert log_probs("Best option:(") == pytest.approx(expected, abs=2e-5)

    # This tokenizer writes a token for the space before the answer, which tells no letter from another.
    assert log_probs("") is None


def test_log_probabilities_that_are_no_numbers_are_refused(processor, questions):
    model = build_model()
    with torch.no_grad():
        model.lm_head.weight.fill_(float("nan"))
    with pytest.raises(ValueError, match="for question '08' are not finite.* bfloat16 or float32"):
        ask(model, processor, questions, [Setting()])


def test_a_question_about_nothing_is_asked_as_it_is(model, processor, questions):
    text = Question("text", "words", QUESTIONS[1], "left")
    alone = texts(ask(model, processor, [text], [Setting()])[Setting()])
    row = as_row(text)
    del row["messages"][0]["content"][0]
    [expected] = answer_rows(model, processor, [row], media_root="", max_new_tokens=5, progress=False)
    assert alone == {"text": expected.answer}
    among = texts(ask(model, processor, [questions[0], text], [Setting()])[Setting()])
    assert among["text"] == expected.answer


def test_files_that_cannot_be_read_stop_or_are_counted(model, processor, media, tmp_path):
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    questions = [
        Question("0", "moves", QUESTIONS[0], "left", video=str(tmp_path / "broken.mp4")),
        Question("1", "moves", QUESTIONS[0], "left", video=str(media / "3.npy")),
        Question("2", "moves", QUESTIONS[1], "left", video=str(tmp_path / "gone.mp4")),
    ]
    with pytest.raises(ValueError, match="broken.mp4"):
        ask(model, processor, questions, [Setting()])

    answers = ask(model, processor, questions, [Setting()], count_unreadable=True)[Setting()]
    assert "broken.mp4" in answers["0"].unreadable
    assert answers["1"].unreadable is None
    assert answers["1"].text
    assert "gone.mp4" in answers["2"].unreadable
