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
Runs the common tests of Hugging Face against FTFV: `make hf-suite`.

The tests are in the sdist of transformers on the package index, not in its wheel, and nothing of them is kept in this
repository. This script downloads the sdist of the installed version, unpacks the tests into a folder, puts beside
them what the sdist lacks, and runs the test classes of this folder, which derive from theirs and skip none of them.
What follows the folder on the command line goes to pytest. The tests of generation and of pipelines are not in the
sdist.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import av
import numpy as np
import transformers
from PIL import Image


HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]

# Modules that the common tests import and the sdist does not hold.
STUBS = {
    "tests/__init__.py": "",
    "tests/exporters/__init__.py": "",
    "tests/exporters/test_export.py": "class ExportTesterMixin:\n    pass\n",
    "tests/generation/__init__.py": "",
    "tests/generation/test_utils.py": "class GenerationTesterMixin:\n    pass\n",
    "tests/utils/__init__.py": "",
    "tests/utils/test_configuration_utils.py": "config_common_kwargs = {}\n",
    "utils/fetch_hub_objects_for_ci.py": (
        "from pathlib import Path\n\n\n"
        "def url_to_local_path(url, return_url_if_not_found=True):\n"
        "    path = Path(__file__).parents[1] / 'media' / url.split('/')[-1]\n"
        "    return str(path) if path.exists() or not return_url_if_not_found else url\n"
    ),
}
# Generated in place of the files on the Hub that the tests open. They look at sizes and numbers of frames only.
IMAGES = {"coco_sample.png": (240, 320), "australia.jpg": (240, 320)}
VIDEOS = {"big_buck_bunny_320x240_10s.mp4": 300, "sample_demo_1_320x240.mp4": 90, "tiny_video_320x240.mp4": 11}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where the tests are unpacked; reused by the next run")
    arguments, pytest_arguments = parser.parse_known_args()
    suite = arguments.folder.resolve() / transformers.__version__
    if not suite.is_dir():
        download(suite)
    python_path = [suite, suite / "packages", ROOT]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(map(str, python_path)),
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "DISABLE_SAFETENSORS_CONVERSION": "true",  # as in the conftest.py of transformers
    }
    command = [sys.executable, "-m", "pytest", "-c", str(HERE / "pytest.ini"), "--rootdir", str(HERE), str(HERE)]
    return subprocess.run([*command, *pytest_arguments], env=environment).returncode


def download(suite: Path) -> None:
    """Fills `suite` with the tests; it appears only when complete."""
    suite.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=suite.parent) as temporary:
        build = Path(temporary) / "suite"
        pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
        requirement = f"transformers=={transformers.__version__}"
        subprocess.run(
            [*pip, "download", "--no-deps", "--no-binary", "transformers", requirement, "--dest", temporary],
            check=True,
        )
        # Needed by the tests only; pinned because no constraints file knows it.
        subprocess.run(
            [*pip, "install", "--no-deps", "--target", str(build / "packages"), "parameterized==0.9.0"], check=True
        )
        (sdist,) = Path(temporary).glob("transformers-*.tar.gz")
        unpack(sdist, build)
        for name, source in STUBS.items():
            path = build / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(source, encoding="utf-8")
        generate_media(build / "media")
        shutil.move(build, suite)


def unpack(sdist: Path, folder: Path) -> None:
    """Unpacks the tests of an sdist of transformers."""
    with tarfile.open(sdist) as archive:
        members = []
        for member in archive.getmembers():
            name = member.name.partition("/")[2]
            if name.startswith("tests/") and member.isfile():
                members.append(member.replace(name=name))
        archive.extractall(folder, members=members, filter="data")


def generate_media(folder: Path) -> None:
    """Writes images and videos under the names that the tests ask for."""
    folder.mkdir()
    for name, (height, width) in IMAGES.items():
        Image.fromarray(gradient(height, width)).save(folder / name)
    for name, num_frames in VIDEOS.items():
        with av.open(str(folder / name), "w") as output:
            stream = output.add_stream("libx264", rate=30)
            stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
            for index in range(num_frames):
                frame = np.roll(gradient(240, 320), index, axis=1)
                output.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            output.mux(stream.encode())


def gradient(height: int, width: int) -> np.ndarray:
    """A picture `(height, width, 3)`, uint8, that is another one after every flip and swap of channels."""
    rows, columns = np.mgrid[0:height, 0:width]
    channels = [255 * rows // height, 255 * columns // width, 255 * (rows + columns) // (height + width)]
    return np.stack(channels, axis=-1).astype(np.uint8)


if __name__ == "__main__":
    sys.exit(main())
