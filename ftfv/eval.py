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
"""`ftfv eval`: asks a model the questions of benchmarks, counts its answers, and writes the report."""

import argparse
import importlib.metadata
import string
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any


if TYPE_CHECKING:
    from .evaluation.asking.setting import Setting
    from .evaluation.benchmark_run import Judge
    from .evaluation.benchmarks.benchmark import Question


# Not from the registry, which is imported by `run`.
NAMES = (
    *("msvd_qa", "msrvtt_qa", "activitynet_qa", "mvbench", "video_bench"),
    *("lvlm_ehub", "mmbench_en", "mmbench_cn", "seed_bench"),
)
# Options of a setting that may have several values, by the type of these.
SWEPT: Mapping[str, Callable[[str], Any]] = {
    "tokens_per_frame": int,
    "num_frames": int,
    "frame_size": int,
    "token_sampler": str,
    "token_order": str,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `ftfv eval`."""
    parser.add_argument(
        "benchmarks",
        nargs="+",
        metavar="NAME[=FOLDER]",
        help=f"benchmarks, each with the folder of its files in its own format, such as mvbench=data/MVBench: "
        f"{', '.join(NAMES)}, or own=clips for questions of your own; without a folder lmms-eval downloads and runs "
        "it",
    )
    parser.set_defaults(open_list="benchmarks")
    parser.add_argument("--model", required=True, help="model folder or Hub id")
    parser.add_argument(
        "--output",
        default="evaluation",
        help="folder for answers, results.json, report.md and plots; a rerun goes on, and counts again what is there "
        "(default: evaluation)",
    )
    asking = parser.add_argument_group(
        "how to ask", "Several values, separated by commas, are each tried with the first ones of the other options."
    )
    asking.add_argument("--tokens-per-frame", metavar="K,...", help="tokens per frame (default: the model's own)")
    asking.add_argument(
        "--num-frames", metavar="N,...", help="frames to look at (default: 8; fewer of shorter videos)"
    )
    asking.add_argument("--frame-size", metavar="PIXELS,...", help="side of the frames (default: the model's own)")
    asking.add_argument(
        "--token-sampler",
        metavar="NAME,...",
        help="weighted, random, uniform, first, or none, which keeps all (default: the model's own)",
    )
    asking.add_argument("--token-order", metavar="NAME,...", help="response or query (default: the model's own)")
    asking.add_argument(
        "--image-row",
        action="store_true",
        help="also ask about one random frame of each video, given as an image: the row FTFV_image of Table 4",
    )
    asking.add_argument(
        "--no-shuffled-frames",
        action="store_true",
        help="leave out the control, the same questions about videos whose frames come in a wrong order",
    )
    asking.add_argument(
        "--prompt",
        metavar="TEXT",
        help="what to ask instead of the benchmark's own prompt, with {question} and {options} in it",
    )
    asking.add_argument(
        "--lmms-eval-samples",
        metavar="FOLDER",
        help="count the answers that a run of lmms-eval with --log_samples left there, instead of asking",
    )
    asking.add_argument("--limit", type=int, metavar="N", help="ask N questions of each task, drawn by the seed")
    asking.add_argument("--seed", type=int, default=0, help="seed of all that is drawn (default: 0)")
    asking.add_argument("--batch-size", type=int, default=16, help="questions answered together (default: 16)")
    asking.add_argument("--device", help="device of the model (default: a GPU where there is one)")
    asking.add_argument("--dtype", default="auto", help="its weights' type (default: that of its files)")
    asking.add_argument(
        "--count-unreadable",
        action="store_true",
        help="count questions about files that cannot be decoded as wrong, instead of stopping at the first",
    )
    judging = parser.add_argument_group("who judges open answers")
    judging.add_argument(
        "--judge",
        metavar="MODEL",
        help="name of a model at --judge-url, pinned to a version; or a folder or Hub id of a local one",
    )
    judging.add_argument("--judge-url", metavar="URL", help="an OpenAI-compatible endpoint, such as http://host/v1")
    judging.add_argument(
        "--judge-key",
        metavar="VARIABLE",
        default="OPENAI_API_KEY",
        help="environment variable that holds its key (default: OPENAI_API_KEY)",
    )
    judging.add_argument(
        "--judge-retries",
        type=int,
        default=6,
        metavar="N",
        help="times that a request is tried again, with longer and longer waits (default: 6)",
    )
    judging.add_argument(
        "--judge-prices",
        nargs=2,
        type=float,
        metavar=("IN", "OUT"),
        help="price of a million tokens in and out, for the estimate before it starts",
    )
    reporting = parser.add_argument_group("what to show")
    reporting.add_argument(
        "--count-by",
        metavar="COLUMN",
        help="way of counting that plots and the recommended K go by, such as strict (default: the official one, or "
        "the first that applies)",
    )
    reporting.add_argument(
        "--tolerance",
        type=float,
        default=2.0,
        metavar="POINTS",
        help="points of accuracy that the recommended K may lose against the best one (default: 2)",
    )
    reporting.add_argument("--name", help="name of the model in the tables (default: that of its folder)")
    reporting.add_argument(
        "--video-pairs", type=int, metavar="N", help="question-answer pairs about videos that the model was tuned on"
    )
    parser.add_argument("--json", action="store_true", help="print the results as one JSON document")


def run(args: argparse.Namespace) -> tuple[dict[str, Any], int] | int:
    """Asks, judges, counts and writes the report; exit code 1 where a judge has not replied about all answers."""
    from transformers.utils import logging

    from .evaluation.benchmarks.registry import find_benchmark
    from .evaluation.scores.lmms_eval_samples import logged_answers
    from .evaluation_report import write_evaluation_report
    from .lmms_eval_run import check_lmms_eval, run_lmms_eval

    logging.set_verbosity_warning()
    logging.disable_progress_bar()
    named = [text.partition("=") for text in args.benchmarks]
    chosen = {find_benchmark(name).name: folder for name, equals, folder in named if equals}
    downloaded = [find_benchmark(name).name for name, equals, _ in named if not equals]
    if len({*chosen, *downloaded}) < len(named):
        raise ValueError("A benchmark is named twice; expected each once. Give two sets an --output each.")
    check_lmms_eval(downloaded, args, SWEPT)
    about = check_arguments(args, chosen)
    judge = make_judge(args)
    logged = None if args.lmms_eval_samples is None else logged_answers(args.lmms_eval_samples)
    questions = {name: find_benchmark(name).read(Path(folder)) for name, folder in chosen.items()}
    output = Path(args.output)
    load = cache(lambda: _load_model(args))  # once for all benchmarks, and only where there is something to ask
    runs: dict[str, Any] = {}
    for name in questions:
        runs[name] = _run(args, name, questions[name], about["model"], load, judge, logged)
        # After each, so that one that stops takes nothing from those before it.
        results, report = write_evaluation_report(output, args.model, about, runs)
    if downloaded:
        [setting, *_] = make_settings(args, has_videos=True)
        model_args = {**asdict(setting), "dtype": args.dtype, "seed": args.seed}
        about["lmms_eval"] = run_lmms_eval(downloaded, args, model_args, output / "lmms_eval")
        results, report = write_evaluation_report(output, args.model, about, runs)
    failed = [document["judge_error"] for document in results["benchmarks"].values() if document.get("judge_error")]
    if args.json:
        return results, int(bool(failed))
    print(report)
    print(f"written to {args.output}")
    if failed:
        raise ConnectionError(failed[0])
    return 0


def check_arguments(args: argparse.Namespace, names: Iterable[str]) -> dict[str, Any]:
    """
    Checks what can be checked before anything is asked.

    Args:
        args (`argparse.Namespace`): The options.
        names (`Iterable[str]`): Benchmarks that are read from folders.

    Returns:
        What results say of the model, the run and the judge.

    Raises:
        FileNotFoundError: there is no such model.
        ValueError: an option is out of range.
    """
    from .evaluation.benchmarks.judge_protocol import protocol_hash
    from .evaluation.benchmarks.registry import find_benchmark
    from .model_identity import identify_model
    from .modeling_ftfv.configuration_ftfv import FTFVConfig

    if not 0 < args.tolerance < 100:
        raise ValueError(f"--tolerance is {args.tolerance}; expected points of accuracy, above 0 and below 100.")
    for name in ("batch_size", "limit"):
        value = getattr(args, name)
        if value is not None and value < 1:
            raise ValueError(f"--{name.replace('_', '-')} is {value}; expected at least 1.")
    columns = list(dict.fromkeys(rule for name in names for rule in find_benchmark(name).rules))
    if args.count_by is not None and args.count_by not in columns:
        raise ValueError(f"--count-by is {args.count_by!r}; expected one of {', '.join(columns)}.")
    if Path(args.output).exists() and not Path(args.output).is_dir():
        raise ValueError(f"--output is {args.output!r}, which is a file; expected a folder.")
    identity = identify_model(args.model)
    config = FTFVConfig.from_pretrained(args.model)
    for setting in make_settings(args, has_videos=True):
        setting.check(config)
    judged_by = None
    if args.judge is not None:
        where = {"url": args.judge_url} if args.judge_url else {"local": True}
        judged_by = {"name": args.judge, **where, "protocol_sha256": protocol_hash()}
    dtype = args.dtype if args.dtype != "auto" else str(config.dtype).removeprefix("torch.")
    return {
        "model": {"name": args.name or Path(args.model).name, **identity, "dtype": dtype},
        "run": {
            "seed": args.seed,
            "batch_size": args.batch_size,
            "device": args.device or _default_device(),
            "video_pairs": args.video_pairs,
            "tolerance": args.tolerance,
            "versions": {name: importlib.metadata.version(name) for name in ("transformers", "torch")},
        },
        "judge": judged_by,
    }


def _run(
    args: argparse.Namespace,
    name: str,
    available: "Sequence[Question]",
    model: Mapping[str, Any],
    load: Callable[[], tuple[Any, Any]],
    judge: "Judge | None",
    logged: Mapping[str, Mapping[str, str]] | None,
) -> Any:
    """Runs one benchmark."""
    from .evaluation.asking.batches import UnreadableMediaError
    from .evaluation.benchmark_run import run_benchmark
    from .evaluation.benchmarks.registry import find_benchmark

    questions = draw_questions(available, args.limit, args.seed)
    try:
        done = run_benchmark(
            find_benchmark(name),
            questions,
            make_settings(args, any(question.video is not None for question in questions)),
            Path(args.output) / name,
            model_origin={key: value for key, value in model.items() if key != "name"},
            load_model=load,
            prompt=None if args.prompt is None else own_prompt(args.prompt),
            judge=judge,
            batch_size=args.batch_size,
            seed=args.seed,
            count_unreadable=args.count_unreadable,
            given=None if logged is None else logged.get(name, {}),
        )
    except UnreadableMediaError as error:
        raise UnreadableMediaError(f"{error} --count-unreadable counts such questions as wrong.") from error
    done.document.update(available=len(available), count_by=args.count_by)
    return done


def make_settings(args: argparse.Namespace, has_videos: bool) -> "list[Setting]":
    """
    The ways to ask: the first value of every option, then the other values of each option with the first ones of the
    others, then the row FTFV_image, and the control of each but that. Only the frame size concerns images.

    Raises:
        ValueError: a value is of a wrong type, or answers that are there already are to be given in another way.
    """
    from .evaluation.asking.setting import Setting

    if args.lmms_eval_samples is not None:
        asked = [name for name in SWEPT if getattr(args, name) is not None]
        if asked or args.image_row:
            raise ValueError(
                f"--{(asked or ['image_row'])[0].replace('_', '-')} is given with --lmms-eval-samples, whose answers "
                "are there already; leave one of them out."
            )
        return [Setting()]
    values = {name: _read_values(args, name) for name in SWEPT if has_videos or name == "frame_size"}
    first = Setting(**{name: options[0] for name, options in values.items() if options})
    settings = [first]
    for name, options in values.items():
        settings += [replace(first, **{name: option}) for option in options[1:]]
    controls = [replace(setting, shuffle_frames=True) for setting in settings]
    if has_videos and args.image_row:
        settings.append(Setting(frame_size=first.frame_size, as_image=True))
    if has_videos and not args.no_shuffled_frames:
        settings += controls
    return list(dict.fromkeys(settings))


def draw_questions(questions: "Sequence[Question]", limit: int | None, seed: int) -> "list[Question]":
    """
    All questions, or `limit` of each task, drawn by the seed, in their order. Of a unit all are drawn or none.
    """
    import numpy as np

    if limit is None:
        return list(questions)
    units: dict[str, dict[str, None]] = {}
    for question in questions:
        units.setdefault(question.task, {})[question.unit or question.id] = None
    drawn = set()
    for task, names in units.items():
        order = np.random.default_rng(seed).permutation(len(names))[:limit]
        drawn |= {(task, list(names)[index]) for index in order}
    return [question for question in questions if (question.task, question.unit or question.id) in drawn]


def own_prompt(template: str) -> "Callable[[Question], str]":
    """
    A prompt with the question in place of `{question}` and its options, one a line, in place of `{options}`.

    Raises:
        ValueError: the template has no `{question}`, or another name in braces.
    """
    try:
        names = {name for _, name, _, _ in string.Formatter().parse(template) if name is not None}
    except ValueError as error:
        raise ValueError(f"--prompt is {template!r}: {error}. Write a brace as two.") from None
    if "question" not in names or not names <= {"question", "options"}:
        raise ValueError(
            f"--prompt is {template!r}; expected {{question}} and perhaps {{options}} in it, and no others."
        )

    def prompt(question: "Question") -> str:
        options = [f"({letter}) {option}" for letter, option in zip(question.letters, question.options, strict=True)]
        return template.format(question=question.question, options="\n".join(options))

    return prompt


def make_judge(args: argparse.Namespace) -> "Judge | None":
    """
    The judge, if one is asked for. A local model is loaded when the first answers are there.

    Raises:
        FileNotFoundError: there is no such folder.
        ImportError: `openai` is not installed.
        ValueError: an option lacks another, or there is no key.
    """
    from .evaluation.judges.endpoint import EndpointJudge
    from .evaluation.judges.judging import judge_answers
    from .evaluation.judges.local import LocalJudge

    if args.judge is None:
        if args.judge_url is not None:
            raise ValueError("--judge-url is given without --judge; name the model there, pinned to a version.")
        return None
    if args.judge_url is None:
        folder = Path(args.judge)
        looks_like_a_folder = folder.is_absolute() or args.judge.startswith(".") or args.judge.count("/") > 1
        if looks_like_a_folder and not (folder / "config.json").is_file():
            raise FileNotFoundError(
                f"--judge is {args.judge!r}, which holds no config.json; expected the folder or Hub id of a language "
                "model, or the name of a model at --judge-url."
            )
        load = cache(lambda: LocalJudge(args.judge, device=args.device))
    else:
        made = EndpointJudge(
            args.judge_url, args.judge, api_key_variable=args.judge_key, max_retries=args.judge_retries
        )

        def load() -> Any:
            return made

    prices = args.judge_prices and tuple(args.judge_prices)
    return lambda answered, conversations, path: judge_answers(load(), answered, conversations, path, prices=prices)


def _load_model(args: argparse.Namespace) -> tuple[Any, Any]:
    from .modeling_ftfv.modeling_ftfv import FTFVForConditionalGeneration
    from .processing.pipeline_ftfv import check_agreement
    from .processing.processing_ftfv import FTFVProcessor

    model = FTFVForConditionalGeneration.from_pretrained(args.model, dtype=args.dtype)
    processor = FTFVProcessor.from_pretrained(args.model)
    check_agreement(model.config, processor)
    return model.to(args.device or _default_device()), processor


def _default_device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _read_values(args: argparse.Namespace, name: str) -> list[Any]:
    """Values of an option, without those that come twice."""
    text = getattr(args, name)
    if text is None:
        return []
    kind = SWEPT[name]
    try:
        return list(dict.fromkeys(kind(value.strip()) for value in text.split(",")))
    except ValueError:
        option = name.replace("_", "-")
        raise ValueError(f"--{option} is {text!r}; expected whole numbers such as 4,16.") from None
