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
"""Questions, rows and chats of the pipeline in one form, and batches of them as the model takes them."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from transformers.pipelines.any_to_any import Chat

from .media_source_ftfv import make_list_of_videos


def pair_media(text: Any, media: dict[str, Any]) -> Any:
    """
    A row for one question, or a list of rows, of questions and the videos and images given beside them.

    Args:
        text (`str` or `list[str]`): one question or several.
        media (`dict[str, Any]`): what is given under `"videos"` and `"images"`.

    Raises:
        ValueError: there is not one question per video or image, or there are chats in place of questions.
    """
    if isinstance(text, (list, tuple)):
        if any(isinstance(question, (list, tuple, dict)) for question in text):
            raise ValueError(
                f"`text` holds chats and `{next(iter(media))}` is given beside it; expected one or the other. Put the "
                "media into the blocks of the chats."
            )
        given: dict[str, Callable[[Any], list]] = {"videos": make_list_of_videos, "images": list}
        columns = {name: given[name](values) for name, values in media.items()}
        for name, values in columns.items():
            if len(values) != len(text):
                raise ValueError(
                    f"`text` holds {len(text)} questions for {len(values)} {name}; expected one question per "
                    f"{name[:-1]}. Give a chat, or a row `{{'text': ..., '{name}': [...]}}`, for several."
                )
        return [
            {"text": question, **{name: values[index] for name, values in columns.items()}}
            for index, question in enumerate(text)
        ]
    if "videos" in media and (count := len(make_list_of_videos(media["videos"]))) != 1:
        raise ValueError(f"`text` is one question for {count} videos; expected a list with one question per video.")
    return {"text": text, **media}


def as_chat(row: Any) -> Any:
    """
    The chat that a row of any form stands for; a prompt without media is returned as it is.

    Args:
        row: a chat, as a list of messages or as the base class wraps it; a `dict` with `"messages"`, or with `"text"`
            and `"videos"` or `"images"`; a prompt.

    Raises:
        TypeError: it is none of them.
        ValueError: the question or the chat is empty, or a `dict` has neither `"messages"` nor `"text"`.
    """
    messages = getattr(row, "messages", row)
    if isinstance(row, dict):
        if "messages" in row:
            messages = row["messages"]
        elif "text" not in row:
            raise ValueError(
                f"A row has the keys {', '.join(map(str, row))}; expected `messages`, or `text` with `videos` or "
                "`images`."
            )
        else:
            videos, images = (row.get(name, row.get(name[:-1])) for name in ("videos", "images"))
            if videos is None and images is None:
                return row
            messages = [_question(row["text"], videos, images)]
    if isinstance(messages, str):
        return messages
    if not isinstance(messages, (list, tuple)):
        raise TypeError(
            f"A row is of type {type(row).__name__}; expected a chat, or a dict with `text` and `videos` or `images`."
        )
    if not messages:
        raise ValueError("A chat is empty; expected at least one message.")
    if all(isinstance(message, str) for message in messages):
        return messages
    # `datasets` gives every block the keys of all blocks.
    return Chat(
        [
            {**message, "content": [_without_none(block) for block in message["content"]]}
            if isinstance(message, dict) and isinstance(message.get("content"), (list, tuple))
            else message
            for message in messages
        ]
    )


def _question(text: Any, videos: Any, images: Any) -> dict[str, Any]:
    """The turn of a user who asks about videos and images."""
    if not isinstance(text, str) or not text.strip():
        given = "" if text is None or isinstance(text, str) else f" (`text` is of type {type(text).__name__})"
        raise ValueError(
            f"The question is empty; expected text to answer, such as 'What happens in the video?'{given}."
        )
    images = [] if images is None else images if isinstance(images, (list, tuple)) else [images]
    videos = [] if videos is None else make_list_of_videos(videos)
    content = [{"type": "image", "image": image} for image in images]
    content += [{"type": "video", "video": video} for video in videos]
    return {"role": "user", "content": [*content, {"type": "text", "text": text}]}


def _without_none(block: Any) -> Any:
    return {name: value for name, value in block.items() if value is not None} if isinstance(block, dict) else block


def videos_of(messages: Sequence[dict[str, Any]]) -> list[Any]:
    """The videos in the blocks of a chat."""
    contents = [message["content"] for message in messages if not isinstance(message["content"], str)]
    return [block.get("video") for content in contents for block in content if isinstance(block, dict)]


def collate_rows(rows: Sequence[dict[str, Any]], pad_token_id: int) -> dict[str, Any]:
    """
    Inputs of a batch out of those of its rows, which may have any number of images, videos and frames: prompts are
    padded on the left, where generation needs it, and videos at their ends.

    Raises:
        ValueError: videos are features in one row and not in another.
    """
    if any("mm_encoder_outputs" in row for row in rows) and any("pixel_values_videos" in row for row in rows):
        raise ValueError(
            "A batch has features in one row and a video in another; expected one kind. Encode all videos, or use "
            "`batch_size=1`."
        )
    batch: dict[str, Any] = {}
    for name in dict.fromkeys(name for row in rows for name in row):
        values = [row[name] for row in rows if name in row]
        if name == "mm_encoder_outputs":
            videos = [video for value in values for video in value["video"].split()]
            batch[name] = {"video": type(videos[0]).merge(videos)}
        elif name in ("pixel_values_videos", "video_frame_mask"):
            videos = [video for value in values for video in value]
            batch[name] = torch.nn.utils.rnn.pad_sequence(videos, batch_first=True)
        elif name in ("pixel_values", "tokens_per_frame"):
            batch[name] = torch.cat(values)
        else:
            prompts = [prompt for value in values for prompt in value]
            padding = pad_token_id if name == "input_ids" else 0
            batch[name] = torch.nn.utils.rnn.pad_sequence(
                prompts, batch_first=True, padding_value=padding, padding_side="left"
            )
    return batch
