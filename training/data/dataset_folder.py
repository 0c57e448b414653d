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
"""The folder form of our data sets: JSONL rows as TRL trains on, a card that fixes their features, and what was asked
for.

A folder holds `<split>.jsonl`, `README.md` (the data set card), the media the rows name by relative paths, and
`request.json`, which says what the folder was made from.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from .media import write_text


CARD_NAME = "README.md"
REQUEST_NAME = "request.json"

# `content` must be Json: its blocks differ in their keys, and the json loader would settle on those of the first rows.
_CARD = """---
configs:
- config_name: default
  data_files:
  - split: {split}
    path: "{split}.jsonl"
dataset_info:
  features:
  - name: images
    list: string
  - name: messages
    list:
    - name: role
      dtype: string
    - name: content
      list: json
  - name: id
    dtype: string
  - name: source
    dtype: string
  - name: type
    dtype: string
  - name: video_id
    dtype: string
  - name: skill
    dtype: string
---

{body}
"""


def claim_folder(folder: str | Path, request: Mapping[str, object]) -> Path:
    """Makes a data set folder for `request`, or finds one that an earlier, perhaps interrupted, call made for the
    same.

    Raises:
        ValueError: The folder was made for another request.
        FileExistsError: The folder holds files but no request.
    """
    folder = Path(folder)
    request_path = folder / REQUEST_NAME
    if request_path.is_file():
        found = json.loads(request_path.read_text(encoding="utf-8"))
        wanted = json.loads(json.dumps(request))
        if found != wanted:
            differing = sorted(name for name in {*found, *wanted} if found.get(name) != wanted.get(name))
            was = ", ".join(f"{name}={found.get(name)}" for name in differing)
            now = ", ".join(f"{name}={wanted.get(name)}" for name in differing)
            raise ValueError(f"{folder} was written with {was}, not {now}. Ask for the same or use another folder.")
        return folder
    if folder.is_dir() and any(folder.iterdir()):
        raise FileExistsError(f"{folder} holds files but no {REQUEST_NAME}. Use an empty or a new folder.")
    write_text(request_path, json.dumps(request, indent=2) + "\n")
    return folder


def read_request(folder: str | Path) -> dict:
    """What a data set folder was made from.

    Raises:
        FileNotFoundError: The folder is not one of ours.
    """
    path = Path(folder) / REQUEST_NAME
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there. Expected a data set folder that `write_dataset` made.")
    return json.loads(path.read_text(encoding="utf-8"))


def write_rows(folder: str | Path, split: str, rows: Iterable[Mapping], description: str) -> None:
    """Writes the rows and the card of a split. Called last: a folder with rows has all its media."""
    folder = Path(folder)
    write_text(folder / CARD_NAME, _CARD.format(split=split, body=description))
    write_text(folder / f"{split}.jsonl", "".join(json.dumps(row) + "\n" for row in rows))


def read_rows(folder: str | Path) -> list[dict]:
    """The rows of a data set folder.

    Raises:
        FileNotFoundError: The folder is not one of ours or is not complete.
    """
    path = Path(folder) / f"{read_request(folder)['split']}.jsonl"
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is not there: writing was interrupted. Write the data set again to complete it."
        )
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def media_block(path: str) -> dict[str, str]:
    """The message block of a picture (.png) or a video (any other name)."""
    # TRL finds pictures by the key `image` only; for videos `path` is what transformers documents.
    return {"type": "image", "image": path} if path.endswith(".png") else {"type": "video", "path": path}


def media_path(row: Mapping) -> str | None:
    """The relative path of the picture or video of a row, None where it has text alone."""
    block = row["messages"][0]["content"][0]
    return {"image": block.get("image"), "video": block.get("path")}.get(block["type"])


def conversation_row(media: str | None, turns: Sequence[tuple[str, str]], **columns: str | None) -> dict:
    """A row of one picture or video, given by its relative path, or of text alone, with its turns.

    `columns` are `id`, `source`, `type`, `video_id` and `skill`.
    """
    messages: list[dict[str, object]] = []
    for index, (question, answer) in enumerate(turns):
        blocks = [media_block(media)] if index == 0 and media is not None else []
        messages.append({"role": "user", "content": [*blocks, {"type": "text", "text": question}]})
        messages.append({"role": "assistant", "content": [{"type": "text", "text": answer}]})
    return {"images": [], "messages": messages, **columns}
