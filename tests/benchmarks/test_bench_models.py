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
"""The benchmark of models at a microscopic size: what it measures of each, what it counts, and its table."""

import json

import pytest
import torch

from ftfv.modeling_ftfv.cost import cost
from tests.benchmarks import bench_models
from tests.benchmarks.bench_models import main, parse
from tests.benchmarks.live_memory import LiveMemory
from tests.benchmarks.model_rows import Row, table
from tests.benchmarks.video_models import FULL, MODELS, REDUCED, Size


MICROSCOPIC = Size(width=32, depth=48, vocabulary=64)
NUM_FRAMES, NUM_TEXT_TOKENS = 2, 48
TOKENS_PER_FRAME = [4, 16, 32, 64, 128, 256]
# What two frames become at each model's own frame size: an eighth, or for one with a token at the end of the video a
# little more, of 2056, 1152, 1569, 256, 1024 and 784 for eight frames.
VISUAL_TOKENS = {
    "Video-LLaVA-7B": 514,
    "LLaVA-NeXT-Video-7B": 288,
    "LLaVA-OneVision-7B": 393,
    "InstructBlipVideo-Vicuna-7B": 64,
    "Qwen2.5-VL-7B": 256,
    "Qwen3-VL-8B": 196,
}
# Billions, of the public checkpoints.
PARAMETERS = {
    "FTFV": 8.67,
    "Video-LLaVA-7B": 7.37,
    "LLaVA-NeXT-Video-7B": 7.06,
    "LLaVA-OneVision-7B": 8.03,
    "InstructBlipVideo-Vicuna-7B": 7.91,
    "Qwen2.5-VL-7B": 8.29,
    "Qwen3-VL-8B": 8.77,
}


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """What one run of the command wrote: the table, and the JSON document."""
    path = tmp_path_factory.mktemp("bench") / "bench.json"
    arguments = ["--device", "cpu", "--num-frames", str(NUM_FRAMES), "--rounds", "1", "--decode-tokens", "2"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(bench_models.SIZES, "reduced", MICROSCOPIC)
        printed: list[str] = []
        patch.setattr("sys.stdout.write", printed.append)
        assert main([*arguments, "--output", str(path)]) == 0
    return "".join(printed), json.loads(path.read_text())


def test_every_model_has_a_row_of_positive_numbers(report):
    printed, document = report
    rows = document["rows"]
    assert [row["tokens_per_frame"] for row in rows if row["model"] == "FTFV"] == TOKENS_PER_FRAME
    assert {row["model"]: row["visual_tokens"] for row in rows if row["model"] != "FTFV"} == VISUAL_TOKENS
    for row in rows:
        name = row["model"] if row["tokens_per_frame"] is None else f"FTFV, K = {row['tokens_per_frame']}"
        assert sum(line.startswith(f"| {name} |") for line in printed.splitlines()) == 1, name
        assert row["prompt_tokens"] == row["visual_tokens"] + NUM_TEXT_TOKENS
        assert all(row[count] > 0 for count in ("vision_flops", "prefill_flops", "decode_flops"))
        # 32-bit weights, and something beside them.
        assert row["peak_memory"] > 4 * row["parameters"]
        for part in ("vision", "prefill", "decode"):
            [[seconds]] = row["seconds"][part]
            assert seconds > 0


def test_the_document_says_where_and_how(report):
    printed, document = report
    assert document["divided_by"] == {"width": 32, "depth": 48, "vocabulary": 64}
    assert document["settings"]["size"] == "reduced" and document["settings"]["dtype"] == "float32"
    assert len(document["matrix_rates"]) == len(document["rows"]) and document["matrix_rate"] > 0
    for text in (document["hardware"], document["date"], f"torch {torch.__version__}", document["command"]):
        assert text in printed
    assert "heads and widths divided by 32, layers by 48, vocabularies by 64" in printed
    assert "multiples of those of FTFV, K = 16" in printed
    [reference] = [line for line in printed.splitlines() if line.startswith("| FTFV, K = 16 |")]
    assert reference.count(" 1.00 |") == 5


def test_the_flops_of_ftfv_are_those_that_the_project_counts(report):
    _, document = report
    config = next(kind for kind in MODELS if kind.name == "FTFV").config(MICROSCOPIC)
    rows = [row for row in document["rows"] if row["model"] == "FTFV"]
    for row in rows:
        counted = cost(config, num_frames=NUM_FRAMES, tokens_per_frame=row["tokens_per_frame"])
        # The head runs on the last position alone.
        prefill = counted.language_flops - counted.lm_head * (1 - 1 / row["prompt_tokens"])
        assert row["vision_flops"] == pytest.approx(counted.vision_flops, rel=0.01)
        assert row["prefill_flops"] == pytest.approx(prefill, rel=0.01)
    flops = [row["prefill_flops"] for row in rows]
    assert flops == sorted(set(flops))


@pytest.mark.parametrize("kind", MODELS, ids=lambda kind: kind.name)
def test_full_sizes_are_those_of_the_checkpoints_and_reduced_ones_keep_the_heads(kind):
    with torch.device("meta"):
        full, reduced = (kind.architecture(kind.config(size)) for size in (FULL, REDUCED))
    assert full.num_parameters() / 1e9 == pytest.approx(PARAMETERS[kind.name], abs=0.005)
    assert 90 < full.num_parameters() / reduced.num_parameters() < 150
    for part in ("text_config", "vision_config"):
        widths = [
            getattr(model.config, part).hidden_size / getattr(model.config, part).num_attention_heads
            for model in (full, reduced)
        ]
        assert widths[0] == widths[1]


def test_live_memory_is_that_of_the_tensors_alive():
    held = torch.zeros(100)
    with LiveMemory([held, held[:50]]) as memory:
        assert memory.now == 400
        made = torch.ones(50)
        view = made[:10]
        assert memory.now == memory.peak == 600
        del made
        assert memory.now == 600
        del view
        assert (memory.now, memory.peak) == (400, 600)


def test_on_a_gpu_the_table_has_milliseconds_and_gigabytes():
    row = Row(
        "Some model",
        None,
        visual_tokens=128,
        vision_flops=30 * 10**12,
        prefill_flops=2 * 10**12,
        peak_memory=18_340_000_000,
        seconds={
            "vision": [[0.07, 0.06], [0.06]],
            "prefill": [[0.01, 0.03], [0.01]],
            "decode": [[0.025, 0.025], [0.03]],
        },
    )
    stamp = {
        "hardware": "Some GPU",
        "cores": 8,
        "threads": 8,
        "date": "2026-01-01T00:00:00+00:00",
        "torch": "2",
        "transformers": "5",
        "command": "python bench.py",
        "settings": vars(parse(["--device", "cuda"])),
        "divided_by": {"width": 1, "depth": 1, "vocabulary": 1},
        "matrix_rate": 800e12,
        "spread": row.spread(),
    }
    printed = table([row], stamp)
    assert "| Some model | 128 | 60.0 | 10.0 | 80.0 | 25.0 | 18.3 | 30.00 | 2.00 | 62% | 25% |" in printed
    for text in (
        "full size; bfloat16, attention sdpa; 2 x 5 rounds, up to 25% apart.",
        "Times in ms, memory in GB, FLOPs in 10^12; a matrix product runs at 800 TFLOP/s.",
    ):
        assert text in printed


def test_an_odd_number_of_frames_is_refused(capsys):
    with pytest.raises(SystemExit):
        parse(["--num-frames", "7"])
    assert "--num-frames is 7; expected an even number, as Qwen's towers pair frames" in capsys.readouterr().err
