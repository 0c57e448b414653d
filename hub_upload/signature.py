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
"""Tells a card that `ftfv push` wrote from one that a person has edited since."""

import hashlib
import re


MARK = re.compile(r"\n<!-- written by ftfv push, sha256 ([0-9a-f]{64}) -->\n*\Z")


def sign(card: str) -> str:
    """Appends the digest of a card, in a comment that is not shown."""
    card = card.rstrip("\n") + "\n"
    return f"{card}\n<!-- written by ftfv push, sha256 {_digest(card)} -->\n"


def is_untouched(card: str) -> bool:
    """Whether the card is as [`sign`] returned it, line ends aside."""
    card = card.replace("\r\n", "\n")
    mark = MARK.search(card)
    return mark is not None and mark.group(1) == _digest(card[: mark.start()])


def _digest(card: str) -> str:
    return hashlib.sha256(card.encode()).hexdigest()
