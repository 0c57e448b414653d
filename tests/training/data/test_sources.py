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
"""The registry of sources against the paper's tables."""

import pytest

from ftfv.training.data.sources import SOURCES, find_source


def test_every_set_of_the_papers_tables_has_a_source():
    tables = {
        "Table 1": {"laion", "llava-pretrain", "grit", "visual-genome", "vqav2", "gqa", "sharegpt4v-captions"}
        | {"sharegpt4v", "m3it"},
        "Table 2": {"valley", "video-instruct"},
        "section 4.5": {"videochat2-it"},
    }
    for place, names in tables.items():
        assert {name for name, source in SOURCES.items() if place in source.summary} == names


def test_the_six_types_are_those_of_section_4_5():
    types = {"classification", "simple_caption", "detailed_caption", "conversation", "vqa", "reasoning"}
    assert set(SOURCES["videochat2-it"].types) == types


def test_an_unknown_source_is_refused():
    with pytest.raises(ValueError, match="No source 'webvid'; expected one of video-instruct, valley, "):
        find_source("webvid")
