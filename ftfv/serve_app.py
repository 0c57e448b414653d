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
"""transformers' server with an FTFV model in it: the model, the routes that are kept, and the size of a request."""

from pathlib import Path
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse
from transformers import PreTrainedModel, ProcessorMixin
from transformers.cli.serving.model_manager import ModelManager
from transformers.cli.serving.server import build_server
from transformers.cli.serving.utils import GenerationState

from .modeling_ftfv.modeling_ftfv import FTFVForConditionalGeneration
from .processing.pipeline_ftfv import check_agreement
from .processing.processing_ftfv import FTFVProcessor
from .serve_chat import FTFVChatCompletionHandler
from .serve_media import Limits, RefusedRequest


# The others would read files and load models without our limits.
ROUTES = ("/v1/chat/completions", "/v1/models", "/health")
# What a request may hold beside its inline files, in bytes.
TEXT_SIZE = 1_000_000


class FTFVModelManager(ModelManager):
    """
    Loads one FTFV model, where the base class looks for the class in transformers.

    Args:
        model (`str`): model folder or Hub id, the latter with `@revision` if wanted; clients name it the same.
        device (`str`, *optional*, defaults to `"auto"`): where it is loaded to.
        dtype (`str`, *optional*, defaults to `"auto"`): type of its weights, that of the files by default.
        attn_implementation (`str`, *optional*): attention backend.

    Raises:
        ValueError: config.json and processor_config.json disagree.
    """

    def __init__(self, model: str, device: str = "auto", dtype: str = "auto", attn_implementation: str | None = None):
        super().__init__(device=device, dtype=dtype, attn_implementation=attn_implementation, force_model=model)
        loaded = self.loaded_models[model]
        check_agreement(loaded.model.config, loaded.processor)

    @staticmethod
    def process_model_name(model_id: str) -> str:
        """The name as it is given."""
        return model_id

    def _load_processor(self, model_id_and_revision: str, gguf_file: str | None = None) -> ProcessorMixin:
        name, revision = split_revision(model_id_and_revision)
        return FTFVProcessor.from_pretrained(name, revision=revision)

    def _load_model(self, model_id_and_revision: str, **kwargs: Any) -> PreTrainedModel:
        name, revision = split_revision(model_id_and_revision)
        return FTFVForConditionalGeneration.from_pretrained(
            name,
            revision=revision,
            device_map=self.device,
            dtype=self.dtype,
            attn_implementation=self.attn_implementation,
        )

    def get_gen_models(self) -> list[dict]:  # type: ignore[override]
        """The one model, where the base class lists the cache of the Hub."""
        return [{"id": self.force_model, "object": "model", "owned_by": "ftfv", "created": 0}]


def split_revision(model: str) -> tuple[str, str]:
    """Folder or Hub id, and the revision behind an `@` of the latter, `"main"` by default."""
    name, at, revision = model.rpartition("@")
    return (name, revision) if at and not Path(model).is_dir() else (model, "main")


class RequestSizeLimit:
    """
    Refuses requests that are too large without keeping them, by the status 413 and a reason.

    Args:
        app: the ASGI application around which it lies.
        max_bytes (`int`): the most that a request may have.
    """

    def __init__(self, app: Any, max_bytes: int):
        self.app = app
        self.max_bytes = max_bytes

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Handles one connection as ASGI defines it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        messages: list[Any] = []
        num_bytes, more = 0, True
        while more:
            message = await receive()
            more = message.get("more_body", False)
            num_bytes += len(message.get("body", b""))
            if num_bytes <= self.max_bytes:
                messages.append(message)
            else:
                # Read to its end nevertheless, or the client would not come to read the answer.
                messages.clear()
        if num_bytes > self.max_bytes:
            message = (
                f"The request has {num_bytes} bytes; expected at most {self.max_bytes}. Send URLs in place of the "
                "files, or start the server with a larger --max-file-size."
            )
            await refusal_response(413, message)(scope, receive, send)
            return
        messages.reverse()

        async def replay() -> Any:
            return messages.pop() if messages else await receive()

        await self.app(scope, replay, send)


def refusal_response(status: int, message: str) -> JSONResponse:
    """
    The answer to a request that is refused, in the form in which OpenAI's clients look for the reason.

    Args:
        status (`int`): HTTP status, 400 to 499.
        message (`str`): the reason.
    """
    content = {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": None}}
    # Without the header they would send a request again that took too long.
    return JSONResponse(content, status_code=status, headers={"x-should-retry": "false"})


def build_app(manager: FTFVModelManager, limits: Limits) -> FastAPI:
    """
    The application of the server.

    Args:
        manager (`FTFVModelManager`): holds the model.
        limits (`Limits`): what is taken of clients.
    """
    state = GenerationState()
    handler = FTFVChatCompletionHandler(manager, state, limits)
    unused: Any = None
    app = build_server(
        manager,
        handler,
        completion_handler=unused,
        response_handler=unused,
        transcription_handler=unused,
        systemone_handler=unused,
        generation_state=state,
    )
    app.router.routes[:] = [route for route in app.router.routes if getattr(route, "path", None) in ROUTES]

    @app.exception_handler(RefusedRequest)
    async def refuse(request: Request, error: RefusedRequest) -> JSONResponse:
        return refusal_response(error.status, str(error))

    @app.exception_handler(HTTPException)
    async def explain(request: Request, error: HTTPException) -> JSONResponse:
        return refusal_response(error.status_code, str(error.detail))

    # In base64 a file is a third larger.
    app.add_middleware(RequestSizeLimit, max_bytes=limits.max_bytes * 4 // 3 + TEXT_SIZE)
    return app
