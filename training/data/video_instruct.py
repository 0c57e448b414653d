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
"""VideoInstruct-100K of Video-ChatGPT: one question and answer a record, about clips of ActivityNet.

`VideoInstruct100K.json` is `[{"q": ..., "a": ..., "video_id": "v_..."}]`; the files of the videos have any suffix.
"""

from collections.abc import Iterator, Mapping

from .raw_files import RawFiles, read_records
from .samples import Media, PlacedSample, Sample, pair_turns, parse_records, text_of


def read_samples(files: RawFiles, seed: int) -> Iterator[PlacedSample]:
    """A sample for each question."""
    for file in files:
        yield from parse_records(read_records(file), parse)


def parse(record: Mapping, place: str) -> Sample:
    """
    Raises:
        MalformedRecord: a field is missing or empty.
    """
    video = text_of(record, "video_id")
    turns = pair_turns([("user", text_of(record, "q")), ("assistant", text_of(record, "a"))])
    return Sample(turns, Media("video", (video,), id=video))
