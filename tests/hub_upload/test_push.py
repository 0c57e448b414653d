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
"""Files to a Hub in one commit: what is made, kept, removed and refused, and what an interruption leaves."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import ftfv
from ftfv.hub_upload.signature import sign
from tests.hub_stub import HubStub, Repository


# Pushes, each in a fork, so that it can be killed. The package without its __init__.py, which imports torch.
DRIVER = """
import dataclasses, json, os, sys, types

package = sys.modules["ftfv"] = types.ModuleType("ftfv")
package.__path__ = json.loads(sys.argv[1])
from ftfv.hub_upload.push import PlannedFile, push_files

for line in iter(sys.stdin.readline, ""):
    task = json.loads(line)
    if os.fork() == 0:
        print(os.getpid(), flush=True)
        sys.stdin.readline()  # the server now knows whom to kill
        try:
            files = [PlannedFile(path, content.encode()) for path, content in task["files"].items()]
            answer = dataclasses.asdict(push_files(files, message="push", **task["options"]))
        except Exception as error:
            answer = {"error": type(error).__name__, "message": str(error)}
        print(json.dumps(answer), flush=True)
        os._exit(0)
    _, status = os.wait()
    print(json.dumps({"status": status}), flush=True)
"""
TOKEN = "hf_" + "q" * 34
OLD = {"README.md": sign("# Old"), "config.json": "{}", "model.safetensors": "old weights"}
NEW = {"README.md": sign("# New"), "config.json": '{"a": 1}', "model.safetensors": "new weights"}


class Pusher:
    """A process that pushes to the stub."""

    def __init__(self, hub: HubStub, folder: Path, token: str | None = TOKEN):
        self.hub = hub
        environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
        environment |= {"HF_ENDPOINT": hub.url, "HF_HOME": str(folder), "HF_HUB_DISABLE_XET": "1"}
        if token is not None:
            environment["HF_TOKEN"] = token
        self.process = subprocess.Popen(
            [sys.executable, "-c", DRIVER, json.dumps(list(ftfv.__path__))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=(folder / "stderr").open("w"),
            text=True,
            env=environment,
        )

    def push(
        self, files: dict[str, str], repo_id: str = "org/name", cut: tuple[str, int] | None = None, **options: Any
    ) -> dict[str, Any] | None:
        """What was answered, None if it was killed at the request that `cut` names."""
        self.send(json.dumps({"files": files, "options": {"repo_id": repo_id, **options}}))
        process_id = int(self.process.stdout.readline())

        def kill(number: int) -> None:
            if cut is not None and number == cut[1]:
                os.kill(process_id, signal.SIGKILL)
                raise ConnectionAbortedError

        self.hub.before = kill if cut is not None and cut[0] == "before" else lambda number: None
        self.hub.after = kill if cut is not None and cut[0] == "after" else lambda number: None
        self.hub.requests.clear()
        self.send("go")
        answer = json.loads(self.process.stdout.readline())
        if "status" in answer:
            assert answer["status"] == signal.SIGKILL
            return None
        assert json.loads(self.process.stdout.readline()) == {"status": 0}
        return answer

    def send(self, line: str) -> None:
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait(timeout=60)


@pytest.fixture(scope="module")
def pusher(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pusher]:
    with HubStub() as hub:
        pusher = Pusher(hub, tmp_path_factory.mktemp("pusher"))
        yield pusher
        pusher.close()


@pytest.fixture
def hub(pusher: Pusher) -> HubStub:
    pusher.hub.repositories.clear()
    pusher.hub.lfs.clear()
    return pusher.hub


def texts(repository: Repository, revision: str = "main") -> dict[str, str]:
    files = repository.files(revision)
    return {name: content.decode() for name, content in files.items() if name != ".gitattributes"}


def existing(hub: HubStub, files: dict[str, str], private: bool = False, name: str = "org/name") -> Repository:
    """A repository with one commit of these files."""
    repository = hub.repositories[name] = Repository(name, private)
    content = {name: text.encode() for name, text in files.items()}
    repository.commit("main", {**repository.files(), **content}, "older push")
    return repository


def test_a_new_repository_gets_all_files_in_one_commit(hub, pusher):
    answer = pusher.push(NEW)
    repository = hub.repositories["org/name"]
    assert texts(repository) == NEW
    assert [commit["message"] for commit in repository.commits.values()] == ["initial commit", "push"]
    assert answer == {
        "commit": repository.branches["main"],
        "url": f"{hub.url}/org/name/commit/{repository.branches['main']}",
        "is_new": True,
        "removed": [],
        "kept_card": False,
    }
    assert not repository.private


def test_a_second_push_without_changes_makes_no_commit(hub, pusher):
    first = pusher.push(NEW)
    second = pusher.push(NEW)
    assert second["commit"] == first["commit"] and not second["is_new"]
    assert len(hub.repositories["org/name"].commits) == 2


def test_an_interruption_at_any_request_leaves_the_old_files_or_the_new_and_a_rerun_completes(hub, pusher):
    existing(hub, OLD)
    assert pusher.push(NEW)["is_new"]
    requests = list(hub.requests)
    assert [path for method, path in requests if method == "POST"][-1] == "/api/models/org/name/commit/main"
    states = []
    for number in range(len(requests)):
        for moment in ("before", "after"):
            hub.repositories.clear()
            hub.lfs.clear()
            repository = existing(hub, OLD)
            old_commit = repository.branches["main"]
            assert pusher.push(NEW, cut=(moment, number)) is None
            states.append(texts(repository))
            assert states[-1] in (OLD, NEW)
            assert {name: content.decode() for name, content in repository.commits[old_commit]["files"].items()}[
                "model.safetensors"
            ] == OLD["model.safetensors"]
            assert pusher.push(NEW)["is_new"] == (states[-1] == OLD)
            assert texts(repository) == NEW and len(repository.commits) == 3
    assert OLD in states
    # The commit that the Hub made although its answer never came.
    assert states[-1] == NEW


def test_an_interruption_before_the_first_commit_leaves_an_empty_repository(hub, pusher):
    pusher.push(NEW, "org/other")
    for number in range(len(hub.requests)):
        hub.repositories.clear()
        hub.lfs.clear()
        assert pusher.push(NEW, cut=("before", number)) is None
        assert "org/name" not in hub.repositories or texts(hub.repositories["org/name"]) == {}
        pusher.push(NEW)
        assert texts(hub.repositories["org/name"]) == NEW


@pytest.mark.parametrize("card", ["# Mine", sign("# Old").replace("Old", "Older")])
def test_a_persons_card_stays(hub, pusher, card):
    repository = existing(hub, {**OLD, "README.md": card})
    assert pusher.push(NEW)["kept_card"]
    assert texts(repository) == {**NEW, "README.md": card}


def test_a_persons_card_that_is_pushed_again_is_not_reported(hub, pusher):
    existing(hub, {**OLD, "README.md": "# Mine"})
    assert not pusher.push({**NEW, "README.md": "# Mine"})["kept_card"]


def test_what_would_be_loaded_instead_goes_and_the_rest_stays(hub, pusher):
    stale = {
        "model-00001-of-00002.safetensors": "a",
        "model.safetensors.index.json": "{}",
        "adapter_config.json": "{}",
        "training_args.bin": "x",
        "gone_ftfv.py": "",
    }
    kept = {"LICENSE": "mine", "notes/adapter_config.json": "{}", "demo.png": "p"}
    repository = existing(hub, {**OLD, **stale, **kept})
    assert pusher.push(NEW)["removed"] == sorted(stale)
    assert texts(repository) == {**NEW, **kept}


def test_a_pull_request_leaves_the_main_branch(hub, pusher):
    repository = existing(hub, OLD)
    answer = pusher.push(NEW, create_pr=True)
    assert texts(repository) == OLD and texts(repository, "refs/pr/1") == NEW
    assert answer["url"].endswith("/org/name/discussions/1")


def test_a_branch_is_made_and_taken_again(hub, pusher):
    repository = existing(hub, OLD)
    pusher.push(NEW, revision="next")
    assert texts(repository) == OLD and texts(repository, "next") == NEW
    assert not pusher.push(NEW, revision="next")["is_new"]


def test_a_private_repository(hub, pusher):
    pusher.push(NEW, private=True)
    assert hub.repositories["org/name"].private
    assert not pusher.push(NEW, private=True)["is_new"]


def test_a_public_repository_is_not_taken_for_a_private_one(hub, pusher):
    repository = existing(hub, OLD)
    answer = pusher.push(NEW, private=True)
    assert answer["error"] == "ValueError"
    assert "'org/name' exists and is public, so --private would publish" in answer["message"]
    assert texts(repository) == OLD


def test_a_branch_and_a_pull_request_exclude_each_other(hub, pusher):
    answer = pusher.push(NEW, create_pr=True, revision="next")
    assert "goes to the main branch, not to 'next'" in answer["message"] and hub.requests == []


def test_nobody_is_asked_without_a_token(hub, tmp_path):
    anonymous = Pusher(hub, tmp_path, token=None)
    answer = anonymous.push(NEW)
    anonymous.close()
    assert answer["message"] == "Nobody is logged in to the Hub; run `hf auth login`, or set HF_TOKEN."
    assert hub.requests == []


SPACE_FILES = {"README.md": sign("# Space"), "app.py": "new"}


def test_a_space_is_made_beside_the_model_of_the_same_name(hub, pusher):
    pusher.push(NEW)
    answer = pusher.push(SPACE_FILES, space_sdk="gradio")
    space = hub.repositories["spaces/org/name"]
    assert texts(space) == SPACE_FILES and texts(hub.repositories["org/name"]) == NEW
    assert answer["url"] == f"{hub.url}/spaces/org/name/commit/{space.branches['main']}"
    assert not pusher.push(SPACE_FILES, space_sdk="gradio")["is_new"] and len(space.commits) == 2


def test_of_a_space_a_persons_card_and_other_files_stay(hub, pusher):
    old = {"README.md": "# Mine", "app.py": "old", "example.mp4": "clip", "adapter_config.json": "{}"}
    space = existing(hub, old, name="spaces/org/name")
    answer = pusher.push(SPACE_FILES, space_sdk="gradio")
    assert answer["kept_card"] and answer["removed"] == []
    assert texts(space) == {**old, "app.py": "new"}


def test_an_interrupted_space_is_completed(hub, pusher):
    pusher.push(SPACE_FILES, "org/other", space_sdk="gradio")
    for number in range(len(hub.requests)):
        hub.repositories.clear()
        assert pusher.push(SPACE_FILES, cut=("after", number), space_sdk="gradio") is None
        pusher.push(SPACE_FILES, space_sdk="gradio")
        assert texts(hub.repositories["spaces/org/name"]) == SPACE_FILES


def test_a_private_space(hub, pusher):
    pusher.push(SPACE_FILES, private=True, space_sdk="gradio")
    assert hub.repositories["spaces/org/name"].private


def test_somebody_elses_commit_meanwhile_is_not_overwritten(hub, pusher):
    """The last commit goes out after another one has come in."""
    repository = existing(hub, OLD)
    other = {name: content.encode() for name, content in OLD.items()} | {"config.json": b"theirs"}
    respond = hub.respond

    def interfere(method, path, *arguments):
        if "/commit/" in path:
            repository.commit("main", other, "theirs")
        return respond(method, path, *arguments)

    hub.respond = interfere
    try:
        answer = pusher.push(NEW)
    finally:
        hub.respond = respond
    assert "412" in answer["message"] and TOKEN not in answer["message"]
    assert texts(repository)["config.json"] == "theirs"
