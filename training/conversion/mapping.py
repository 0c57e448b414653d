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
Plans the tensors of an FTFV model from those of a checkpoint: which, of what shape and type, and how each is made.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch

from .checkpoint import Checkpoint
from .shards import Piece


Transform = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Origin:
    """Where a tensor comes from.

    Attributes:
        key (`str`): its key in the checkpoint.
        name (`str`): its key in what is written.
        target (`str`): its key in the model. It differs from `name` where transformers fuses several tensors into one
            while it loads, as the experts of a mixture.
        transform (`Callable`, *optional*): what is done to it. It is tried on a tensor without data first.
    """

    key: str
    name: str
    target: str
    transform: Transform | None = None


def plan_pieces(
    checkpoint: Checkpoint,
    origins: Iterable[Origin],
    expected: dict[str, torch.Tensor],
    dtype: torch.dtype | None = None,
) -> list[Piece]:
    """
    Pieces made from the tensors of a checkpoint.

    Args:
        checkpoint (`Checkpoint`): what is read.
        origins (`Iterable[Origin]`): where each piece comes from.
        expected (`dict[str, torch.Tensor]`): the model's state dict, on the `meta` device.
        dtype (`torch.dtype`, *optional*): type of the floating-point pieces, that of the checkpoint when not given.

    Raises:
        ValueError: a tensor has another shape than the model's, or should become fp16 from bf16.
    """
    pieces = []
    for origin in origins:
        source = checkpoint.meta(origin.key)
        result = _transform_meta(source, origin)
        # What transformers fuses while it loads has no shape of its own in the model.
        shape = tuple(expected[origin.target].shape) if origin.name == origin.target else tuple(source.shape)
        if result is None or tuple(result.shape) != shape:
            raise ValueError(
                f"{origin.key!r} in {str(checkpoint.folder)!r} has shape {tuple(source.shape)}, which does not give "
                f"the {shape} of {origin.name!r}. Do config.json and weights belong together?"
            )
        pieces.append(
            Piece(
                origin.name,
                shape,
                target_dtype(origin.key, source.dtype, dtype),
                _maker(checkpoint, origin, dtype),
                str(checkpoint.file(origin.key)),
            )
        )
    return pieces


def target_dtype(name: str, source: torch.dtype, dtype: torch.dtype | None) -> torch.dtype:
    """
    Type that a tensor is written in; what is not floating-point keeps its own.

    Raises:
        ValueError: bf16 should become fp16, which has a smaller range.
    """
    if dtype is None or not source.is_floating_point:
        return source
    if source == torch.bfloat16 and dtype == torch.float16:
        raise ValueError(
            f"{name!r} is bfloat16 and should become float16, which has a smaller range; choose bfloat16 or float32."
        )
    return dtype


def cast(name: str, tensor: torch.Tensor, dtype: torch.dtype | None) -> torch.Tensor:
    """
    The tensor in the type that it is written in.

    Raises:
        ValueError: a number is too large for it.
    """
    result = tensor.to(target_dtype(name, tensor.dtype, dtype))
    if result.dtype == torch.float16 and tensor.dtype != torch.float16 and not result.isfinite().all():
        raise ValueError(f"{name!r} holds numbers that float16 cannot; choose bfloat16 or float32.")
    return result


def _transform_meta(source: torch.Tensor, origin: Origin) -> torch.Tensor | None:
    try:
        return source if origin.transform is None else origin.transform(source)
    except (RuntimeError, IndexError, ValueError):  # a shape that cannot be cut
        return None


def _maker(checkpoint: Checkpoint, origin: Origin, dtype: torch.dtype | None) -> Callable[[], torch.Tensor]:
    def make() -> torch.Tensor:
        tensor = checkpoint.read(origin.key)
        return cast(origin.key, tensor if origin.transform is None else origin.transform(tensor), dtype)

    return make
