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
"""The built package: what is in the wheel, and that it runs where nothing but the wheel and its dependencies is."""

import email
import os
import shutil
import subprocess
import sys
import tomllib
import venv
import zipfile
from importlib.metadata import packages_distributions, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from ftfv.cli import COMMANDS
from tests.test_house import PYTHON_FILES, SPACE, imports


ROOT = Path(__file__).resolve().parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
ROOMS = list(PYPROJECT["tool"]["setuptools"]["package-dir"].values())
# Kinds of files that are read at run time; notes beside the code may stay behind.
DATA_SUFFIXES = {".jinja", ".yaml", ".json", ".safetensors", ".typed"}


def run(*command: object, cwd: Path, timeout: float = 240) -> str:
    """Runs a command out of reach of the checkout and returns what it printed; an exit code other than 0 raises."""
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME")}
    environment |= {"PYTHONNOUSERSITE": "1", "HF_HUB_OFFLINE": "1"}
    finished = subprocess.run(
        [str(word) for word in command], cwd=cwd, env=environment, capture_output=True, text=True, timeout=timeout
    )
    assert finished.returncode == 0, f"{command} ended in {finished.returncode}:\n{finished.stdout}\n{finished.stderr}"
    return finished.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from the sdist, from a copy of the sources so that the checkout gets no build folder."""
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for room in ROOMS:
        shutil.copytree(ROOT / room, source / room, ignore=shutil.ignore_patterns("__pycache__"))
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", source / "dist", source, cwd=source)
    (built,) = (source / "dist").glob("*.whl")
    return built


@pytest.fixture(scope="module")
def clean_environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """
    The `bin` folder of a new environment with the wheel in it.

    It borrows the installed dependencies through a .pth file. The .pth files inside the folder it names are not read,
    so an editable installation of this checkout stays out of it.
    """
    folder = tmp_path_factory.mktemp("clean")
    venv.create(folder, with_pip=False)
    (site_packages,) = (folder / "lib").glob("python*/site-packages")
    borrowed = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    (site_packages / "borrowed.pth").write_text("\n".join(borrowed) + "\n")
    pip = (sys.executable, "-m", "pip", "--python", folder / "bin/python", "install", "--no-deps", "--no-index")
    run(*pip, wheel, cwd=folder)
    return folder / "bin"


def test_wheel_holds_every_module_and_every_data_file(wheel: Path):
    expected = set()
    for room in ROOMS:
        for path in (ROOT / room).rglob("*"):
            if path.suffix == ".py" or path.suffix in DATA_SUFFIXES:
                relative = path.relative_to(ROOT)
                expected.add(str(relative if room == "ftfv" else Path("ftfv") / relative))
    names = set(zipfile.ZipFile(wheel).namelist())
    assert expected - names == set()
    space = ("hub_upload/space/README.md", "hub_upload/space/requirements.txt")
    for part in ("recipes/", "templates/", "assets/miniature/model.safetensors", *space):
        assert any(part in name for name in names), f"nothing of {part} is in the wheel"


def test_wheel_claims_no_other_top_level_name(wheel: Path):
    tops = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert tops == {"ftfv", f"ftfv-{PYPROJECT['project']['version']}.dist-info"}


def test_requirements_of_the_wheel_are_met_by_what_the_tests_run_with(wheel: Path):
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = email.message_from_bytes(archive.read(name))
    requirements = [Requirement(text) for text in metadata.get_all("Requires-Dist")]
    needed = [r for r in requirements if r.marker is None or r.marker.evaluate({"extra": ""})]
    assert len(needed) >= len(PYPROJECT["project"]["dependencies"]) - 1  # decord has no wheel on some machines
    for requirement in needed:
        assert version(requirement.name) in requirement.specifier, f"{requirement}: {version(requirement.name)}"


def test_constraints_pin_every_requirement_within_its_bounds():
    pins = {}
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            name, pinned = line.split("==")
            pins[canonicalize_name(name)] = pinned
    extras = PYPROJECT["project"]["optional-dependencies"].values()
    for text in (*PYPROJECT["project"]["dependencies"], *(text for extra in extras for text in extra)):
        requirement = Requirement(text)
        assert pins[canonicalize_name(requirement.name)] in requirement.specifier


def test_every_library_that_is_imported_is_a_declared_dependency():
    requirements = (*PYPROJECT["project"]["dependencies"], *PYPROJECT["project"]["optional-dependencies"]["serve"])
    declared = {canonicalize_name(Requirement(text).name) for text in requirements}
    distributions = packages_distributions()
    for path in PYTHON_FILES:
        if path.parts[0] == "tests" or path.parent == SPACE:  # which has requirements of its own
            continue
        for line, level, module in imports((ROOT / path).read_text(encoding="utf-8")):
            library = module.split(".")[0]
            if level or library in sys.stdlib_module_names or library in (*ROOMS, "torchcodec", "vllm", "lmms_eval"):
                continue
            owners = {canonicalize_name(name) for name in distributions.get(library, [library])}
            assert owners & declared, f"{path}:{line} imports {library}, which pyproject.toml does not name"


def test_the_installed_package_is_what_runs(clean_environment: Path, tmp_path: Path):
    code = "import ftfv, ftfv.training; print(ftfv.__version__, ftfv.__file__, ftfv.training.__file__, sep='\\n')"
    release, *files = run(clean_environment / "python", "-c", code, cwd=tmp_path).splitlines()
    assert release == PYPROJECT["project"]["version"]
    assert all(Path(file).is_relative_to(clean_environment.parent) for file in files)
    with pytest.raises(AssertionError, match="No module named 'processing'"):
        run(clean_environment / "python", "-c", "import processing", cwd=tmp_path)


def test_command_runs_from_the_installed_package(clean_environment: Path, tmp_path: Path):
    printed = run(clean_environment / "ftfv", "--help", cwd=tmp_path)
    assert all(name in printed for name in COMMANDS)


def test_first_step_of_the_demo_runs_from_the_installed_package(clean_environment: Path, tmp_path: Path):
    size = ("--clips", 24, "--questions-per-skill", 12)
    command = ("demo", "--output", tmp_path / "demo", "--stop-after", "clips", *size)
    run(clean_environment / "ftfv", *command, cwd=tmp_path)
    assert any((tmp_path / "demo").rglob("*.mp4"))


@pytest.mark.slow
def test_wheel_installs_with_its_dependencies_into_a_bare_environment(wheel: Path, tmp_path: Path):
    venv.create(tmp_path / "bare", with_pip=True)
    programs = tmp_path / "bare/bin"
    run(programs / "python", "-m", "pip", "install", wheel, cwd=tmp_path, timeout=3000)
    run(programs / "ftfv", "--help", cwd=tmp_path)
    run(programs / "ftfv", "demo", "--output", tmp_path / "demo", "--stop-after", "clips", cwd=tmp_path)
    assert any((tmp_path / "demo").rglob("*.mp4"))
