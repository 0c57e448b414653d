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
"""Memory that tensors hold, counted while a model runs: what `torch.cuda.max_memory_allocated` says, on any device."""

import weakref
from collections.abc import Iterable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LiveMemory(TorchDispatchMode):
    """
    Context that counts the bytes of the tensors that are alive, each storage once; scratch memory inside an operation
    is not seen.

    Args:
        tensors (`Iterable[torch.Tensor]`): those that are there before, such as the weights.

    Attributes:
        now (`int`): bytes alive.
        peak (`int`): the most that were.
    """

    def __init__(self, tensors: Iterable[torch.Tensor]):
        super().__init__()
        self.now = self.peak = 0
        self.storages: set[int] = set()
        self.hold(tensors)

    def hold(self, tensors: Iterable[Any]) -> None:
        for tensor in tensors:
            if not isinstance(tensor, torch.Tensor) or tensor.untyped_storage()._cdata in self.storages:
                continue
            storage = tensor.untyped_storage()
            self.storages.add(storage._cdata)
            self.now += storage.nbytes()
            self.peak = max(self.peak, self.now)
            weakref.finalize(storage, self.release, storage._cdata, storage.nbytes())

    def release(self, storage: int, num_bytes: int) -> None:
        self.storages.discard(storage)
        self.now -= num_bytes

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        outputs = func(*args, **(kwargs or {}))
        self.hold(tree_leaves(outputs))
        return outputs
