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
"""The handler without a network: time limits, and settings of the generation."""

import asyncio
import time
from pathlib import Path

import pytest
import torch


pytest.importorskip("fastapi", reason="fastapi is not installed (pip install 'ftfv[serve]')")
pytest.importorskip("openai", reason="openai is not installed (pip install 'ftfv[serve]')")

from transformers.cli.serving.utils import GenerationState  # noqa: E402

from ftfv.serve_app import FTFVModelManager, refusal_response, split_revision  # noqa: E402
from ftfv.serve_chat import Deadline, FTFVChatCompletionHandler  # noqa: E402
from ftfv.serve_media import Limits, RefusedRequest  # noqa: E402


@pytest.fixture(scope="module")
def manager(saved_folder: Path) -> FTFVModelManager:
    return FTFVModelManager(str(saved_folder), device="cpu")


def request(**fields):
    return {"messages": [{"role": "user", "content": "which way ?"}], "temperature": 0, "max_tokens": 2, **fields}


def handle(manager, limits, body):
    handler = FTFVChatCompletionHandler(manager, GenerationState(), limits)
    return asyncio.run(handler.handle_request(body, "request"))


def test_settings_that_are_checked_late_are_refused_too(manager):
    with pytest.raises(RefusedRequest, match="top_p"):
        handle(manager, Limits(), request(temperature=1, top_p=-0.5))


def test_a_request_that_takes_too_long_is_answered_and_not_sent_again(manager):
    with pytest.raises(RefusedRequest, match="takes longer than 1e-06 seconds") as refused:
        handle(manager, Limits(max_seconds=1e-6), request())
    assert refused.value.status == 408
    assert refusal_response(408, "late").headers["x-should-retry"] == "false"
    assert handle(manager, Limits(), request()).status_code == 200


def test_a_generation_ends_with_the_time_of_its_request():
    tokens = torch.zeros(2, 3, dtype=torch.long)
    assert Deadline(time.monotonic() + 60, Limits())(tokens, tokens).tolist() == [False, False]
    with pytest.raises(TimeoutError, match="takes longer than 120 seconds"):
        Deadline(time.monotonic() - 1, Limits())(tokens, tokens)


@pytest.mark.parametrize(("temperature", "samples"), [(0, False), (0.7, True)])
def test_a_temperature_decides_whether_tokens_are_sampled(manager, temperature, samples):
    handler = FTFVChatCompletionHandler(manager, GenerationState(), Limits())
    [loaded] = manager.loaded_models.values()
    config = handler._build_generation_config(request(temperature=temperature), loaded.model.generation_config)
    assert config.do_sample is samples
    assert config.temperature == (0.7 if samples else None)


def test_a_revision_is_what_follows_the_at_sign_of_a_hub_id(tmp_path):
    assert split_revision("org/ftfv") == ("org/ftfv", "main")
    assert split_revision("org/ftfv@v1") == ("org/ftfv", "v1")
    folder = tmp_path / "a@b"
    folder.mkdir()
    assert split_revision(str(folder)) == (str(folder), "main")
