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
"""Raw data sets on disk, and their conversion."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from ftfv.training.data.convert import ConversionReport, convert
from ftfv.training.data.dataset_folder import estimated_length


@dataclass
class Converted:
    """A converted data set; in its rows, here without `length`, `MEDIA` stands for the media root and `OUTPUT` for the
    folder written."""

    report: ConversionReport
    rows: list[dict]
    folder: Path


@pytest.fixture
def convert_files(tmp_path: Path) -> Callable[..., Converted]:
    """Writes raw files, given by name as text, bytes or what becomes JSON, and media files, and converts them."""

    def run(
        source: str,
        raw: Mapping[str, object],
        media: Iterable[str] = (),
        *,
        files: Iterable[str] | None = None,
        **options: object,
    ) -> Converted:
        media_root = tmp_path / "media"
        for name in media:
            write(media_root / name, b"not empty")
        for name, content in raw.items():
            write(tmp_path / "raw" / name, content)
        if media_root.is_dir():
            options.setdefault("media_root", media_root)
        given = [tmp_path / "raw" / name for name in (raw if files is None else files)]
        report = convert(source, given, tmp_path / "output", progress=False, **options)
        text = (tmp_path / "output/train.jsonl").read_text()
        text = text.replace(str(media_root), "MEDIA").replace(str(tmp_path / "output"), "OUTPUT")
        rows = [json.loads(line) for line in text.splitlines()]
        assert all(row.pop("length") == estimated_length(row) for row in rows)
        return Converted(report, rows, tmp_path / "output")

    return run


def write(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not isinstance(content, bytes):
        content = (content if isinstance(content, str) else json.dumps(content)).encode()
    path.write_bytes(content)
