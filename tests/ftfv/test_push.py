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
"""`ftfv push` to a Hub of the tests' own, and what strangers get from there."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import ftfv
from ftfv.cli import main
from ftfv.hub_upload.checks import PICTURE
from ftfv.hub_upload.signature import is_untouched
from tests.hub_stub import HubStub
from tests.strangers import ask_as_stranger, package_answer, run_python, stranger_environment
from tests.tiny import WORDS, build_model, build_processor, write_video


TOKEN = "hf_" + "q" * 34
OPTIONS = ("--license", "apache-2.0", "--base-model", "org/tower=mit", "org/language", "--json")

# Runs one command line after another, so that libraries are imported once; a line of JSON for each. The folder is the
# same for all of them: the first has it tried out by a clean process, whose answers the others compare theirs with.
COMMANDS = """
import contextlib, io, json, sys, time

sys.path[:0] = json.loads(sys.argv[1])
from ftfv.cli import main
from ftfv.hub_upload import trial

ask, answers = trial._answer_as_stranger, []

def ask_once(*arguments):
    if not answers:
        answers.append(ask(*arguments))
    return answers[0]

trial._answer_as_stranger = ask_once
for words in json.loads(sys.argv[2]):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(words)
    print("\\x1e" + json.dumps({"code": code, "out": out.getvalue(), "err": err.getvalue(), "ended": time.time()}))
"""


def run_commands(*commands: tuple[str, ...], cwd: Path, **settings: str) -> list[dict[str, Any]]:
    """Exit code, output and time of the end of `ftfv` with each of the words, in one process."""
    path = [str(Path(ftfv.__file__).parents[1])]
    printed = run_python(COMMANDS, json.dumps(path), json.dumps(commands), cwd=cwd, **settings)
    return [json.loads(line[1:]) for line in printed.split("\n") if line.startswith("\x1e")]


@pytest.fixture(scope="module")
def hub() -> Iterator[HubStub]:
    with HubStub() as hub:
        yield hub


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("elsewhere")
    write_video(folder / "clip.mp4", 20)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model as a stage of training leaves it, with its recipe beside it and a result in it."""
    folder = tmp_path_factory.mktemp("runs") / "s4v" / "model"
    build_model().save_pretrained(folder)
    build_processor().save_pretrained(folder)
    (folder.parent / "recipe.yaml").write_text("lora_r: 32\nmodel_name_or_path: /data/me/start\n")
    (folder / ".eval_results").mkdir()
    result = [{"dataset": {"id": "org/bench", "task_id": "default"}, "value": 51.2}]
    (folder / ".eval_results" / "bench.yaml").write_text(yaml.safe_dump(result))
    return folder


@pytest.fixture(scope="module")
def pushed(hub: HubStub, folder: Path, elsewhere: Path) -> dict[str, Any]:
    """A dry run, a push, three more with a Space, and when the Hub was first asked."""
    settings = {"HF_ENDPOINT": hub.url, "HF_TOKEN": TOKEN}
    push = ("push", str(folder), "org/tiny", *OPTIONS)
    space = (*push, "--space", "org/ask-tiny")
    times: list[float] = []
    hub.before = lambda number: times.append(time.time())
    in_words = tuple(word for word in space if word != "--json")
    commands = ((*space, "--dry-run"), push, space, (*push, "--space"), in_words)
    answers = run_commands(*commands, cwd=elsewhere, **settings)
    assert [answer["code"] for answer in answers] == [0] * len(commands), answers
    hub.before = lambda number: None
    documents = [json.loads(answer["out"]) for answer in answers[:-1]]
    return {
        "answers": answers,
        "first_request": times[0],
        "dry": documents[0],
        "first": documents[1],
        "second": documents[2],
        "namesake": documents[3],
        "words": answers[-1]["out"],
    }


@pytest.fixture(scope="module")
def repository(hub: HubStub, pushed: dict[str, Any]) -> dict[str, bytes]:
    return {name: content for name, content in hub.repositories["org/tiny"].files().items() if name[:4] != ".git"}


def test_the_dry_run_is_what_was_uploaded(pushed, repository):
    assert pushed["dry"]["files"] == pushed["first"]["files"]
    assert {entry["path"]: entry["size"] for entry in pushed["dry"]["files"]} == {
        name: len(content) for name, content in repository.items()
    }
    assert pushed["dry"]["card"] == repository["README.md"].decode()
    assert pushed["dry"]["bytes"] == sum(map(len, repository.values()))


def test_the_dry_run_contacts_nobody(pushed):
    assert pushed["answers"][0]["ended"] < pushed["first_request"] < pushed["answers"][1]["ended"]


def test_the_files_of_the_folder_and_a_card_are_uploaded(repository, folder):
    local = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert repository.keys() == {*local, "README.md", PICTURE}
    assert all(repository[name] == content for name, content in local.items())
    assert not (folder / "README.md").exists() and not (folder / PICTURE).exists()


def test_one_commit_and_none_without_changes(hub, pushed):
    messages = [commit["message"] for commit in hub.repositories["org/tiny"].commits.values()]
    assert messages == ["initial commit", "Upload an FTFV model"]
    assert pushed["first"]["is_new"] and not pushed["second"]["is_new"]
    assert pushed["first"]["commit"] == pushed["second"]["commit"]


def test_without_json_it_tells_files_sizes_and_outcome(pushed, repository):
    *lines, total, outcome = pushed["words"].split("\n\n")[0].splitlines()
    assert lines == [f"{len(content):>15,}  {name}" for name, content in sorted(repository.items())]
    assert total.split(maxsplit=1) == [f"{pushed['dry']['bytes']:,}", f"bytes in {len(repository)} files"]
    assert outcome == f"nothing has changed since {pushed['first']['commit']}; no commit was made"


def test_the_space_is_what_the_dry_run_showed(hub, pushed):
    shown, space = pushed["dry"]["space"], pushed["second"]["space"]
    files = {
        name: text for name, text in hub.repositories["spaces/org/ask-tiny"].files().items() if name[:4] != ".git"
    }
    assert shown["repo_id"] == space["repo_id"] == "org/ask-tiny" and shown["files"] == space["files"]
    assert {entry["path"]: entry["size"] for entry in shown["files"]} == {name: len(files[name]) for name in files}
    assert shown["card"] == files["README.md"].decode() and "- org/tiny\n" in shown["card"]
    assert "space" not in pushed["first"]


def test_the_space_is_one_commit_and_none_without_changes(hub, pushed):
    messages = [commit["message"] for commit in hub.repositories["spaces/org/ask-tiny"].commits.values()]
    assert messages == ["initial commit", "Upload a Space for org/tiny"]
    space = pushed["second"]["space"]
    assert space["is_new"] and "/spaces/org/ask-tiny/commit/" in space["url"]
    title, *lines = pushed["words"].split("\n\n")[1].splitlines()
    assert title == "The Space org/ask-tiny:" and len(lines) == len(space["files"]) + 2
    assert lines[-1] == f"nothing has changed since {space['commit']}; no commit was made"


def test_the_space_has_the_name_of_the_model_unless_told(hub, pushed):
    assert pushed["namesake"]["space"]["repo_id"] == "org/tiny"
    named, told = (hub.repositories[f"spaces/org/{name}"].files() for name in ("tiny", "ask-tiny"))
    assert named == told


def test_the_card_knows_stage_recipe_and_results(repository):
    card = repository["README.md"].decode()
    assert is_untouched(card)
    assert "Stage: `s4v`." in card and "lora_r: 32\nmodel_name_or_path: start" in card
    assert "| base model `org/tower` | mit |" in card and "| org/bench | default |  51.2 |" in card
    metadata = yaml.safe_load(card.split("---\n")[1])
    assert metadata["license"] == "apache-2.0" and metadata["base_model"] == ["org/tower", "org/language"]
    assert metadata["model-index"][0]["results"][0]["dataset"]["type"] == "org/bench"


def test_the_token_appears_nowhere(hub, pushed, repository, elsewhere):
    assert TOKEN not in json.dumps(pushed) and TOKEN not in str(hub.requests)
    assert all(TOKEN.encode() not in content for content in repository.values())
    cached = [path for path in elsewhere.rglob("*") if path.is_file() and TOKEN.encode() in path.read_bytes()]
    assert cached == []


def test_strangers_load_every_class_and_get_the_same_answer(hub, pushed, folder, elsewhere):
    clip = str(elsewhere / "clip.mp4")
    found = ask_as_stranger("org/tiny", None, clip, elsewhere, HF_ENDPOINT=hub.url)
    names = {auto: name for auto, (package, name) in found["classes"].items() if package == "transformers_modules"}
    assert names == {
        "AutoConfig": "FTFVConfig",
        "AutoModel": "FTFVModel",
        "AutoModelForImageTextToText": "FTFVForConditionalGeneration",
        "AutoModelForMultimodalLM": "FTFVForConditionalGeneration",
        "AutoProcessor": "FTFVProcessor",
        "AutoVideoProcessor": "FTFVVideoProcessor",
        "AutoImageProcessor": "FTFVImageProcessor",
    }
    assert found["vocabulary"] == len(WORDS) and found["pipeline"] == "VideoTextToTextPipeline"
    assert found["ids"] == package_answer(folder, clip)
    assert found["imported"] == []


# The three ways in

WAY_IN = """
import sys

way, repo_id, *path = sys.argv[1:]
if way == "import":
    sys.path[:0] = path
    import ftfv
else:
    sys.modules["ftfv"] = None
from transformers import AutoModel, AutoModelForImageTextToText

options = {"trust_remote_code": True} if way == "flag" else {}
base = AutoModel.from_pretrained(repo_id, **options)
model = AutoModelForImageTextToText.from_pretrained(repo_id, **options)
print("\\n", type(base).__name__, hasattr(base, "generate"), type(model).__name__, hasattr(model, "generate"))
"""


@pytest.mark.parametrize("way", ["import", "flag", "prompt"])
def test_each_way_in(way, hub, pushed, elsewhere):
    printed = run_python(
        WAY_IN,
        way,
        "org/tiny",
        str(Path(ftfv.__file__).parents[1]),
        cwd=elsewhere,
        standard_input="y\n" * 8 if way == "prompt" else "",
        HF_ENDPOINT=hub.url,
    )
    assert printed.splitlines()[-1].split() == ["FTFVModel", "False", "FTFVForConditionalGeneration", "True"]
    assert ("Do you wish to run the custom code? [y/N]" in printed) == (way == "prompt")


def test_the_prompt_takes_no_for_an_answer(hub, pushed, elsewhere):
    code = WAY_IN.replace("base = ", "try:\n    ").split("model = ")[0]
    code += "except ValueError as error:\n    print(' '.join(str(error).split()))"
    printed = run_python(code, "prompt", "org/tiny", cwd=elsewhere, standard_input="n\n" * 8, HF_ENDPOINT=hub.url)
    assert "trust_remote_code=True" in printed.splitlines()[-1]


# The card's snippets

SNIPPETS = """
import json, sys

blocked, path, snippets = json.loads(sys.argv[1])
if blocked:
    sys.modules["ftfv"] = None
sys.path[:0] = path
for snippet in snippets:
    exec(compile(snippet, "snippet", "exec"), {})
"""


@pytest.mark.parametrize("with_package", [False, True])
def test_every_snippet_of_the_card_runs(with_package, hub, repository, elsewhere):
    snippets = [block.split("```")[0] for block in repository["README.md"].decode().split("```python\n")[1:]]
    chosen = [snippet for snippet in snippets if ("import ftfv" in snippet) == with_package]
    assert len(chosen) == (1 if with_package else 3)
    path = [str(Path(ftfv.__file__).parents[1])] if with_package else []
    arguments = json.dumps([not with_package, path, chosen])
    printed = run_python(SNIPPETS, arguments, cwd=elsewhere, HF_ENDPOINT=hub.url)
    assert ("torch.Size([1, 32, 32])" in printed) != with_package


# Refused before anything is loaded


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("nothing", "org/tiny"), "No folder 'nothing'; expected a saved model with its processor."),
        ((".", "tiny"), "The repository is 'tiny'; expected 'organisation/name'."),
        ((".", "a/b", "--license-name", "mine"), "--license is None; expected 'other' with --license-name"),
        ((".", "a/b", "--create-pr", "--revision", "next"), "--create-pr goes to the main branch; leave --revision"),
        ((".", "a/b", "--space", "b"), "The Space is 'b'; expected 'organisation/name'."),
        (
            (".", "a/b", "--create-pr", "--space"),
            "--space runs the main branch of the model, which --create-pr",
        ),
        ((".", "a/b", "--revision", "next", "--space"), "--space runs the main branch of the model, which --revision"),
        ((".", "a/b", "--recipe", "gone"), "No recipe 'gone'; expected one of"),
        ((".", "a/b", "--results", "gone.yaml"), "No results 'gone.yaml'"),
        ((".", "a/b", "--base-model", "=mit"), "The base model is '=mit'; expected 'ID' or 'ID=LICENCE'"),
    ],
)
def test_wrong_arguments_are_one_line(words, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["push", *words]) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith(f"ftfv push: error: {message}") and captured.err.count("\n") == 1


def test_a_folder_with_other_files_is_refused(capsys):
    shipped = Path(ftfv.__file__).parent / "assets" / "miniature"
    assert main(["push", str(shipped), "org/tiny", "--dry-run"]) == 1
    assert "files that no FTFV model has: SHA256SUMS, figures.json" in capsys.readouterr().err


def test_the_environment_of_strangers_has_no_token(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert TOKEN not in stranger_environment(tmp_path).values()
