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
"""The Space in a browser: asked, asked again and given what it cannot use, on a model that brings its own code."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ftfv
from ftfv import VideoTextToTextPipeline
from ftfv.hub_upload.space_files import plan_space
from tests.strangers import stranger_environment
from tests.tiny import write_video


pytestmark = pytest.mark.slow
sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed; `pip install '.[dev]'`")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
OPTIONS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
QUESTION, OTHER_QUESTION = "what shape is the red thing ?", "what colour is the square ?"
PATIENCE = 120_000  # milliseconds


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """
    A new environment with what the Space requires, in which `ftfv` cannot be imported.

    It borrows what is installed through a .pth file; the .pth files inside the folder it names are not read, so an
    editable installation of this checkout stays out. gradio wants an older pillow and so has no place beside `ftfv`.
    """
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    [site_packages] = (folder / "lib").glob("python*/site-packages")
    borrowed = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    (site_packages / "borrowed.pth").write_text("\n".join(borrowed) + "\n")
    python = folder / "bin" / "python"
    requirements = folder / "requirements.txt"
    requirements.write_bytes(next(file.read() for file in plan_space("org/tiny") if file.path == requirements.name))
    command = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "-r", requirements]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    installed = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=1800)
    if installed.returncode != 0:
        pytest.skip(f"What the Space requires cannot be installed: {installed.stderr.strip().splitlines()[-1]}")
    return python


@pytest.fixture(scope="module")
def pipe() -> VideoTextToTextPipeline:
    """The shipped miniature."""
    shipped = Path(ftfv.__file__).parent / "assets" / "miniature"
    return VideoTextToTextPipeline(
        model=ftfv.FTFVForConditionalGeneration.from_pretrained(shipped),
        processor=ftfv.FTFVProcessor.from_pretrained(shipped),
    )


@pytest.fixture(scope="module")
def space(
    python: Path, pipe: VideoTextToTextPipeline, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, subprocess.Popen]]:
    """The address of the running Space, made of the files that are pushed, and its process."""
    folder = tmp_path_factory.mktemp("space")
    for file in plan_space("org/tiny"):
        (folder / file.path).write_bytes(file.read())
    pipe.save_pretrained(folder / "miniature")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = stranger_environment(
        folder,
        GRADIO_ANALYTICS_ENABLED="False",
        GRADIO_SERVER_PORT=str(port),
        GRADIO_TEMP_DIR=str(folder / "uploads"),
    )
    without = subprocess.run(
        [python, "-c", "import ftfv"], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert "No module named 'ftfv'" in without.stderr
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [python, "app.py", "miniature"], cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT
        )
    try:
        url = f"http://127.0.0.1:{port}"
        wait_for(url, process, folder / "log")
        yield url, process
    finally:
        process.terminate()
        process.wait(timeout=60)


def wait_for(url: str, process: subprocess.Popen, log: Path, seconds: float = 300) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            urllib.request.urlopen(url, timeout=10).close()
            return
        except OSError:
            time.sleep(0.5)
    pytest.fail(f"The Space does not answer within {seconds} s:\n{log.read_text()}")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("No Chromium was found; `apt install chromium`.")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(OPTIONS))
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Any, space: tuple[str, subprocess.Popen]) -> Iterator[Any]:
    """The empty page of a new visitor, with nothing but the Space to be reached."""
    url, _ = space
    page = browser.new_page(viewport={"width": 1200, "height": 900})
    page.set_default_timeout(PATIENCE)
    page.route(lambda address: not address.startswith((url, "data:", "blob:")), lambda route: route.abort())
    page.goto(url)
    page.get_by_role("button", name="Ask").wait_for()
    yield page
    page.close()


@pytest.fixture(scope="module")
def moving(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Sixteen frames of a red square that moves from left to right."""
    frames = np.full((16, 84, 112, 3), 90, dtype=np.uint8)
    for index, frame in enumerate(frames):
        frame[30:58, 4 + 5 * index : 32 + 5 * index] = (220, 40, 40)
    return write_video(tmp_path_factory.mktemp("clips") / "moving.mp4", frames)


def upload(page: Any, path: str | Path) -> None:
    page.set_input_files("#video input[type=file]", path)
    page.locator("#video video").wait_for(state="attached")


def choose(page: Any, tokens_per_frame: int, num_frames: int) -> None:
    page.locator("#tokens").get_by_label(str(tokens_per_frame), exact=True).check()
    number = page.locator("#num-frames input[type=number]")
    number.fill(str(num_frames))
    number.press("Tab")


def ask(page: Any, question: str) -> None:
    page.get_by_label("Question").fill(question)
    page.get_by_role("button", name="Ask").click()


def expected_answer(pipe: VideoTextToTextPipeline, clip: str, question: str, **options: int) -> str:
    [output] = pipe(videos=clip, text=question, do_sample=False, max_new_tokens=128, return_full_text=False, **options)
    return output["generated_text"].strip()


def test_the_model_is_the_one_of_the_card_unless_told(python, tmp_path):
    for file in plan_space("org/tiny"):
        (tmp_path / file.path).write_bytes(file.read())
    code = "import app; print(app.model_name([]), app.model_name(['other/model']))"
    environment = stranger_environment(tmp_path, GRADIO_ANALYTICS_ENABLED="False")
    printed = subprocess.run(
        [python, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300, check=True
    )
    assert printed.stdout.split() == ["org/tiny", "other/model"]


def test_the_empty_page(page, tmp_path):
    assert page.get_by_role("heading", name="Ask miniature about a video").is_visible()
    choices = page.locator("#tokens input[type=radio]")
    assert [choice.input_value() for choice in choices.all()] == ["1", "2", "4", "8", "16"]
    assert page.locator("#num-frames input[type=number]").input_value() == "8"
    assert page.locator("#num-frames input[type=range]").get_attribute("max") == "32"
    assert page.get_by_text("Files may have up to 200 MB").is_visible()
    assert page.locator("#frames").count() == 0 or not page.locator("#frames").is_visible()
    page.screenshot(path=tmp_path / "empty.png", full_page=True)


def test_questions_about_a_video(page, pipe, moving, tmp_path):
    upload(page, moving)
    choose(page, 4, 5)
    ask(page, QUESTION)
    page.get_by_text("5 frames × 4 tokens = 20 visual tokens").wait_for()
    answer = page.locator("#answer textarea")
    assert answer.input_value() == expected_answer(pipe, moving, QUESTION, tokens_per_frame=4, num_frames=5) != ""
    frames = page.locator("#frames img")
    assert frames.count() == 5
    # 16 frames at 10 per second: the middle ones of five parts are 1, 4, 8, 11 and 14.
    captions = [f"{seconds:.2f} s" for seconds in (0.1, 0.4, 0.8, 1.1, 1.4)]
    assert page.locator("#frames .caption-label").all_inner_texts() == captions
    cost = page.locator("#cost").inner_text()
    assert re.search(r"Video, read and encoded\s+[\d.]+ MFLOPs\s+[\d.]+ s", cost)
    assert re.search(r"Answer\s+[\d.]+ MFLOPs\s+[\d.]+ s", cost)
    sync_api.expect(frames.last).to_have_js_property("complete", True)
    page.screenshot(path=tmp_path / "answer.png", full_page=True)

    choose(page, 2, 5)
    ask(page, OTHER_QUESTION)
    page.get_by_text("5 frames × 2 tokens = 10 visual tokens").wait_for()
    assert "encoded before: reused, 0 FLOPs" in page.locator("#cost").inner_text()
    expected = expected_answer(pipe, moving, OTHER_QUESTION, tokens_per_frame=2, num_frames=5)
    assert answer.input_value() == expected != ""

    choose(page, 8, 5)
    ask(page, OTHER_QUESTION)
    page.get_by_text("5 frames × 8 tokens = 40 visual tokens").wait_for()
    assert "Video, read and encoded" in page.locator("#cost").inner_text()


def test_nothing_is_cut_off_on_a_narrow_screen(page, moving, tmp_path):
    page.set_viewport_size({"width": 390, "height": 844})
    upload(page, moving)
    ask(page, QUESTION)
    page.get_by_text("8 frames × 8 tokens = 64 visual tokens").wait_for()
    frames = page.locator("#frames img")
    assert frames.count() == 8
    sync_api.expect(frames.last).to_have_js_property("complete", True)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    outer = page.locator("#frames").bounding_box()
    for frame in frames.all():
        box = frame.bounding_box()
        assert box["width"] > 100
        assert outer["x"] <= box["x"] and box["x"] + box["width"] <= outer["x"] + outer["width"]
        assert outer["y"] <= box["y"] and box["y"] + box["height"] <= outer["y"] + outer["height"]
    page.screenshot(path=tmp_path / "narrow.png", full_page=True)


def test_what_cannot_be_answered_is_said(page, moving, tmp_path):
    alert = page.get_by_role("alert").and_(page.locator(".refusal"))
    ask(page, QUESTION)
    sync_api.expect(alert).to_have_text("There is no video yet. Upload one first.")

    whole = Path(moving).read_bytes()
    for name, content in (("text.mp4", b"Not a video.\n" * 50), ("cut.mp4", whole[: len(whole) // 2])):
        path = tmp_path / name
        path.write_bytes(content)
        page.reload()
        page.get_by_role("button", name="Ask").wait_for()
        upload(page, path)
        ask(page, QUESTION)
        sync_api.expect(alert).to_contain_text(f"“{name}” cannot be read as a video", timeout=PATIENCE)
        page.screenshot(path=tmp_path / f"{path.stem}.png", full_page=True)

    page.reload()
    page.get_by_role("button", name="Ask").wait_for()
    upload(page, moving)
    ask(page, " ")
    sync_api.expect(alert).to_contain_text("There is no question yet.", timeout=PATIENCE)
    ask(page, "red square ? " * 400)
    sync_api.expect(alert).to_contain_text("The model reads 1,024. Shorten the question", timeout=PATIENCE)
    ask(page, QUESTION)
    page.get_by_text("64 visual tokens").wait_for()
    sync_api.expect(alert).to_be_hidden()
