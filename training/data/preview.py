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
"""Shows a row of a data set as the model will get it in training: prompt, tokens, loss mask and frames."""

import json
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from .dataset_folder import media_path, media_type


@dataclass(frozen=True)
class RowPreview:
    """A row as TRL's collator and FTFV's processor prepare it."""

    row: int
    """Number of the row, from 0."""
    id: str | None
    prompt: str
    """The conversation as the chat template renders it, one placeholder for the picture or video."""
    num_tokens: int
    """Length of the sequence, placeholders expanded."""
    num_visual_tokens: int
    """Placeholder tokens of pictures and videos."""
    num_loss_tokens: int
    """Tokens that the loss is taken over."""
    loss_on: list[str]
    """The stretches of text that the loss is taken over."""
    media: str | None
    """The picture or video."""
    frames: list[int] | None
    """Which frames of the video are sampled."""
    original_size: tuple[int, int] | None
    """Height and width of the picture or video."""
    size: tuple[int, ...] | None
    """Shape of the model's input: frames, channels, height and width; of a picture without frames."""

    def document(self) -> dict[str, object]:
        """The preview as JSON has it."""
        return asdict(self)


def read_row(folder: str | Path, number: int) -> dict:
    """Row `number`, from 0, of a data set folder or a JSON lines file.

    Raises:
        FileNotFoundError: there is no file of rows.
        ValueError: there are several, or fewer rows.
    """
    path = Path(folder)
    if path.is_dir():
        found = sorted(path.glob("*.jsonl"))
        if len(found) > 1:
            raise ValueError(f"The folder {str(folder)!r} has {len(found)} .jsonl files; name the one to look into.")
        if found:
            path = found[0]
    if not path.is_file():
        raise FileNotFoundError(f"No rows at {str(folder)!r}; expected a data set folder or a .jsonl file.")
    with path.open(encoding="utf-8") as stream:
        line = next(islice(stream, number, None), None) if number >= 0 else None
    if line is None:
        with path.open(encoding="utf-8") as stream:
            count = sum(1 for _ in stream)
        raise ValueError(f"Row {number} is asked for but {str(path)!r} has {count}; expected 0 to {count - 1}.")
    return json.loads(line)


def preview_row(row: dict, number: int, processor: Any) -> RowPreview:
    """Prepares a row with the collator that `trl sft` uses under `assistant_only_loss: true`.

    Args:
        row (`dict`): the row.
        number (`int`): its number, for the preview.
        processor (`FTFVProcessor`): the processor of the model.

    Raises:
        ValueError: a media file is missing or broken, or no token carries the loss.
    """
    from trl.trainer.sft_trainer import DataCollatorForVisionLanguageModeling

    collator = DataCollatorForVisionLanguageModeling(processor, assistant_only_loss=True)
    batch = collator([row])
    ids, labels = batch["input_ids"][0], batch["labels"][0]
    runs: list[list[int]] = []
    previous_counts = False
    for token, label in zip(ids.tolist(), labels.tolist(), strict=True):
        if label != -100:
            if not previous_counts:
                runs.append([])
            runs[-1].append(token)
        previous_counts = label != -100
    if not runs:
        raise ValueError(
            f"No token of row {number} carries the loss; expected an answer inside {{% generation %}} of the chat "
            "template."
        )
    placeholders = (processor.image_token_id, processor.video_token_id)
    media = media_path(row)
    frames = original_size = size = None
    if media_type(row) == "video":
        video_processor = processor.video_processor
        sampled, metadata = video_processor.fetch_videos(media, video_processor.sample_frames)
        frames, original_size = [int(index) for index in metadata.frames_indices], tuple(sampled.shape[1:3])
        size = tuple(batch["pixel_values_videos"][0].shape)
    elif media is not None:
        picture = processor.image_processor.fetch_images(media)
        original_size, size = (picture.height, picture.width), tuple(batch["pixel_values"][0].shape)
    return RowPreview(
        row=number,
        id=row.get("id"),
        prompt=processor.apply_chat_template(row["messages"], tokenize=False),
        num_tokens=len(ids),
        num_visual_tokens=sum(int((ids == token).sum()) for token in placeholders),
        num_loss_tokens=sum(map(len, runs)),
        loss_on=[processor.tokenizer.decode(run) for run in runs],
        media=media,
        frames=frames,
        original_size=original_size,
        size=size,
    )
