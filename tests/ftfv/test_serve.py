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
"""`ftfv serve`, in a process of its own, driven by the official `openai` client."""

import base64
import functools
import http.server
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ftfv import FTFVForConditionalGeneration, FTFVProcessor
from tests.serving import running_server
from tests.tiny import NUM_QUERIES, write_video


openai = pytest.importorskip("openai", reason="openai is not installed (pip install 'ftfv[serve]')")
pytest.importorskip("fastapi", reason="fastapi is not installed (pip install 'ftfv[serve]')")
pytest.importorskip("uvicorn", reason="uvicorn is not installed (pip install 'ftfv[serve]')")

QUESTION = "which way does the shape move ?"
MAX_TOKENS = 8
MAX_FILE_SIZE = 0.2  # MB
MAX_FRAMES = 16


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder whose files the server may read, with one beside it and a link to that."""
    folder = tmp_path_factory.mktemp("media") / "allowed"
    folder.mkdir()
    write_video(folder / "clip.mp4", 20)
    (folder / "large.mp4").write_bytes(bytes(int(MAX_FILE_SIZE * 1e6) + 1))
    (folder / "text.mp4").write_text("not a video at all\n" * 50)
    (folder / "empty.mp4").touch()
    pixels = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "image.png")
    write_video(folder.parent / "secret.mp4", 20)
    (folder / "link.mp4").symlink_to(folder.parent / "secret.mp4")
    return folder


@pytest.fixture(scope="module")
def web(media: Path) -> Iterator[str]:
    """The address of the same files over http."""
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=media)
    handler.log_message = lambda *args: None  # type: ignore[attr-defined]
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.fixture(scope="module")
def address(saved_folder: Path, media: Path) -> Iterator[str]:
    """The address of a running server of the tiny model."""
    options = ["--media-folder", str(media), "--max-file-size", str(MAX_FILE_SIZE), "--max-frames", str(MAX_FRAMES)]
    with running_server(str(saved_folder), *options) as address:
        yield address


@pytest.fixture(scope="module")
def ask(address: str, saved_folder: Path) -> Any:
    """Asks the server; a text alone or with blocks of media before it."""
    client = openai.OpenAI(base_url=address, api_key="none", timeout=300)

    def ask(*blocks: dict[str, Any], stream: bool = False, max_tokens: int = MAX_TOKENS, **extra: Any) -> Any:
        content = [*blocks, {"type": "text", "text": QUESTION}]
        return client.chat.completions.create(
            model=str(saved_folder),
            messages=[{"role": "user", "content": content}],
            max_tokens=max_tokens,
            temperature=0,
            stream=stream,
            extra_body=extra,
        )

    ask.client = client  # type: ignore[attr-defined]
    return ask


def video(url: str) -> dict[str, Any]:
    return {"type": "video_url", "video_url": {"url": url}}


def picture(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


def data_uri(path: Path, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"


def text_of(completion: Any) -> str:
    return completion.choices[0].message.content


@pytest.fixture(scope="module")
def answer(saved_folder: Path) -> Any:
    """The same by transformers alone: text of the answer and length of the prompt."""
    model = FTFVForConditionalGeneration.from_pretrained(saved_folder)
    processor = FTFVProcessor.from_pretrained(saved_folder)

    def answer(*blocks: dict[str, Any], **processor_kwargs: Any) -> tuple[str, int]:
        chat = [{"role": "user", "content": [*blocks, {"type": "text", "text": QUESTION}]}]
        inputs = processor.apply_chat_template(
            chat,
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            processor_kwargs=processor_kwargs,
        )
        length = inputs["input_ids"].shape[1]
        output = model.generate(**inputs, max_new_tokens=MAX_TOKENS, do_sample=False)
        return processor.tokenizer.decode(output[0, length:], skip_special_tokens=True), length

    return answer


def test_the_model_is_listed_by_the_name_that_clients_pass(ask, saved_folder):
    assert [model.id for model in ask.client.models.list()] == [str(saved_folder)]


def test_text_alone(ask, answer):
    completion = ask()
    assert (text_of(completion), completion.usage.prompt_tokens) == answer()
    assert completion.usage.completion_tokens <= MAX_TOKENS


@pytest.mark.parametrize("way", ["http", "base64", "path"])
def test_an_image_is_read_by_url_data_and_path(ask, answer, web, media, way):
    urls = {"http": f"{web}/image.png", "base64": data_uri(media / "image.png", "image/png"), "path": "image.png"}
    completion = ask(picture(urls[way]))
    expected = answer({"type": "image", "path": str(media / "image.png")})
    assert (text_of(completion), completion.usage.prompt_tokens) == expected


@pytest.mark.parametrize("way", ["http", "base64", "path", "absolute", "file"])
def test_a_video_is_read_by_url_data_and_path(ask, answer, web, media, way):
    clip = media / "clip.mp4"
    urls = {
        "http": f"{web}/clip.mp4",
        "base64": data_uri(clip, "video/mp4"),
        "path": "clip.mp4",
        "absolute": str(clip),
        "file": f"file://{clip}",
    }
    completion = ask(video(urls[way]))
    assert (text_of(completion), completion.usage.prompt_tokens) == answer({"type": "video", "path": str(clip)})


def test_tokens_and_frames_of_a_request(ask, answer, media):
    clip = {"type": "video", "path": str(media / "clip.mp4")}
    texts = set()
    for tokens_per_frame, num_frames in ((1, 2), (4, 8), (NUM_QUERIES, 3)):
        completion = ask(video("clip.mp4"), tokens_per_frame=tokens_per_frame, num_frames=num_frames)
        expected, length = answer(clip, tokens_per_frame=tokens_per_frame, num_frames=num_frames)
        assert (text_of(completion), completion.usage.prompt_tokens) == (expected, length)
        assert length - answer()[1] == num_frames * tokens_per_frame
        texts.add(expected)
    assert len(texts) == 3, "the answers tell nothing apart"


def test_more_frames_than_there_are_give_all_of_them(ask, answer, media):
    write_video(media / "short.mp4", 3)
    completion = ask(video("short.mp4"), num_frames=12)
    assert completion.usage.prompt_tokens == answer()[1] + 3 * 4


def test_streaming_gives_the_same_text_in_pieces(ask):
    wholes = {count: ask(video("clip.mp4"), tokens_per_frame=count) for count in (1, 3, 8, NUM_QUERIES)}
    count, whole = max(wholes.items(), key=lambda item: len(text_of(item[1]).split()))
    chunks = list(ask(video("clip.mp4"), tokens_per_frame=count, stream=True))
    pieces = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices[0].delta.content]
    assert "".join(pieces) == text_of(whole)
    assert len(pieces) > 1
    assert chunks[-1].choices[0].finish_reason == whole.choices[0].finish_reason


def test_concurrent_requests_with_different_k_equal_their_single_runs(ask):
    counts = (1, NUM_QUERIES, 3, 8)
    single = [text_of(ask(video("clip.mp4"), tokens_per_frame=count)) for count in counts]
    assert len(set(single)) > 1
    with ThreadPoolExecutor(len(counts)) as pool:
        together = list(pool.map(lambda count: text_of(ask(video("clip.mp4"), tokens_per_frame=count)), counts))
    assert together == single


@pytest.mark.parametrize(
    "url", ["../secret.mp4", "{parent}/secret.mp4", "file://{parent}/secret.mp4", "link.mp4", "/etc/passwd", "../none"]
)
def test_files_outside_the_allowed_folder_are_refused(ask, media, url):
    with pytest.raises(openai.PermissionDeniedError, match="reads files of its allowed folder only"):
        ask(video(url.format(parent=media.parent)))


def test_files_that_are_too_large_are_refused(ask, media, web):
    large = data_uri(media / "large.mp4", "video/mp4")
    for url in ("large.mp4", f"{web}/large.mp4", large):
        with pytest.raises(openai.APIStatusError, match="larger than 0.2 MB") as refused:
            ask(video(url))
        assert refused.value.status_code == 413
    with pytest.raises(openai.APIStatusError, match="The request has .* bytes; expected at most") as refused:
        ask(*[video(large)] * 8)
    assert refused.value.status_code == 413


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"tokens_per_frame": 0}, "`tokens_per_frame` is 0; expected a whole number from 1 to 16"),
        ({"tokens_per_frame": NUM_QUERIES + 1}, "`tokens_per_frame` is 17"),
        ({"tokens_per_frame": "8"}, "`tokens_per_frame` is '8'"),
        ({"tokens_per_frame": True}, "`tokens_per_frame` is True"),
        ({"num_frames": 0}, "`num_frames` is 0; expected a whole number from 1 to 16"),
        ({"num_frames": MAX_FRAMES + 1}, "`num_frames` is 17"),
        ({"num_frames": 2.5}, "`num_frames` is 2.5"),
        ({"chat_template_kwargs": {"num_frames": 4}}, "`chat_template_kwargs` is not taken"),
        ({"generation_config": "{}"}, "`generation_config` is not taken"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "`tools` is not taken; the model calls none"),
        ({"n": 2}, "`n` is 2; expected 1"),
        ({"max_tokens": 0}, "`max_tokens` is 0; expected at least 1"),
        ({"temperature": -1}, "`temperature` is -1.0; expected 0 or more"),
        ({"model": "another"}, "pinned to"),
        ({"messages": []}, "`messages` is no list of messages"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "The role of a message is 'tool'"),
        ({"messages": [{"role": "user", "content": None}]}, "The content of a message is of type NoneType"),
        ({"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "of the type 'input_audio'"),
    ],
)
def test_bad_requests_are_answered_with_a_reason(ask, extra, message):
    with pytest.raises(openai.BadRequestError) as refused:
        ask(**extra)
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("block", "message"),
    [
        (video("none.mp4"), "No file 'none.mp4' in the server's allowed folder"),
        (video("text.mp4"), "cannot be decoded by"),
        (video("empty.mp4"), "is empty; expected an image or a video"),
        (video("data:video/mp4,plain"), "is not in base64"),
        (video("data:video/mp4;base64,!!!!"), "is no base64"),
        (video("http://127.0.0.1:9/clip.mp4"), "cannot be downloaded by the server"),
        (video("http://127.0.0.1:9/clip.mp4#t=1,2"), "has a fragment"),
        (picture("clip.mp4"), "cannot be read as an image"),
        ({"type": "video_url"}, "names no file"),
    ],
)
def test_bad_media_are_answered_with_a_reason(ask, block, message):
    with pytest.raises(openai.BadRequestError) as refused:
        ask(block)
    assert message in str(refused.value)


def test_all_frames_of_a_request_count(ask):
    assert ask(*[video("clip.mp4")] * 2, tokens_per_frame=1, num_frames=8).usage.prompt_tokens
    with pytest.raises(openai.BadRequestError, match="has 17 frames .2 videos of 8 frames and 1 images.*at most 16"):
        ask(picture("image.png"), *[video("clip.mp4")] * 2, tokens_per_frame=1, num_frames=8)


def test_other_routes_of_the_library_are_closed(ask):
    with pytest.raises(openai.NotFoundError):
        ask.client.completions.create(model="x", prompt="what ?")
    with pytest.raises(openai.NotFoundError):
        ask.client.responses.create(model="x", input="what ?")
