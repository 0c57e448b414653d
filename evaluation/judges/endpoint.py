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
"""A judge behind an OpenAI-compatible endpoint, a provider's or one's own."""

import json
import os
import queue
import threading
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

from ..benchmarks.judge_protocol import Messages
from .judging import JudgeError


class EndpointJudge:
    """
    A language model behind an OpenAI-compatible endpoint as a judge, asked at temperature 0.

    Args:
        url (`str`): Base address, such as `"https://api.openai.com/v1"` or `"http://localhost:8000/v1"`.
        model (`str`): Name of the model. Providers move names without a date to newer models; pin one that stays, such
            as `"gpt-4o-2024-11-20"`, lmms-eval's default.
        api_key_variable (`str`, *optional*, defaults to `"OPENAI_API_KEY"`): Environment variable that holds the key.
        max_tokens (`int`, *optional*, defaults to 64): Longest reply, lmms-eval's.
        timeout (`float`, *optional*, defaults to 60): Seconds that one try may take.
        max_retries (`int`, *optional*, defaults to 6):
            Further tries after no connection, a timeout, 408, 409, 429 or 5xx. The client waits half a second, then
            twice as long each time up to eight, or as long as the server's `Retry-After` asks, up to two minutes.
        max_in_flight (`int`, *optional*, defaults to 8): Requests at once.

    Attributes:
        name (`str`): The model's name.
        url (`str`): The address.

    Raises:
        ImportError: `openai` is not installed.
        ValueError: an argument is not what it should be, or the environment variable holds no key.
    """

    def __init__(
        self,
        url: str,
        model: str,
        *,
        api_key_variable: str = "OPENAI_API_KEY",
        max_tokens: int = 64,
        timeout: float = 60,
        max_retries: int = 6,
        max_in_flight: int = 8,
    ):
        try:
            import openai
        except ImportError as error:
            raise ImportError("A judge at an endpoint needs openai; `pip install 'ftfv[judge]'`.") from error

        if not model:
            raise ValueError("A judge at an endpoint needs the name of a model, such as 'gpt-4o-2024-11-20'.")
        parts = urlsplit(url)
        # Addresses get into results and messages, keys must not.
        if parts.username is not None or parts.query:
            raise ValueError(
                f"The judge's url on {parts.hostname!r} has a user or a query; expected a bare address, and the key "
                f"in the environment variable {api_key_variable}."
            )
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise ValueError(f"The judge's url is {url!r}; expected one such as 'https://api.openai.com/v1'.")
        for option, value, least in (("max_tokens", max_tokens, 1), ("max_in_flight", max_in_flight, 1)):
            if value < least:
                raise ValueError(f"`{option}` is {value}; expected at least {least}.")
        key = os.environ.get(api_key_variable, "").strip()
        # The client would put other characters than these into the message of its error, the whole key with them.
        if not key or not (key.isascii() and key.isprintable()):
            raise ValueError(
                f"The environment variable {api_key_variable} holds no key for {url}; set it, to any word if the "
                f"server asks for none: `export {api_key_variable}=none`."
            )
        self.name, self.url = model, url
        self._key, self._key_variable = key, api_key_variable
        self._max_tokens, self._max_in_flight = max_tokens, max_in_flight
        self._client = openai.OpenAI(base_url=url, api_key=key, timeout=timeout, max_retries=max_retries)

    def ask(self, conversations: Sequence[Messages]) -> Iterator[tuple[int, str, str]]:
        """
        Asks about every conversation, several at once.

        Args:
            conversations (`Sequence[list[dict]]`): Messages with `role` and `content`.

        Yields:
            `tuple[int, str, str]`: Index of a conversation, the reply, and the model that the server says gave it, in
            the order in which replies come. A reply that is empty twice, or that the server's content filter keeps
            back, is an empty string.

        Raises:
            ConnectionError: the server cannot be reached, or goes on failing; after all replies that were under way.
            JudgeError: the server refuses the key, the model or the request.
        """
        waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
        for index in range(len(conversations)):
            waiting.put(index)
        done: queue.SimpleQueue[tuple[int, str, str] | Exception | None] = queue.SimpleQueue()
        stopped = threading.Event()

        def work() -> None:
            try:
                while not stopped.is_set():
                    index = waiting.get_nowait()
                    done.put((index, *self._ask_one(conversations[index])))
            except queue.Empty:
                pass
            except Exception as error:
                stopped.set()
                done.put(error)
            finally:
                done.put(None)

        num_workers = min(self._max_in_flight, len(conversations))
        failure: Exception | None = None
        try:
            for _ in range(num_workers):
                # As a daemon, it does not hold up the end of the program when the user interrupts it.
                threading.Thread(target=work, daemon=True).start()
            while num_workers:
                item = done.get()
                if item is None:
                    num_workers -= 1
                elif isinstance(item, Exception):
                    failure = failure or item
                else:
                    yield item
        finally:
            stopped.set()
        if failure is not None:
            raise failure

    def _ask_one(self, messages: Messages) -> tuple[str, str]:
        """The reply, asked for a second time if it is empty, and the model that gave it."""
        reply, reported = self._request(messages)
        return (reply, reported) if reply else self._request(messages)

    def _request(self, messages: Messages) -> tuple[str, str]:
        import openai

        completion: Any
        try:
            completion = self._client.chat.completions.create(
                model=self.name,
                messages=messages,  # type: ignore[arg-type]
                temperature=0,
                max_tokens=self._max_tokens,
            )
        except openai.BadRequestError as error:
            if error.code == "content_filter":  # how Azure says that it will not judge this one
                return "", self.name
            raise self._explain(error) from error
        except (openai.APIError, json.JSONDecodeError) as error:
            raise self._explain(error) from error
        # The client does not hold a reply against its type: a web page comes back as a string, an error as no choices.
        choices = getattr(completion, "choices", None)
        if not choices:
            raise JudgeError(
                f"Judge {self.name!r} at {self.url} answered with something else than a chat completion; expected the "
                "base address of an OpenAI-compatible server, which mostly ends in /v1."
            )
        return (choices[0].message.content or "").strip(), completion.model or self.name

    def _explain(self, error: Exception) -> Exception:
        """One line about what the server did and what to do about it."""
        import openai

        judge = f"Judge {self.name!r} at {self.url}"
        again = "then run the same command again"
        if isinstance(error, openai.APITimeoutError):
            tries = self._client.max_retries + 1
            return ConnectionError(
                f"{judge} gave no answer within {self._client.timeout:g} seconds (tries: {tries}); see whether the "
                f"server is overloaded, {again}."
            )
        if isinstance(error, openai.APIConnectionError):
            return ConnectionError(f"{judge} cannot be reached; start the server or mend the address, {again}.")
        if not isinstance(error, openai.APIStatusError):
            return JudgeError(
                f"{judge} answered with broken JSON; expected the base address of an OpenAI-compatible server."
            )
        status = error.status_code
        said = " ".join(str(error.message).split()).replace(self._key, "***")[:200]
        if status in (401, 403):
            # Not what the server said: some repeat a part of the key.
            return JudgeError(f"{judge} refused the key ({status}); set {self._key_variable} to a valid one, {again}.")
        if status == 404:
            return JudgeError(
                f"{judge} was not found (404); expected a model that the server has and its base address, which "
                f"mostly ends in /v1. The server said: {said}"
            )
        if status == 429:
            return ConnectionError(
                f"{judge} is out of quota or asked too often (429); wait or raise the limit, {again}. The server "
                f"said: {said}"
            )
        if status >= 500:
            return ConnectionError(f"{judge} failed ({status}); see its log, {again}. The server said: {said}")
        return JudgeError(f"{judge} refused the request ({status}). The server said: {said}")
