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
Runs lmms-eval with FTFV on toy data and holds its scores against ours: `make lmms-eval`.

lmms-eval is no dependency: it pins an older PyAV than FTFV decodes with. The script makes an environment with both in
a folder, writes tiny data of all benchmarks in their real formats and a tiny model with random weights, and runs
`lmms-eval` on them with a judge of its own. Then it reads the predictions that lmms-eval logged, counts them by the
rules of `ftfv eval`, and compares: every score, every prompt that both word alike, and how often the encoder ran.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import datasets
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast
from transformers.utils import logging

from ftfv import FTFVForConditionalGeneration, FTFVProcessor
from ftfv.evaluation.asking.questions import ask_questions
from ftfv.evaluation.asking.setting import Setting
from ftfv.evaluation.benchmarks.benchmark import Answered, Benchmark, Question, Verdict
from ftfv.evaluation.benchmarks.judge_protocol import messages_about
from ftfv.evaluation.benchmarks.option_rules import lmms_eval_mmbench_prefetched, verdict
from ftfv.evaluation.benchmarks.registry import BENCHMARKS
from ftfv.evaluation.benchmarks.video_bench import LEVELS
from ftfv.evaluation.scores.benchmark_scores import score_answers, unit_values
from ftfv.evaluation.scores.lmms_eval_samples import read_samples, samples_by_question
from tests import judge_server
from tests.lmms_eval.toy_data import SAID, ToyData
from tests.tiny import build_model, build_processor


HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
VERSION = "0.7.3"
SPECIAL = ("<pad>", "<s>", "</s>", "<unk>", "<image>", "<video>")
# Sums in another order.
TOLERANCE = 1e-9
# Losses in other batches.
RANKING_TOLERANCE = 1e-4
RANKING_TASK = "seedbench_ppl"
VIDEO_BENCH_TASKS = [f"video_bench_{name.lower().replace('-', '_')}" for name in BENCHMARKS["video_bench"].tasks]
VIDEO_BENCH_GROUPS = {"exclusive": "Exc", "prior": "Prior", "decision": "Dec"}


@dataclass(frozen=True)
class Comparison:
    """
    A figure of lmms-eval with ours.

    Attributes:
        task (`str`): The task or group.
        metric (`str`): The metric, by its name in lmms-eval.
        theirs, ours (`float`): The figures, on the scale of lmms-eval.
    """

    task: str
    metric: str
    theirs: float
    ours: float

    @property
    def agrees(self) -> bool:
        return abs(self.theirs - self.ours) <= TOLERANCE


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the environment is made; reused by the next run")
    parser.add_argument("--python", type=Path, help="Python of an environment that has lmms-eval and this package")
    parser.add_argument("--keep", type=Path, help="folder for data, model and results (default: a temporary one)")
    arguments = parser.parse_args()
    datasets.disable_progress_bars()
    logging.disable_progress_bar()
    python = arguments.python or make_environment(arguments.folder.resolve())
    with tempfile.TemporaryDirectory() as temporary:
        work = (arguments.keep or Path(temporary)).resolve()
        data = ToyData(work)
        write_model(work / "model", data)
        judge_server.judge = judge_anything(judge_server.judge)
        with judge_server.running_judge() as judge:
            run_lmms_eval(python, work, data, judge.url)
        return report(work, data)


def make_environment(folder: Path) -> Path:
    """Python of an environment with lmms-eval and, installed after it, this checkout."""
    environment = folder / f"lmms_eval-{VERSION}"
    python, installed = environment / "bin/python", environment / ".installed"
    wanted = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    if not installed.exists() or installed.read_text(encoding="utf-8") != wanted:
        venv.create(environment, with_pip=True)
        pip = [str(python), "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
        subprocess.run([*pip, f"lmms-eval=={VERSION}"], check=True)
        # pip says that lmms-eval wants an older PyAV, and installs the newer one.
        subprocess.run([*pip, "--editable", str(ROOT)], check=True)
        installed.write_text(wanted, encoding="utf-8")
    return python


def write_model(folder: Path, data: ToyData) -> None:
    """A tiny model with random weights that says one letter or word, or a few, and nothing else."""
    questions = all_questions(data)
    words = {word: None for question in questions for word in question.question.split()}
    vocabulary = [*SPECIAL, *SAID, *(word for word in words if word not in SAID)]
    backend = Tokenizer(models.WordLevel({word: index for index, word in enumerate(vocabulary)}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        extra_special_tokens={"image_token": "<image>", "video_token": "<video>"},
        clean_up_tokenization_spaces=False,
    )
    # With this seed it is now right and now wrong in every benchmark.
    model = build_model(seed=3, text_config={"vocab_size": len(vocabulary), "max_position_embeddings": 2048})
    model.generation_config.update(
        pad_token_id=vocabulary.index("<pad>"),
        # Every second one is the last of its answer.
        eos_token_id=[vocabulary.index(word) for word in ("</s>", *SAID[::2])],
        suppress_tokens=[index for index, word in enumerate(vocabulary) if word not in ("</s>", *SAID)],
        exponential_decay_length_penalty=(1, 1.5),
    )
    with torch.no_grad():
        # Sharp attention, and little of the token itself: what is said depends on all of the prompt.
        model.model.language_model.embed_tokens.weight *= 0.1
        for layer in model.model.language_model.layers:
            layer.self_attn.q_proj.weight *= 8
    model.save_pretrained(folder)
    build_processor(tokenizer=tokenizer).save_pretrained(folder)


def judge_anything(judge: Callable[[Any], str]) -> Callable[[Any], str]:
    """The judge, who also knows the prompt by which lmms-eval asks about MMBench, and replies with a bare letter."""

    def reply(conversation: Sequence[dict[str, str]]) -> str:
        user = conversation[-1]["content"]
        if not user.endswith("\nYour output: "):
            return judge(conversation)
        options, answer = user.rpartition("\nOptions: ")[2].removesuffix("\nYour output: ").split("\nAnswer: ")
        return option_of(options, answer)

    return reply


def option_of(options: str, answer: str) -> str:
    """The letter of the listed option that shares most words with the answer."""
    listed = [line.partition(". ") for line in options.splitlines() if line[1:3] == ". "]
    return max(listed, key=lambda option: len(set(option[2].split()) & set(answer.split())))[0]


def run_lmms_eval(python: Path, work: Path, data: ToyData, judge_url: str) -> None:
    """Runs lmms-eval on all tasks; what it logs is in `results` and how often the encoder ran in `counts.json`."""
    include_path = subprocess.run(
        [str(python), "-m", "ftfv.lmms_eval_tasks"], check=True, capture_output=True, text=True, cwd=data.hub
    ).stdout.strip()
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "HF_HOME": str(data.hf_home),
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "MSVD_QA_FOLDER": str(data.ours / "msvd_qa"),
        "MSRVTT_QA_FOLDER": str(data.ours / "msrvtt_qa"),
        "VIDEO_BENCH_FOLDER": str(data.ours / "video_bench"),
        "API_TYPE": "openai",
        "OPENAI_API_URL": f"{judge_url}/chat/completions",
        "OPENAI_API_KEY": "none",
    }
    tasks = ("mvbench", "activitynetqa", "msvd_qa", "msrvtt_qa", "video_bench")
    tasks += ("mmbench_en_dev", "mmbench_en_dev_static", "mmbench_cn_dev", "seedbench", RANKING_TASK)
    command = [str(python), str(HERE / "counted_lmms_eval.py"), str(work / "counts.json")]
    command += ["--model", "ftfv", "--model_args", f"pretrained={work / 'model'},tokens_per_frame=3"]
    command += ["--tasks", ",".join(tasks), "--include_path", include_path, "--batch_size", "8", "--device", "cpu"]
    command += ["--log_samples", "--output_path", str(work / "results")]
    with (work / "lmms_eval.log").open("w", encoding="utf-8") as log:
        finished = subprocess.run(command, env=environment, cwd=data.hub, stdout=log, stderr=subprocess.STDOUT)
    # It ends well after an error, too; then there are no results.
    if finished.returncode or not result_files(work):
        sys.stderr.write((work / "lmms_eval.log").read_text(encoding="utf-8")[-6000:])
        raise SystemExit(f"lmms-eval ended without results (exit code {finished.returncode}); see above.")


def report(work: Path, data: ToyData) -> int:
    """Prints a line for each figure and each count; 1 if any differs."""
    [path] = result_files(work)
    results = json.loads(path.read_text(encoding="utf-8"))["results"]
    [ranked] = (work / "results").rglob(f"*_samples_{RANKING_TASK}.jsonl")
    # Its samples are likelihoods and no answers.
    ranked.rename(work / f"{RANKING_TASK}.jsonl")
    samples = read_samples(work / "results")
    counts = json.loads((work / "counts.json").read_text(encoding="utf-8"))
    answers = {task: answered_of(task, data, samples[task]) for task in samples}
    wrong = 0
    for comparison in [*compare_scores(results, answers, samples), compare_ranking(work, data)]:
        wrong += not comparison.agrees
        line(
            comparison.agrees,
            f"{comparison.task}, {comparison.metric}: lmms-eval {comparison.theirs:.6g}, FTFV {comparison.ours:.6g}",
        )
    shared: dict[str, list[str]] = {}
    for task in answers:
        # Two tasks of lmms-eval ask about the images of MMBench in English.
        shared.setdefault("mmbench_en" if task.startswith("mmbench_en") else task, []).append(task)
    for tasks in shared.values():
        expected = len({one.question.media for task in tasks for one in answers[task][1]})
        expected += "seedbench" in tasks  # its question about a video, which ours passes over
        count = sum(counts.get(task, 0) for task in tasks)
        wrong += count != expected
        asked = sum(len(samples[task]) for task in tasks)
        line(
            count == expected,
            f"{', '.join(tasks)}: {count} calls of the encoder, {expected} videos or images, {asked} questions",
        )
    wrong += counts[RANKING_TASK] != counts["seedbench"]
    line(counts[RANKING_TASK] == counts["seedbench"], f"{RANKING_TASK}: {counts[RANKING_TASK]} calls of the encoder")
    said = {sample["prediction"] for rows in samples.values() for sample in rows}
    line(not wrong, f"{len(samples) + 1} tasks, {len(said)} different answers; {wrong} figures differ")
    return 1 if wrong else 0


def line(agrees: bool, text: str) -> None:
    sys.stdout.write(f"{'same' if agrees else 'DIFFERENT':9}  {text}\n")


def result_files(work: Path) -> list[Path]:
    """Files of figures; tasks put files of like names into a folder of submissions."""
    return [path for path in (work / "results").rglob("*_results.json") if path.parent.name != "submissions"]


def all_questions(data: ToyData) -> list[Question]:
    return [question for folder in sorted(data.ours.iterdir()) for question in read(data, folder.name)]


def read(data: ToyData, name: str) -> list[Question]:
    return BENCHMARKS[name].read(data.ours / name)


def answered_of(task: str, data: ToyData, samples: Sequence[dict[str, Any]]) -> tuple[str, list[Answered]]:
    """Our name of a task's benchmark, and its predictions beside our questions."""
    name, by_question = samples_by_question(task, samples)
    questions = [one for one in read(data, name) if one.id in by_question]
    # One of SEED-Bench is about a video, and ours are about images.
    assert len(questions) == len(samples) - (name == "seed_bench"), f"{task}: {len(questions)} of {len(samples)} found"
    for question in questions:
        asked, prompt = by_question[question.id]["doc"]["input"], BENCHMARKS[name].prompt(question)
        # lmms-eval's task words MVBench's prompt in its own way.
        assert name == "mvbench" or asked == prompt, f"{task}: {asked!r}, but ours is {prompt!r}"
    return name, [Answered(one, by_question[one.id]["prediction"]) for one in questions]


def compare_scores(
    results: dict[str, dict[str, Any]],
    answers: dict[str, tuple[str, list[Answered]]],
    samples: dict[str, list[dict[str, Any]]],
) -> list[Comparison]:
    """Every figure of lmms-eval that our rules speak of."""
    comparisons = []

    def compare(task: str, metric: str, ours: float) -> None:
        comparisons.append(Comparison(task, metric, results[task][f"{metric},none"], ours))

    for task, (name, answered) in answers.items():
        benchmark = BENCHMARKS[name]
        if name == "mvbench":
            compare(task, "mvbench_accuracy", 100 * mean(benchmark.rules["lmms_eval"], answered))
        elif name == "seed_bench":
            compare(task, "seed_image", mean(benchmark.rules["lmms_eval"], answered))
        elif task == "mmbench_en_dev_static":
            compare(task, "gpt_eval_score", 100 * mean(benchmark.rules["lmms_eval"], answered))
        elif name.startswith("mmbench"):
            compare(task, "gpt_eval_score", 100 * mean(judged_mmbench, answered))
        else:
            judged = [judge(benchmark, one) for one in answered]
            if name == "activitynet_qa":
                compare(task, "gpt_eval_accuracy", 100 * mean(benchmark.rules["judge"], judged))
                compare(task, "gpt_eval_score", mean(benchmark.rules["judge_score"], judged))
                continue
            for rule, column in score_answers(benchmark, judged).items():
                [figure] = column.tasks.values()
                compare(task, rule, figure.value)
            replies = [sample["doc"][next(iter(benchmark.rules))]["reply"] for sample in samples[task]]
            assert replies == [one.reply for one in judged], f"{task}: other replies of the judge"
    benchmark = BENCHMARKS["video_bench"]
    judged = [judge(benchmark, one) for task in VIDEO_BENCH_TASKS for one in answers[task][1]]
    for rule, column in score_answers(benchmark, judged).items():
        for group, total in VIDEO_BENCH_GROUPS.items():
            compare(f"video_bench_{group}", rule, column.totals[total].value)
        compare("video_bench", rule, column.totals["All"].value)
    assert set(LEVELS) == set(VIDEO_BENCH_GROUPS.values())
    return comparisons


def compare_ranking(work: Path, data: ToyData) -> Comparison:
    """The share of images where the likeliest option is right, after each loss has been held against ours."""
    lines = (work / f"{RANKING_TASK}.jsonl").read_text(encoding="utf-8").splitlines()
    samples = {sample["input"]: sample for sample in map(json.loads, lines)}
    model = FTFVForConditionalGeneration.from_pretrained(work / "model")
    processor = FTFVProcessor.from_pretrained(work / "model")
    benchmark, theirs, ours = BENCHMARKS["seed_bench"], [], []

    def prompt(question: Question) -> str:
        return f"{question.question} Answer :"

    batches = ask_questions(
        model,
        processor,
        read(data, "seed_bench"),
        benchmark.prompt,
        [Setting()],
        ranking_prompt=prompt,
        max_new_tokens=1,
        progress=False,
    )
    for _, batch in batches:
        for answered in batch:
            sample = samples[prompt(answered.question)]
            losses = [float(loss) for loss, _ in sample["filtered_resps"]]
            for loss, log_prob in zip(losses, answered.option_log_probs.values(), strict=True):
                assert abs(loss + log_prob) < RANKING_TOLERANCE, f"{sample}: ours are {answered.option_log_probs}"
            theirs.append(sample["acc"])
            ours.append(answered)
    return Comparison(RANKING_TASK, "acc, images", sum(theirs) / len(theirs), mean(benchmark.rules["official"], ours))


def mean(rule: Callable[[Answered], Verdict | None], answered: Sequence[Answered]) -> float:
    """Mean over units; 0 where there are none, as lmms-eval has it."""
    values = [each.value for _, each in unit_values(rule, answered).values()]
    return sum(values) / len(values) if values else 0.0


def judge(benchmark: Benchmark, answered: Answered) -> Answered:
    return replace(answered, reply=judge_server.judge(messages_about(benchmark, answered)))


def judged_mmbench(answered: Answered) -> Verdict:
    """What lmms-eval's `mmbench_en_dev` counts: the letter read from the answer, else from the judge's reply to it."""
    question = answered.question
    options = [*question.options, "nan", "nan"][:4]
    letter = lmms_eval_mmbench_prefetched(options, answered.text)
    if letter is None:
        listed = "\n".join(f"{x}. {option}" for x, option in zip("ABCD", options, strict=True))
        letter = option_of(listed, answered.text)
    return verdict(question, letter)


if __name__ == "__main__":
    sys.exit(main())
