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
"""
Chat completions about videos: transformers' handler of `/v1/chat/completions` with K and frames of each request.

What is added to its requests are `tokens_per_frame` and `num_frames`, which the `openai` package passes in
`extra_body`. Its preparation of the inputs is replaced: it reads any file that a client names, takes 32 frames of each
video, and reads and decodes on the event loop, so that all other answers wait.
"""

import asyncio
import threading
import time
from typing import Any

import torch
from fastapi.responses import JSONResponse, StreamingResponse
from transformers import GenerationConfig, StoppingCriteria, StoppingCriteriaList
from transformers.cli.serving.chat_completion import ChatCompletionHandler
from transformers.cli.serving.model_manager import ModelManager
from transformers.cli.serving.utils import GenerationState
from transformers.utils import logging

from .processing.processing_ftfv import FTFVProcessor
from .serve_media import Limits, RefusedRequest, read_chat, too_late


logger = logging.get_logger(__name__)

# Fields that transformers' server takes and that no FTFV model can follow, with what stands for them.
REFUSED_FIELDS = {
    "tools": "the model calls none",
    "functions": "the model calls none",
    "chat_template_kwargs": "pass `tokens_per_frame` and `num_frames` beside it",
    "generation_config": "pass `max_tokens`, `temperature`, `top_p`, `seed` and `stop`",
}


class Deadline(StoppingCriteria):
    """Ends a generation by a `TimeoutError` when its time is over."""

    def __init__(self, deadline: float, limits: Limits):
        self.deadline = deadline
        self.limits = limits

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor, **kwargs: Any) -> torch.BoolTensor:
        if time.monotonic() > self.deadline:
            raise TimeoutError(str(too_late(self.limits)))
        return torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)


class FTFVChatCompletionHandler(ChatCompletionHandler):
    """
    Answers chats about images and videos.

    Args:
        model_manager (`ModelManager`): holds the model and its processor.
        generation_state (`GenerationState`): runs one generation after the other.
        limits (`Limits`): what is taken.
    """

    def __init__(self, model_manager: ModelManager, generation_state: GenerationState, limits: Limits):
        super().__init__(model_manager, generation_state)
        self.limits = limits
        # A tokenizer may be used by one thread at a time.
        self._processor_lock = threading.Lock()
        self._abandoned: set[asyncio.Task] = set()

    async def handle_request(self, body: dict, request_id: str) -> StreamingResponse | JSONResponse:
        """
        Args:
            body (`dict`): the request in OpenAI's form; `tokens_per_frame` (`int`, the model's own when not given) and
                `num_frames` (`int`, frames of each video, fewer where it is shorter; the model's own when not given)
                may be among its fields.
            request_id (`str`): name of the request.

        Raises:
            RefusedRequest: see [`read_chat`].
            HTTPException: another model, or fields that chat completions do not have.
        """
        deadline = time.monotonic() + self.limits.max_seconds
        body = dict(body)
        asked = {name: body.pop(name, None) for name in ("tokens_per_frame", "num_frames")}
        self._validate_request(body)
        model_id, model, processor = self._resolve_model(body)
        generation_config = self._build_generation_config(body, model.generation_config)
        try:
            inputs = await asyncio.wait_for(
                asyncio.to_thread(self._prepare, body.get("messages"), processor, deadline, **asked),
                deadline - time.monotonic(),
            )
        except TimeoutError as error:
            raise too_late(self.limits) from error
        inputs = {
            **inputs.to(model.device),
            "stopping_criteria": StoppingCriteriaList([Deadline(deadline, self.limits)]),
        }
        manager = self.generation_state.get_manager(model_id)
        # The tokenizer in place of the processor: `stop` needs its vocabulary.
        arguments = (request_id, model, processor.tokenizer, model_id, inputs, generation_config)
        if body.get("stream"):
            return self._streaming(*arguments, gen_manager=manager)
        task = asyncio.create_task(self._non_streaming(*arguments, gen_manager=manager))
        # Its turn may come too late to end it, so it is not waited for.
        done, _ = await asyncio.wait({task}, timeout=max(0.0, deadline - time.monotonic()))
        if not done:
            self._abandon(task)
            raise too_late(self.limits)
        try:
            return task.result()
        except TimeoutError as error:
            raise too_late(self.limits) from error
        except ValueError as error:
            # `generate` checks some of its settings only as it begins, such as the range of `top_p`.
            raise RefusedRequest(str(error)) from error

    def _validate_request(self, body: dict) -> None:
        super()._validate_request(body)
        for name, instead in REFUSED_FIELDS.items():
            if body.get(name):
                raise RefusedRequest(f"`{name}` is not taken; {instead}.")
        if body.get("n") not in (None, 1):
            raise RefusedRequest(f"`n` is {body['n']!r}; expected 1, as one answer is given. Send the request again.")

    def _build_generation_config(
        self, body: dict, model_generation_config: GenerationConfig, use_cb: bool = False
    ) -> GenerationConfig:
        try:
            config = super()._build_generation_config(body, model_generation_config, use_cb=use_cb)
        except (TypeError, ValueError) as error:
            raise RefusedRequest(f"A parameter of the generation is wrong: {error}.") from error
        if body.get("temperature") is not None:
            if config.temperature < 0:
                raise RefusedRequest(f"`temperature` is {config.temperature}; expected 0 or more.")
            # The base class leaves a model that is greedy by itself greedy at any temperature.
            config.do_sample = config.temperature > 0
        if not config.do_sample:
            # Settings of sampling, which would only be warned of.
            config.temperature = config.top_p = config.top_k = None
        if config.max_new_tokens < 1:
            raise RefusedRequest(f"`max_tokens` is {config.max_new_tokens}; expected at least 1.")
        return config

    def _prepare(
        self,
        messages: Any,
        processor: FTFVProcessor,
        deadline: float,
        tokens_per_frame: Any = None,
        num_frames: Any = None,
    ) -> Any:
        """Reads the media of a request and makes model inputs of it, on a thread."""
        for name, value, most in (
            ("tokens_per_frame", tokens_per_frame, processor.num_query_tokens),
            ("num_frames", num_frames, self.limits.max_frames),
        ):
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most):
                raise RefusedRequest(f"`{name}` is {value!r}; expected a whole number from 1 to {most}.")
        frames_per_video = num_frames or processor.video_processor.max_num_frames or self.limits.max_frames
        processor_kwargs = {"max_num_frames": frames_per_video}
        if tokens_per_frame is not None:
            processor_kwargs["tokens_per_frame"] = tokens_per_frame
        chat = read_chat(messages, self.limits, frames_per_video, deadline)
        with self._processor_lock:
            if time.monotonic() > deadline:
                raise too_late(self.limits)
            try:
                inputs = processor.apply_chat_template(
                    chat,
                    add_generation_prompt=True,
                    tokenize=True,
                    return_dict=True,
                    return_tensors="pt",
                    processor_kwargs=processor_kwargs,
                )
            except ValueError as error:
                # What cannot be decoded, and prompts that are too long.
                raise RefusedRequest(str(error)) from error
        if "video_frame_mask" in inputs and num_frames is not None:
            shortest = int(inputs["video_frame_mask"].sum(dim=1).min())
            if shortest < num_frames:
                logger.warning(f"{num_frames} frames were asked for but a video has {shortest}; all are used.")
        return inputs

    def _abandon(self, task: asyncio.Task) -> None:
        def forget(ended: asyncio.Task) -> None:
            self._abandoned.discard(ended)
            if not ended.cancelled():
                ended.exception()  # else asyncio says that nobody asked for it

        self._abandoned.add(task)
        task.add_done_callback(forget)
