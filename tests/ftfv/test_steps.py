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
"""Named steps: each runs once, and an interruption leaves the finished ones in place."""

import pytest

from ftfv.steps import Step, run_steps


def build_steps(calls, fails=False):
    def second(folder, results):
        calls.append("second")
        if fails:
            raise KeyboardInterrupt
        return {"sum": results["first"]["value"] + 1}

    def first(folder, results):
        calls.append("first")
        return {"value": 41}

    return (Step("first", "First", first), Step("second", "Second", second))


def test_results_of_earlier_steps_reach_later_ones(tmp_path):
    assert run_steps(tmp_path, build_steps([])) == {"first": {"value": 41}, "second": {"sum": 42}}


def test_an_interrupted_run_continues_with_the_step_that_has_no_result(tmp_path, capsys):
    calls = []
    with pytest.raises(KeyboardInterrupt):
        run_steps(tmp_path, build_steps(calls, fails=True))
    assert [path.name for path in (tmp_path / "results").iterdir()] == ["first.json"]
    assert run_steps(tmp_path, build_steps(calls))["second"] == {"sum": 42}
    assert calls == ["first", "second", "second"]
    assert "[1/2] First: done before" in capsys.readouterr().err


def test_stop_after_leaves_the_rest(tmp_path):
    calls = []
    assert run_steps(tmp_path, build_steps(calls), stop_after="first") == {"first": {"value": 41}}
    assert calls == ["first"]


def test_an_unknown_step_is_named_with_the_known_ones(tmp_path):
    with pytest.raises(ValueError, match="No step is called 'third'; expected one of first, second"):
        run_steps(tmp_path, build_steps([]), stop_after="third")
