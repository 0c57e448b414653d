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
"""The page on what the sampler keeps: its parts, what its maps hold, and that it needs nothing beside it."""

import base64
import io
import json
import re
import shutil
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from ftfv.evaluation.pages.kept_queries import KeptQueries
from ftfv.evaluation.pages.look_page import render_look_page, write_look_page
from ftfv.modeling_ftfv.cost import cost
from tests.tiny import NUM_PATCHES, NUM_QUERIES, build_config, build_model, build_processor


CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
OPTIONS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update")
NUM_FRAMES, COUNTS = 3, (2, 4, 16)
VOID = {"meta", "img", "br", "input"}


class Element:
    def __init__(self, tag: str, attributes: dict[str, Any]):
        self.tag, self.attributes = tag, attributes
        self.children: list[Element] = []
        self.text = ""

    def find(self, tag: str, class_name: str | None = None) -> "Iterator[Element]":
        """The elements below with this tag, and this class if given, in the order of the document."""
        for child in self.children:
            classes = (child.attributes.get("class") or "").split()
            if child.tag == tag and (class_name is None or class_name in classes):
                yield child
            yield from child.find(tag, class_name)


class Document(HTMLParser):
    """The tree of a page; every element that opens has to close."""

    def __init__(self, page: str):
        super().__init__()
        self.root = Element("", {})
        self.path = [self.root]
        self.feed(page)
        self.close()
        assert self.path == [self.root]

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        element = Element(tag, dict(attrs))
        self.path[-1].children.append(element)
        if tag not in VOID:
            self.path.append(element)

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        self.path[-1].children.append(Element(tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.path.pop().tag == tag

    def handle_data(self, data: str) -> None:
        for element in self.path:
            element.text += data


def keep(
    counts: tuple[int, ...] = COUNTS,
    num_frames: int = NUM_FRAMES,
    num_patches: int = NUM_PATCHES,
    num_queries: int = NUM_QUERIES,
    height: int = 60,
    width: int = 84,
    **options: Any,
) -> KeptQueries:
    """What a weighted sampler would keep, given random attention of few sharp peaks."""
    generator = torch.Generator().manual_seed(0)
    attention = (3 * torch.randn(num_frames, num_queries, num_patches, generator=generator)).softmax(dim=-1)
    order = attention.amax(dim=-1).argsort(dim=-1, descending=True)
    return KeptQueries(
        video="clip.mp4",
        frames=np.random.default_rng(0).integers(0, 256, (num_frames, height, width, 3), dtype=np.uint8),
        times=[0.25 + 0.5 * index for index in range(num_frames)],
        attention={count: attention.gather(1, order[:, :count, None].expand(-1, -1, num_patches)) for count in counts},
        queries={count: order[:, :count] for count in counts},
        **options,
    )


def parse(kept: KeptQueries, **config: Any) -> Element:
    return Document(render_look_page(kept, build_config(**config))).root


def decode(uri: str) -> Image.Image:
    head, content = uri.split(",")
    assert re.fullmatch(r"data:image/(png|jpeg);base64", head)
    return Image.open(io.BytesIO(base64.b64decode(content)))


def views(root: Element) -> dict[tuple[int, int], Element]:
    """The view of each frame at each K."""
    found = {
        (int(kept.attributes["data-frame"]), int(kept.attributes["data-k"])): kept for kept in root.find("div", "kept")
    }
    assert list(found) == [(frame, count) for frame in range(NUM_FRAMES) for count in COUNTS]
    return found


def test_every_frame_stands_there_with_its_time_and_each_k():
    root = parse(keep())
    frames = list(root.find("section", "frame"))
    assert len(frames) == NUM_FRAMES
    for index, frame in enumerate(frames):
        [plain] = frame.find("figure", "plain")
        assert plain.text.strip() == f"{0.25 + 0.5 * index:.2f} s"
        assert [use.attributes["href"] for use in plain.find("use")] == [f"#frame-{index}"]
    images = {image.attributes["id"]: image for image in root.find("image") if "id" in image.attributes}
    assert sum(name.startswith("frame-") for name in images) == NUM_FRAMES
    assert decode(images["frame-0"].attributes["href"]).size == (84, 60)
    assert len(views(root)) == NUM_FRAMES * len(COUNTS)
    referenced = {use.attributes["href"].removeprefix("#") for use in root.find("use")}
    assert referenced == set(images)


def test_tokens_stand_in_the_order_of_responses():
    kept = keep()
    for (frame, count), view in views(parse(kept)).items():
        labels = [token.attributes["aria-label"] for token in view.find("button", "token")]
        found = [
            re.match(r"Rank (\d+): query (\d+), response ([\d.e-]+), peak at row (\d+), column (\d+)", label)
            for label in labels
        ]
        ranks, queries, responses, rows, columns = zip(*(match.groups() for match in found), strict=True)
        attention = kept.attention[count][frame]
        assert [int(rank) for rank in ranks] == list(range(1, count + 1))
        assert [int(query) for query in queries] == kept.queries[count][frame].tolist()
        assert [float(text) for text in responses] == pytest.approx(attention.amax(dim=-1).tolist(), rel=5e-3)
        peaks = [6 * (int(row) - 1) + int(column) - 1 for row, column in zip(rows, columns, strict=True)]
        assert peaks == attention.argmax(dim=-1).tolist()
        thumbnails = [thumbnail.attributes["viewbox"] for thumbnail in view.find("svg", "thumbnail")]
        for patch, thumbnail in zip(peaks, thumbnails, strict=True):
            left, upper, width, height = map(float, thumbnail.split())
            assert left <= 14 * (patch % 6) + 0.01 and 14 * (patch % 6 + 1) <= left + width + 0.01
            assert upper <= 10 * (patch // 6) + 0.01 and 10 * (patch // 6 + 1) <= upper + height + 0.01
            assert 0 <= left <= 84 - width + 0.01 and 0 <= upper <= 60 - height + 0.01


def test_tokens_in_the_order_of_queries_tell_their_rank():
    kept = keep(counts=(4,), num_frames=1)
    order = kept.queries[4][0].argsort()
    kept.queries[4], kept.attention[4] = kept.queries[4][:, order], kept.attention[4][:, order]
    root = parse(kept, token_order="query")
    ranks = [int(next(token.find("b")).text) for token in root.find("button", "token")]
    assert ranks == (order + 1).tolist() != [1, 2, 3, 4]
    assert "by query; the number in bold is the rank" in root.text


def test_what_enters_and_what_leaves_from_one_k_to_the_next_is_said():
    root = parse(keep())
    for (_, count), view in views(root).items():
        text = " ".join(view.text.split())
        entering = {2: 0, 4: 2, 16: 12}[count]
        assert len(list(view.find("button", "new"))) == entering
        assert "Dropped" not in text
        assert ("New since" in text) == (count > 2)
    assert "New since K = 2: ranks 3–4." in views(root)[0, 4].text
    assert "New since K = 4: ranks 5–16." in views(root)[2, 16].text

    # A sampler whose choices are not nested
    kept = keep(num_frames=1, counts=(2, 4))
    kept.queries[2], kept.queries[4] = torch.tensor([[7, 1]]), torch.tensor([[3, 7, 5, 0]])
    [_, view] = parse(kept).find("div", "kept")
    assert "New since K = 2: ranks 1, 3–4. Dropped: queries 1." in view.text


def test_heat_maps_hold_the_strongest_attention_on_one_scale():
    kept = keep()
    root = parse(kept)
    strongest = max(float(attention.max()) for attention in kept.attention.values())
    heats = list(root.find("image", "heat"))
    assert len(heats) == NUM_FRAMES * len(COUNTS)
    for number, heat in enumerate(heats):
        frame, which = divmod(number, len(COUNTS))
        assert heat.attributes["id"] == f"heat-{which}-{frame}"
        levels = np.asarray(decode(heat.attributes["href"]))
        expected = np.sqrt(kept.attention[COUNTS[which]][frame].amax(dim=0).numpy() / strongest)
        np.testing.assert_allclose(levels.flatten() / 255, expected, atol=0.5 / 255 + 1e-6)
    shown = np.asarray(decode(heats[0].attributes["href"]).convert("RGBA"))
    assert shown.shape == (6, 6, 4) and shown[..., 3].max() <= round(0.75 * 255)


def test_the_map_of_each_query_decodes_to_its_attention():
    kept = keep()
    [data] = (script for script in parse(kept).find("script") if script.attributes.get("id") == "data")
    data = json.loads(data.text)
    assert data["grid"] == 6 and len(base64.b64decode(data["palette"])) == 4 * 256
    assert len(data["maps"]) == NUM_FRAMES
    for frame, maps in enumerate(data["maps"]):
        assert len(maps) == max(COUNTS)
        for query, attention in zip(kept.queries[16][frame].tolist(), kept.attention[16][frame].numpy(), strict=True):
            levels = np.frombuffer(base64.b64decode(maps[str(query)]), dtype=np.uint8)
            np.testing.assert_allclose(levels / 255, attention / attention.max(), atol=0.5 / 255 + 1e-6)


def test_the_cost_and_the_answer_of_each_k_are_told():
    config = build_config()
    root = parse(keep(question="which way ?", answers={2: "left", 4: "left", 16: "right"}))
    rows = list(next(root.find("tbody")).find("tr"))
    everything = cost(config, num_frames=NUM_FRAMES, tokens_per_frame=16).total_flops
    for row, count, answer in zip(rows, COUNTS, ("left", "left", "right"), strict=True):
        spent = cost(config, num_frames=NUM_FRAMES, tokens_per_frame=count)
        cells = [cell.text for cell in row.find("td")]
        assert next(row.find("th")).text == f"K = {count}"
        assert cells[0] == str(NUM_FRAMES * count) and cells[4] == answer
        assert float(cells[1].rstrip("kM")) == pytest.approx(spent.total_flops / 1e6, rel=5e-3)
        assert cells[2] == f"{spent.total_flops / everything:.0%}"
        assert cells[3] == f"{spent.vision_flops / spent.total_flops:.0%}"


def test_what_others_wrote_is_escaped():
    hostile = "<script>alert('1')</script>\"><img src=x>"
    kept = keep(counts=(2,), num_frames=1, question=hostile, answers={2: hostile})
    page = render_look_page(kept, build_config(), hostile)
    assert hostile not in page and "<script>alert" not in page
    root = Document(page).root
    assert len(list(root.find("script"))) == 3 and len(list(root.find("img"))) == 1
    assert [cell.text for cell in root.find("td")][4] == hostile


def test_nothing_is_fetched():
    page = render_look_page(keep(question="which way ?", answers=dict.fromkeys(COUNTS, "left")), build_config())
    namespace = "http://www.w3.org/2000/svg"  # a name, which nothing fetches
    assert "://" not in page.replace(namespace, "")
    for attribute in re.findall(r"(?:href|src|action|data)=\"([^\"]*)\"", page):
        assert attribute.startswith(("#", "data:image/"))
    assert "default-src 'none'" in page and "@import" not in page and "url(" not in page


def test_pictures_have_a_text_and_the_page_a_language():
    root = parse(keep())
    [html] = root.find("html")
    assert html.attributes["lang"] == "en"
    pictures = [svg for svg in root.find("svg") if "aria-hidden" not in svg.attributes]
    # In the overview and each by itself
    assert len(pictures) == 2 * NUM_FRAMES * (1 + len(COUNTS))
    assert all(svg.attributes["role"] == "img" and len(svg.attributes["aria-label"]) > 10 for svg in pictures)
    assert all(image.attributes["alt"] for image in root.find("img"))


def test_the_page_of_a_full_size_model_stays_below_10_megabytes():
    counts = (16, 256)
    kept = keep(counts, num_frames=8, num_patches=1024, num_queries=256, height=720, width=1280)
    config = build_config(adapter_config={"num_query_tokens": 256})
    page = render_look_page(kept, config)
    assert len(page.encode()) < 10e6
    root = Document(page).root
    assert decode(next(root.find("image")).attributes["href"]).size == (448, 252)
    assert len(list(root.find("button", "token"))) == 8 * sum(counts)
    assert "Tokens 17 to 256" in root.text


def test_a_video_file_becomes_a_page(clip, tmp_path):
    path = tmp_path / "deep" / "look.html"
    write_look_page(
        build_model(), build_processor(), clip, path, tokens_per_frame=[4, 1], num_frames=5, question="which way ?"
    )
    root = Document(path.read_text(encoding="utf-8")).root
    assert len(list(root.find("section", "frame"))) == 5
    assert [radio.attributes["value"] for radio in root.find("input")] == ["1", "4", "all"]
    assert list(path.parent.iterdir()) == [path]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed; `pip install '.[dev]'`")
    if CHROMIUM is None:
        pytest.skip("No Chromium was found; `apt install chromium`.")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(OPTIONS))
        yield browser
        browser.close()


def visible_views(page: Any) -> set[str]:
    return {view.get_attribute("data-k") for view in page.locator(".kept").all() if view.is_visible()}


@pytest.mark.slow
def test_a_reader_chooses_k_and_a_token(browser: Any, tmp_path: Path):
    kept = keep()
    path = tmp_path / "look.html"
    path.write_text(render_look_page(kept, build_config()), encoding="utf-8")
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    problems, requests = [], []
    page.on("pageerror", lambda error: problems.append(error))
    page.on("console", lambda message: problems.append(message.text))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(path.as_uri())
    assert visible_views(page) == {"2"}

    page.get_by_label("K = 2", exact=True).press("ArrowRight")
    assert visible_views(page) == {"4"}
    view = page.locator("#at-1 .kept[data-k='4']")
    token, caption = view.locator(".token").nth(2), view.locator("figcaption")
    token.click()
    page.mouse.move(0, 0)
    assert token.get_attribute("aria-pressed") == "true"
    assert caption.inner_text() == token.get_attribute("aria-label")
    assert not view.locator(".picture .peaks").is_visible()
    alone = decode(view.locator("image.single").get_attribute("href")).convert("RGBA")
    assert alone.size == (6, 6)
    opacity = np.asarray(alone)[..., 3].flatten() / (0.75 * 255)
    attention = kept.attention[4][1, 2].numpy()
    # Square roots of steps of 1/255, which differ most at 0
    np.testing.assert_allclose(opacity**2, attention / attention.max(), atol=2 / 255)

    other = view.locator(".token").nth(0)
    other.hover()
    assert caption.inner_text() == other.get_attribute("aria-label")
    page.mouse.move(0, 0)
    assert caption.inner_text() == token.get_attribute("aria-label")
    other.press("Escape")
    assert caption.inner_text() == "K = 4" and view.locator("image.single").count() == 0
    other.press("Enter")
    assert other.get_attribute("aria-pressed") == "true"
    other.press("Enter")
    assert other.get_attribute("aria-pressed") == "false"

    page.get_by_label("all, below each other").check()
    assert visible_views(page) == {"2", "4", "16"}
    assert problems == []
    assert {url.split(":")[0] for url in requests} <= {"file", "data"}
    page.close()


@pytest.mark.slow
def test_without_javascript_every_k_can_be_read(browser: Any, tmp_path: Path):
    path = tmp_path / "look.html"
    path.write_text(render_look_page(keep(), build_config()), encoding="utf-8")
    page = browser.new_context(java_script_enabled=False).new_page()
    page.goto(path.as_uri())
    assert visible_views(page) == {"2", "4", "16"}
    assert not page.locator(".controls").is_visible() and not page.locator("#hint").is_visible()
    page.close()


@pytest.mark.slow
@pytest.mark.parametrize("colours", ["light", "dark"])
def test_nothing_is_cut_off_on_a_narrow_screen(browser: Any, tmp_path: Path, colours: str):
    kept = keep(question="which way does the red circle move ? " * 5, answers=dict.fromkeys(COUNTS, "unending" * 20))
    path = tmp_path / "look.html"
    path.write_text(render_look_page(kept, build_config(), "organisation/" + "long" * 30), encoding="utf-8")
    page = browser.new_page(viewport={"width": 390, "height": 844}, color_scheme=colours)
    page.goto(path.as_uri())
    page.get_by_label("all, below each other").check()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    outside = page.evaluate(
        "[...document.querySelectorAll('body *')].filter((element) => element.getBoundingClientRect().right > 390)"
        ".filter((element) => element.closest('.picture, .thumbnail, .store') === null).length"
    )
    assert outside == 0
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper == {"light": "rgb(255, 255, 255)", "dark": "rgb(21, 21, 24)"}[colours]
    page.close()
