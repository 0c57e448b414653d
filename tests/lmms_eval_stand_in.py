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
"""What FTFV uses of lmms-eval 0.7.3, for tests where it is not installed; `tests/lmms_eval` runs the real one."""

import importlib
import sys
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import pytest


@dataclass(frozen=True)
class ModelManifest:
    model_id: str
    simple_class_path: str | None = None


@dataclass
class Instance:
    args: tuple


@dataclass
class GenerationResult:
    text: Any
    token_counts: Any = None


class lmms:  # noqa: N801
    def __init__(self) -> None:
        self.rank, self.task_dict = 0, {}


class ConfigurableTask:
    def __init__(self, config: dict[str, Any]):
        self.config = config
        self.download()


def import_with_stand_in(monkeypatch: pytest.MonkeyPatch, name: str) -> ModuleType:
    """Imports a module of ours that imports lmms-eval; both are forgotten when the test ends."""
    contents = {
        "lmms_eval": {},
        "lmms_eval.api": {},
        "lmms_eval.api.instance": {"GenerationResult": GenerationResult, "Instance": Instance},
        "lmms_eval.api.model": {"lmms": lmms},
        "lmms_eval.api.task": {"ConfigurableTask": ConfigurableTask},
        "lmms_eval.models": {},
        "lmms_eval.models.registry_v2": {"ModelManifest": ModelManifest},
    }
    for module_name, values in contents.items():
        module = ModuleType(module_name)
        vars(module).update(values)
        monkeypatch.setitem(sys.modules, module_name, module)
    monkeypatch.delitem(sys.modules, name, raising=False)
    module = importlib.import_module(name)
    monkeypatch.setitem(sys.modules, name, module)
    return module
