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
Writes the tiny image model that ships with the package: weights in bf16, no Python files, checksum and figures beside
it.
"""

import hashlib
import json
import os
import shutil
from pathlib import Path

import torch

from .modeling_ftfv.modeling_ftfv import FTFVForConditionalGeneration
from .processing.pipeline_ftfv import check_agreement
from .processing.processing_ftfv import FTFVProcessor


MAX_BYTES = 3_000_000


def write_assets(model_folder: Path, assets_folder: Path, results_folder: Path) -> Path:
    """
    Args:
        model_folder (`Path`): merged model of the last image stage.
        assets_folder (`Path`): folder to replace.
        results_folder (`Path`): results of `ftfv miniature`, for the figures.

    Raises:
        ValueError: model and processor disagree, or the folder would be larger than 3 MB.
    """
    unfinished = assets_folder.with_name(assets_folder.name + ".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    model = FTFVForConditionalGeneration.from_pretrained(model_folder, dtype=torch.bfloat16)
    processor = FTFVProcessor.from_pretrained(model_folder)
    check_agreement(model.config, processor)
    model.save_pretrained(unfinished)
    processor.save_pretrained(unfinished)
    for path in unfinished.glob("*.py"):
        # The package brings the code; here it would only go stale.
        path.unlink()
    figures = json.loads((results_folder / "instruct.json").read_text())
    (unfinished / "figures.json").write_text(json.dumps(figures, indent=2) + "\n")
    weights = unfinished / "model.safetensors"
    (unfinished / "SHA256SUMS").write_text(f"{hashlib.sha256(weights.read_bytes()).hexdigest()}  {weights.name}\n")
    (unfinished / "README.md").write_text(_README)
    size = sum(path.stat().st_size for path in unfinished.iterdir())
    if size > MAX_BYTES:
        raise ValueError(
            f"The assets are {size} bytes; expected at most {MAX_BYTES}, since they ship with the package."
        )
    shutil.rmtree(assets_folder, ignore_errors=True)
    assets_folder.parent.mkdir(parents=True, exist_ok=True)
    os.replace(unfinished, assets_folder)
    return assets_folder


_README = """# The miniature image model

An FTFV of a million parameters that knows pictures of coloured shapes and no videos. `ftfv demo` starts from it.

- Made by `make miniature` (`ftfv miniature --assets ftfv/assets/miniature`), from nothing, on two CPU cores: see
  `docs/miniature.md` for the stages and what each reaches.
- `figures.json` holds its accuracy by skill on held-out pictures and, as a picture model shown 8 frames, on clips.
- `SHA256SUMS` holds the checksum of the weights, which are bfloat16.
- Load it with `import ftfv` and `from_pretrained`; the folder holds no Python files.
"""
