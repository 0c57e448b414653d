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
"""The README: every command, option, recipe and file that it names exists."""

import re

import pytest

from ftfv.cli import COMMANDS, build_parser
from ftfv.training.stages import recipe_path
from tests.tiny import ROOT


README = (ROOT / "README.md").read_text()


def test_every_command_is_known_and_every_command_is_named():
    named = set(re.findall(r"`?ftfv ([a-z]+)\b", README))
    assert named <= {*COMMANDS, "command"}
    assert named >= set(COMMANDS)


@pytest.mark.parametrize("line", re.findall(r"^ftfv .*$", README, re.MULTILINE))
def test_every_command_line_parses(line):
    import shlex

    words = shlex.split(line, comments=True)
    build_parser(words[1]).parse_args(words[1:])


def test_every_recipe_of_the_table_exists():
    table = README[README.index("| recipe |") :].split("\n\n")[0]
    names = [name for row in table.splitlines()[2:] for name in re.findall(r"`([a-z0-9]+)`", row.split("|")[1])]
    assert names == ["align", "pretrain", "instruct", "s4v", "s3iv"]
    for name in names:
        assert recipe_path(f"miniature/{name}").is_file()


def test_every_make_target_exists():
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"\bmake ([a-z-]+)", README):
        assert f"\n{target}:" in makefile, target


def test_every_file_that_it_links_exists():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert target.startswith("http") or (ROOT / target).exists(), target
