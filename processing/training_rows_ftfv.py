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
What becomes of a training row that cannot be learned from: its media cannot be read, or `max_length` cuts its answers
off.
"""

import os
from collections.abc import Callable
from typing import Any

from transformers.utils import logging


logger = logging.get_logger(__name__)

# Set to 1 by a recipe's `env` to go on without the answers of rows whose media cannot be read.
MASK_BROKEN_MEDIA = "FTFV_MASK_BROKEN_MEDIA"
# More broken rows than this stop the run; fewer rows than that are too few to tell.
MAX_BROKEN_SHARE = 0.01
MIN_ROWS = 1000


class TrainingRows:
    """
    Prepares the rows of training batches and counts those that are broken.

    A row whose media cannot be read stops the run with an error that names file and question; the other columns of a
    row do not reach the processor. With `FTFV_MASK_BROKEN_MEDIA=1` in the environment it stays in its batch as text,
    its answers leave the loss, and a warning says how many there were. The count is that of one process: each worker
    of a data loader keeps its own.
    """

    def __init__(self) -> None:
        self.num_rows = 0
        self.num_broken = 0

    def prepare(
        self,
        processor: Any,
        apply_chat_template: Callable,
        conversation: list[dict] | list[list[dict]],
        chat_template: str | None,
        **kwargs: Any,
    ) -> Any:
        """
        Calls `apply_chat_template`, with the broken rows of a batch replaced where that is asked for.

        Raises:
            ValueError: media of a row cannot be read, or `max_length` leaves nothing of a row's answers.
            RuntimeError: more than 1 % of at least 1,000 rows are broken.
        """
        rows = conversation if isinstance(conversation[0], (list, tuple)) else [conversation]
        self.num_rows += len(rows)
        broken: set[int] = set()
        try:
            inputs = apply_chat_template(conversation, chat_template, **kwargs)
        except (ValueError, OSError):
            # Only now, as it decodes everything once more.
            errors = {index: error for index, row in enumerate(rows) if (error := media_error(row, processor))}
            if not errors:
                raise
            self._report(rows, errors)
            broken = set(errors)
            sound = [_without_media(row) if index in broken else row for index, row in enumerate(rows)]
            inputs = apply_chat_template(sound, chat_template, **kwargs)
        if "assistant_masks" not in inputs:
            return inputs

        masks, arguments = inputs["assistant_masks"], kwargs.get("processor_kwargs") or {}
        for index, row in enumerate(rows):
            if index in broken:
                masks[index] = 0 * masks[index] if hasattr(masks, "shape") else [0] * len(masks[index])
            elif arguments.get("truncation") and not any(masks[index]):
                raise ValueError(
                    f"`max_length` is {arguments.get('max_length')}, which leaves nothing of the answer to "
                    f"{_question(row)!r}; the row would train nothing. Use `max_length: null`, or a larger one."
                )
        return inputs

    def _report(self, rows: list[list[dict]], errors: dict[int, Exception]) -> None:
        index, error = next(iter(errors.items()))
        if os.environ.get(MASK_BROKEN_MEDIA, "0") in ("", "0"):
            raise ValueError(
                f"{error} This is row {index + 1} of a batch of {len(rows)}, with the question "
                f"{_question(rows[index])!r}. `ftfv data` with --check-decode finds such rows beforehand; `env: "
                f"{{{MASK_BROKEN_MEDIA}: 1}}` in the recipe trains without their answers."
            ) from error
        for index, error in errors.items():
            self.num_broken += 1
            logger.warning(
                f"The answer to {_question(rows[index])!r} is left out of the loss, row {self.num_broken} of "
                f"{self.num_rows} in this process: {error}"
            )
        if self.num_broken > MAX_BROKEN_SHARE * max(self.num_rows, MIN_ROWS):
            raise RuntimeError(
                f"{self.num_broken} of {self.num_rows} rows have media that cannot be read, and `{MASK_BROKEN_MEDIA}` "
                f"allows {MAX_BROKEN_SHARE:.0%} of at least {MIN_ROWS:,}. The last one: {error} `ftfv data` with "
                "--check-decode drops such rows."
            )


def media_error(row: list[dict], processor: Any) -> Exception | None:
    """What goes wrong when the media files of a row are read one by one; None if nothing does."""

    def sample(metadata: Any, **kwargs: Any) -> Any:
        return processor.video_processor.sample_frames(metadata)

    for block in _media_blocks(row):
        source = next((block[key] for key in ("path", "url", block["type"]) if block.get(key) is not None), None)
        if not isinstance(source, str):
            continue
        try:
            if block["type"] == "image":
                processor.image_processor.fetch_images(source)
            else:
                processor.video_processor.fetch_videos(source, sample)
        except (ValueError, OSError) as error:
            return error
    return None


def _media_blocks(row: list[dict]) -> list[dict]:
    """The image and video blocks of a conversation."""
    blocks = [block for message in row if not isinstance(message["content"], str) for block in message["content"]]
    return [block for block in blocks if block["type"] in ("image", "video")]


def _without_media(row: list[dict]) -> list[dict]:
    return [
        message
        if isinstance(message["content"], str)
        else {
            **message,
            "content": [block for block in message["content"] if block["type"] not in ("image", "video")],
        }
        for message in row
    ]


def _question(row: list[dict]) -> str:
    """The first words of the user."""
    for message in row:
        if message["role"] == "user":
            content = message["content"]
            words = content if isinstance(content, str) else " ".join(block.get("text") or "" for block in content)
            return words.strip()[:80]
    return ""


__all__ = ["TrainingRows"]
