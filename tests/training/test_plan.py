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
"""Recipe, K and batch size for a GPU's memory."""

import functools
from collections.abc import Callable

import pytest

from ftfv import FTFVConfig
from ftfv.demo import ASSETS
from ftfv.training import plan
from ftfv.training.memory import estimate_memory
from ftfv.training.plan import Plan, plan_training


GB = 2**30


@pytest.fixture(scope="module")
def paper():
    return FTFVConfig()


@pytest.fixture(scope="module")
def planned(paper) -> Callable[[int], Plan]:
    """The plan for so many GB and 10,000 rows; each takes seconds and is made once."""
    return functools.cache(lambda memory: plan_training(paper, memory * GB, num_rows=10_000))


@pytest.mark.parametrize(("memory", "recipe"), [(80, "s4v_single_gpu"), (40, "s4v_qlora"), (24, "s4v_qlora")])
def test_a_plan_stays_below_the_memory(memory, recipe, paper, planned):
    chosen = planned(memory)
    assert (chosen.recipe, chosen.tokens_per_frame) == (recipe, 128)
    assert chosen.memory.total <= memory * GB
    options = chosen.options
    assert options["per_device_train_batch_size"] * options["gradient_accumulation_steps"] == 64
    prepared = options["dataloader_num_workers"] * options["dataloader_prefetch_factor"]
    assert prepared == max(8, options["gradient_accumulation_steps"])
    assert chosen.memory == estimate_memory(options, paper)
    assert "datasets" not in options and "env" not in options


def test_more_memory_gives_a_larger_batch(planned):
    sizes = [planned(memory).options["per_device_train_batch_size"] for memory in (24, 32)]
    assert sizes[0] < sizes[1]


def test_k_is_halved_only_where_its_memory_is_missing(paper, planned):
    alone = estimate_memory(planned(24).options, paper, batch_size=1).total
    tight = plan_training(paper, alone - 1, 10_000)
    assert (tight.recipe, tight.tokens_per_frame) == ("s4v_qlora", 64)
    assert tight.options["env"] == {"FTFV_TOKENS_PER_FRAME_RANGE": "64-64"}
    assert tight.options["per_device_train_batch_size"] == 1 and tight.memory.total < alone


def test_too_little_memory_says_how_much_is_needed(paper):
    with pytest.raises(ValueError, match=r"S4-V needs at least 2\d\.\d GB for this model.*; 16\.0 GB are there"):
        plan_training(paper, 16 * GB, 10_000)


@pytest.mark.parametrize(("num_rows", "rows_per_step"), [(1, 1), (100, 3), (2048, 64), (10_000, 64)])
def test_few_rows_still_make_steps(num_rows, rows_per_step):
    options = plan_training(FTFVConfig.from_pretrained(ASSETS), 24 * GB, num_rows).options
    total = options["per_device_train_batch_size"] * options["gradient_accumulation_steps"]
    assert rows_per_step / 2 < total <= rows_per_step


def test_another_tower_trains_its_own_last_layers():
    options = plan_training(FTFVConfig.from_pretrained(ASSETS), 24 * GB, 100).options
    tower = [name for name in options["lora_modules_to_save"] if "vision_tower" in name]
    assert tower == [f"vision_tower.encoder.layers.{layer}" for layer in (1, 2, 3)]
    assert plan.RECIPES[0] == "s4v_single_gpu"
