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
Text, images and videos to model inputs; each placeholder grows to the number of tokens that its image or video costs.
"""

import hashlib
import os
from typing import TYPE_CHECKING, Any

from transformers.feature_extraction_utils import BatchFeature
from transformers.processing_utils import MultiModalData, ProcessorMixin
from transformers.utils import auto_docstring

from .training_rows_ftfv import TrainingRows


if TYPE_CHECKING:
    # `save_pretrained` copies the files that this one imports from, and config.json names the pipeline's.
    from .pipeline_ftfv import VideoTextToTextPipeline  # noqa: F401


# Set by a recipe's `env` to train one model for every K: "2-16" draws K per batch, log-uniform, both ends included.
TOKENS_PER_FRAME_RANGE = "FTFV_TOKENS_PER_FRAME_RANGE"
TOKENS_PER_FRAME_SEED = "FTFV_TOKENS_PER_FRAME_SEED"


@auto_docstring(
    custom_intro="""
    The processor of FTFV: image processor, video processor and tokenizer in one.
    """
)
class FTFVProcessor(ProcessorMixin):
    def __init__(
        self,
        image_processor: Any = None,
        video_processor: Any = None,
        tokenizer: Any = None,
        chat_template: str | None = None,
        num_query_tokens: int = 256,
        sample_images: bool = False,
        **kwargs: Any,
    ):
        r"""
        num_query_tokens (`int`, *optional*, defaults to 256):
            Number N of the adapter's queries, the tokens of an image that is not sampled and the most a frame can
            cost.
        sample_images (`bool`, *optional*, defaults to `False`):
            Whether the model samples images too; an image then costs the video processor's `tokens_per_frame`.
        """
        self.num_query_tokens = num_query_tokens
        self.sample_images = sample_images
        self.image_token = getattr(tokenizer, "image_token", "<image>")
        self.video_token = getattr(tokenizer, "video_token", "<video>")
        self.image_token_id = tokenizer.convert_tokens_to_ids(self.image_token)
        self.video_token_id = tokenizer.convert_tokens_to_ids(self.video_token)
        self._training_rows = TrainingRows()
        super().__init__(image_processor, video_processor, tokenizer, chat_template=chat_template)

    @auto_docstring(
        custom_intro="""
        Prepares text, images and videos for the model. Besides what the base class takes there are, for videos,
        `tokens_per_frame`, `max_num_frames`, `clip` and `video_backend` ([`FTFVVideoProcessorKwargs`]).
        """
    )
    def __call__(
        self, images: Any = None, text: Any = None, videos: Any = None, audio: Any = None, **kwargs: Any
    ) -> BatchFeature:
        r"""
        Returns:
            `BatchFeature` with `input_ids` and `attention_mask` `(batch_size, sequence_length)`, for images
            `pixel_values` `(num_images, 3, height, width)`, and for videos `pixel_values_videos`
            `(num_videos, num_frames, 3, height, width)`, `video_frame_mask` `(num_videos, num_frames)` and
            `tokens_per_frame` `(num_videos,)`.

        Raises:
            ValueError: the placeholders of the text do not match the media, or `tokens_per_frame` is out of range.
        """
        # Offsets are asked for when a loss mask will be made, that is in training only.
        if videos is not None and kwargs.get("return_text_replacement_offsets"):
            drawn = draw_tokens_per_frame(text, self.num_query_tokens)
            if drawn is not None and "tokens_per_frame" not in {**kwargs, **kwargs.get("videos_kwargs", {})}:
                kwargs["tokens_per_frame"] = drawn
        inputs = super().__call__(images=images, text=text, videos=videos, audio=audio, **kwargs)
        if hasattr(inputs.get("offset_mapping"), "tolist"):
            # The base class walks it number by number to align the loss mask, a quarter of a training step with
            # tensors.
            inputs["offset_mapping"] = inputs["offset_mapping"].tolist()
        return inputs

    def _process_videos(self, videos: Any, **kwargs: Any) -> Any:
        tokens_per_frame = kwargs.get("tokens_per_frame")
        if tokens_per_frame is None:
            tokens_per_frame = self.video_processor.tokens_per_frame
        if not 1 <= tokens_per_frame <= self.num_query_tokens:
            raise ValueError(
                f"`tokens_per_frame` is {tokens_per_frame}; expected 1 to {self.num_query_tokens}, the adapter's "
                "number of query tokens."
            )
        return super()._process_videos(videos, **kwargs)

    def replace_video_token(self, video_inputs: dict, video_idx: int, **kwargs: Any) -> str:
        num_frames = int(video_inputs["video_frame_mask"][video_idx].sum())
        return self.video_token * (num_frames * int(video_inputs["tokens_per_frame"][video_idx]))

    def replace_image_token(self, image_inputs: dict, image_idx: int, **kwargs: Any) -> str:
        return self.image_token * self._tokens_per_image

    @property
    def _tokens_per_image(self) -> int:
        return self.video_processor.tokens_per_frame if self.sample_images else self.num_query_tokens

    def _get_num_multimodal_tokens(
        self,
        image_sizes: list[tuple[int, int]] | None = None,
        video_sizes: list[tuple[int, int, int]] | None = None,
        **kwargs: Any,
    ) -> MultiModalData:
        """
        Number of placeholder tokens of images and videos of the given sizes, for vLLM.

        Args:
            image_sizes (`list[tuple[int, int]]`, *optional*): height and width of each image.
            video_sizes (`list[tuple[int, int, int]]`, *optional*): frames after sampling, height and width of each
                video.
        """
        counts = {}
        if image_sizes is not None:
            counts["num_image_tokens"] = [self._tokens_per_image] * len(image_sizes)
            counts["num_image_patches"] = [1] * len(image_sizes)
        if video_sizes is not None:
            tokens_per_frame = kwargs.get("tokens_per_frame") or self.video_processor.tokens_per_frame
            counts["num_video_tokens"] = [num_frames * tokens_per_frame for num_frames, _, _ in video_sizes]
        return MultiModalData(**counts)

    def apply_chat_template(
        self, conversation: list[dict] | list[list[dict]], chat_template: str | None = None, **kwargs: Any
    ) -> Any:
        """
        See the base class. Where a loss mask is asked for, that is in training, media that cannot be read and answers
        that `max_length` cuts off are dealt with as [`TrainingRows`] says.
        """
        if not kwargs.get("return_assistant_tokens_mask"):
            return super().apply_chat_template(conversation, chat_template, **kwargs)
        return self._training_rows.prepare(self, super().apply_chat_template, conversation, chat_template, **kwargs)


def draw_tokens_per_frame(text: list[str] | str | None, num_query_tokens: int) -> int | None:
    """
    K of a training batch, log-uniform in the range of the environment variable `FTFV_TOKENS_PER_FRAME_RANGE` (such as
    "2-16"). It is a hash of the batch's text and of `FTFV_TOKENS_PER_FRAME_SEED`, so neither resuming nor the number
    of workers changes it.

    Returns:
        `int`, or None when the variable is not set.

    Raises:
        ValueError: the range is malformed or goes beyond `num_query_tokens`.
    """
    bounds = os.environ.get(TOKENS_PER_FRAME_RANGE)
    if not bounds:
        return None
    low, _, high = bounds.partition("-")
    if not (low.isdigit() and high.isdigit() and 1 <= int(low) <= int(high)):
        raise ValueError(f"`{TOKENS_PER_FRAME_RANGE}` is {bounds!r}; expected two whole numbers such as '2-16'.")
    if int(high) > num_query_tokens:
        raise ValueError(
            f"`{TOKENS_PER_FRAME_RANGE}` is {bounds!r}; expected at most {num_query_tokens}, the adapter's number of "
            "query tokens."
        )
    prompts = [text] if isinstance(text, str) else list(text or [])
    seeded = "\0".join([os.environ.get(TOKENS_PER_FRAME_SEED, "0"), *prompts])
    digest = hashlib.sha256(seeded.encode()).digest()
    uniform = int.from_bytes(digest[:8], "big") / 2**64
    # [low, high + 1) on a log scale, rounded down, gives every whole number its share.
    return int(int(low) * ((int(high) + 1) / int(low)) ** uniform)


__all__ = ["FTFVProcessor"]
