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
"""A file is either complete or absent."""

import pytest

from ftfv.evaluation.atomic_write import atomic_write


def test_a_file_appears_when_it_is_complete(tmp_path):
    path = tmp_path / "new" / "report.md"
    with atomic_write(path) as temporary:
        temporary.write_text("done")
        assert temporary.suffix == ".md" and not path.exists()

    assert path.read_text() == "done"
    assert list(path.parent.iterdir()) == [path]


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "report.md"
    path.write_text("old")
    with pytest.raises(RuntimeError, match="interrupted"), atomic_write(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError("interrupted")

    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
