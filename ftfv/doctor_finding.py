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
"""One line of `ftfv doctor`, and how an error becomes one."""

from collections.abc import Callable
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Finding:
    """
    What was found about one subject.

    Attributes:
        subject (`str`): what was looked at, in a word or two.
        good (`bool`): whether it is as it should be.
        text (`str`): what was found.
        cure (`str`, *optional*): what to do; given where it is bad.
    """

    subject: str
    good: bool
    text: str
    cure: str | None = None

    def __str__(self) -> str:
        cure = f" To mend it: {self.cure}" if self.cure else ""
        return f"{'good' if self.good else 'BAD '}  {self.subject:<24} {self.text}{cure}"

    def as_document(self) -> dict[str, object]:
        """The finding as `--json` prints it."""
        return asdict(self)


def examine(subject: str, check: Callable[[], str], cure: str) -> Finding:
    """
    What a check returns as a good finding, and whatever it raises as a bad one: the doctor looks at what is broken, so
    no kind of error is out of the question.

    Args:
        subject (`str`): what is looked at.
        check (`Callable[[], str]`): returns the text of the finding.
        cure (`str`): what to do if it raises.
    """
    try:
        return Finding(subject, True, check())
    except Exception as error:
        message = " ".join(str(error).split())[:400] or "no message"
        name = "" if isinstance(error, (ValueError, OSError, RuntimeError)) else f"{type(error).__name__}: "
        return Finding(subject, False, f"{name}{message.rstrip('.')}.", cure)
