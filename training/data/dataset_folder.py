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

A folder holds `<split>.jsonl`, `README.md` (the data set card), `request.json`, which says what the folder was made
from, and media of its own. Rows name media by paths that are relative to the folder, or absolute where they were there
before.
"""

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from huggingface_hub import DatasetCard

from .media import write_atomically, write_text


CARD_NAME = "README.md"
REQUEST_NAME = "request.json"

# What media and text come to in `estimated_length`: a picture's 256 tokens, and 8 frames of 128, the paper's defaults.
# The true number is known only with a model, its tokenizer and K; to put rows of like length together this is enough.
IMAGE_TOKENS, VIDEO_TOKENS, CHARACTERS_PER_TOKEN = 256, 8 * 128, 4

# Pictures by the suffixes of their files; anything else is a video.
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")

# `content` must be Json: its blocks differ in their keys, and the json loader would settle on those of the first rows.
# The digest is there for the cache of `datasets`, which knows a folder by its name and this block alone and would
# silently serve the rows that were there before.
_CARD = """---
configs:
- config_name: default
  data_files:
  - split: {split}
    path: "{split}.jsonl"
dataset_info:
  description: "rows: sha256 {digest}"
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
  - name: length
    dtype: int64
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


def write_rows(folder: str | Path, split: str, rows: Iterable[Mapping], description: str | Callable[[], str]) -> None:
    """Writes the rows, one by one, and the card of a split. Called last: a folder with rows has all its media.

    Each row also gets a column `length`, see [`estimated_length`]: the `length_column_name` of transformers' trainer.

    Args:
        folder (`str` or `Path`): the folder.
        split (`str`): name of the split.
        rows (`Iterable[Mapping]`): the rows; should it raise, neither rows nor card change.
        description (`str` or `Callable[[], str]`): text of the card, or a function that gives it after the last row.
    """
    folder = Path(folder)

    def write(temporary: Path) -> None:
        digest = hashlib.sha256()
        with temporary.open("wb") as stream:
            for row in rows:
                line = json.dumps({**row, "length": estimated_length(row)}).encode() + b"\n"
                digest.update(line)
                stream.write(line)
        body = description() if callable(description) else description
        write_text(folder / CARD_NAME, _CARD.format(split=split, digest=digest.hexdigest(), body=body))

    write_atomically(folder / f"{split}.jsonl", write)


def estimated_length(row: Mapping) -> int:
    """About how many tokens a row has: 256 for a picture, 8 x 128 for a video, one for four characters of text."""
    blocks = [block for message in row["messages"] for block in message["content"]]
    media = {"image": IMAGE_TOKENS, "video": VIDEO_TOKENS}
    characters = sum(len(block["text"]) for block in blocks if block["type"] == "text")
    return sum(media.get(block["type"], 0) for block in blocks) + math.ceil(characters / CHARACTERS_PER_TOKEN)


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


def read_columns(folder: str | Path) -> list[str] | None:
    """Columns of a data set folder by its card; None where there is no card, or one that names no columns."""
    card = Path(folder) / CARD_NAME
    if not card.is_file():
        return None
    features = (DatasetCard.load(card).data.to_dict().get("dataset_info") or {}).get("features")
    return None if features is None else [feature["name"] for feature in features]


def media_kind(path: str) -> str:
    """`"image"` or `"video"`, by the suffix of a path."""
    return "image" if path.lower().endswith(IMAGE_SUFFIXES) else "video"


def media_block(path: str, kind: str | None = None) -> dict[str, str]:
    """The message block of a picture or a video; which of them is told by the suffix if not by `kind`."""
    # TRL finds pictures by the key `image` only; for videos `path` is what transformers documents.
    if (kind or media_kind(path)) == "image":
        return {"type": "image", "image": path}
    return {"type": "video", "path": path}


def media_type(row: Mapping) -> str | None:
    """`"image"` or `"video"`, None where a row has text alone."""
    kind = _first_block(row)["type"]
    return None if kind == "text" else kind


def media_path(row: Mapping) -> str | None:
    """The path of the picture or video of a row, None where it has text alone."""
    block = _first_block(row)
    return {"image": block.get("image"), "video": block.get("path")}.get(block["type"])


def _first_block(row: Mapping) -> Mapping:
    return next(message for message in row["messages"] if message["role"] == "user")["content"][0]


def conversation_row(
    media: str | None,
    turns: Sequence[tuple[str, str]],
    *,
    kind: str | None = None,
    system: str | None = None,
    **columns: str | None,
) -> dict:
    """A row of one picture or video, given by its path, or of text alone, with its turns.

    Args:
        media (`str`, *optional*): the path, None for text alone.
        turns (`Sequence[tuple[str, str]]`): questions and answers.
        kind (`str`, *optional*): `"image"` or `"video"`; by the suffix if not given.
        system (`str`, *optional*): instruction in front of the conversation.
        columns (`str`): `id`, `source`, `type`, `video_id` and `skill`.
    """
    messages: list[dict[str, object]] = []
    if system is not None:
        messages.append({"role": "system", "content": [{"type": "text", "text": system}]})
    for index, (question, answer) in enumerate(turns):
        blocks = [media_block(media, kind)] if index == 0 and media is not None else []
        messages.append({"role": "user", "content": [*blocks, {"type": "text", "text": question}]})
        messages.append({"role": "assistant", "content": [{"type": "text", "text": answer}]})
    return {"images": [], "messages": messages, **columns}
