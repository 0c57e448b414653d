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
"""Media of a request: what is read without a server, and how long reading may take."""

import time

import pytest

from ftfv.serve_media import Limits, RefusedRequest, read_chat, read_media


def soon() -> float:
    return time.monotonic() + 60


def test_no_file_is_read_without_an_allowed_folder(clip):
    for url in (clip, f"file://{clip}", "clip.mp4", "ftp://example.org/clip.mp4"):
        with pytest.raises(RefusedRequest, match="the server reads files of no folder") as refused:
            read_media(url, Limits(), soon())
        assert refused.value.status == 403


def test_a_download_ends_with_the_time_of_its_request():
    with pytest.raises(RefusedRequest, match="takes longer than 5 seconds") as refused:
        read_media("http://127.0.0.1:9/clip.mp4", Limits(max_seconds=5), time.monotonic() - 1)
    assert refused.value.status == 408


def test_a_data_uri_is_measured_before_it_is_decoded():
    with pytest.raises(RefusedRequest, match="larger than 3e-06 MB") as refused:
        read_media("data:video/mp4;base64,AAAAAAAA", Limits(max_bytes=3), soon())
    assert refused.value.status == 413
    assert read_media("data:video/mp4;base64,AAAA", Limits(max_bytes=3), soon()) == bytes(3)


def test_a_chat_keeps_its_order_and_its_text():
    messages = [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        {"role": "assistant", "content": "c"},
    ]
    chat = read_chat(messages, Limits(), 8, soon())
    assert [(message["role"], [block["text"] for block in message["content"]]) for message in chat] == [
        ("system", ["be brief"]),
        ("user", ["a", "b"]),
        ("assistant", ["c"]),
    ]
    with pytest.raises(RefusedRequest, match="of the role 'system' is not the first"):
        read_chat(messages[::-1], Limits(), 8, soon())
