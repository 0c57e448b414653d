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
"""What a Space for a model consists of: the files in `space/` as they lie, and a README.md that names the model."""

from importlib.resources import files

from .push import CARD, PlannedFile
from .signature import sign


SPACE_SDK = "gradio"
SPACE_FILES = ("answering.py", "app.py", "attention.py", "requirements.txt")
# Stands in `space/README.md` for the model.
PLACEHOLDER = "ORG/NAME"


def plan_space(model_id: str) -> list[PlannedFile]:
    """
    The files of a Space that asks a model.

    Args:
        model_id (`str`): the model on the Hub, `"organisation/name"`.

    Returns:
        `list[PlannedFile]`: in order of their paths; the README.md is signed, see [`sign`].
    """
    folder = files(__package__).joinpath("space")
    card = sign(folder.joinpath(CARD).read_text(encoding="utf-8").replace(PLACEHOLDER, model_id))
    planned = [PlannedFile(name, folder.joinpath(name).read_bytes()) for name in SPACE_FILES]
    return sorted([*planned, PlannedFile(CARD, card.encode())], key=lambda file: file.path)
