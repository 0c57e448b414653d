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
"""Reads the tensors of a checkpoint one at a time, from PyTorch or safetensors files, whole or in shards."""

import json
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors import safe_open


# In the order in which transformers looks for them.
SINGLE_FILES = ("model.safetensors", "pytorch_model.bin")
INDEX_FILES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
# Pages of a mapped file count as memory of the process until the file is closed.
MAPPED_BYTES = 1 << 30


class Checkpoint:
    """
    The tensors in the files of a model folder. Files are mapped into memory, so that what is not read costs nothing,
    and opened again after each gigabyte, so that what was read is let go.
    """

    def __init__(self, folder: str | Path):
        """
        Args:
            folder (`str` or `Path`): folder with model.safetensors or pytorch_model.bin, or the shards and the index
                of either.

        Raises:
            FileNotFoundError: there is no such folder, or no weights in it.
            ValueError: the index or the only file cannot be read.
        """
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise FileNotFoundError(f"No folder {str(folder)!r}; expected one with a model's config.json and weights.")
        self._meta: dict[Path, dict[str, torch.Tensor]] = {}
        self._open_path: Path | None = None
        self._open_tensors: dict[str, torch.Tensor] = {}
        self._bytes_read = 0
        self._files = self._find_files()

    def _find_files(self) -> dict[str, Path]:
        for single, index in zip(SINGLE_FILES, INDEX_FILES, strict=True):
            path = self.folder / single
            if path.is_file():
                return dict.fromkeys(self._meta_of(path), path)
            path = self.folder / index
            if path.is_file():
                try:
                    weight_map = json.loads(path.read_text())["weight_map"]
                    return {key: self.folder / name for key, name in weight_map.items()}
                except (ValueError, KeyError, AttributeError) as error:
                    raise ValueError(
                        f"{str(path)!r} is no index of a checkpoint: {error!r}. Download it again."
                    ) from error
        names = ", ".join((*SINGLE_FILES, *INDEX_FILES))
        raise FileNotFoundError(f"No weights in {str(self.folder)!r}; expected one of {names}.")

    def __contains__(self, key: object) -> bool:
        return key in self._files

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def file(self, key: str) -> Path:
        """The file that holds a tensor."""
        return self._files[key]

    def meta(self, key: str) -> torch.Tensor:
        """
        Shape and dtype of a tensor, as a tensor on the `meta` device.

        Raises:
            FileNotFoundError: the file that the index names is not there.
            ValueError: the file cannot be read, or lacks the tensor.
        """
        meta = self._meta_of(self._files[key])
        if key not in meta:
            raise ValueError(
                f"{str(self._files[key])!r} lacks {key!r}, which the index says it holds; download both again."
            )
        return meta[key]

    def read(self, key: str) -> torch.Tensor:
        """
        A tensor as it lies in its file. It keeps the file mapped as long as it lives.

        Raises:
            ValueError: the file cannot be read.
        """
        path = self._files[key]
        if path != self._open_path or self._bytes_read > MAPPED_BYTES:
            self.close()
            self._open_tensors, self._open_path = load_mapped(path), path
        tensor = self._open_tensors[key]
        self._bytes_read += tensor.nbytes
        return tensor

    def close(self) -> None:
        """Lets go of the file that was read last."""
        self._open_tensors, self._open_path, self._bytes_read = {}, None, 0

    def _meta_of(self, path: Path) -> dict[str, torch.Tensor]:
        if path not in self._meta:
            self._meta[path] = {key: tensor.to("meta") for key, tensor in load_mapped(path).items()}
        return self._meta[path]


def load_mapped(path: Path) -> dict[str, torch.Tensor]:
    """
    The tensors of a file, mapped rather than read.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, no checkpoint, or holds more than tensors.
    """
    if not path.is_file():
        raise FileNotFoundError(f"No file {str(path)!r}, which the index of the checkpoint names; download it.")
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                return {key: file.get_tensor(key) for key in file.keys()}
        tensors = torch.load(path, map_location="cpu", mmap=True, weights_only=True)
    except Exception as error:  # each format has errors of its own, none of which names the file
        reason = " ".join(str(error).split()).split(". ")[0][:200]
        raise ValueError(f"{str(path)!r} cannot be read as a checkpoint: {reason}. Download it again.") from error
    if not isinstance(tensors, dict) or not all(isinstance(value, torch.Tensor) for value in tensors.values()):
        raise ValueError(f"{str(path)!r} holds other things than named tensors; expected a model's weights alone.")
    return tensors
