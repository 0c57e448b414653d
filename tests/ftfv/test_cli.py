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
"""The command line: help, exit codes, and errors in one line."""

import argparse
import json
import runpy
import shlex
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path

import pytest

import ftfv
from ftfv import cli


# The package without its __init__.py, which registers the classes with transformers and so imports torch.
BARE_PACKAGE = f"""
import sys, types
ftfv = sys.modules["ftfv"] = types.ModuleType("ftfv")
ftfv.__path__, ftfv.__version__ = {list(ftfv.__path__)!r}, "0"
from ftfv import cli
"""


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable], None]:
    """Adds a subcommand `fake` that runs the given function."""

    def add_arguments(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("words", nargs="*")
        parser.add_argument("--json", action="store_true")

    def add(run: Callable) -> None:
        module = types.ModuleType("ftfv.fake")
        module.add_arguments = add_arguments
        module.run = run
        monkeypatch.setitem(sys.modules, "ftfv.fake", module)
        monkeypatch.setitem(cli.COMMANDS, "fake", cli.Command("do nothing", "ftfv fake"))

    return add


def raiser(error: BaseException) -> Callable:
    def run(args):
        raise error

    return run


def test_help_lists_every_command(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["--help"])
    assert stop.value.code == 0
    printed = capsys.readouterr().out
    for name, entry in cli.COMMANDS.items():
        assert name in printed
        assert entry.summary.split()[0] in printed


def test_python_m_ftfv_is_the_command(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["ftfv", "--version"])
    with pytest.raises(SystemExit) as stop:
        runpy.run_module("ftfv", run_name="__main__")
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"ftfv {ftfv.__version__}\n"


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_help_of_a_command_ends_in_its_example(name, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main([name, "--help"])
    assert stop.value.code == 0
    assert capsys.readouterr().out.rstrip().endswith(f"example:\n  {cli.COMMANDS[name].example}")


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_example_is_a_legal_command_line(name):
    program, *arguments = shlex.split(cli.COMMANDS[name].example)
    assert program == "ftfv"
    assert arguments[0] == name
    assert callable(cli.build_parser(name).parse_args(arguments).run)


def test_help_of_every_command_waits_for_no_heavy_library():
    code = f"{BARE_PACKAGE}\nfor name in cli.COMMANDS: cli.build_parser(name)"
    code += "\nprint(*{'torch', 'transformers', 'av', 'matplotlib'} & set(sys.modules))"
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert finished.stdout.strip() == ""


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["--nonsense"], ["fake", "--nonsense"]])
def test_usage_error_is_one_line_and_exits_2(arguments, command, capsys):
    command(lambda args: 0)
    with pytest.raises(SystemExit) as stop:
        cli.main(arguments)
    assert stop.value.code == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("ftfv")
    assert "error: " in captured.err
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize(("returned", "code"), [(None, 0), (0, 0), (3, 3)])
def test_exit_code_is_what_the_command_returns(returned, code, command):
    command(lambda args: returned)
    assert cli.main(["fake"]) == code


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("K is 0,\n  expected 1 to 16"), "K is 0, expected 1 to 16"),
        (FileNotFoundError("no video at x.mp4"), "no video at x.mp4"),
        (ImportError("torchcodec is missing"), "torchcodec is missing"),
        (KeyError("video_config"), "KeyError: 'video_config'"),
        (RuntimeError(), "RuntimeError (run again with --debug for the traceback)"),
    ],
)
def test_error_is_one_line_on_stderr_and_exits_1(error, line, command, capsys):
    command(raiser(error))
    assert cli.main(["fake", "word"]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == f"ftfv fake: error: {line}\n"


def test_error_while_a_command_is_imported_is_one_line(monkeypatch, capsys):
    monkeypatch.setitem(cli.COMMANDS, "absent", cli.Command("is not there", "ftfv absent"))
    assert cli.main(["absent"]) == 1
    assert capsys.readouterr().err == "ftfv absent: error: No module named 'ftfv.absent'\n"


@pytest.mark.parametrize("arguments", [["--debug", "fake"], ["fake", "--debug"]])
def test_debug_before_or_after_the_command_shows_the_traceback(arguments, command):
    command(raiser(ValueError("wrong")))
    with pytest.raises(ValueError, match="wrong"):
        cli.main(arguments)


def test_json_is_the_only_thing_on_stdout(command, capfd):
    def run(args):
        sys.stdout.write("from python\n")
        subprocess.run(["echo", "from a child"], check=True)
        return {"accuracy": 0.9, "words": args.words}

    command(run)
    assert cli.main(["fake", "word", "--json"]) == 0
    captured = capfd.readouterr()
    assert json.loads(captured.out) == {"accuracy": 0.9, "words": ["word"]}
    assert sorted(captured.err.splitlines()) == ["from a child", "from python"]


def test_stdout_is_given_back_after_an_error_under_json(command, capfd):
    command(raiser(ValueError("wrong")))
    assert cli.main(["fake", "--json"]) == 1
    sys.stdout.write("after\n")
    assert capfd.readouterr() == ("after\n", "ftfv fake: error: wrong\n")


def test_exit_of_the_command_itself_is_kept(command):
    command(raiser(SystemExit(7)))
    with pytest.raises(SystemExit) as stop:
        cli.main(["fake"])
    assert stop.value.code == 7


def test_interruption_says_how_to_continue(command, capsys):
    command(raiser(KeyboardInterrupt()))
    assert cli.main(["fake"]) == 130
    assert capsys.readouterr().err == "ftfv fake: interrupted; run the same command again to continue\n"


def test_a_reader_that_goes_away_is_no_error_message(tmp_path: Path):
    code = f"""{BARE_PACKAGE}
fake = sys.modules["ftfv.fake"] = types.ModuleType("ftfv.fake")
fake.add_arguments = lambda parser: None
fake.run = lambda args: print("word " * 100_000)
cli.COMMANDS["fake"] = cli.Command("print much", "ftfv fake")
sys.exit(cli.main(["fake"]))
"""
    script = tmp_path / "script.py"
    script.write_text(code)
    process = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait() == 141
