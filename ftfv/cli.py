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
"""The `ftfv` command: runs the subcommand asked for and turns what it raises into one line and an exit code."""

import argparse
import contextlib
import importlib
import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NoReturn

from . import __version__


EXIT_FAILURE = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells report it
EXIT_BROKEN_PIPE = 141  # 128 + SIGPIPE

# Exceptions whose message speaks for itself. Any other is named by its class, or a KeyError would read as 'x' alone.
SELF_EXPLANATORY_ERRORS = (ValueError, OSError, RuntimeError, ImportError)


@dataclass(frozen=True)
class Command:
    """What the top-level help says about a subcommand; the rest is in the module `ftfv.<name>`.

    The module offers `add_arguments(parser) -> None` and `run(args) -> int | None` (exit code, None for 0) and imports
    heavy libraries inside `run`. A list of positionals that may go on behind the options is named by the default
    `open_list`. Where it adds `--json`, `run` returns the document to print when the flag is given,
    or the document and the exit code.
    """

    summary: str
    """One line for the list of commands, without a full stop."""
    example: str
    """A complete command line, shown under the options."""


COMMANDS = {
    "demo": Command(
        "train a tiny FTFV on generated clips and report what it learned",
        "ftfv demo --output demo",
    ),
    "ask": Command(
        "answer questions about a video, or hold a conversation over it",
        'ftfv ask clip.mp4 "which way does the red circle move ?" --model demo/s4v/model --tokens-per-frame 4',
    ),
    "look": Command(
        "draw the patches that the kept queries look at",
        "ftfv look clip.mp4 --model demo/s4v/model --output look.png --tokens-per-frame 2 8",
    ),
    "cost": Command(
        "count visual tokens, FLOPs and memory of a model for each K",
        "ftfv cost --model demo/s4v/model --tokens-per-frame 4,16 --frame-size 56 --json",
    ),
    "convert": Command(
        "turn Qwen-VL, or a vision tower and a language model, into a model folder",
        "ftfv convert --vision Qwen-VL --language vicuna-7b-v1.5 --output start",
    ),
    "data": Command(
        "write data sets in the form that `trl sft` trains on, or show a row",
        "ftfv data moving-shapes --output shapes --clips 500 --images 500",
    ),
    "train": Command(
        "evolve an image model on your own clips, or run a recipe",
        "ftfv train clips.jsonl --model ftfv-image --memory 24GB --output run",
    ),
    "doctor": Command(
        "check this machine, a model and a video, and say what to mend",
        "ftfv doctor demo/s4v/model clip.mp4 --tokens-per-frame 4",
    ),
    "serve": Command(
        "serve a model to clients of OpenAI's chat completions",
        "ftfv serve demo/s4v/model --port 8000 --max-frames 32",
    ),
    "merge": Command(
        "merge the LoRA weights of a training stage into its base model",
        "ftfv merge demo/s4v/training --output model",
    ),
    "sweep": Command(
        "train and measure every cell of a grid, such as one model per K",
        "ftfv sweep miniature/table5 --jobs 2 --output sweeps/table5",
    ),
    "eval": Command(
        "evaluate a model on benchmarks or on your own questions, with intervals",
        "ftfv eval own=clips --model demo/s4v/model --tokens-per-frame 2,4,8 --output evaluation",
    ),
    "push": Command(
        "publish a checked model folder with a card on the Hub",
        "ftfv push demo/s4v/model org/name --license apache-2.0 --dry-run",
    ),
    "miniature": Command(
        "rebuild the shipped tiny model from nothing through all recipes",
        "ftfv miniature --output miniature",
    ),
}


class _OneLineParser(argparse.ArgumentParser):
    """An `ArgumentParser` whose errors are one line, where argparse would print the usage of every option first."""

    def error(self, message: str) -> NoReturn:
        self.exit(EXIT_USAGE, f"{self.prog}: error: {_one_line(message)} (see '{self.prog} --help')\n")


def build_parser(command: str | None) -> argparse.ArgumentParser:
    """
    Builds the parser of the command line.

    Args:
        command (`str`, *optional*):
            The subcommand whose module is imported for its options. All others are listed without being imported, so
            that `ftfv --help` waits for none of them.

    Returns:
        `argparse.ArgumentParser`: its result carries `run`, the function of the subcommand.
    """
    parser = _OneLineParser(
        prog="ftfv",
        description="Fewer Tokens and Fewer Videos: video question answering at a chosen number of tokens per frame.",
        epilog="'ftfv COMMAND --help' shows the options and an example of a command.",
    )
    parser.add_argument("--version", action="version", version=f"ftfv {__version__}")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, entry in COMMANDS.items():
        subparser = subparsers.add_parser(
            name,
            help=entry.summary,
            description=f"{entry.summary[0].upper()}{entry.summary[1:]}.",
            epilog=f"example:\n  {entry.example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        # SUPPRESS: without the flag here, the value given before the subcommand stays.
        subparser.add_argument(
            "--debug", action="store_true", default=argparse.SUPPRESS, help="show the traceback of an error"
        )
        if name == command:
            module = importlib.import_module(f".{name}", __package__)
            module.add_arguments(subparser)
            subparser.set_defaults(run=module.run)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Runs the command line.

    Args:
        arguments (`Sequence[str]`, *optional*, defaults to `sys.argv[1:]`):
            The words after `ftfv`.

    Returns:
        `int`: the exit code. 0 only on success, 1 after an error of the subcommand, 130 after Ctrl-C, 141 when the
        reader of stdout went away.

    Raises:
        `SystemExit`: with code 2 for a usage error, 0 after `--help` and `--version`, or whatever the subcommand exits
            with.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    # The options before the subcommand take no values, so the first other word is the subcommand.
    command = next((word for word in arguments if not word.startswith("-")), None)
    program = f"ftfv {command}" if command in COMMANDS else "ftfv"
    try:
        code = _run(_parse(arguments, command))
        sys.stdout.flush()  # here, where a reader that went away is still handled
        return code
    except KeyboardInterrupt:
        print(f"{program}: interrupted; run the same command again to continue", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The interpreter flushes stdout once more as it ends and would complain there.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_BROKEN_PIPE
    except Exception as error:
        if "--debug" in arguments:
            raise
        print(f"{program}: error: {_describe(error)}", file=sys.stderr)
        return EXIT_FAILURE


def _parse(arguments: Sequence[str], command: str | None) -> argparse.Namespace:
    """Parses the words after `ftfv`; a list of positionals may go on behind options, where argparse ends it."""
    parser = build_parser(command)
    args, rest = parser.parse_known_args(arguments)
    open_list = getattr(args, "open_list", None)
    if rest and (open_list is None or any(word.startswith("-") for word in rest)):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if open_list is not None:
        setattr(args, open_list, [*getattr(args, open_list), *rest])
    return args


def _run(args: argparse.Namespace) -> int:
    if not getattr(args, "json", False):
        return args.run(args) or 0
    with _stdout_to_stderr():
        returned = args.run(args)
    document, code = returned if isinstance(returned, tuple) else (returned, 0)
    print(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False))
    return code


@contextlib.contextmanager
def _stdout_to_stderr() -> Iterator[None]:
    """Keeps stdout free for the document: what libraries and child processes print meanwhile goes to stderr."""
    sys.stdout.flush()
    stdout = os.dup(1)
    os.dup2(2, 1)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(stdout, 1)
        os.close(stdout)


def _describe(error: Exception) -> str:
    message = _one_line(str(error))
    if message and isinstance(error, SELF_EXPLANATORY_ERRORS):
        return message
    name = type(error).__name__
    return f"{name}: {message}" if message else f"{name} (run again with --debug for the traceback)"


def _one_line(message: str) -> str:
    return " ".join(message.split())
