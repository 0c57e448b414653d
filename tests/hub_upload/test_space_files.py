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
"""The files of a Space: what is pushed, and that it names its model and asks for what it imports."""

import sys
from importlib.metadata import packages_distributions

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from ftfv.hub_upload.signature import is_untouched
from ftfv.hub_upload.space_files import SPACE_SDK, plan_space
from tests.test_house import ROOT, SPACE, imports


FOLDER = ROOT / SPACE
REQUIREMENTS = [Requirement(line) for line in (FOLDER / "requirements.txt").read_text().splitlines()]


@pytest.fixture(scope="module")
def planned() -> dict[str, bytes]:
    return {file.path: file.read() for file in plan_space("org/tiny")}


@pytest.fixture(scope="module")
def card(planned: dict[str, bytes]) -> str:
    return planned["README.md"].decode()


def test_every_file_of_the_folder_is_pushed_and_only_the_card_is_changed(planned):
    local = {path.name: path.read_bytes() for path in FOLDER.iterdir() if path.is_file()}
    assert list(planned) == sorted(local)
    assert {name for name, content in planned.items() if content != local[name]} == {"README.md"}


def test_the_card_names_the_model(card):
    metadata = yaml.safe_load(card.split("---\n")[1])
    assert metadata["models"] == ["org/tiny"] and metadata["title"] == "Ask org/tiny about a video"
    assert metadata["sdk"] == SPACE_SDK and metadata["app_file"] == "app.py"
    assert "https://huggingface.co/org/tiny" in card and "ORG/NAME" not in card
    assert is_untouched(card)


def test_the_short_description_is_as_short_as_the_hub_asks(card):
    assert len(yaml.safe_load(card.split("---\n")[1])["short_description"]) <= 60


def test_the_hub_installs_the_gradio_that_the_requirements_name(card):
    [gradio] = [requirement for requirement in REQUIREMENTS if requirement.name == "gradio"]
    metadata = yaml.safe_load(card.split("---\n")[1])
    assert str(gradio.specifier) == f"=={metadata['sdk_version']}"


def test_every_library_that_the_space_imports_is_required():
    required = {canonicalize_name(requirement.name) for requirement in REQUIREMENTS}
    # numpy, pillow and huggingface_hub come with gradio, which needs them itself.
    required |= {"numpy", "pillow", "huggingface-hub"}
    siblings = {path.stem for path in FOLDER.glob("*.py")}
    distributions = packages_distributions()
    for path in sorted(FOLDER.glob("*.py")):
        for _, level, module in imports(path.read_text(encoding="utf-8")):
            library = module.split(".")[0]
            assert level == 0
            if library not in siblings and library not in sys.stdlib_module_names:
                owners = {canonicalize_name(name) for name in distributions.get(library, [library])}
                assert owners & required, f"{path.name} imports {library}"


def test_the_placeholder_stands_for_the_model_everywhere(planned):
    assert not any(b"ORG/NAME" in content for content in planned.values())
