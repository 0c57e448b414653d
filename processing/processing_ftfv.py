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
import shutil
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from transformers.dynamic_module_utils import get_relative_import_files
from transformers.feature_extraction_utils import BatchFeature
from transformers.processing_utils import MultiModalData, ProcessorMixin
from transformers.utils import auto_docstring

from .control_tokens_ftfv import keep_as_text, protect_control_tokens
from .media_source_ftfv import is_features, make_list_of_videos
from .training_rows_ftfv import TrainingRows


if TYPE_CHECKING:
    # `save_pretrained` copies the files that this one imports from, and config.json names the pipeline's.
    from .pipeline_ftfv import VideoTextToTextPipeline  # noqa: F401


# Written into every processor_config.json, so that a saved folder works in an environment without this package.
AUTO_MAP = {"AutoProcessor": "processing_ftfv.FTFVProcessor"}
# The model's classes are not imported from here: in the package they are in another folder.
MODEL_FILE = "modeling_ftfv.py"

# What of a call chooses the frames of a video or changes their pixels, which is over where features are given.
FRAME_OPTIONS = ("num_frames", "fps", "max_num_frames", "clip", "size", "video_backend", "video_metadata")

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
        chat_template: str | dict[str, str] | None = None,
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
        # Here too, so that a saved tokenizer does not depend on what was asked of it before.
        templates = chat_template.values() if isinstance(chat_template, dict) else (chat_template or "",)
        protect_control_tokens(tokenizer, "\n".join(templates), self._media_tokens)

    @auto_docstring(
        custom_intro="""
        Prepares text, images and videos for the model. Besides what the base class takes there are, for videos,
        `tokens_per_frame`, `max_num_frames`, `clip`, `video_backend` and `frame_timestamps`
        ([`FTFVVideoProcessorKwargs`]). A video may also be features computed before, as the model's
        `get_video_features` returns them, with `tokens_per_frame` at most what they hold.
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
            `tokens_per_frame` `(num_videos,)`; for features in place of videos `mm_encoder_outputs`, with a copy of
            them under `"video"`, and `tokens_per_frame`.

        Raises:
            ValueError: the placeholders of the text do not match the media, `tokens_per_frame` is out of range, or a
                prompt is longer than the tokenizer's `model_max_length` (except with a loss mask, for training);
                features are given beside videos, or with arguments that choose frames.
        """
        # Offsets are asked for when a loss mask will be made, that is in training only.
        training = kwargs.get("return_text_replacement_offsets")
        if videos is not None and training:
            drawn = draw_tokens_per_frame(text, self.num_query_tokens)
            if drawn is not None and "tokens_per_frame" not in {**kwargs, **kwargs.get("videos_kwargs", {})}:
                kwargs["tokens_per_frame"] = drawn
        inputs = super().__call__(images=images, text=text, videos=videos, audio=audio, **kwargs)
        if not training:  # Qwen-VL trains at any length, without what it changes beyond its limit
            self._check_prompt_lengths(inputs)
        if hasattr(inputs.get("offset_mapping"), "tolist"):
            # The base class walks it number by number to align the loss mask, a quarter of a training step with
            # tensors.
            inputs["offset_mapping"] = inputs["offset_mapping"].tolist()
        return inputs

    def save_pretrained(self, save_directory: str | os.PathLike, push_to_hub: bool = False, **kwargs: Any) -> Any:
        """Saves the processor and, into a folder that holds a model, the code of the one loaded here."""
        saved = super().save_pretrained(save_directory, push_to_hub=push_to_hub, **kwargs)
        if os.path.isfile(os.path.join(save_directory, "config.json")):
            _save_model_code(save_directory)
        return saved

    def to_dict(self) -> dict[str, Any]:
        # The base class writes it after the first `save_pretrained` only, and not for a processor that was loaded.
        return {**super().to_dict(), "auto_map": dict(AUTO_MAP)}

    def apply_chat_template(
        self,
        conversation: Any,
        chat_template: str | None = None,
        tools: list[dict] | None = None,
        documents: list[dict[str, str]] | None = None,
        *,
        tokenize: bool = False,
        sanitize_control_tokens: bool | None = None,
        **kwargs: Any,
    ) -> Any:
        r"""
        Renders chats, and with `tokenize=True` prepares them for the model; see [`ProcessorMixin.apply_chat_template`]
        for the other arguments.

        Args:
            sanitize_control_tokens (`bool`, *optional*, defaults to `tokenize`):
                Whether control tokens and placeholders of media stay text where a message, tool or document holds
                them, and only those that the template writes count. The base class does so when asked, but not where
                a loss mask is made, and not for a token that two blocks of text make together. Text that is returned
                without being tokenized does not tell who wrote a token, unless this is `True`: private-use characters
                then mark what was typed, for `__call__` to leave it text.

        Raises:
            ValueError: see [`~FTFVProcessor.__call__`], and [`TrainingRows`] where a loss mask is asked for.
        """
        if sanitize_control_tokens is None:
            sanitize_control_tokens = tokenize
        if sanitize_control_tokens:
            template = self._resolve_chat_template(chat_template)
            control_tokens = protect_control_tokens(self.tokenizer, template, self._media_tokens)
            conversation, tools, documents = (
                keep_as_text(value, self.tokenizer, control_tokens) for value in (conversation, tools, documents)
            )
        apply = partial(super().apply_chat_template, tools=tools, documents=documents, tokenize=tokenize)
        if not kwargs.get("return_assistant_tokens_mask"):
            return apply(conversation, chat_template, **kwargs)
        # A loss mask is asked for in training alone.
        return self._training_rows.prepare(self, apply, conversation, chat_template, **kwargs)

    @property
    def _media_tokens(self) -> tuple[str, str]:
        return self.image_token, self.video_token

    def _check_prompt_lengths(self, inputs: BatchFeature) -> None:
        # The library only warns.
        limit = self.tokenizer.model_max_length
        masks = inputs.get("attention_mask")
        rows = masks if masks is not None else inputs.get("input_ids", [])
        for row in rows:
            row = row.tolist() if hasattr(row, "tolist") else row
            length = len(row) if masks is None else sum(row)
            if length > limit:
                raise ValueError(
                    f"The prompt has {length} tokens with those of its media; expected at most {limit}, the "
                    "tokenizer's `model_max_length`, because the language model would be wrong beyond it (Qwen-VL's "
                    "computes longer prompts with other rotary frequencies and scaled queries, which Qwen2 does not). "
                    "Use a smaller `tokens_per_frame`, fewer frames or images, or less text."
                )

    def prepare_inputs_layout(
        self, images: Any = None, text: Any = None, videos: Any = None, audio: Any = None, **kwargs: Any
    ) -> tuple[Any, Any, Any, Any]:
        if videos is not None:
            videos = make_list_of_videos(videos) or None
        return super().prepare_inputs_layout(images=images, text=text, videos=videos, audio=audio, **kwargs)

    def validate_inputs(
        self, images: Any = None, text: Any = None, videos: Any = None, audio: Any = None, **kwargs: Any
    ) -> None:
        # The base class counts only the kinds of videos that it knows; names stand for them here.
        videos = None if videos is None else ["video"] * len(videos)
        super().validate_inputs(images=images, text=text, videos=videos, audio=audio, **kwargs)

    def _process_videos(self, videos: Any, **kwargs: Any) -> Any:
        timed = kwargs.get("frame_timestamps")
        kwargs["frame_timestamps"] = self.video_processor.frame_timestamps if timed is None else timed
        if any(map(is_features, videos)):
            processed = self._process_features(videos, **kwargs)
            return processed, [self.replace_features_token(video, **kwargs) for video in videos]
        tokens_per_frame = kwargs.get("tokens_per_frame")
        if tokens_per_frame is None:
            tokens_per_frame = self.video_processor.tokens_per_frame
        if not 1 <= tokens_per_frame <= self.num_query_tokens:
            raise ValueError(
                f"`tokens_per_frame` is {tokens_per_frame}; expected 1 to {self.num_query_tokens}, the adapter's "
                "number of query tokens."
            )
        if kwargs["frame_timestamps"]:
            kwargs["return_metadata"] = True
        processed = self.video_processor(videos, **kwargs)
        count = len(processed["tokens_per_frame"])
        return processed, [self.replace_video_token(processed, index, **kwargs) for index in range(count)]

    def _process_features(self, videos: list[Any], **kwargs: Any) -> dict[str, Any]:
        if not all(map(is_features, videos)):
            raise ValueError(
                f"{sum(map(is_features, videos))} of {len(videos)} videos are features and the others are not; "
                "expected all or none in one call. Encode the others too."
            )
        option = next((name for name in FRAME_OPTIONS if kwargs.get(name) is not None), None)
        if option is not None:
            raise ValueError(
                f"`{option}` is given but the video is features, whose frames were chosen before. Leave it out, or "
                "encode the video again with it."
            )
        return {
            "mm_encoder_outputs": {"video": type(videos[0]).merge(videos)},
            "tokens_per_frame": torch.tensor([tokens_of_features(video, **kwargs) for video in videos]),
        }

    def replace_features_token(self, features: Any, **kwargs: Any) -> str:
        """The placeholders of one video that is features, as [`replace_video_token`] writes them for frames."""
        tokens = self.video_token * tokens_of_features(features, **kwargs)
        if not kwargs.get("frame_timestamps"):
            return tokens * features.token_indices.shape[1]
        if features.frame_times is None:
            raise ValueError(
                "`frame_timestamps` needs the times of the frames, which the features do not hold; encode the video "
                "by `VideoTextToTextPipeline.encode`, or leave it off."
            )
        return " ".join(f"{seconds:.1f}s: {tokens}" for seconds in features.frame_times[0].tolist())

    def replace_video_token(self, video_inputs: dict, video_idx: int, **kwargs: Any) -> str:
        num_frames = int(video_inputs["video_frame_mask"][video_idx].sum())
        tokens = self.video_token * int(video_inputs["tokens_per_frame"][video_idx])
        if not kwargs.get("frame_timestamps"):
            return tokens * num_frames
        metadata = video_inputs["video_metadata"][video_idx]
        if metadata.fps is None:
            raise ValueError(
                "`frame_timestamps` needs the frame rate of the video, which is unknown; pass `video_metadata` with "
                "`fps`, or leave it off."
            )
        return " ".join(f"{seconds:.1f}s: {tokens}" for seconds in metadata.timestamps)

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


def tokens_of_features(features: Any, tokens_per_frame: int | None = None, **kwargs: Any) -> int:
    """
    Tokens that each frame of a video costs that is given as features: those asked for, or all that they hold.

    Raises:
        ValueError: they do not hold as many.
    """
    available = features.token_indices.shape[-1]
    if tokens_per_frame is None:
        return available
    if not 1 <= tokens_per_frame <= available:
        raise ValueError(
            f"`tokens_per_frame` is {tokens_per_frame} but the features hold {available} tokens per frame; expected 1 "
            f"to {available}. Encode the video again for more."
        )
    return tokens_per_frame


def _save_model_code(folder: str | os.PathLike) -> None:
    """
    Copies the file of the model's classes and those it imports from. A trainer that pushes while it trains puts config
    and weights of a checkpoint beside the processor, but not the code, and strangers could not load what it pushed.
    """
    files = {
        name: module.__file__
        for name, module in list(sys.modules.items())
        if name.endswith(".modeling_ftfv") and os.path.basename(getattr(module, "__file__", None) or "") == MODEL_FILE
    }
    if not files:
        return
    # Several models may be loaded; the one that came with this file shares the beginning of its name.
    nearest = files[max(files, key=lambda name: len(os.path.commonprefix([name, __name__])))]
    for file in (nearest, *get_relative_import_files(nearest)):
        shutil.copyfile(file, os.path.join(folder, os.path.basename(file)))


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
