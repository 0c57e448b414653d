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
"""Ways to ask a model, and what it cannot do."""

import pytest

from ftfv.evaluation.asking.setting import Setting
from tests.tiny import NUM_QUERIES, build_config, build_model, build_processor


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (Setting(tokens_per_frame=17), "`tokens_per_frame` is 17; expected 1 to 16"),
        (Setting(num_frames=0), "`num_frames` is 0; expected at least 1"),
        (Setting(frame_size=40), "`frame_size` is 40; expected a multiple of the vision tower's patch size, 7"),
        (Setting(token_order="random"), "`token_order` is 'random'; expected one of response, query"),
        (Setting(token_sampler="best"), "`token_sampler` is 'best'; expected one of weighted"),
        (Setting(token_sampler="none", tokens_per_frame=4), "which keeps all 16; leave one of them out"),
        # As lmms-eval reads `tokens_per_frame=2.5`, `num_frames=None` and `as_image=off`.
        (Setting(tokens_per_frame=2.5), "`tokens_per_frame` is 2.5; expected a whole number"),
        (Setting(num_frames="None"), "`num_frames` is 'None'; expected a whole number"),
        (Setting(frame_size=True), "`frame_size` is True; expected a whole number"),
        (Setting(token_sampler=3), "`token_sampler` is 3; expected a name"),
        (Setting(as_image="off"), "`as_image` is 'off'; expected True or False"),
        (Setting(shuffle_frames=1), "`shuffle_frames` is 1; expected True or False"),
        (Setting(shuffle_frames=None), "`shuffle_frames` is None; expected True or False"),
    ],
)
def test_settings_that_the_model_cannot_do(setting, message):
    with pytest.raises(ValueError, match=message):
        setting.check(build_config())


def test_a_model_that_keeps_all_tokens_by_itself():
    config = build_config(token_sampler="none", tokens_per_frame=NUM_QUERIES)
    with pytest.raises(ValueError, match="`tokens_per_frame` is 4 with the token sampler 'none'"):
        Setting(tokens_per_frame=4).check(config)
    Setting(tokens_per_frame=4, token_sampler="weighted").check(config)
    Setting().check(config)


def test_names_of_settings():
    assert Setting().name == "default"
    assert Setting(4, token_sampler="random", shuffle_frames=True).name == (
        "tokens_per_frame=4,token_sampler=random,shuffle_frames"
    )


def test_tokens_that_are_kept():
    processor = build_processor(tokens_per_frame=5)
    assert Setting().count_tokens(processor) == 5
    assert Setting(3).count_tokens(processor) == 3
    assert Setting(token_sampler="none").count_tokens(processor) == NUM_QUERIES


def test_the_model_is_itself_again_afterwards():
    model = build_model().train()
    before = (model.config.token_sampler, model.config.token_order)
    with Setting(token_sampler="random", token_order="query").applied(model):
        assert (model.config.token_sampler, model.config.token_order, model.training) == ("random", "query", False)
    assert (model.config.token_sampler, model.config.token_order, model.training) == (*before, True)
