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
Writes safetensors shards tensor by tensor, into a folder that appears under its own name only when it is complete.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers.utils import logging


# Names of the format, https://github.com/huggingface/safetensors#format
DTYPE_NAMES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
# Bytes handed to the file at once.
BLOCK = 1 << 26
PLAN_FILE = "plan.json"


@dataclass(frozen=True)
class Piece:
    """One tensor to write.

    Attributes:
        name (`str`): its key.
        shape (`tuple[int, ...]`): its shape.
        dtype (`torch.dtype`): its type.
        make (`Callable[[], torch.Tensor]`): returns it, on the CPU; called when it is written.
        source (`str`, defaults to ""): file it is made from. Pieces of the same file are written one after another.
    """

    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype
    make: Callable[[], torch.Tensor]
    source: str = ""

    @property
    def num_elements(self) -> int:
        return torch.Size(self.shape).numel()

    @property
    def num_bytes(self) -> int:
        return self.num_elements * self.dtype.itemsize


def split_into_shards(pieces: Sequence[Piece], max_shard_size: int) -> dict[str, list[Piece]]:
    """
    Fills shards in the order of the sources.

    Args:
        pieces (`Sequence[Piece]`): all tensors.
        max_shard_size (`int`): bytes of a shard; a tensor larger than that gets a shard of its own.

    Returns:
        `dict[str, list[Piece]]`: pieces of each file, by its name.
    """
    shards: list[list[Piece]] = [[]]
    filled = 0
    for piece in sorted(pieces, key=lambda piece: piece.source):
        if shards[-1] and filled + piece.num_bytes > max_shard_size:
            shards.append([])
            filled = 0
        shards[-1].append(piece)
        filled += piece.num_bytes
    if len(shards) == 1:
        return {"model.safetensors": shards[0]}
    return {f"model-{number:05d}-of-{len(shards):05d}.safetensors": shard for number, shard in enumerate(shards, 1)}


@contextmanager
def resumable_folder(output: Path, plan: Any) -> Iterator[Path]:
    """
    Yields the folder `output` with ".incomplete" behind its name. It is renamed when the context ends well, and kept
    when it does not, so that the same plan can be taken up again.

    Args:
        output (`Path`): folder to write; it must not exist yet.
        plan (`Any`): what will be written and from what, as JSON can hold it.

    Raises:
        FileExistsError: `output` exists, or the folder left by an earlier run is of another plan.
    """
    if output.exists():
        raise FileExistsError(f"{str(output)!r} exists; choose another output folder or remove it.")
    folder = output.with_name(output.name + ".incomplete")
    digest = hashlib.sha256(json.dumps(plan, sort_keys=True).encode()).hexdigest()
    plan_file = folder / PLAN_FILE
    folder.mkdir(parents=True, exist_ok=True)
    if not any(folder.iterdir()):
        _write_whole(plan_file, json.dumps({"sha256": digest}).encode())
    elif not plan_file.is_file() or json.loads(plan_file.read_text())["sha256"] != digest:
        raise FileExistsError(
            f"{str(folder)!r} holds an unfinished conversion of other inputs or with other options; remove it, or "
            "repeat the command that left it."
        )
    yield folder
    plan_file.unlink()
    os.replace(folder, output)


def write_shards(folder: Path, shards: dict[str, list[Piece]]) -> None:
    """
    Writes the shards that are not there yet, and the index when there is more than one.

    A shard is written header first and then one tensor after another, as the sizes of all of them are known before:
    `safetensors.torch.save_file` would want all tensors of a shard in memory.

    Raises:
        OSError: the disk has too little room.
        ValueError: a tensor is not what its piece says.
    """
    sizes = {name: sum(piece.num_bytes for piece in shard) for name, shard in shards.items()}
    left = sum(size for name, size in sizes.items() if not (folder / name).is_file())
    free = shutil.disk_usage(folder).free
    if left > free:
        raise OSError(
            f"{str(folder)!r} needs {left / 1e9:.1f} GB more but the disk has {free / 1e9:.1f} GB; make room or "
            "choose another output folder."
        )
    with logging.tqdm(total=sum(sizes.values()), unit="B", unit_scale=True, desc="Writing") as progress:
        for name, shard in shards.items():
            if (folder / name).is_file():
                progress.update(sizes[name])
            else:
                _write_shard(folder / name, shard, progress.update)
    if len(shards) > 1:
        index = {
            "metadata": {"total_size": sum(sizes.values())},
            "weight_map": {piece.name: name for name, shard in shards.items() for piece in shard},
        }
        _write_whole(folder / "model.safetensors.index.json", (json.dumps(index, indent=2) + "\n").encode())


def _write_shard(path: Path, shard: list[Piece], update: Callable[[int], Any]) -> None:
    # The format aligns only the start of the data: wide types first, and every tensor is aligned.
    shard = sorted(shard, key=lambda piece: -piece.dtype.itemsize)
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for piece in shard:
        start, end = end, end + piece.num_bytes
        header[piece.name] = {
            "dtype": DTYPE_NAMES[piece.dtype],
            "shape": list(piece.shape),
            "data_offsets": [start, end],
        }
    encoded = json.dumps(header, separators=(",", ":")).encode()
    encoded += b" " * (-len(encoded) % 8)
    unfinished = path.with_name(path.name + ".unfinished")
    with open(unfinished, "wb") as file:
        file.write(len(encoded).to_bytes(8, "little") + encoded)
        for piece in shard:
            tensor = piece.make()
            if tensor.shape != piece.shape or tensor.dtype != piece.dtype:
                raise ValueError(
                    f"{piece.name!r} came out as {tensor.dtype} {tuple(tensor.shape)}; expected {piece.dtype} "
                    f"{piece.shape}. Have the input files changed?"
                )
            data = memoryview(tensor.contiguous().reshape(-1).view(torch.uint8).numpy())
            for start in range(0, len(data), BLOCK):
                update(file.write(data[start : start + BLOCK]))
        file.flush()
        os.fsync(file.fileno())
    os.replace(unfinished, path)


def _write_whole(path: Path, content: bytes) -> None:
    unfinished = path.with_name(path.name + ".unfinished")
    unfinished.write_bytes(content)
    os.replace(unfinished, path)
