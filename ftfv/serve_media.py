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
"""Images and videos that a request of a client names: which are taken, and their bytes, within limits."""

import base64
import binascii
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import Request, urlopen

from .processing.frame_source_ftfv import read_image
from .processing.media_source_ftfv import one_line, show_source


CHUNK_SIZE = 1 << 16
ROLES = ("system", "user", "assistant")


@dataclass(frozen=True)
class Limits:
    """
    What a server takes.

    Attributes:
        media_folder (`Path`, *optional*): folder whose files may be named by their paths; none may when not given.
        max_bytes (`int`): size of an image or a video, and of all that are in a request inline.
        max_frames (`int`): frames that the model encodes for a request; an image is one.
        max_seconds (`float`): time from the arrival of a request to the end of its answer.
    """

    media_folder: Path | None = None
    max_bytes: int = 100_000_000
    max_frames: int = 64
    max_seconds: float = 120.0


class RefusedRequest(ValueError):
    """
    A request that is not served.

    Args:
        message (`str`): what is wrong, what was expected and how to mend it.
        status (`int`, *optional*, defaults to 400): HTTP status of the answer.
    """

    def __init__(self, message: str, status: int = 400):
        super().__init__(message)
        self.status = status


def read_chat(messages: Any, limits: Limits, frames_per_video: int, deadline: float) -> list[dict[str, Any]]:
    """
    The messages of an OpenAI request as a chat of the processor, its media read.

    Args:
        messages: list of messages; the content of each is a string or a list of blocks of the types `text`,
            `image_url` and `video_url`.
        limits (`Limits`): what is taken.
        frames_per_video (`int`): frames that each video gives at most.
        deadline (`float`): the time, by `time.monotonic`, at which reading ends.

    Raises:
        RefusedRequest: something else is among them, or they go beyond the limits.
    """
    if not isinstance(messages, list) or not messages:
        raise RefusedRequest("`messages` is no list of messages; expected at least one with `role` and `content`.")
    blocks = [(message, _blocks_of(message, first=message is messages[0])) for message in messages]
    types = [block.get("type") for _, content in blocks for block in content]
    num_frames = types.count("image_url") + frames_per_video * types.count("video_url")
    if num_frames > limits.max_frames:
        raise RefusedRequest(
            f"The request has {num_frames} frames ({types.count('video_url')} videos of {frames_per_video} frames "
            f"and {types.count('image_url')} images); expected at most {limits.max_frames}. Ask for a smaller "
            "`num_frames`, or start the server with a larger --max-frames."
        )
    return [
        {"role": message["role"], "content": [_read_block(block, limits, deadline) for block in content]}
        for message, content in blocks
    ]


def _blocks_of(message: Any, first: bool) -> list[dict[str, Any]]:
    role = message.get("role") if isinstance(message, dict) else None
    if role not in ROLES:
        raise RefusedRequest(f"The role of a message is {role!r}; expected one of {', '.join(ROLES)}.")
    if role == "system" and not first:
        raise RefusedRequest("A message of the role 'system' is not the first; expected it there. Move it.")
    content = message.get("content")
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    if not isinstance(content, list) or not all(isinstance(block, dict) for block in content):
        raise RefusedRequest(
            f"The content of a message is of type {type(content).__name__}; expected a string or a list of blocks."
        )
    return content


def _read_block(block: dict[str, Any], limits: Limits, deadline: float) -> dict[str, Any]:
    kind = block.get("type")
    if kind == "text" and isinstance(block.get("text"), str):
        return {"type": "text", "text": block["text"]}
    if kind not in ("image_url", "video_url"):
        raise RefusedRequest(
            f"A block of content is of the type {kind!r}, or lacks its text; expected 'text', 'image_url' or "
            "'video_url'."
        )
    url = block.get(kind)
    url = url.get("url") if isinstance(url, dict) else url
    if not isinstance(url, str) or not url:
        raise RefusedRequest(f"A block of the type {kind!r} names no file; expected {{{kind!r}: {{'url': '...'}}}}.")
    content = read_media(url, limits, deadline)
    if kind == "video_url":
        return {"type": "video", "video": content}
    try:
        return {"type": "image", "image": read_image(content)}
    except ValueError as error:
        raise RefusedRequest(str(error)) from error


def read_media(url: str, limits: Limits, deadline: float) -> bytes:
    """
    The bytes that an http(s) URL, a base64 data URI or, inside the allowed folder, a path stands for.

    Raises:
        RefusedRequest: with the status 403 for a file that is not allowed, 413 for one that is too large, 408 where
            reading takes too long, and 400 for what cannot be read.
    """
    if url.startswith("data:"):
        content = _decode_data_uri(url, limits)
    elif url.startswith(("http://", "https://")):
        content = _download(url, limits, deadline)
    else:
        content = _read_file(url, limits)
    if not content:
        raise RefusedRequest(f"{show_source(url)} is empty; expected an image or a video.")
    return content


def _decode_data_uri(url: str, limits: Limits) -> bytes:
    header, _, payload = url.partition(",")
    if not header.endswith(";base64"):
        raise RefusedRequest(f"{show_source(url)} is not in base64; expected 'data:video/mp4;base64,...'.")
    _check_size(len(payload) * 3 // 4, url, limits)
    try:
        return base64.b64decode(payload, validate=True)
    except binascii.Error as error:
        raise RefusedRequest(f"{show_source(url)} is no base64 ({error}); expected the bytes of a file.") from error


def _download(url: str, limits: Limits, deadline: float) -> bytes:
    if urlsplit(url).fragment:
        raise RefusedRequest(f"{show_source(url)} has a fragment; expected the URL of a whole file. Remove '#...'.")
    content = bytearray()
    try:
        # Some servers refuse the name that urllib gives itself.
        request = Request(url, headers={"User-Agent": "ftfv"})
        with urlopen(request, timeout=_time_left(deadline, limits)) as response:
            _check_size(int(response.headers.get("Content-Length") or 0), url, limits)
            while chunk := response.read1(CHUNK_SIZE):
                content += chunk
                _check_size(len(content), url, limits)
                _time_left(deadline, limits)
    except RefusedRequest:
        raise
    except Exception as error:
        if time.monotonic() >= deadline:
            raise too_late(limits) from error
        raise RefusedRequest(
            f"{show_source(url)} cannot be downloaded by the server: {one_line(error)}. Check the address, or send "
            "the file as a base64 data URI."
        ) from error
    return bytes(content)


def _read_file(url: str, limits: Limits) -> bytes:
    refused = RefusedRequest(
        f"{show_source(url)} is no http(s) URL and no base64 data URI, and the server reads files "
        f"{'of its allowed folder only' if limits.media_folder else 'of no folder'}; expected one of these. Whoever "
        "starts the server allows a folder with --media-folder.",
        status=403,
    )
    if limits.media_folder is None:
        raise refused
    root = limits.media_folder.resolve()
    path = unquote(url.removeprefix("file://")) if url.startswith("file://") else url
    try:
        # Links are followed before it is asked where the file lies, and that before whether there is one.
        resolved = (root / path).resolve()
        if not resolved.is_relative_to(root):
            raise refused
        if not resolved.is_file():
            raise RefusedRequest(f"No file {show_source(url)} in the server's allowed folder; expected one.")
        _check_size(resolved.stat().st_size, url, limits)
        return resolved.read_bytes()
    except OSError as error:
        raise RefusedRequest(f"{show_source(url)} cannot be read: {one_line(error)}.") from error


def _check_size(num_bytes: int, url: str, limits: Limits) -> None:
    if num_bytes > limits.max_bytes:
        raise RefusedRequest(
            f"{show_source(url)} is larger than {limits.max_bytes / 1e6:g} MB, what the server takes; expected a "
            "smaller file. Cut or encode it again, or start the server with a larger --max-file-size.",
            status=413,
        )


def _time_left(deadline: float, limits: Limits) -> float:
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise too_late(limits)
    return seconds


def too_late(limits: Limits) -> RefusedRequest:
    """The refusal of a request that takes longer than the limit."""
    return RefusedRequest(
        f"The request takes longer than {limits.max_seconds:g} seconds, what the server takes; expected less. Ask for "
        "fewer frames or tokens, or start the server with a larger --max-seconds.",
        status=408,
    )
