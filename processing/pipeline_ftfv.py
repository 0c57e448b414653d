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
"""`pipeline("video-text-to-text")`: a video and a question in, an answer out."""

import difflib
import inspect
from collections.abc import Iterable
from numbers import Integral, Real
from os import PathLike
from typing import Any

import torch
from transformers import GenerationConfig
from transformers.configuration_utils import PreTrainedConfig
from transformers.feature_extraction_utils import BatchFeature
from transformers.pipelines.any_to_any import AnyToAnyPipeline, Chat
from transformers.processing_utils import ProcessingKwargs, TextKwargs
from transformers.utils import logging

from .media_source_ftfv import is_features, make_list_of_videos
from .pipeline_rows_ftfv import as_chat, collate_rows, pair_media, videos_of


logger = logging.get_logger(__name__)

# Which frames of a video are looked at.
FRAME_ARGUMENTS = ("num_frames", "fps", "clip")
ARGUMENTS = ("tokens_per_frame", *FRAME_ARGUMENTS, "generate_kwargs", "streamer", "return_full_text", "batch_size")


class VideoTextToTextPipeline(AnyToAnyPipeline):
    """
    Answers questions about videos (and images), at a cost the caller chooses.

    ```python
    >>> from transformers import pipeline

    >>> pipe = pipeline("video-text-to-text", model="org/ftfv-s4v", trust_remote_code=True)
    >>> pipe(videos="clip.mp4", text="What happens?", tokens_per_frame=16, return_full_text=False)
    [{'input_text': ..., 'generated_text': ...}]

    >>> features = pipe.encode("clip.mp4", tokens_per_frame=16)
    >>> for question in ("What happens?", "Who is it?", "Where is it?"):
    ...     pipe(videos=features, text=question, return_full_text=False)
    ```

    Arguments of the constructor hold for every call that does not give its own.

    Args:
        tokens_per_frame (`int`, *optional*): tokens per frame (K), the processor's own when not given, or all that
            features hold.
        num_frames (`int`, *optional*): frames to look at; a shorter video gives all it has.
        fps (`float`, *optional*): frames per second of video to look at, instead of `num_frames`.
        clip (`tuple[float, float]`, *optional*): part of the video to look at, as start and end in seconds.
        generate_kwargs (`dict`, *optional*): arguments of `generate`, which may also be given one by one.
        streamer (`BaseStreamer`, *optional*): takes the tokens of an answer as they are generated, with
            `batch_size=1` and without beams.
        return_full_text (`bool`, *optional*, defaults to `True`): whether the answer comes as the last turn of the
            chat, or alone.

    See [`AnyToAnyPipeline`] for the others. Arguments of the processor may be given, too.
    """

    processor: Any  # the base class knows no more than `ProcessorMixin`

    def __init__(self, *args: Any, **kwargs: Any):
        kwargs.pop("local_files_only", None)  # how `pipeline` loaded the model
        super().__init__(*args, **kwargs)
        check_agreement(self.model.config, self.processor)

    def check_model_type(self, supported_models: Any) -> None:
        """The base class knows the models of the library only."""

    def _sanitize_parameters(
        self,
        tokens_per_frame: int | None = None,
        num_frames: int | None = None,
        fps: float | None = None,
        clip: tuple[float, float] | None = None,
        generate_kwargs: dict[str, Any] | None = None,
        streamer: Any = None,
        processor_kwargs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> tuple[dict, dict, dict]:
        check_arguments(tokens_per_frame, num_frames, fps, clip, generate_kwargs, streamer)
        # Copies, as the base class writes into them.
        generate_kwargs, processor_kwargs = dict(generate_kwargs or {}), dict(processor_kwargs or {})
        named = inspect.signature(super()._sanitize_parameters).parameters
        for name in [name for name in kwargs if name not in named]:
            self._place_argument(name, kwargs, generate_kwargs, processor_kwargs)
        if streamer is not None:
            generate_kwargs["streamer"] = streamer
        preprocess_params, forward_params, postprocess_params = super()._sanitize_parameters(
            generate_kwargs=generate_kwargs, **kwargs
        )

        ours = {"tokens_per_frame": tokens_per_frame, "num_frames": num_frames, "fps": fps, "clip": clip}
        preprocess_params |= {name: value for name, value in ours.items() if value is not None}
        if num_frames is not None or fps is not None:
            preprocess_params |= {"num_frames": num_frames, "fps": fps}
        # Those of the constructor, once there is one, stand where the call gives no other.
        constructed = getattr(self, "_preprocess_params", {}).get("processor_kwargs", {})
        preprocess_params["processor_kwargs"] = {**constructed, **processor_kwargs}
        if "generation_config" not in generate_kwargs:
            constructed = getattr(self, "_forward_params", {}).get("generate_kwargs", {})
            forward_params["generate_kwargs"] = {**constructed, **forward_params["generate_kwargs"]}
        chosen = any(kwargs.get(name) is not None for name in ("return_full_text", "return_tensors", "return_type"))
        if not chosen and "return_type" in getattr(self, "_postprocess_params", {}):
            del postprocess_params["return_type"]
        return preprocess_params, forward_params, postprocess_params

    def _place_argument(
        self, name: str, kwargs: dict[str, Any], generate_kwargs: dict[str, Any], processor_kwargs: dict[str, Any]
    ) -> None:
        """Moves an argument that the base class does not name to where it belongs."""
        processor = self.processor
        of_processor = {
            *ProcessingKwargs.__annotations__,
            *TextKwargs.__annotations__,
            *processor.image_processor.valid_kwargs.__annotations__,
            *processor.video_processor.valid_kwargs.__annotations__,
        }
        of_generation = {other for other in vars(GenerationConfig()) if not other.startswith("_")}
        if name in of_processor:
            processor_kwargs[name] = kwargs.pop(name)
        elif name in of_generation or name == "generation_config":
            generate_kwargs[name] = kwargs.pop(name)
        elif name not in ("tools", "documents", "chat_template") and name not in str(processor.chat_template):
            [close] = difflib.get_close_matches(name, {*ARGUMENTS, *of_processor, *of_generation}, n=1) or [None]
            meant = f"did you mean `{close}`?" if close else f"expected one of {', '.join(ARGUMENTS)}."
            raise TypeError(
                f"`{name}` is no argument of the pipeline, the processor, `generate` or the chat template; {meant}"
            )

    def __call__(self, text: Any = None, videos: Any = None, images: Any = None, **kwargs: Any) -> Any:
        """
        Args:
            text: a question or, with as many `videos` or `images`, a list of them, around which the prompt of a chat
                model is built; a chat or a list of chats; a list of rows, a dataset or a generator, where each row is
                a chat or a `dict` with `"messages"`, or with `"text"` and `"videos"` or `"images"`. Text alone is a
                prompt as it is.
            videos (`str`, `list[str]`, arrays, features, *optional*): path, URL, frames or features, one per question.
            images (`str`, `list[str]`, PIL images, *optional*): path, URL or image, one per question.
            kwargs: see the class; also `batch_size` and `num_workers`.

        Returns:
            `list[dict]` for one question, a list of them for several, and an iterator over them for a dataset or a
            generator.

        Raises:
            TypeError: there is no such argument, or a row is of a wrong type.
            ValueError: there is no question, or not one per video; or an argument has a wrong value.
        """
        media = {name: values for name, values in (("videos", videos), ("images", images)) if values is not None}
        if media and self.processor.chat_template is not None:
            text = pair_media(text, media)
        elif media:
            return super().__call__(text=text, videos=videos, images=images, **kwargs)
        rows: Any = None
        if isinstance(text, (list, tuple)):
            if not text:
                raise ValueError("`text` is an empty list; expected questions, chats or rows.")
            text = list(text)
            is_chat = isinstance(text[0], dict) and "role" in text[0]
            if not is_chat and not all(isinstance(row, str) for row in text):
                rows = text
        elif isinstance(text, Iterable) and not isinstance(text, (str, dict, torch.utils.data.Dataset)):
            # A generator, or a dataset of the library `datasets`, which the base class does not know.
            rows = (row for row in text)
        if rows is None:
            return super().__call__(text=text, **kwargs)
        if self.processor.chat_template is not None:
            chats = map(as_chat, rows)
            rows = list(chats) if isinstance(rows, list) else (chat for chat in chats)
        # Not by the nearest base class, which takes rows that begin with a chat for chats.
        return super(AnyToAnyPipeline, self).__call__(rows, **kwargs)

    def encode(self, videos: Any, **kwargs: Any) -> Any:
        """
        Encodes videos once, to ask many questions about them: what it returns stands for `videos` in calls, and for
        the video of a block in a chat.

        Args:
            videos: a video or several, see [`make_list_of_videos`].
            kwargs: `tokens_per_frame`, the most that calls may ask for, `num_frames`, `fps`, `clip`, and arguments of
                the processor.

        Returns:
            `FTFVFeaturesOutput`: tokens, responses, indices and times of the frames, on the model's device, without
            the states of the vision tower. See its `split` for those of each video.

        Raises:
            ValueError: as in a call.
        """
        return self.encode_inputs(self.prepare_videos(videos, **kwargs))

    def prepare_videos(self, videos: Any, **kwargs: Any) -> BatchFeature:
        """What the processor makes of videos, with their `video_metadata`; see [`encode`] for the arguments."""
        if any(map(is_features, make_list_of_videos(videos))):
            raise ValueError("`videos` are features; expected videos to encode.")
        preprocess_params = {**self._preprocess_params, **self._sanitize_parameters(**kwargs)[0]}
        processor_kwargs = self._processor_kwargs(preprocess_params, encoded=False)
        inputs = self.processor(videos=videos, return_tensors="pt", **{**processor_kwargs, "return_metadata": True})
        self._log_missing_frames(inputs, preprocess_params.get("num_frames"))
        return inputs

    @torch.no_grad()
    def encode_inputs(self, inputs: BatchFeature) -> Any:
        """What [`encode`] returns, from what [`prepare_videos`] returned."""
        metadata = inputs["video_metadata"]
        tensors = {name: value for name, value in inputs.items() if isinstance(value, torch.Tensor)}
        model: Any = self.model
        features = model.get_video_features(**BatchFeature(tensors).to(self.device, dtype=self.dtype))
        videos = features.split()
        for video, known in zip(videos, metadata, strict=True):
            if known.fps is not None:
                video.frame_times = torch.tensor([known.timestamps], dtype=torch.float64)
        return type(features).merge(videos)

    def preprocess(self, inputs: Any = None, **kwargs: Any) -> dict[str, Any]:
        """One row to the inputs of the model; `_forward` makes a batch of them, which the base class could not."""
        inputs = as_chat(inputs) if self.processor.chat_template is not None else inputs
        encoded = isinstance(inputs, Chat) and any(map(is_features, videos_of(inputs.messages)))
        processor_kwargs = self._processor_kwargs(kwargs, encoded=encoded)
        if isinstance(inputs, dict) and isinstance(inputs.get("text"), (list, tuple)):
            processor_kwargs.setdefault("padding_side", "left")
        ours = ("tokens_per_frame", *FRAME_ARGUMENTS, "processor_kwargs")
        others = {name: value for name, value in kwargs.items() if name not in ours}
        model_inputs = super().preprocess(inputs, processor_kwargs=processor_kwargs, **others)
        self._log_missing_frames(model_inputs, kwargs.get("num_frames"))
        text = model_inputs.pop("text")
        return {"row": model_inputs, "text": text}

    def _processor_kwargs(self, preprocess_params: dict[str, Any], encoded: bool) -> dict[str, Any]:
        """Arguments of the processor out of those of the pipeline."""
        arguments = {name: preprocess_params.get(name) for name in ("tokens_per_frame", *FRAME_ARGUMENTS)}
        if encoded:
            # The constructor's are meant for videos; the processor refuses those of a call.
            constructed = self._preprocess_params
            arguments |= {name: None for name in FRAME_ARGUMENTS if arguments[name] == constructed.get(name)}
        else:
            arguments["max_num_frames"] = arguments.pop("num_frames")
        given = {name: value for name, value in arguments.items() if value is not None}
        return {**preprocess_params.get("processor_kwargs", {}), **given}

    def _log_missing_frames(self, inputs: BatchFeature, asked: int | None) -> None:
        if asked is not None and "video_frame_mask" in inputs:
            shortest = int(inputs["video_frame_mask"].sum(dim=1).min())
            if shortest < asked:
                logger.warning(f"{asked} frames were asked for but the video has {shortest}; all of them are used.")

    def _ensure_tensor_on_device(self, inputs: Any, device: torch.device) -> Any:
        if is_features(inputs):
            # The base class would make another class of it.
            return type(inputs)(**super()._ensure_tensor_on_device(dict(inputs), device))
        return super()._ensure_tensor_on_device(inputs, device)

    def _forward(self, model_inputs: dict[str, Any], generate_kwargs: dict[str, Any] | None = None) -> Any:
        row = model_inputs["row"]
        inputs = collate_rows(row, self.tokenizer.pad_token_id) if isinstance(row, list) else dict(row)
        num_rows = len(inputs["input_ids"])
        if num_rows > 1 and (generate_kwargs or {}).get("streamer") is not None:
            raise ValueError(
                f"`streamer` is given for {num_rows} questions at once; expected one. Use `batch_size=1`, or leave it "
                "out."
            )
        return super()._forward({**inputs, "text": model_inputs["text"]}, generate_kwargs)

    def save_pretrained(self, save_directory: str | PathLike, **kwargs: Any) -> None:
        """Saves model and processor; the base class would leave out parts of the latter."""
        self.model.save_pretrained(save_directory, **kwargs)
        self.processor.save_pretrained(save_directory, **kwargs)


def check_arguments(
    tokens_per_frame: Any, num_frames: Any, fps: Any, clip: Any, generate_kwargs: Any, streamer: Any
) -> None:
    """
    Checks what the processor and `generate` would complain about later, or not at all.

    Raises:
        ValueError: an argument is of a wrong type, or excludes another.
    """
    for name, value in (("tokens_per_frame", tokens_per_frame), ("num_frames", num_frames)):
        if value is not None and (not isinstance(value, Integral) or isinstance(value, bool)):
            raise ValueError(f"`{name}` is {value!r}; expected a whole number.")
    if fps is not None and not (isinstance(fps, (int, float)) and fps > 0):
        raise ValueError(f"`fps` is {fps!r}; expected a number above 0, frames per second of video.")
    if num_frames is not None and fps is not None:
        raise ValueError(f"Both `num_frames` ({num_frames}) and `fps` ({fps}) are given; pass only one of them.")
    if clip is not None and not (
        isinstance(clip, (tuple, list)) and len(clip) == 2 and all(isinstance(bound, Real) for bound in clip)
    ):
        raise ValueError(f"`clip` is {clip!r}; expected start and end in seconds, such as (1.5, 4).")
    if generate_kwargs is not None and not isinstance(generate_kwargs, dict):
        raise ValueError(f"`generate_kwargs` is {generate_kwargs!r}; expected a dict of arguments of `generate`.")
    if streamer is not None and not (hasattr(streamer, "put") and hasattr(streamer, "end")):
        raise ValueError(f"`streamer` is of type {type(streamer).__name__}; expected one such as `TextStreamer`.")


def check_agreement(config: PreTrainedConfig, processor: Any) -> None:
    """
    Refuses a model and a processor that were not made for each other.

    Raises:
        ValueError: they disagree in the number of query tokens, in `tokens_per_frame` or in `sample_images`.
    """
    pairs = {
        "num_query_tokens": (config.adapter_config.num_query_tokens, processor.num_query_tokens),
        "tokens_per_frame": (config.tokens_per_frame, processor.video_processor.tokens_per_frame),
        "sample_images": (config.sample_images, processor.sample_images),
    }
    for name, (in_model, in_processor) in pairs.items():
        if in_model != in_processor:
            raise ValueError(
                f"`{name}` is {in_model} in config.json but {in_processor} in processor_config.json; expected the "
                "same. Save both from the same model, or correct one file."
            )


__all__ = ["VideoTextToTextPipeline", "check_agreement"]
