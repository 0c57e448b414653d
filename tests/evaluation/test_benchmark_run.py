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

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ftfv.evaluation.asking import questions
from ftfv.evaluation.asking.setting import Setting
from ftfv.evaluation.benchmark_run import run_benchmark
from ftfv.evaluation.benchmarks.own import OwnQuestions
from ftfv.evaluation.benchmarks.seed_bench import SeedBench
from tests.tiny import build_model, build_processor


ORIGIN = {"sha256": "0" * 64}


def write_questions(folder: Path, num_clips: int, questions_per_clip: int) -> None:
    """Clips of 8 frames as frame caches, and questions about them in turn."""
    rng = np.random.default_rng(0)
    for clip in range(num_clips):
        np.save(folder / f"{clip}.npy", rng.integers(0, 256, (8, 42, 42, 3), dtype=np.uint8))
    words = ("left", "right", "red", "blue", "circle", "square", "two", "three", "up", "down")
    with open(folder / "questions.jsonl", "w") as file:
        for index in range(questions_per_clip):
            for clip in range(num_clips):
                record = {"video": f"{clip}.npy", "question": f"what moves {words[index]} ?", "answer": "red"}
                file.write(json.dumps(record) + "\n")


@pytest.fixture
def model() -> Any:
    return build_model()


def run(model: Any, folder: Path, output: Path, settings: list[Setting], **options: Any) -> Any:
    benchmark = OwnQuestions()
    benchmark.max_new_tokens = 2
    return run_benchmark(
        benchmark,
        benchmark.read(folder),
        settings,
        output,
        model_origin=ORIGIN,
        load_model=lambda: (model, build_processor()),
        **options,
    )


def test_what_is_asked_is_described_and_hashed(model, tmp_path):
    write_questions(tmp_path, 2, 2)
    first = run(model, tmp_path, tmp_path / "first", [Setting()]).document
    assert (first["title"], first["questions"], first["media"]) == ("Own questions", 4, 2)
    assert first["prompt_example"] == "what moves left ?"

    other = run(model, tmp_path, tmp_path / "other", [Setting()], prompt=lambda question: "?").document
    assert other["questions_sha256"] == first["questions_sha256"]
    assert other["prompts_sha256"] != first["prompts_sha256"]
    with pytest.raises(ValueError, match="holds answers for other prompts, of digest"):
        run(model, tmp_path, tmp_path / "first", [Setting()], prompt=lambda question: "?")


def test_an_error_keeps_the_answers_before_it(model, tmp_path):
    write_questions(tmp_path, 3, 2)
    np.save(tmp_path / "2.npy", np.zeros((8, 42), dtype=np.uint8))
    with pytest.raises(ValueError, match="2.npy"):
        run(model, tmp_path, tmp_path / "out", [Setting()], batch_size=2)
    assert (tmp_path / "out/default.jsonl").read_text().count("\n") == 5

    done = run(model, tmp_path, tmp_path / "out", [Setting()], batch_size=2, count_unreadable=True)
    assert done.document["settings"]["default"]["unreadable"] == 2
    assert [answered.unreadable is None for answered in done.answers[Setting()]] == [True, True, False] * 2


def test_options_are_ranked_and_kept_where_the_benchmark_does_so(model, tmp_path):
    (tmp_path / "SEED-Bench-image").mkdir()
    records = []
    for number, choices in enumerate((("left", "right", "red", "blue"), ("circle", "square", "xylophone", "two"))):
        pixels = np.random.default_rng(number).integers(0, 256, (42, 42, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"SEED-Bench-image/{number}.png")
        record = {"data_id": f"{number}", "data_type": "image", "question": "what moves ?", "question_id": f"{number}"}
        named = {f"choice_{letter}": choice for letter, choice in zip("abcd", choices, strict=True)}
        records.append({**record, **named, "question_type_id": 1, "answer": "B"})
    (tmp_path / "SEED-Bench.json").write_text(json.dumps({"questions": records}))
    benchmark = SeedBench()
    benchmark.max_new_tokens = 2

    def run_seed_bench(load_model: Any) -> Any:
        read = benchmark.read(tmp_path)
        return run_benchmark(
            benchmark, read, [Setting()], tmp_path / "out", model_origin=ORIGIN, load_model=load_model
        )

    first = run_seed_bench(lambda: (model, build_processor()))
    ranked, unwritten = first.answers[Setting()]
    assert list(ranked.option_log_probs) == list("ABCD")
    likeliest = max("ABCD", key=ranked.option_log_probs.__getitem__)
    official = first.document["settings"]["default"]["columns"]["official"]
    assert official["totals"]["SEED^I"]["value"] == float(likeliest == "B")
    # The tokenizer does not know the word xylophone.
    assert unwritten.option_log_probs is None
    assert (official["totals"]["SEED^I"]["count"], official["not_counted"]) == (1, 1)

    assert run_seed_bench(lambda: pytest.fail("asked again")).document == first.document
    benchmark.ranking_prompt = lambda question: question.question
    with pytest.raises(ValueError, match="holds answers for other prompts, of digest"):
        run_seed_bench(lambda: pytest.fail("asked again"))


@pytest.mark.slow
def test_ten_thousand_questions_about_a_thousand_clips(model, tmp_path, monkeypatch):
    write_questions(tmp_path, 1000, 10)
    frames, memory, held = [], [], []
    model.model.vision_tower.register_forward_hook(lambda module, args, output: frames.append(len(args[0])))
    answer = questions._answer

    def watched(model: Any, processor: Any, questions: Any, *args: Any, **kwargs: Any) -> Any:
        held.append(len({id(media) for _, media in questions}))
        memory.append(int(Path("/proc/self/statm").read_text().split()[1]) * 4096)
        return answer(model, processor, questions, *args, **kwargs)

    monkeypatch.setattr(questions, "_answer", watched)
    settings = [Setting(), Setting(tokens_per_frame=2), Setting(shuffle_frames=True)]
    done = run(model, tmp_path, tmp_path / "out", settings)

    assert frames == [8] * 1000
    assert all(len(answers) == 10_000 for answers in done.answers.values())
    assert max(held) == 3
    # The answers themselves stay: some 300 bytes each.
    start, end = np.median(memory[300:400]), np.median(memory[-100:])
    assert end - start < 64 * 2**20, f"grew by {(end - start) / 2**20:.0f} MiB"
