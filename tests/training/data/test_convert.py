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
"""Conversion as a whole: subsets, holes, what is written and when, and what TRL makes of it."""

import base64
import io
import json
import os
import random
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

import pytest
from PIL import Image
from trl.scripts.utils import DatasetConfig, DatasetMixtureConfig, get_dataset

from ftfv.training.data.convert import NUM_NAMED, Subset, convert
from tests.tiny import ROOT


def instruct(num_rows: int, num_videos: int) -> list[dict]:
    return [{"q": f"q{n}?", "a": f"a{n}", "video_id": f"v_{n % num_videos}"} for n in range(num_rows)]


def clips(num_videos: int) -> list[str]:
    return [f"v_{number}.mp4" for number in range(num_videos)]


def video_instruct_shape() -> list[dict]:
    """As many videos and pairs as VideoInstruct has, at least one pair a video, in random order."""
    rng = random.Random(0)
    videos = [*range(13_040), *(rng.randrange(13_040) for _ in range(98_138 - 13_040))]
    rng.shuffle(videos)
    return [{"q": "What?", "a": "That.", "video_id": f"v_{video:011}"} for video in videos]


@pytest.fixture(scope="module")
def synthetic_video_instruct(tmp_path_factory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("video_instruct")
    (folder / "videos").mkdir()
    (folder / "videos/one.mp4").write_bytes(b"x")
    for video in range(13_040):
        os.link(folder / "videos/one.mp4", folder / f"videos/v_{video:011}.mp4")
    (folder / "VideoInstruct100K.json").write_text(json.dumps(video_instruct_shape()))
    return folder / "VideoInstruct100K.json", folder / "videos"


def test_table_2(synthetic_video_instruct, tmp_path):
    """Table 2: of 13,040 videos 1,304, 3,912 and 7,824, each with all its pairs, the smaller inside the larger."""
    file, media_root = synthetic_video_instruct
    pairs_of = Counter(record["video_id"] for record in json.loads(file.read_text()))
    assert (len(pairs_of), sum(pairs_of.values())) == (13_040, 98_138)
    previous: set[str] = set()
    for fraction, videos, printed in ((0.1, 1_304, 9_827), (0.3, 3_912, 29_396), (0.6, 7_824, 58_950)):
        output = tmp_path / str(fraction)
        report = convert(
            "video-instruct",
            [file],
            output,
            media_root=media_root,
            subset=Subset(fraction=fraction, seed=0),
            progress=False,
        )
        counts = Counter(json.loads(line)["video_id"] for line in (output / "train.jsonl").open())
        assert (report.videos, len(counts), report.videos_in_source) == (videos, videos, 13_040)
        assert all(count == pairs_of[video] for video, count in counts.items())
        assert previous < counts.keys()
        previous = set(counts)
        # How many pairs the videos have depends on which are drawn: the paper's own counts are as far off the mean.
        assert report.pairs == pytest.approx(fraction * 98_138, rel=0.02) == pytest.approx(printed, rel=0.02)


def test_a_share_by_row_splits_videos(convert_files):
    subset = Subset(fraction=0.5, by="row")
    converted = convert_files("video-instruct", {"v.json": instruct(100, 4)}, clips(4), subset=subset)
    assert (converted.report.rows, converted.report.videos, converted.report.not_chosen) == (50, 4, 50)
    assert converted.report.videos_in_source is None


VIDEOCHAT = {
    f"{kind}/{name}/train.json": [
        {"video": f"{n}.mp4", "QA": [{"i": "I.", "q": f"q{k}", "a": "a"} for k in range(n % 4 + 1)]}
        for n in range(number)
    ]
    for kind, name, number in (("vqa", "ego_qa", 40), ("reasoning", "next_qa", 120), ("caption", "webvid", 40))
}


def test_pairs_are_exact_over_the_types_asked_for(convert_files):
    subset = Subset(pairs=101, types=("vqa", "reasoning"))
    converted = convert_files("videochat2-it", VIDEOCHAT, [f"{n}.mp4" for n in range(120)], subset=subset)
    assert converted.report.pairs == sum(len(row["messages"]) // 2 for row in converted.rows) == 101
    counts = Counter(row["type"] for row in converted.rows)
    assert counts.keys() == {"vqa", "reasoning"}
    # a quarter of the rows asked for are vqa
    assert 0.1 < counts["vqa"] / sum(counts.values()) < 0.4
    whole = {row["id"]: row for row in convert_all(converted.folder.parent)}
    cut = [row for row in converted.rows if row["messages"] != whole[row["id"]]["messages"]]
    assert len(cut) <= 1


def convert_all(folder: Path) -> list[dict]:
    files = [folder / "raw" / name for name in VIDEOCHAT]
    report = convert("videochat2-it", files, folder / "all", media_root=folder / "media", progress=False)
    assert (report.rows, report.not_chosen) == (200, 0)
    return [json.loads(line.replace(str(folder / "media"), "MEDIA")) for line in (folder / "all/train.jsonl").open()]


def test_pairs_are_exact_in_spite_of_holes_and_broken_clips(convert_files, tmp_path, clip):
    (tmp_path / "media").mkdir()
    for number in range(20):
        os.link(clip, tmp_path / f"media/v_{number}.mp4") if number % 2 else None
    (tmp_path / "media/v_0.mp4").write_bytes(b"no video")
    (tmp_path / "media/v_2.mp4").write_bytes(b"no video")
    converted = convert_files(
        "video-instruct",
        {"v.json": instruct(60, 20)},
        subset=Subset(pairs=30),
        skip_missing=True,
        check_decode=True,
        media_root=tmp_path / "media",
    )
    report = converted.report
    assert (report.pairs, report.videos, report.missing.count) == (30, 10, 24)
    assert report.pairs + report.not_chosen + report.missing.count + report.broken.count == 60
    # those that were drawn before every third row of the two broken clips was known to be so
    assert report.broken.count in (3, 6)
    with pytest.raises(ValueError, match="31 pairs are asked for but only 30 are there and usable"):
        convert(
            "video-instruct",
            [tmp_path / "raw/v.json"],
            tmp_path / "more",
            subset=Subset(pairs=31),
            skip_missing=True,
            check_decode=True,
            media_root=tmp_path / "media",
            progress=False,
        )


def test_a_missing_file_stops_and_leaves_nothing_unless_it_is_to_be_skipped(convert_files, tmp_path):
    raw = {"v.json": instruct(20, 10)}
    message = r"^4 of 20 rows name media files that cannot be used, the first: v\.json\[8\]: no file 'v_8' .* `--skip-"
    with pytest.raises(ValueError, match=message):
        convert_files("video-instruct", raw, clips(8))
    assert not (tmp_path / "output").exists()
    report = convert_files("video-instruct", raw, skip_missing=True).report
    assert (report.rows, report.videos, report.missing.count, len(report.missing.first)) == (16, 8, 4, 4)


def test_broken_clips_are_found_when_asked_for(convert_files, tmp_path, clip):
    raw = {"v.json": instruct(6, 3)}
    holes = {"v.json": instruct(8, 4)}
    (tmp_path / "media").mkdir()
    for number in range(3):
        os.link(clip, tmp_path / f"media/v_{number}.mp4")
    (tmp_path / "media/v_1.mp4").unlink()
    (tmp_path / "media/v_1.mp4").write_bytes(Path(clip).read_bytes()[:300])
    assert convert_files("video-instruct", raw).report.rows == 6
    with pytest.raises(ValueError, match=r"2 of 6 rows .* v\.json\[1\]: .*v_1\.mp4' cannot be decoded by"):
        convert_files("video-instruct", raw, check_decode=True)
    report = convert_files("video-instruct", holes, check_decode=True, skip_missing=True).report
    assert (report.rows, report.broken.count, report.missing.count) == (4, 2, 2)


def test_broken_pictures_inside_records_are_found_when_asked_for(convert_files):
    stream = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(stream, "PNG")
    whole = stream.getvalue()
    raw = {
        "train.jsonl": "\n".join(
            json.dumps(
                {"instruction": "What?", "outputs": "Red.", "image_base64_str": [base64.b64encode(content).decode()]}
            )
            for content in (whole, whole[:60])
        )
    }
    assert convert_files("m3it", raw).report.rows == 2
    report = convert_files("m3it", raw, check_decode=True, skip_missing=True).report
    assert (report.rows, report.broken.count) == (1, 1)


def test_first_offenders_are_named_and_the_rest_counted(convert_files):
    records = [{"q": "", "a": "a", "video_id": "v_0"}] * 20 + instruct(1, 1)
    report = convert_files("video-instruct", {"v.json": records}, clips(1)).report
    assert (report.malformed.count, len(report.malformed.first)) == (20, NUM_NAMED)


def test_no_row_left_is_an_error(convert_files, tmp_path):
    with pytest.raises(
        ValueError,
        match=r"No row of video-instruct is left: 1 records malformed, .*first: v\.json\[0\]: no `video_id`",
    ):
        convert_files("video-instruct", {"v.json": [{}]}, clips(1))
    assert not (tmp_path / "output").exists()


def test_a_file_that_breaks_off_leaves_the_earlier_rows_alone(convert_files, tmp_path):
    first = convert_files("video-instruct", {"v.json": instruct(4, 2)}, clips(2))
    before = {path.name: path.read_bytes() for path in first.folder.iterdir()}
    with pytest.raises(ValueError, match="breaks after 1 records"):
        convert_files("video-instruct", {"v.json": '[{"q": "a", "a": "b", "video_id": "v_0"}, {"q'})
    assert {path.name: path.read_bytes() for path in first.folder.iterdir()} == before


def test_the_same_request_gives_the_same_bytes_and_another_is_refused(convert_files, tmp_path):
    raw = {"v.json": instruct(20, 10)}
    first = convert_files("video-instruct", raw, clips(10), subset=Subset(fraction=0.5))
    before = {path.name: path.read_bytes() for path in first.folder.iterdir()}
    assert set(before) == {"README.md", "request.json", "train.jsonl"}
    convert_files("video-instruct", raw, subset=Subset(fraction=0.5))
    assert {path.name: path.read_bytes() for path in first.folder.iterdir()} == before
    with pytest.raises(ValueError, match="was written with fraction=0.5, not fraction=0.2"):
        convert_files("video-instruct", raw, subset=Subset(fraction=0.2))
    with pytest.raises(FileExistsError, match="holds files but no request.json"):
        convert("video-instruct", [tmp_path / "raw/v.json"], tmp_path / "media", media_root=tmp_path, progress=False)


def test_media_need_a_root(convert_files, tmp_path):
    with pytest.raises(ValueError, match="name media such as 'v_0'; give `--media-root`"):
        convert_files("video-instruct", {"v.json": instruct(1, 1)})
    with pytest.raises(FileNotFoundError, match="expected `--media-root`"):
        convert_files("video-instruct", {"v.json": instruct(1, 1)}, media_root=tmp_path / "absent")
    assert not (tmp_path / "output").exists()


@pytest.mark.parametrize(
    ("source", "subset", "message"),
    [
        (
            "videochat2-it",
            {"types": ("vqa", "chat")},
            "`types` names chat, which videochat2-it does not have; expected some",
        ),
        ("valley", {"types": ("vqa",)}, "`types` names vqa, which valley does not have; this source has none"),
        ("valley", {"fraction": 2}, "`fraction` is 2"),
        ("valley", {"pairs": 0}, "`pairs` is 0"),
        ("valley", {"by": "clip"}, "`by` is 'clip'"),
    ],
)
def test_bad_arguments_are_named(convert_files, source, subset, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        convert_files(source, {"chat.json": []}, ["a.mp4"], subset=Subset(**subset))
    assert not (tmp_path / "output").exists()


def test_trl_mixes_sets_of_videos_pictures_and_text(convert_files, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    conversations = [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "A cat."}]
    folders = []
    for source, raw, media in (
        ("video-instruct", instruct(4, 2), clips(2)),
        ("sharegpt4v", [{"id": "1", "image": "a.jpg", "conversations": conversations}], ["a.jpg"]),
        ("video-llava", [{"id": "t", "conversations": conversations}], []),
    ):
        folder = convert_files(source, {"raw.json": raw}, media).folder
        folders.append(folder.rename(tmp_path / source))
    mixture = get_dataset(DatasetMixtureConfig([DatasetConfig(str(folder)) for folder in folders]))["train"]
    kinds = defaultdict(list)
    for row in mixture:
        kinds[row["messages"][0]["content"][0]["type"]].append(row)
    assert {kind: len(rows) for kind, rows in kinds.items()} == {"video": 4, "image": 1, "text": 1}
    assert kinds["video"][0] == {**json.loads((folders[0] / "train.jsonl").open().readline()), "skill": None}


# `ru_maxrss` would not do: a new program inherits it from the process that started it.
MILLION = """
import re, sys
from ftfv.training.data.convert import Subset, convert
file, media_root, output = sys.argv[1:]
report = convert("video-instruct", [file], output, media_root=media_root, subset=Subset(fraction=0.9), progress=False)
peak = int(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read()).group(1))
print(report.videos, report.pairs, peak // 1024)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux says there what a process took at most")
def test_a_million_rows_take_less_than_a_gigabyte(tmp_path):
    (tmp_path / "media").mkdir()
    for number in range(1000):
        (tmp_path / f"media/v_{number}.mp4").write_bytes(b"x")
    answer = "A long answer about what happens in the video, as they are. " * 8
    with (tmp_path / "raw.json").open("w") as stream:
        stream.write("[")
        for number in range(1_000_000):
            record = {"q": f"What happens {number}?", "a": answer, "video_id": f"v_{number % 1000}"}
            stream.write((", " if number else "") + json.dumps(record))
        stream.write("]")
    assert (tmp_path / "raw.json").stat().st_size > 500e6
    arguments = [str(tmp_path / name) for name in ("raw.json", "media", "output")]
    finished = subprocess.run(
        [sys.executable, "-c", MILLION, *arguments],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    videos, pairs, megabytes = map(int, finished.stdout.split())
    assert (videos, pairs) == (900, 900_000)
    assert megabytes < 1024
    with (tmp_path / "output/train.jsonl").open() as stream:
        assert sum(1 for _ in stream) == 900_000
