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
"""Prompts of rows, greedy answers, the shuffled-frames floor, and what an evaluation must leave as it was."""

import re
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from ftfv.evaluation.asking.rows import (
    Answer,
    batch_rows,
    check_rows,
    evaluating,
    load_prompts,
    longest_truth,
    shuffled_order,
)
from tests.plain_answers import answer_rows
from tests.tiny import NUM_QUERIES, VIDEO_TOKEN_ID, build_frames, frame_indices


QUESTIONS = ("which way does the red circle move ?", "what moves ?", "which shape ?")


@pytest.fixture(scope="module")
def media_root(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Frame caches of 3 to 12 frames, two pictures."""
    root = tmp_path_factory.mktemp("media")
    rng = np.random.default_rng(0)
    for num_frames in (3, 8, 12):
        np.save(root / f"{num_frames}.npy", rng.integers(0, 256, (num_frames, 42, 42, 3), dtype=np.uint8))
    np.save(root / "grey.npy", build_frames(8, 42, 42))
    for index in range(2):
        Image.fromarray(rng.integers(0, 256, (42, 42, 3), dtype=np.uint8)).save(root / f"{index}.png")
    return str(root)


def make_row(row_id: str, block: dict[str, Any] | None, question: str, truth: str = "left", **extra: Any) -> dict:
    content = [*([block] if block else []), {"type": "text", "text": question}]
    messages = [
        {"role": "user", "content": content},
        {"role": "assistant", "content": [{"type": "text", "text": truth}]},
    ]
    return {"id": row_id, "images": [], "messages": messages, "source": "tiny", "type": "vqa", **extra}


def video(name: Any) -> dict[str, str]:
    return {"type": "video", "path": f"{name}.npy"}


def image(name: Any) -> dict[str, str]:
    return {"type": "image", "image": f"{name}.png"}


@pytest.fixture
def rows() -> list[dict]:
    """Videos of several lengths and questions of several lengths, pictures, and text alone, in no order."""
    return [
        make_row("a", video(8), QUESTIONS[0], skill="direction"),
        make_row("b", image(0), QUESTIONS[1], "a red square", skill="shape"),
        make_row("c", video(3), QUESTIONS[1], skill="direction"),
        make_row("d", None, QUESTIONS[2]),
        make_row("e", video(12), QUESTIONS[2], skill="direction"),
        make_row("f", image(1), QUESTIONS[0], skill="shape"),
    ]


@pytest.mark.parametrize(
    ("answer", "truth", "correct"),
    [
        ("left", "left", True),
        (" Left \n", "left", True),
        ("red  circle", "Red\tcircle", True),
        ("STRASSE", "straße", True),
        ("left .", "left", False),
        ("left left", "left", False),
        ("", "left", False),
    ],
)
def test_an_answer_is_correct_when_it_is_the_truth_but_for_case_and_white_space(answer, truth, correct):
    assert Answer("0", "direction", "vqa", "?", truth, answer).correct is correct


def test_answers_stand_in_the_order_of_the_rows_with_what_the_rows_say(model, processor, rows, media_root):
    answers = answer_rows(model, processor, rows, media_root=media_root, batch_size=2, progress=False)

    assert [answer.id for answer in answers] == list("abcdef")
    assert [answer.skill for answer in answers] == ["direction", "shape", "direction", "tiny", "direction", "shape"]
    assert answers[1].truth == "a red square" and answers[1].question == QUESTIONS[1]
    assert {answer.type for answer in answers} == {"vqa"}


def test_a_left_padded_batch_answers_as_its_rows_do_alone(model, processor, rows, media_root):
    options = {"media_root": media_root, "max_new_tokens": 5, "progress": False}

    together = answer_rows(model, processor, rows, batch_size=10, **options)
    alone = [answer for row in rows for answer in answer_rows(model, processor, [row], **options)]

    assert together == alone
    assert len({answer.answer for answer in together}) > 3


def test_logits_of_a_left_padded_batch_are_those_of_its_rows_alone(model, processor, rows, media_root):
    rows = [row for row in rows if row["messages"][0]["content"][0]["type"] == "video"]

    def last_logits(rows):
        inputs = load_prompts(processor, rows, media_root=media_root)
        positions = (inputs["attention_mask"].cumsum(dim=-1) - 1).clamp(min=0)
        with torch.no_grad():
            return model(**inputs, position_ids=positions).logits[:, -1]

    torch.testing.assert_close(
        last_logits(rows), torch.cat([last_logits([row]) for row in rows]), atol=1e-5, rtol=1e-5
    )


def test_batches_hold_rows_with_the_same_kind_of_media(rows):
    assert batch_rows(rows, 2) == [[0, 2], [4], [1, 5], [3]]


def test_a_prompt_costs_frames_times_tokens_and_pads_on_the_left(processor, rows, media_root):
    inputs = load_prompts(processor, [rows[0], rows[2]], media_root=media_root, tokens_per_frame=2, num_frames=5)

    assert (inputs["input_ids"] == VIDEO_TOKEN_ID).sum(dim=1).tolist() == [5 * 2, 3 * 2]
    assert inputs["attention_mask"][:, -1].tolist() == [1, 1] and inputs["attention_mask"][1, 0] == 0
    assert inputs["video_frame_mask"].sum(dim=1).tolist() == [5, 3]


def test_earlier_turns_stay_in_the_prompt_and_the_truth_does_not(processor, media_root):
    row = make_row("a", video(3), QUESTIONS[0], "left")
    row["messages"] += make_row("a", None, QUESTIONS[1], "square")["messages"]

    [prompt] = processor.batch_decode(load_prompts(processor, [row], media_root=media_root)["input_ids"])

    assert prompt.replace("<video> ", "").split() == [
        *("<s> user :".split() + QUESTIONS[0].split() + "assistant : left </s> user :".split()),
        *QUESTIONS[1].split(),
        *"assistant :".split(),
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"messages": []}, "Row 'a' has the turns none; expected the last two to be a user's question"),
        ({"messages": make_row("a", None, "?")["messages"][:1]}, "Row 'a' has the turns user; expected the last two"),
        ({"messages": None}, "Row 'a' has no messages; expected `id`"),
        ({"id": None}, "Row None has no id; expected `id`"),
        ({"type": None}, "Row 'a' has no type; expected `id`"),
        ({"skill": None, "source": None}, "Row 'a' has no skill and no source; expected `id`"),
        (
            {"messages": [{"role": "user", "content": "?"}, {"role": "assistant", "content": "left"}]},
            "Row 'a' has the content '?'; expected a list of blocks",
        ),
    ],
)
def test_malformed_rows_are_refused_before_the_model_is_asked(change, message):
    row = make_row("a", None, "?")
    check_rows([row])
    with pytest.raises(ValueError, match=re.escape(message)):
        check_rows([row, {**row, **change}])


def test_keys_that_a_table_left_empty_are_ignored(processor, media_root):
    block = {"type": "video", "path": "3.npy", "image": None, "text": None}

    inputs = load_prompts(processor, [make_row("a", block, QUESTIONS[0])], media_root=media_root)

    assert inputs["pixel_values_videos"].shape[:2] == (1, 3)


def test_a_missing_file_is_named(model, processor, media_root):
    with pytest.raises(FileNotFoundError, match="none.npy"):
        answer_rows(model, processor, [make_row("a", video("none"), "?")], media_root=media_root, progress=False)


def test_the_longest_truth_limits_the_answers(processor, rows):
    assert longest_truth(processor, rows) == 3
    assert longest_truth(processor, []) == 0


def test_shuffling_keeps_the_frames_and_changes_their_order(processor, media_root):
    rows = [make_row(f"row {index}", video("grey"), QUESTIONS[0]) for index in range(30)]

    shown = load_prompts(processor, rows, media_root=media_root)["pixel_values_videos"]
    shuffled = load_prompts(processor, rows, media_root=media_root, shuffle_seed=0)["pixel_values_videos"]

    orders = [frame_indices(frames) for frames in shuffled]
    assert all(frame_indices(frames) == list(range(8)) for frames in shown)
    assert all(sorted(order) == list(range(8)) and order != list(range(8)) for order in orders)
    assert len({tuple(order) for order in orders}) == 30
    # Averaged over many rows a frame is as likely to stand anywhere.
    np.testing.assert_allclose(np.mean(orders, axis=0), 3.5, atol=1.5)


def test_the_order_depends_on_seed_and_row_alone(processor, media_root):
    rows = [make_row(row_id, video(name), QUESTIONS[0]) for row_id, name in (("a", 3), ("b", "grey"))]

    def order(rows, seed):
        pixels = load_prompts(processor, rows, media_root=media_root, shuffle_seed=seed)["pixel_values_videos"]
        return frame_indices(pixels[-1])

    assert order(rows, 0) == order(rows[1:], 0)
    assert order(rows, 0) != order(rows, 1)


def test_shuffling_leaves_padded_frames_at_the_end(processor, media_root):
    rows = [make_row(row_id, video(name), QUESTIONS[0]) for row_id, name in (("a", 3), ("b", 8))]

    shown = load_prompts(processor, rows, media_root=media_root)
    shuffled = load_prompts(processor, rows, media_root=media_root, shuffle_seed=0)

    assert torch.equal(shown["video_frame_mask"], shuffled["video_frame_mask"])
    before, after = (inputs["pixel_values_videos"][0] for inputs in (shown, shuffled))
    assert not after[3:].any()
    matches = [[bool(torch.equal(old, new)) for old in before[:3]] for new in after[:3]]
    assert np.sum(matches, axis=0).tolist() == [1, 1, 1] and matches != np.eye(3, dtype=bool).tolist()


def test_an_order_is_never_the_true_one():
    assert all(shuffled_order(2, f"key {index}").tolist() == [1, 0] for index in range(40))
    with pytest.raises(ValueError, match="video of 1 frame cannot be shuffled"):
        shuffled_order(1, "key")


def test_shuffled_frames_change_answers(model, processor, media_root):
    rows = [make_row(str(index), video(name), QUESTIONS[0]) for index in range(4) for name in (8, 12)]
    options = {"media_root": media_root, "max_new_tokens": 4, "progress": False}

    shown = answer_rows(model, processor, rows, **options)
    shuffled = answer_rows(model, processor, rows, shuffle_frames=True, **options)

    assert shown != shuffled
    assert shuffled == answer_rows(model, processor, rows, shuffle_frames=True, **options)


def test_random_tokens_go_by_the_seed_and_leave_the_random_state_alone(model, processor, rows, media_root):
    options = {"media_root": media_root, "token_sampler": "random", "tokens_per_frame": 2, "max_new_tokens": 5}
    state = torch.get_rng_state()

    first, second, other = (
        answer_rows(model, processor, rows, progress=False, seed=seed, **options) for seed in (0, 0, 1)
    )

    assert first == second
    assert first != other
    assert torch.equal(state, torch.get_rng_state())


def test_the_token_sampler_is_another_one_meanwhile(model, processor, rows, media_root):
    options = {"media_root": media_root, "tokens_per_frame": 2, "max_new_tokens": 5, "progress": False}
    weighted = answer_rows(model, processor, rows, **options)
    first = answer_rows(model, processor, rows, token_sampler="first", **options)

    assert model.config.token_sampler == "weighted"
    model.config.token_sampler = "first"
    assert first == answer_rows(model, processor, rows, **options) != weighted


def test_settings_come_back_after_an_error(model, processor, media_root):
    model.train()
    with pytest.raises(FileNotFoundError):
        answer_rows(
            model,
            processor,
            [make_row("a", video("none"), "?")],
            media_root=media_root,
            token_sampler="random",
            progress=False,
        )

    assert model.config.token_sampler == "weighted"
    assert model.training and model.model.vision_tower.training


def test_evaluation_mode_lasts_as_long_as_the_context(model):
    model.train()
    with evaluating(model, tokens_per_frame=NUM_QUERIES, token_sampler=None):
        assert not model.training
        assert model.config.tokens_per_frame == NUM_QUERIES and model.config.token_sampler == "weighted"
    assert model.training and model.config.tokens_per_frame == 4


def test_an_unknown_token_sampler_is_refused(model, processor, rows, media_root):
    with pytest.raises(ValueError, match="`token_sampler` is 'best'; expected one of weighted"):
        answer_rows(model, processor, rows, media_root=media_root, token_sampler="best", progress=False)
    with pytest.raises(ValueError, match="`batch_size` is 0"):
        answer_rows(model, processor, rows, media_root=media_root, batch_size=0, progress=False)


def test_progress_goes_to_stderr(model, processor, rows, media_root, capsys):
    answer_rows(model, processor, rows[:1], media_root=media_root, description="asking")

    captured = capsys.readouterr()
    assert "asking" in captured.err and "1/1" in captured.err
    assert captured.out == ""
