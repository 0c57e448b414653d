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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any


if TYPE_CHECKING:
    from .evaluation.asking import Setting
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
        "--token-sampler", metavar="NAME,...", help="weighted, random, uniform or first (default: the model's own)"
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

    from .evaluation.benchmark_run import run_benchmark
    from .evaluation.benchmarks.registry import find_benchmark
    from .evaluation_report import write_evaluation_report
    from .lmms_eval_run import check_lmms_eval, logged_answers, run_lmms_eval
    from .model_identity import identify_model

    logging.set_verbosity_warning()
    logging.disable_progress_bar()
    named = [text.partition("=") for text in args.benchmarks]
    chosen = [(find_benchmark(name), folder) for name, equals, folder in named if equals]
    downloaded = [find_benchmark(name).name for name, equals, _ in named if not equals]
    check_lmms_eval(downloaded)
    if not 0 < args.tolerance < 100:
        raise ValueError(f"--tolerance is {args.tolerance}; expected points of accuracy, above 0 and below 100.")
    columns = list(dict.fromkeys(rule for benchmark, _ in chosen for rule in benchmark.rules))
    if args.count_by is not None and args.count_by not in columns:
        raise ValueError(f"--count-by is {args.count_by!r}; expected one of {', '.join(columns)}.")
    prompt = None if args.prompt is None else own_prompt(args.prompt)
    origin = identify_model(args.model)
    logged = None if args.lmms_eval_samples is None else logged_answers(args.lmms_eval_samples)
    judge, judged_by = make_judge(args)
    read = [(benchmark, benchmark.read(Path(folder))) for benchmark, folder in chosen]
    loaded: list[Any] = []

    def load() -> Any:
        if not loaded:
            loaded.append(_load_model(args))
        return loaded[0]

    runs = {}
    for benchmark, available in read:
        questions = draw_questions(available, args.limit, args.seed)
        has_videos = any(question.video is not None for question in questions)
        done = run_benchmark(
            benchmark,
            questions,
            make_settings(args, has_videos),
            Path(args.output) / benchmark.name,
            model_origin=origin,
            load_model=load,
            prompt=prompt,
            judge=judge,
            batch_size=args.batch_size,
            seed=args.seed,
            count_unreadable=args.count_unreadable,
            given=None if logged is None else logged.get(benchmark.name, {}),
        )
        done.document.update(available=len(available), count_by=args.count_by)
        runs[benchmark.name] = done
    about: dict[str, Any] = {
        "model": {"name": args.name or Path(args.model).name, **origin},
        "run": {
            "seed": args.seed,
            "batch_size": args.batch_size,
            "device": args.device or _default_device(),
            "dtype": args.dtype,
            "video_pairs": args.video_pairs,
            "tolerance": args.tolerance,
            "versions": {name: importlib.metadata.version(name) for name in ("transformers", "torch")},
        },
        "judge": judged_by,
    }
    if downloaded:
        [setting, *_] = make_settings(args, has_videos=True)
        about["lmms_eval"] = run_lmms_eval(downloaded, args, asdict(setting), Path(args.output) / "lmms_eval")
    results, report = write_evaluation_report(Path(args.output), args.model, about, runs)
    failed = [document["judge_error"] for document in results["benchmarks"].values() if document.get("judge_error")]
    if args.json:
        return results, int(bool(failed))
    print(report)
    print(f"written to {args.output}")
    if failed:
        raise ConnectionError(failed[0])
    return 0


def make_settings(args: argparse.Namespace, has_videos: bool) -> "list[Setting]":
    """
    The ways to ask: the first value of every option, then the other values of each option with the first ones of the
    others, then the row FTFV_image, and the control of each but that. Only the frame size concerns images.

    Raises:
        ValueError: a value is of a wrong type, or answers that are there already are to be given in another way.
    """
    from .evaluation.asking import Setting

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

    Raises:
        ValueError: `limit` is less than 1.
    """
    import numpy as np

    if limit is None:
        return list(questions)
    if limit < 1:
        raise ValueError(f"--limit is {limit}; expected at least 1.")
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


def make_judge(args: argparse.Namespace) -> "tuple[Judge | None, dict[str, Any] | None]":
    """
    The judge and what results say of it; None for both where none is asked for.

    Raises:
        ValueError: an option lacks another.
    """
    from .evaluation.benchmarks.judge_protocol import protocol_hash
    from .evaluation.judges.judging import judge_answers

    if args.judge is None:
        if args.judge_url is not None:
            raise ValueError("--judge-url is given without --judge; name the model there, pinned to a version.")
        return None, None
    made: list[Any] = []

    def judge(answered: Any, path: Path) -> Any:
        if not made:
            made.append(_load_judge(args))
        return judge_answers(made[0], answered, path, prices=args.judge_prices and tuple(args.judge_prices))

    where = {"url": args.judge_url} if args.judge_url else {"local": True}
    return judge, {"name": args.judge, **where, "protocol_sha256": protocol_hash()}


def _load_judge(args: argparse.Namespace) -> Any:
    from .evaluation.judges.endpoint import EndpointJudge
    from .evaluation.judges.local import LocalJudge

    if args.judge_url is not None:
        return EndpointJudge(
            args.judge_url, args.judge, api_key_variable=args.judge_key, max_retries=args.judge_retries
        )
    return LocalJudge(args.judge, device=args.device)


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
