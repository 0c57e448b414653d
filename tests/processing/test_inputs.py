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
"""The input table: what may be given as an image or a video, and what comes of it. docs/inputs.md prints it."""

import functools
import http.server
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from PIL import Image

from ftfv import FTFVImageProcessor, FTFVVideoProcessor
from tests.tiny import IMAGE_SIZE, ROOT, build_frames, frame_indices, write_audio, write_video


SIZE = {"height": IMAGE_SIZE, "width": IMAGE_SIZE}
# Frames 1, 3, 6, ... of 20: floor((i + 0.5) * 20 / 8).
EIGHT_OF_20 = [1, 3, 6, 8, 11, 13, 16, 18]


@dataclass(frozen=True)
class Case:
    """
    A row of the table. `make` builds the input in a folder and may return it with the arguments of the call;
    `expected` is the indices of the frames of each video, or the start of an error's message.
    """

    given: str
    expected: list[list[int]] | str
    make: Callable[[Path, str], Any]

    @property
    def outcome(self) -> str:
        if isinstance(self.expected, str):
            return f"error: {self.expected}"
        return "; ".join(f"frames {', '.join(map(str, indices))}" for indices in self.expected)


def file(folder: Path, name: str = "clip.mp4", frames: Any = 20, **options: Any) -> str:
    return write_video(folder / name, frames, **options)


def encoded(
    folder: Path,
    name: str,
    codec: str,
    pixels: str,
    ticks: Callable[[int], int] = lambda index: 100 * index,
    size: tuple[int, int] = (48, 64),
) -> str:
    """20 frames of `build_frames` in any codec and pixel format; frame i is shown at `ticks(i)` milliseconds."""
    with av.open(str(folder / name), "w") as output:
        stream = output.add_stream(codec, rate=10)
        (stream.height, stream.width), stream.pix_fmt = size, pixels
        stream.codec_context.time_base = Fraction(1, 1000)
        for index, pixel_values in enumerate(build_frames(20, *size)):
            frame = av.VideoFrame.from_ndarray(pixel_values, format="rgb24")
            frame.pts, frame.time_base = ticks(index), Fraction(1, 1000)
            output.mux(stream.encode(frame))
        output.mux(stream.encode())
    return str(folder / name)


def uneven(index: int) -> int:
    """Ten frames in the first second and one in each that follows."""
    return 100 * index if index < 10 else 1000 * (index - 9)


def images(folder: Path, num_frames: int = 20, size: tuple[int, int] = (48, 64)) -> list[str]:
    """Image files of `build_frames`, numbered without leading zeros."""
    folder.mkdir(exist_ok=True)
    paths = [folder / f"frame{index}.png" for index in range(num_frames)]
    for path, frame in zip(paths, build_frames(num_frames, *size), strict=True):
        Image.fromarray(frame).save(path)
    return [str(path) for path in paths]


def cache(folder: Path, array: np.ndarray) -> str:
    np.save(folder / "clip.npy", array)
    return str(folder / "clip.npy")


def written(folder: Path, content: bytes, name: str = "clip.mp4") -> str:
    (folder / name).write_bytes(content)
    return str(folder / name)


def pillow(num_frames: int, mode: str = "RGB") -> list[Image.Image]:
    return [Image.fromarray(frame).convert(mode, palette=Image.Palette.ADAPTIVE) for frame in build_frames(num_frames)]


def grey(num_frames: int) -> np.ndarray:
    return build_frames(num_frames)[..., :1]


def transparent(num_frames: int) -> np.ndarray:
    opaque = np.full((num_frames, 48, 64, 1), 255, dtype=np.uint8)
    return np.concatenate([build_frames(num_frames), opaque], axis=-1)


def channels_first(frames: np.ndarray) -> np.ndarray:
    return frames.transpose(0, 3, 1, 2)


CASES = [
    # Files
    Case("path of an mp4 file", [EIGHT_OF_20], lambda folder, url: file(folder)),
    Case("`pathlib.Path`", [EIGHT_OF_20], lambda folder, url: Path(file(folder))),
    Case("URL", [EIGHT_OF_20], lambda folder, url: file(folder) and f"{url}/clip.mp4"),
    Case("bytes of a file", [EIGHT_OF_20], lambda folder, url: Path(file(folder)).read_bytes()),
    Case("open file", [EIGHT_OF_20], lambda folder, url: open(file(folder), "rb")),
    Case("`io.BytesIO`, read before", [EIGHT_OF_20], lambda folder, url: read_already(file(folder))),
    Case(
        "mkv, webm (VP9)",
        [EIGHT_OF_20] * 2,
        lambda folder, url: [file(folder, "clip.mkv"), encoded(folder, "clip.webm", "libvpx-vp9", "yuv420p")],
    ),
    Case("avi (MPEG-4)", [EIGHT_OF_20], lambda folder, url: encoded(folder, "clip.avi", "mpeg4", "yuv420p")),
    Case("animated gif", [EIGHT_OF_20], lambda folder, url: encoded(folder, "clip.gif", "gif", "gray")),
    Case(
        "variable frame rate",
        [EIGHT_OF_20],
        lambda folder, url: encoded(folder, "clip.mkv", "libx264", "yuv420p", uneven),
    ),
    Case(
        "variable frame rate, `clip=(0.45, 3)`",
        [[4, 5, 6, 7, 8, 9, 10, 11]],
        lambda folder, url: (encoded(folder, "clip.mkv", "libx264", "yuv420p", uneven), {"clip": (0.45, 3.0)}),
    ),
    Case(
        "first frame shown at 7 s, `clip=(0, 0.3)`",
        [[0, 1, 2]],
        lambda folder, url: (
            encoded(folder, "clip.ts", "libx264", "yuv420p", lambda index: 7000 + 100 * index),
            {"clip": (0.0, 0.3)},
        ),
    ),
    Case(
        "odd height and width",
        [EIGHT_OF_20],
        lambda folder, url: encoded(folder, "clip.mkv", "libx264", "yuv444p", size=(47, 63)),
    ),
    Case(
        "grey, 8 and 16 bits",
        [EIGHT_OF_20] * 2,
        lambda folder, url: [encoded(folder, "a.mkv", "ffv1", "gray"), encoded(folder, "b.mkv", "ffv1", "gray16le")],
    ),
    Case("RGBA", [EIGHT_OF_20], lambda folder, url: encoded(folder, "clip.mov", "qtrle", "argb")),
    Case("one frame", [[0]], lambda folder, url: file(folder, frames=1)),
    Case("fewer frames than 8", [[0, 1, 2]], lambda folder, url: file(folder, frames=3)),
    # Frames as files
    Case("`.npy` frame cache", [EIGHT_OF_20], lambda folder, url: cache(folder, build_frames(20))),
    Case(
        "URL of a frame cache",
        [EIGHT_OF_20],
        lambda folder, url: cache(folder, build_frames(20)) and f"{url}/clip.npy",
    ),
    Case(
        "folder of frames (`frame2.png` before `frame10.png`)",
        [EIGHT_OF_20],
        lambda folder, url: images(folder / "frames") and str(folder / "frames"),
    ),
    Case("list of paths of frames", [EIGHT_OF_20], lambda folder, url: images(folder / "frames")),
    Case(
        "list of URLs of frames",
        [[0, 1]],
        lambda folder, url: [f"{url}/frames/{Path(path).name}" for path in images(folder / "frames", 2)],
    ),
    Case("path of one image", [[0]], lambda folder, url: images(folder / "frames", 1)[0]),
    Case(
        "folder with `video_metadata` of 10 fps, `clip=(1, 1.4)`",
        [[10, 11, 12, 13]],
        lambda folder, url: (
            images(folder / "frames") and str(folder / "frames"),
            {"clip": (1.0, 1.4), "video_metadata": [{"total_num_frames": 20, "fps": 10}]},
        ),
    ),
    # Frames in memory
    Case("array, channels last", [EIGHT_OF_20], lambda folder, url: build_frames(20)),
    Case("array, channels first", [EIGHT_OF_20], lambda folder, url: channels_first(build_frames(20))),
    Case("tensor", [EIGHT_OF_20], lambda folder, url: torch.from_numpy(channels_first(build_frames(20)))),
    Case("list of PIL images", [EIGHT_OF_20], lambda folder, url: pillow(20)),
    Case(
        "list of arrays; list of tensors",
        [EIGHT_OF_20] * 2,
        lambda folder, url: [list(build_frames(20)), list(torch.from_numpy(build_frames(20)))],
    ),
    Case("one PIL image; one array", [[0], [0]], lambda folder, url: [[pillow(1)[0]], [build_frames(1)[0]]]),
    Case("5-dimensional array", [[0, 1], [0, 1]], lambda folder, url: np.stack([build_frames(2)] * 2)),
    Case(
        "grey array; list of grey arrays", [EIGHT_OF_20, [0, 1]], lambda folder, url: [grey(20), list(grey(2)[..., 0])]
    ),
    Case("RGBA array", [EIGHT_OF_20], lambda folder, url: transparent(20)),
    Case(
        "PIL images: grey, RGBA, palette, grey with transparency",
        [[0, 1]] * 4,
        lambda folder, url: [pillow(2, mode) for mode in ("L", "RGBA", "P", "LA")],
    ),
    Case("16-bit array", [EIGHT_OF_20], lambda folder, url: build_frames(20).astype(np.uint16) * 257),
    Case("array of whole numbers in 64 bits", [EIGHT_OF_20], lambda folder, url: build_frames(20).astype(np.int64)),
    Case("array of half precision", [EIGHT_OF_20], lambda folder, url: build_frames(20).astype(np.float16)),
    Case("array with negative strides", [EIGHT_OF_20], lambda folder, url: build_frames(20)[:, ::-1, ::-1]),
    # Batches and options
    Case(
        "files, arrays of both layouts, PIL images and a folder in one batch",
        [EIGHT_OF_20] * 5,
        lambda folder, url: [
            build_frames(20),
            file(folder),
            channels_first(build_frames(20)),
            pillow(20),
            images(folder / "frames") and folder / "frames",
        ],
    ),
    Case(
        "rows with any number of videos",
        [EIGHT_OF_20, [0, 1], [0]],
        lambda folder, url: [[file(folder), build_frames(2)], [], [pillow(1)]],
    ),
    Case("`num_frames=5`", [[2, 6, 10, 14, 18]], lambda folder, url: (file(folder), {"num_frames": 5})),
    Case("`fps=2`", [[2, 7, 12, 17]], lambda folder, url: (file(folder), {"fps": 2})),
    Case(
        "`clip=(0.5, 1.5)` seconds, `fps=4`",
        [[6, 8, 11, 13]],
        lambda folder, url: (file(folder), {"clip": (0.5, 1.5), "fps": 4}),
    ),
    Case("`max_num_frames=30` of 20", [list(range(20))], lambda folder, url: (file(folder), {"max_num_frames": 30})),
    # Bad input
    Case(
        "missing file",
        "No file '{folder}/clip.mp4'; expected an existing file",
        lambda folder, url: str(folder / "clip.mp4"),
    ),
    Case(
        "empty file",
        "The file '{folder}/clip.mp4' is empty; expected a video or an image",
        lambda folder, url: written(folder, b""),
    ),
    Case(
        "text named mp4", "'{folder}/clip.mp4' cannot be decoded by", lambda folder, url: written(folder, b"text" * 99)
    ),
    Case(
        "file that was cut off",
        "'{folder}/clip.mp4' cannot be decoded by",
        lambda folder, url: written(folder, Path(file(folder)).read_bytes()[:-500]),
    ),
    Case(
        "audio only",
        "'{folder}/sound.mp4' holds no video frames; expected a file with a video stream",
        lambda folder, url: write_audio(folder / "sound.mp4"),
    ),
    Case(
        "URL of nothing",
        "'{url}/clip.mp4' cannot be downloaded: HTTP Error 404: File not found.",
        lambda folder, url: f"{url}/clip.mp4",
    ),
    Case("empty bytes", "The bytes of a video or an image are empty", lambda folder, url: b""),
    Case("bytes of no video", "A video of 396 bytes cannot be decoded by", lambda folder, url: b"text" * 99),
    Case("folder without images", "The folder '{folder}' holds no images", lambda folder, url: folder),
    Case(
        "frames of two sizes",
        "'{folder}/frames/large.png' is 80 x 60 pixels and '{folder}/frames/frame0.png' is 64 x "
        "48; expected frames of one size",
        lambda folder, url: [*images(folder / "frames", 1), large(folder / "frames")],
    ),
    Case(
        "broken image among frames",
        "'{folder}/broken.png' cannot be read as an image",
        lambda folder, url: [*images(folder / "frames", 1), written(folder, b"text", "broken.png")],
    ),
    Case(
        "frame cache of floats",
        "'{folder}/clip.npy' cannot be decoded by numpy: an array of shape (2, 48, 64, 3) and type float32, not uint8",
        lambda folder, url: cache(folder, build_frames(2).astype(np.float32)),
    ),
    Case("array without frames", "A video has no frames", lambda folder, url: build_frames(0)),
    Case("no videos", "There are no videos", lambda folder, url: []),
    Case(
        "array of two channels",
        "An array of shape (2, 48, 64, 2) has its channels neither first nor last",
        lambda folder, url: build_frames(2)[..., :2],
    ),
    Case(
        "array of six dimensions",
        "A video is an array of shape (1, 1, 2, 48, 64, 3); expected 4 dimensions",
        lambda folder, url: build_frames(2)[None, None],
    ),
    Case("array of text", "Frames are of type <U1; expected numbers", lambda folder, url: np.full((2, 8, 8, 3), "a")),
    Case(
        "whole numbers beyond 255",
        "Frames hold whole numbers from 0 to 999; expected 0 to 255",
        lambda folder, url: np.arange(1000).repeat(24).reshape(5, 40, 40, 3),
    ),
    Case("NaN", "Frames hold NaN or infinite numbers", lambda folder, url: np.full((2, 8, 8, 3), np.nan)),
    Case("a number", "A video is of type int; expected a path, URL, bytes, an open file", lambda folder, url: 3),
    Case(
        "`num_frames=21` of 20",
        "21 frames are asked for but the video has 20; expected 1 to 20",
        lambda folder, url: (file(folder), {"num_frames": 21}),
    ),
    Case(
        "`num_frames` with `fps`",
        "Both `num_frames` (4) and `fps` (2) are given",
        lambda folder, url: (file(folder), {"num_frames": 4, "fps": 2}),
    ),
    Case(
        "`clip` behind the end",
        "`clip` is (3.0, 4.0) seconds; expected 0 <= start < end and a start inside the video, "
        "which lasts 2.00 seconds",
        lambda folder, url: (file(folder), {"clip": (3.0, 4.0)}),
    ),
    Case(
        "`fps` for frames without a rate",
        "`clip` and `fps` need the frame rate of the video, which is unknown",
        lambda folder, url: (build_frames(20), {"fps": 2}),
    ),
    Case(
        "metadata of another length",
        "A video has 20 frames but its metadata says 9",
        lambda folder, url: (build_frames(20), {"video_metadata": [{"total_num_frames": 9, "fps": 10}]}),
    ),
    Case(
        "unknown decoder",
        "`video_backend` is 'opencv'; expected one of torchcodec, pyav, decord, or None",
        lambda folder, url: (file(folder), {"video_backend": "opencv"}),
    ),
]


def read_already(path: str) -> BytesIO:
    opened = BytesIO(Path(path).read_bytes())
    opened.read()
    return opened


def large(folder: Path) -> str:
    Image.new("RGB", (80, 60)).save(folder / "large.png")
    return str(folder / "large.png")


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a server of the tests' folders."""
    handler = functools.partial(QuietHandler, directory=str(tmp_path_factory.getbasetemp()))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def url(server: str, tmp_path: Path) -> str:
    """Address of the test's folder."""
    return f"{server}/{tmp_path.name}"


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """The log of the tests is not its place."""


def call(made: Any) -> Any:
    videos, arguments = made if isinstance(made, tuple) else (made, {})
    return FTFVVideoProcessor(size=SIZE)(videos, **arguments)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.given)
def test_the_table(case, tmp_path, url):
    if isinstance(case.expected, str):
        with pytest.raises((ValueError, TypeError, FileNotFoundError)) as error:
            call(case.make(tmp_path, url))
        message = str(error.value)
        assert message.startswith(case.expected.format(folder=tmp_path, url=url))
        assert "\n" not in message and len(message) < 600
        return
    inputs = call(case.make(tmp_path, url))
    lengths = inputs["video_frame_mask"].sum(dim=1).tolist()
    found = [
        frame_indices(video[:length]) for video, length in zip(inputs["pixel_values_videos"], lengths, strict=True)
    ]
    assert found == case.expected


def test_the_table_is_printed_in_the_docs():
    rows = "".join(f"| {case.given} | {case.outcome} |\n" for case in CASES)
    printed = (ROOT / "docs/inputs.md").read_text(encoding="utf-8")
    assert "| given | result |\n| --- | --- |\n" + rows in printed
    assert len(CASES) >= 40


def test_the_frames_of_one_video_are_the_same_however_they_come(tmp_path):
    """Whole pixel values, of which the table sees the grey alone."""
    frames = np.random.default_rng(0).integers(0, 256, (9, 31, 45, 3), dtype=np.uint8)
    (tmp_path / "frames").mkdir()
    for index, frame in enumerate(frames):
        Image.fromarray(frame).save(tmp_path / f"frames/{index}.png")
    expected = call(frames)["pixel_values_videos"]
    opaque = np.concatenate([frames, np.full_like(frames[..., :1], 255)], axis=-1)
    for video in (
        channels_first(frames),
        torch.from_numpy(frames),
        [Image.fromarray(frame) for frame in frames],
        tmp_path / "frames",
        cache(tmp_path, frames),
        opaque,
        frames.astype(np.uint16) * 257,
    ):
        assert torch.equal(call(video)["pixel_values_videos"], expected)


def test_a_batch_of_several_layouts_equals_its_videos_alone():
    generator = np.random.default_rng(0)
    last = generator.integers(0, 256, (4, 30, 44, 3), dtype=np.uint8)
    first = generator.integers(0, 256, (5, 3, 26, 32), dtype=np.uint8)
    together = call([last, first, torch.from_numpy(last)])["pixel_values_videos"]
    for row, video in enumerate((last, first, last)):
        assert torch.equal(together[row, : len(video)], call(video)["pixel_values_videos"][0])


def test_the_layout_can_be_said():
    frames = np.random.default_rng(0).integers(0, 256, (2, 3, 40, 3), dtype=np.uint8)
    said = call((frames, {"input_data_format": "channels_last"}))["pixel_values_videos"]
    assert torch.equal(
        said, call((frames.transpose(0, 3, 1, 2), {"input_data_format": "channels_first"}))["pixel_values_videos"]
    )


def test_transparent_pixels_are_on_white():
    clear = np.zeros((2, 8, 8, 4), dtype=np.uint8)
    white = call(np.full((2, 8, 8, 3), 255, dtype=np.uint8))["pixel_values_videos"]
    for video in (clear, [Image.fromarray(frame) for frame in clear]):
        assert torch.equal(call(video)["pixel_values_videos"], white)


def test_numbers_up_to_1_are_warned_of(caplog):
    call(np.full((2, 8, 8, 3), 0.5))
    assert "divided by 255 nevertheless" in caplog.text
    caplog.clear()
    call((np.full((2, 8, 8, 3), 0.5), {"do_rescale": False}))
    assert not caplog.records


@pytest.mark.parametrize("num_frames", [1, 40, 300])
def test_any_number_of_frames(num_frames):
    inputs = call((np.zeros((300, 8, 8, 3), dtype=np.uint8), {"num_frames": num_frames}))
    assert inputs["pixel_values_videos"].shape == (1, num_frames, 3, IMAGE_SIZE, IMAGE_SIZE)


# Images


def image_file(folder: Path, name: str, image: Image.Image, **options: Any) -> Path:
    image.save(folder / name, **options)
    return folder / name


def colours() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8))


def lying(folder: Path) -> Path:
    """Stored a quarter turn to the left, with the note to turn it back."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return image_file(folder, "lying.png", colours().transpose(Image.Transpose.ROTATE_90), exif=exif)


def sixteen_bits(folder: Path) -> Path:
    return image_file(folder, "deep.png", Image.fromarray(np.asarray(colours().convert("L")).astype(np.uint16) * 257))


@pytest.mark.parametrize(
    "make",
    [
        lambda folder: image_file(folder, "image.png", colours()),
        lambda folder: str(image_file(folder, "image.bmp", colours())),
        lambda folder: image_file(folder, "image.tiff", colours()).read_bytes(),
        lambda folder: open(image_file(folder, "image.png", colours()), "rb"),
        lambda folder: image_file(folder, "image.png", colours().convert("RGBA")),
        lambda folder: np.asarray(colours()),
        lambda folder: np.asarray(colours()).astype(np.uint16) * 257,
        lying,
    ],
    ids=["Path", "str", "bytes", "open file", "RGBA", "array", "16-bit array", "lying on a side"],
)
def test_images(make, tmp_path):
    processor = FTFVImageProcessor(size=SIZE)
    expected = processor(colours(), return_tensors="pt")["pixel_values"]
    assert torch.equal(processor(make(tmp_path), return_tensors="pt")["pixel_values"], expected)


def test_images_of_16_bits_and_palettes(tmp_path):
    processor = FTFVImageProcessor(size=SIZE)
    grey_expected = processor(colours().convert("L"), return_tensors="pt")["pixel_values"]
    path = sixteen_bits(tmp_path)
    with Image.open(path) as opened:
        assert opened.mode == "I;16"
        for image in (path, opened):
            assert torch.equal(processor(image, return_tensors="pt")["pixel_values"], grey_expected)
    palette = colours().convert("P")
    expected = processor(palette.convert("RGB"), return_tensors="pt")["pixel_values"]
    path = image_file(tmp_path, "palette.png", palette)
    assert torch.equal(processor(path, return_tensors="pt")["pixel_values"], expected)


def test_an_image_of_unknown_range_is_refused(tmp_path):
    path = image_file(tmp_path, "float.tiff", Image.fromarray(np.zeros((4, 4), dtype=np.float32)))
    message = r"cannot be read as an image: An image has 32 bits per pixel \(mode 'F'\); expected 8 or 16 bits"
    with pytest.raises(ValueError, match=message) as error:
        FTFVImageProcessor(size=SIZE)(path)
    assert re.fullmatch(r"[^\n]+", str(error.value))
