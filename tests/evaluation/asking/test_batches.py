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
"""Questions in batches with what the model saw."""

import gc
import weakref
from typing import Any

import numpy as np
import pytest

from ftfv.evaluation.asking.batches import batch_questions, join_media, see_batches
from ftfv.evaluation.asking.setting import Setting
from ftfv.evaluation.benchmarks.benchmark import Question
from tests.tiny import NUM_QUERIES, build_model, build_processor


@pytest.fixture(scope="module")
def questions(tmp_path_factory: pytest.TempPathFactory) -> list[Question]:
    """Three questions about each of three videos, in turn, then one about nothing."""
    folder = tmp_path_factory.mktemp("media")
    for num_frames in (3, 5, 8):
        np.save(folder / f"{num_frames}.npy", np.full((num_frames, 42, 42, 3), num_frames, dtype=np.uint8))
    asked = [
        Question(f"{text}{frames}", "moves", "what moves ?", "left", video=str(folder / f"{frames}.npy"))
        for text in range(3)
        for frames in (8, 3, 5)
    ]
    return [*asked, Question("words", "words", "what moves ?", "left")]


def test_questions_about_the_same_media_follow_each_other(questions):
    batches = batch_questions(questions, 4)
    assert [[question.id for question in batch] for batch in batches] == [
        ["08", "18", "28", "03"],
        ["13", "23", "05", "15"],
        ["25", "words"],
    ]
    with pytest.raises(ValueError, match="Two questions have the id '08'"):
        batch_questions([questions[0], questions[0]], 4)
    with pytest.raises(ValueError, match="`batch_size` is 0; expected at least 1"):
        batch_questions(questions, 0)


def see(questions: list[Question], settings: list[Setting], **options: Any) -> Any:
    options = {"batch_size": 4, "progress": False, **options}
    return list(see_batches(build_model(), build_processor(), questions, settings, **options))


def test_every_batch_comes_once_in_every_setting_with_the_same_media(questions):
    settings = [Setting(1), Setting(4), Setting(num_frames=2)]
    batches = see(questions, settings)

    assert [(number, setting) for number, setting, _ in batches] == [
        (number, setting) for number in range(3) for setting in settings
    ]
    (_, _, first), (_, _, second), (_, _, fewer) = batches[:3]
    assert [seen for _, seen in first] == [seen for _, seen in second]
    assert len({id(seen) for _, seen in first}) == 2  # two videos
    assert [len(seen.encoded[False].tokens) for _, seen in first] == [8, 8, 8, 3]
    assert [len(seen.encoded[False].tokens) for _, seen in fewer] == [2, 2, 2, 2]
    (question, seen) = batches[-1][2][-1]
    assert (question.id, seen) == ("words", None)


def test_media_that_the_next_batch_does_not_ask_about_are_let_go(questions):
    batches = see_batches(build_model(), build_processor(), questions, [Setting()], batch_size=4, progress=False)
    held = []
    for _, _, batch in batches:
        # The second batch asks about one video of the first again.
        held += [weakref.ref(seen) for _, seen in batch if seen is not None]
        media = {question.media for question, seen in batch if seen is not None}
        del batch
        gc.collect()
        assert len({id(reference()) for reference in held if reference() is not None}) == len(media)


def test_batches_that_are_known_are_passed_over(questions):
    known = {Setting(): {"08", "18", "28", "03", "13"}}
    assert [(number, len(batch)) for number, _, batch in see(questions, [Setting()], known=known)] == [(1, 4), (2, 2)]


def test_a_setting_that_the_model_cannot_do(questions):
    with pytest.raises(ValueError, match="`tokens_per_frame` is 17; expected 1 to 16"):
        see(questions, [Setting(17)])


def test_media_of_a_batch_are_joined_by_modality(questions):
    [(_, _, batch)] = see([questions[0], questions[1], questions[-1]], [Setting()])
    joined = join_media([seen for _, seen in batch], False)
    assert list(joined) == ["video"]
    assert joined["video"].tokens.shape[:2] == (8 + 3, NUM_QUERIES)
    assert joined["video"].responses.shape == (8 + 3, NUM_QUERIES)
