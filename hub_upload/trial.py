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
"""Tries a model folder out: strangers must get the answers that the package gives."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from ..modeling_ftfv.modeling_ftfv import FTFVForConditionalGeneration
from ..processing.pipeline_ftfv import VideoTextToTextPipeline
from ..processing.processing_ftfv import FTFVProcessor
from . import stranger


def try_out(folder: Path, picture: Path | None = None, video: str | None = None) -> None:
    """
    Asks the model about an image and a video, here with the package and in a clean process by remote code.

    Args:
        folder (`Path`): a folder that [`check_folder`] let through.
        picture (`Path`, *optional*): PNG to write, of what the kept queries look at in the video.
        video (`str`, *optional*): path of a video; a square that moves is made if not given.

    Raises:
        ValueError: the clean process cannot load the folder, or its answers are others.
    """
    folder = folder.resolve()
    with tempfile.TemporaryDirectory() as scratch:
        image, moving = _make_media(Path(scratch))
        video = moving if video is None else os.path.abspath(video)
        # The one model is gone before the other is loaded.
        expected = _answer_here(folder, image, video, picture)
        answered = _answer_as_stranger(folder, image, video, Path(scratch))
    for kind, tokens in expected.items():
        if answered[kind] != tokens:
            raise ValueError(
                f"By remote code the answer about the {kind} is the tokens {answered[kind][-8:]}; expected "
                f"{tokens[-8:]}, as the package gives. Save model and processor again with `import ftfv`."
            )


def _make_media(folder: Path) -> tuple[str, str]:
    """A picture and eight frames of a red square that moves from left to right."""
    frames = np.full((8, 96, 128, 3), 230, dtype=np.uint8)
    for index, frame in enumerate(frames):
        frame[32:64, 12 * index : 12 * index + 32] = (200, 40, 40)
    np.save(folder / "video.npy", frames)
    Image.fromarray(frames[0]).save(folder / "image.png")
    return str(folder / "image.png"), str(folder / "video.npy")


def _answer_here(folder: Path, image: str, video: str, picture: Path | None) -> dict[str, list[int]]:
    model = FTFVForConditionalGeneration.from_pretrained(folder)
    processor = FTFVProcessor.from_pretrained(folder)
    if picture is not None:
        # matplotlib is slow to import, and a picture is not always asked for.
        from ..evaluation.pages.pictures import draw_kept_patches

        draw_kept_patches(model, processor, video, picture)
    return stranger.answer_both(VideoTextToTextPipeline(model=model, processor=processor), image, video)


def _answer_as_stranger(folder: Path, image: str, video: str, scratch: Path) -> dict[str, list[int]]:
    output = scratch / "answers.json"
    # Neither settings nor the token of whoever pushes.
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "FTFV", "HF_", "HUGGING"))
    }
    environment |= {"HF_HOME": str(scratch / "hf_home"), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-I", stranger.__file__, str(folder), image, video, str(output)]
    finished = subprocess.run(  # noqa: S603
        command, cwd=scratch, env=environment, capture_output=True, text=True, check=False
    )
    if finished.returncode != 0:
        reason = (finished.stderr.strip().splitlines() or ["no message"])[-1]
        raise ValueError(
            f"A clean process without `ftfv` cannot use {str(folder)!r}: {reason} "
            "Save model and processor again with `import ftfv`."
        )
    return json.loads(output.read_text(encoding="utf-8"))
