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
"""A card that was written by us is told from one that was edited."""

import pytest

from ftfv.hub_upload.signature import is_untouched, sign


CARD = "---\nlicense: unknown\n---\n\n# Name\n\nText.\n"


@pytest.mark.parametrize("change", [str, lambda card: card.replace("\n", "\r\n"), lambda card: card + "\n\n"])
def test_a_signed_card_is_untouched(change):
    assert is_untouched(change(sign(CARD)))


@pytest.mark.parametrize(
    "change",
    [
        lambda card: card.replace("Text", "My text"),
        lambda card: card.replace("unknown", "mit"),
        lambda card: card + "More.\n",
        lambda card: "More.\n" + card,
        lambda card: card[: card.index("<!--")],
    ],
)
def test_an_edited_card_is_not(change):
    assert not is_untouched(change(sign(CARD)))


def test_a_card_of_someone_else_is_not():
    assert not is_untouched(CARD) and not is_untouched("")


def test_the_card_is_kept_and_the_mark_not_shown():
    assert sign(CARD).startswith(CARD) and sign(CARD)[len(CARD) :].strip().startswith("<!--")
    assert sign(CARD) == sign(CARD + "\n\n")
