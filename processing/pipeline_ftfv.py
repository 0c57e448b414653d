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

from os import PathLike
from typing import Any

from transformers.configuration_utils import PreTrainedConfig
from transformers.pipelines.any_to_any import AnyToAnyPipeline
from transformers.utils import logging


logger = logging.get_logger(__name__)


class VideoTextToTextPipeline(AnyToAnyPipeline):
    """
    Answers questions about videos (and images), at a cost the caller chooses.

    ```python
    >>> from transformers import pipeline

    >>> pipe = pipeline("video-text-to-text", model="org/ftfv-s4v", trust_remote_code=True)
    >>> pipe(videos="clip.mp4", text="What happens?", tokens_per_frame=16, return_full_text=False)
    [{'input_text': ..., 'generated_text': ...}]
    ```

    A chat, with its video in a content block, is taken too; see [`AnyToAnyPipeline`] for it and for the other
    arguments.
    """

    processor: Any  # the base class knows no more than `ProcessorMixin`

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        check_agreement(self.model.config, self.processor)

    def check_model_type(self, supported_models: Any) -> None:
        """The base class knows the models of the library only."""

    def _sanitize_parameters(
        self,
        tokens_per_frame: int | None = None,
        num_frames: int | None = None,
        processor_kwargs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> tuple[dict, dict, dict]:
        """
        tokens_per_frame (`int`, *optional*): tokens per frame (K), the processor's own when not given.
        num_frames (`int`, *optional*): frames to look at; a shorter video gives all it has.
        """
        ours = {"tokens_per_frame": tokens_per_frame, "max_num_frames": num_frames}
        ours = {name: value for name, value in ours.items() if value is not None}
        if ours or processor_kwargs:
            processor_kwargs = {**(processor_kwargs or {}), **ours}
        return super()._sanitize_parameters(processor_kwargs=processor_kwargs, **kwargs)

    def __call__(self, text: Any = None, videos: Any = None, **kwargs: Any) -> Any:
        """
        Args:
            text (`str`, `list[str]` or a chat): the question; the prompt of a chat model is built around it when
                `videos` are given, one question per video.
            videos (`str`, `list[str]`, arrays, *optional*): path, URL or frames.
            kwargs: `tokens_per_frame`, `num_frames`, and what [`AnyToAnyPipeline`] takes.

        Raises:
            ValueError: there is no question, or not one per video.
        """
        if videos is not None and self.processor.chat_template is not None:
            single = isinstance(text, str) or text is None
            questions, clips = ([text], [videos]) if single else (list(text), list(videos))
            if len(questions) != len(clips):
                raise ValueError(
                    f"{len(questions)} questions for {len(clips)} videos; expected one question per video."
                )
            text = [self._as_chat(clip, question) for clip, question in zip(clips, questions, strict=True)]
            if single:
                text = text[0]
            videos = None
        return super().__call__(text=text, videos=videos, **kwargs)

    def _as_chat(self, video: Any, question: str | None) -> list[dict]:
        if not question or not question.strip():
            raise ValueError("The question is empty; expected text to answer, such as 'What happens in the video?'.")
        content = [{"type": "video", "video": video}, {"type": "text", "text": question}]
        return [{"role": "user", "content": content}]

    def preprocess(self, inputs: Any = None, **kwargs: Any) -> Any:
        model_inputs = super().preprocess(inputs, **kwargs)
        asked = (kwargs.get("processor_kwargs") or {}).get("max_num_frames")
        if asked is not None and "video_frame_mask" in model_inputs:
            shortest = int(model_inputs["video_frame_mask"].sum(dim=1).min())
            if shortest < asked:
                logger.warning(f"{asked} frames were asked for but the video has {shortest}; all of them are used.")
        return model_inputs

    def save_pretrained(self, save_directory: str | PathLike, **kwargs: Any) -> None:
        """Saves model and processor; the base class would leave out parts of the latter."""
        self.model.save_pretrained(save_directory, **kwargs)
        self.processor.save_pretrained(save_directory, **kwargs)


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
