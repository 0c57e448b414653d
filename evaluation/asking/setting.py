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
"""How a model is asked: how many frames and tokens, which of them, in which order."""

from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass

from ...modeling_ftfv.configuration_ftfv import TOKEN_ORDERS, TOKEN_SAMPLERS, FTFVConfig
from ...modeling_ftfv.modeling_ftfv import FTFVForConditionalGeneration
from ...processing.processing_ftfv import FTFVProcessor
from .media_encoding import Looking
from .rows import evaluating


# For messages.
KINDS = {bool: "True or False", int: "a whole number", str: "a name"}


@dataclass(frozen=True)
class Setting:
    """
    How a model is asked; what is None is as the model has it.

    Attributes:
        tokens_per_frame (`int`, *optional*): K of video frames (paper section 3.2.1).
        num_frames (`int`, *optional*): Frames of a video; a shorter one gives all it has.
        frame_size (`int`, *optional*): Side of frames and images in pixels.
        token_sampler (`str`, *optional*): Stands in for `config.token_sampler`, for instance `"random"`.
        token_order (`str`, *optional*): Stands in for `config.token_order`.
        shuffle_frames (`bool`): Whether the frames come in a wrong order; a video of one frame keeps its own.
        as_image (`bool`): Whether one random frame of each video goes in as an image (FTFV_image in Table 4).
    """

    tokens_per_frame: int | None = None
    num_frames: int | None = None
    frame_size: int | None = None
    token_sampler: str | None = None
    token_order: str | None = None
    shuffle_frames: bool = False
    as_image: bool = False

    @property
    def looking(self) -> Looking:
        return Looking(self.num_frames, self.frame_size, self.as_image)

    @property
    def name(self) -> str:
        """`tokens_per_frame=8,shuffle_frames`, or `default`; also the name of a file."""
        chosen = {name: value for name, value in asdict(self).items() if value is not None and value is not False}
        return ",".join(name if value is True else f"{name}={value}" for name, value in chosen.items()) or "default"

    def check(self, config: FTFVConfig) -> None:
        """
        Raises:
            ValueError: a value is of a wrong type, or nothing that a model of this configuration can do.
        """
        for name, value in asdict(self).items():
            kind = {"shuffle_frames": bool, "as_image": bool, "token_sampler": str, "token_order": str}.get(name, int)
            # A bool is an int, too, and 2.0 tokens are none.
            if type(value) is not kind and not (value is None and kind is not bool):
                raise ValueError(f"`{name}` is {value!r}; expected {KINDS[kind]}.")
        num_query_tokens, patch_size = config.adapter_config.num_query_tokens, config.vision_config.patch_size
        count = self.tokens_per_frame
        if count is not None and not 1 <= count <= num_query_tokens:
            raise ValueError(
                f"`tokens_per_frame` is {count}; expected 1 to {num_query_tokens}, the model's number of query tokens."
            )
        if self.num_frames is not None and self.num_frames < 1:
            raise ValueError(f"`num_frames` is {self.num_frames}; expected at least 1.")
        if self.frame_size is not None and (self.frame_size < patch_size or self.frame_size % patch_size):
            raise ValueError(
                f"`frame_size` is {self.frame_size}; expected a multiple of the vision tower's patch size, "
                f"{patch_size}."
            )
        if self.token_order is not None and self.token_order not in TOKEN_ORDERS:
            raise ValueError(f"`token_order` is {self.token_order!r}; expected one of {', '.join(TOKEN_ORDERS)}.")
        if self.token_sampler is not None and self.token_sampler not in TOKEN_SAMPLERS:
            raise ValueError(
                f"`token_sampler` is {self.token_sampler!r}; expected one of {', '.join(TOKEN_SAMPLERS)}."
            )
        sampler = config.token_sampler if self.token_sampler is None else self.token_sampler
        if sampler == "none" and count not in (None, num_query_tokens):
            raise ValueError(
                f"`tokens_per_frame` is {count} with the token sampler 'none', which keeps all {num_query_tokens}; "
                "leave one of them out."
            )

    def count_tokens(self, processor: FTFVProcessor) -> int:
        """K, which is the processor's own where none is given."""
        if self.token_sampler == "none":
            return processor.num_query_tokens
        if self.tokens_per_frame is None:
            return processor.video_processor.tokens_per_frame
        return self.tokens_per_frame

    def applied(self, model: FTFVForConditionalGeneration) -> AbstractContextManager[None]:
        """Within it, the model samples tokens as the setting says, in evaluation mode."""
        return evaluating(model, token_sampler=self.token_sampler, token_order=self.token_order)
