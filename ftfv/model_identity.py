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
"""What tells a model from others: a digest of its files, whatever folder they lie in."""

import hashlib
from pathlib import Path
from typing import Any

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

from .model_folder import check_model_folder


# What changes an answer; a card does not.
PATTERNS = ("*.json", "*.safetensors", "*.jinja", "*.model")


def identify_model(model: str) -> dict[str, Any]:
    """
    Digest of the weights, configs and tokenizer of a model.

    Args:
        model (`str`): Model folder or Hub id; of the latter the files are downloaded, or taken from the cache.

    Returns:
        `dict` with `sha256` and, for a Hub id, `repository` and `revision`.

    Raises:
        FileNotFoundError: there is no such model.
    """
    check_model_folder(model)
    folder, origin = Path(model), {}
    if not folder.is_dir():
        try:
            folder = Path(snapshot_download(model, allow_patterns=list(PATTERNS)))
        except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
            raise FileNotFoundError(f"No model {model!r} on the Hub or in its cache: {error}") from error
        origin = {"repository": model, "revision": folder.name}
    digest = hashlib.sha256()
    for path in sorted(path for pattern in PATTERNS for path in folder.glob(pattern)):
        with open(path, "rb") as file:
            digest.update(f"{path.name} {hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return {**origin, "sha256": digest.hexdigest()}
