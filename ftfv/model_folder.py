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
"""Early, plain errors about a model given on the command line."""

import json
from pathlib import Path


def check_model_folder(model: str) -> None:
    """
    Refuses what is neither a folder with an FTFV model nor a Hub id.

    Raises:
        FileNotFoundError: a path to nothing, or a folder without config.json.
        ValueError: the folder holds a model of another kind.
    """
    folder = Path(model)
    if not folder.is_dir():
        # A Hub id has the form "name" or "organisation/name".
        if folder.is_absolute() or model.startswith(".") or model.count("/") > 1 or folder.exists():
            raise FileNotFoundError(f"No model folder {model!r}; expected a folder with config.json, or a Hub id.")
        return
    config = folder / "config.json"
    if not config.is_file():
        cure = " Merge it with `ftfv merge` first." if (folder / "adapter_config.json").is_file() else ""
        raise FileNotFoundError(f"No config.json in the folder {model!r}; expected a saved FTFV model.{cure}")
    model_type = json.loads(config.read_text()).get("model_type")
    if model_type != "ftfv":
        raise ValueError(f"The model in {model!r} is of type {model_type!r}; expected 'ftfv'.")
