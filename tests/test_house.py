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
"""The house's rules: who may import whom, which folders are packages, and the licence on top of every file."""

import ast
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path, PurePath

import pytest


ROOT = Path(__file__).resolve().parents[1]

# A room may import from these rooms, besides itself and libraries.
MAY_IMPORT = {
    "modeling_ftfv": set(),
    "processing": set(),
    "training": {"modeling_ftfv", "processing"},
    "evaluation": {"modeling_ftfv", "processing"},
    "hub_upload": {"modeling_ftfv", "processing", "evaluation"},
    "ftfv": {"modeling_ftfv", "processing", "training", "evaluation", "hub_upload"},
}
# Uploaded as it lies and run there: its files import each other and libraries, nothing of ours.
SPACE = PurePath("hub_upload/space")
# A file that travels to the Hub runs where only transformers, a decoder and what those bring are installed.
HUB_LIBRARIES = {
    "torch",
    "torchvision",
    "transformers",
    "huggingface_hub",
    "numpy",
    "PIL",
    "decord",
    "av",
    "torchcodec",
    "triton",
}
PYTHON_FILES = sorted(
    path.relative_to(ROOT)
    for folder in (*MAY_IMPORT, "tests")
    for path in (ROOT / folder).rglob("*.py")
    if "__pycache__" not in path.parts
)


def imports(source: str) -> Iterator[tuple[int, int, str]]:
    """Yields the line, the number of leading dots and the module of every import, those inside functions included."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, 0, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.lineno, node.level, node.module or ""


def imported_room(path: PurePath, level: int, module: str) -> str | None:
    """Returns the room that an import in `path` (relative to the root) reaches into, None for a library."""
    names = module.split(".") if module else []
    if level > 0:
        package = list(path.parent.parts)
        if package[0] != "ftfv":
            package.insert(0, "ftfv")
        names = package[: len(package) - (level - 1)] + names
    elif names[0] in MAY_IMPORT and names[0] != "ftfv":
        return names[0]  # a room under its bare name, which works only from the root
    elif names[0] != "ftfv":
        return None
    return names[1] if len(names) > 1 and names[1] in MAY_IMPORT else "ftfv"


def breaches(path: PurePath, source: str) -> list[str]:
    """Returns what in the source of `path` (relative to the root) breaks the import rules, a line for each."""
    room = path.parts[0]
    travels = room in ("modeling_ftfv", "processing") and len(path.parts) == 2 and path.stem.endswith("_ftfv")
    found = []
    for line, level, module in imports(source):
        target = imported_room(path, level, module)
        if target not in (None, room) and target not in MAY_IMPORT[room]:
            found.append(f"{path}:{line}: {room} may not import from {target}")
        if target is not None and path.parent == SPACE:
            found.append(f"{path}:{line}: a Space runs where nothing of ours is installed")
        if not travels:
            continue
        if level > 1 or (level == 1 and (not module or "." in module)):
            found.append(f"{path}:{line}: a file that travels to the Hub imports only `from .sibling import name`")
        library = module.split(".")[0]
        if level == 0 and library not in HUB_LIBRARIES and library not in sys.stdlib_module_names:
            found.append(f"{path}:{line}: a file that travels to the Hub may not import {library}")
    return found


def test_no_room_imports_upward_or_sideways():
    found = []
    for path in PYTHON_FILES:
        if path.parts[0] != "tests":
            found += breaches(path, (ROOT / path).read_text(encoding="utf-8"))
    assert found == []


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("modeling_ftfv/cost.py", "from ..processing.processing_ftfv import FTFVProcessor"),
        ("modeling_ftfv/cost.py", "import ftfv"),
        ("modeling_ftfv/cost.py", "from processing.processing_ftfv import FTFVProcessor"),
        ("processing/processing_ftfv.py", "def late():\n    from ftfv.modeling_ftfv.modeling_ftfv import FTFVModel"),
        ("processing/processing_ftfv.py", "import peft"),
        ("processing/processing_ftfv.py", "from . import video_processing_ftfv"),
        ("training/merge.py", "from ..evaluation.scores.scoring import score"),
        ("training/data/rows.py", "from ...evaluation.scores.scoring import score"),
        ("evaluation/scores/scoring.py", "from ...training.data.rows import Row"),
        ("hub_upload/push.py", "from ..training.merge import merge"),
        ("hub_upload/push.py", "from .. import cli"),
        ("hub_upload/space/app.py", "import ftfv"),
        ("hub_upload/space/app.py", "from .answering import encode"),
        ("hub_upload/space/app.py", "def late():\n    from ftfv.evaluation.scores.scoring import score"),
    ],
)
def test_a_wrong_import_is_found(path: str, source: str):
    assert len(breaches(PurePath(path), source)) >= 1


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("modeling_ftfv/modeling_ftfv.py", "import math\nimport torch\nfrom .sampler_ftfv import FTFVTokenSampler"),
        ("training/merge.py", "import peft\nfrom ..modeling_ftfv.modeling_ftfv import FTFVModel"),
        ("training/data/rows.py", "from ...processing.processing_ftfv import FTFVProcessor\nfrom .files import write"),
        ("hub_upload/push.py", "from ..evaluation.scores.scoring import score"),
        ("hub_upload/space/app.py", "import gradio\nfrom answering import encode"),
        ("ftfv/demo.py", "from .training.merge import merge\nfrom ftfv.evaluation.scores.scoring import score"),
    ],
)
def test_a_right_import_is_let_through(path: str, source: str):
    assert breaches(PurePath(path), source) == []


def test_every_package_folder_is_in_pyproject_and_the_other_way_round():
    tool = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    folders = {
        ".".join(path.parent.parts if path.parts[0] == "ftfv" else ("ftfv", *path.parent.parts))
        for path in PYTHON_FILES
        if path.name == "__init__.py"
    }
    assert set(tool["packages"]) == folders
    assert set(tool["package-dir"].values()) == set(MAY_IMPORT)


def test_every_folder_with_code_is_a_package():
    folders = {path.parent for path in PYTHON_FILES if path.parts[0] != "tests" and path.parent != SPACE}
    assert [str(folder) for folder in sorted(folders) if not (ROOT / folder / "__init__.py").is_file()] == []


def test_every_file_starts_with_the_licence_header():
    header = (ROOT / "ftfv/cli.py").read_text(encoding="utf-8").splitlines()[:13]
    assert header[0] == "# Copyright 2026 The FTFV Authors. All rights reserved."
    assert "Apache License, Version 2.0" in header[2]
    assert [str(p) for p in PYTHON_FILES if (ROOT / p).read_text(encoding="utf-8").splitlines()[:13] != header] == []
