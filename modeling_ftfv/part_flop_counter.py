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
"""PyTorch's flop counter, told apart by the part of a model at work and into linear layers and attention."""

from collections import Counter
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


aten = torch.ops.aten


class PartFlopCounter(FlopCounterMode):
    """
    Counts FLOPs as `FlopCounterMode` does, by part and kind. A product with a weight, or for the gradient of one, is
    `"linear"`; a product of two activations is `"attention"`, such as scores, and values weighted by them.

    Args:
        model (`nn.Module`): holds the weights.
        part (`str`): the part at work at first.

    Attributes:
        part (`str`): the part at work; whoever runs the model sets it.
        flops (`Counter[tuple[str, str]]`): FLOPs of each part and kind.
    """

    def __init__(self, model: nn.Module, part: str):
        # PyTorch has no formula for the experts of a mixture.
        super().__init__(display=False, custom_mapping={aten._grouped_mm: _grouped_mm_flops})
        self.part = part
        self.flops: Counter[tuple[str, str]] = Counter()
        # On the meta device tensors have no address, but a transposed weight still shares its weight's storage.
        self._weights = {_storage(parameter) for parameter in model.parameters()}
        shapes = {tuple(parameter.shape) for parameter in model.parameters()}
        self._gradient_shapes = shapes | {(*shape[:-2], *shape[:-3:-1]) for shape in shapes}

    def switch_after(self, tensor: torch.Tensor, part: str) -> None:
        """Makes `part` the one at work once the backward pass has the gradient of `tensor`, if it comes that far."""
        if tensor.requires_grad:
            tensor.register_hook(lambda gradient: setattr(self, "part", part))

    def _count_flops(self, func_packet: Any, out: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
        before = self.get_total_flops()
        out = super()._count_flops(func_packet, out, args, kwargs)
        flops = self.get_total_flops() - before
        if flops:
            self.flops[self.part, self._kind(args, out)] += flops
        return out

    def _kind(self, args: tuple, out: Any) -> str:
        if any(_storage(tensor) in self._weights for tensor in args if isinstance(tensor, torch.Tensor)):
            return "linear"
        # The gradient of a weight, or of its transpose, is a product of activations and their gradients.
        is_backward = torch._C._current_graph_task_id() != -1
        is_gradient = is_backward and isinstance(out, torch.Tensor) and tuple(out.shape) in self._gradient_shapes
        return "linear" if is_gradient else "attention"


def _grouped_mm_flops(
    a_shape: torch.Size, b_shape: torch.Size, *args: Any, out_shape: torch.Size | None = None, **kwargs: Any
) -> int:
    """A row of `a` meets the columns of one group of `b`, whichever of both is in groups."""
    return 2 * a_shape[-2] * a_shape[-1] * b_shape[-1]


def _storage(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage()._cdata
