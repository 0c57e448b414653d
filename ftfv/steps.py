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
"""
Long work in named steps that run once: each leaves a result file, and a rerun continues with the first that has none.
"""

import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .evaluation.atomic_write import atomic_write


@dataclass(frozen=True)
class Step:
    """A piece of long work.

    Attributes:
        name (`str`): what the step is called on the command line and its result in the folder `results`.
        title (`str`): what it does, for the person who waits.
        work (`Callable`): takes the folder and the results of the earlier steps, and returns its own, which JSON can
            hold. It may be interrupted and must then be able to continue or to start over.
    """

    name: str
    title: str
    work: Callable[[Path, dict[str, Any]], Any]


def run_steps(folder: Path, steps: Sequence[Step], stop_after: str | None = None) -> dict[str, Any]:
    """
    Runs the steps that have no result yet.

    Args:
        folder (`Path`): where the work is done and results are kept.
        steps (`Sequence[Step]`): in order.
        stop_after (`str`, *optional*): name of the last step to run.

    Returns:
        `dict[str, Any]`: result of each step, by name.

    Raises:
        ValueError: `stop_after` is no step.
    """
    names = [step.name for step in steps]
    if stop_after is not None and stop_after not in names:
        raise ValueError(f"No step is called {stop_after!r}; expected one of {', '.join(names)}.")
    results: dict[str, Any] = {}
    (folder / "results").mkdir(parents=True, exist_ok=True)
    for number, step in enumerate(steps, start=1):
        path = folder / "results" / f"{step.name}.json"
        heading = f"[{number}/{len(steps)}] {step.title}"
        if path.is_file():
            print(f"{heading}: done before", file=sys.stderr)
            results[step.name] = json.loads(path.read_text())
        else:
            print(heading, file=sys.stderr, flush=True)
            start = time.perf_counter()
            result = step.work(folder, results)
            write_json(path, result)
            results[step.name] = json.loads(path.read_text())
            print(f"    {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)
        if step.name == stop_after:
            break
    return results


def write_json(path: Path, content: Any) -> None:
    """Writes a JSON file at once, so that an interruption leaves none rather than half of it."""
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n")
