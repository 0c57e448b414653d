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
One's own clips: a JSONL file of questions and answers, checked line by line, becomes a data set folder.

A line is `{"video": "clip.mp4", "question": "...", "answer": "..."}`, with `"image"` in place of `"video"` for a
picture, or a row as TRL trains on, `{"messages": [...]}`. Relative paths start from the file's folder.
"""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .dataset_folder import claim_folder, conversation_row, write_rows


COLUMNS = ("id", "source", "type", "video_id", "skill")


def write_own_clips(clips: str | Path, folder: str | Path) -> int:
    """
    Writes the data set folder of a JSONL file.

    Returns:
        `int`: number of rows.

    Raises:
        FileNotFoundError: there is no such file, or a clip that it names is missing.
        ValueError: a line is malformed, or there is none; or the folder was made from another file.
    """
    clips = Path(clips)
    if not clips.is_file():
        raise FileNotFoundError(f"No file {str(clips)!r}; expected JSON lines with `video`, `question` and `answer`.")
    rows = list(read_own_clips(clips))
    if not rows:
        raise ValueError(f"{str(clips)!r} holds no rows; expected one JSON object a line.")
    digest = hashlib.sha256(clips.read_bytes()).hexdigest()
    folder = claim_folder(folder, {"split": "train", "clips": str(clips.resolve()), "sha256": digest})
    write_rows(folder, "train", rows, f"# Own clips\n\nMade from {clips.name}, sha256 {digest}.")
    return len(rows)


def read_own_clips(clips: Path) -> Iterator[dict[str, Any]]:
    """
    Yields the rows of a JSONL file as TRL trains on, with absolute paths.

    Raises:
        FileNotFoundError: a clip is missing.
        ValueError: a line is malformed.
    """
    with clips.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            place = f"{clips}:{number}"
            try:
                record = json.loads(line)
            except ValueError as error:
                raise ValueError(f"{place} is not JSON: {error}.") from error
            if not isinstance(record, dict):
                raise ValueError(f"{place} holds {type(record).__name__}; expected a JSON object.")
            columns = {name: record.get(name) for name in COLUMNS}
            columns.update(id=columns["id"] or f"row{number}", source=columns["source"] or clips.stem)
            if "messages" in record:
                messages = _read_messages(record["messages"], place, clips.parent)
                yield {"images": [], "messages": messages, **columns}
            else:
                yield _read_pair(record, place, clips.parent, columns)


def _read_pair(record: dict[str, Any], place: str, root: Path, columns: dict[str, Any]) -> dict[str, Any]:
    kinds = [kind for kind in ("video", "image") if kind in record]
    wrong = [name for name in (*kinds, "question", "answer") if not _is_text(record.get(name))]
    if len(kinds) != 1 or wrong:
        what = f"`{wrong[0]}` missing or empty" if wrong else f"{len(kinds)} of `video` and `image`"
        raise ValueError(f"{place} has {what}; expected `video` or `image`, `question` and `answer`, or `messages`.")
    row = conversation_row(None, [(record["question"], record["answer"])], **columns)
    block = {"type": kinds[0], "path" if kinds[0] == "video" else "image": _find(record[kinds[0]], place, root)}
    row["messages"][0]["content"].insert(0, block)
    return row


def _read_messages(messages: Any, place: str, root: Path) -> list[dict[str, Any]]:
    if not isinstance(messages, list) or not any(
        isinstance(message, dict) and message.get("role") == "assistant" for message in messages
    ):
        raise ValueError(f"{place} has `messages` without an answer; expected turns of `user` and `assistant`.")
    checked = []
    for message in messages:
        content = message.get("content")
        if isinstance(content, str):
            content = [{"type": "text", "text": content}]
        if not isinstance(content, list):
            raise ValueError(f"{place} has a message without `content`; expected text or a list of blocks.")
        blocks = []
        for block in content:
            kind = block.get("type")
            if kind in ("video", "image"):
                source = next((block[name] for name in ("path", "url", kind) if _is_text(block.get(name))), None)
                if source is None:
                    raise ValueError(f"{place} has a block of type {kind!r} without a path.")
                block = {"type": kind, "path" if kind == "video" else "image": _find(source, place, root)}
            blocks.append(block)
        checked.append({"role": message["role"], "content": blocks})
    return checked


def _find(source: str, place: str, root: Path) -> str:
    if source.startswith(("http://", "https://")):
        return source
    path = (root / source).resolve()
    if not path.is_file():
        raise FileNotFoundError(f"{place} names {source!r}, but there is no file {str(path)!r}.")
    return str(path)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())
