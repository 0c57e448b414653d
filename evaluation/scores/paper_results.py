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
"""The results that the paper prints: its Tables 3, 4 and 5."""

from collections.abc import Mapping
from dataclasses import dataclass


TABLE_3_COLUMNS = ("Ehub", "MMB", "MMB-CN", "SEED-I")
VIDEO_BENCH_LEVELS = ("Video-Bench Exc", "Video-Bench Prior", "Video-Bench Dec")
TABLE_4_COLUMNS = (
    "MSVD-QA Acc",
    "MSVD-QA Score",
    "MSRVTT-QA Acc",
    "MSRVTT-QA Score",
    "ActivityNet-QA Acc",
    "ActivityNet-QA Score",
    *VIDEO_BENCH_LEVELS,
    "Video-Bench All",
    "MVBench Avg",
)
TABLE_5_COLUMNS = (*TABLE_4_COLUMNS[:6], "Video-Bench All", "MVBench Avg")


@dataclass(frozen=True)
class PaperRow:
    """
    A method with what a table of the paper says of it.

    Attributes:
        method (`str`): Its name.
        scores (`Mapping[str, float]`): What it reaches, by column; a column where the table has a dash is left out.
            Percent, but `Ehub` a sum of rates and `Score` a judge's 0 to 5.
        tokens_per_frame (`int`, *optional*): Tokens that stand for each frame; None where no source says so, or a
            method compresses frames together.
    """

    method: str
    scores: Mapping[str, float]
    tokens_per_frame: int | None = None


@dataclass(frozen=True)
class Table3Row(PaperRow):
    """
    Attributes:
        llm (`str`): Language model.
        resolution (`int`): Height and width of the images in pixels.
    """

    llm: str = ""
    resolution: int = 0


@dataclass(frozen=True)
class Table4Row(PaperRow):
    """
    Attributes:
        align, pretrain, instruct (`int`): Video-text pairs used in each stage of training, as the table rounds them.
    """

    align: int = 0
    pretrain: int = 0
    instruct: int = 0


@dataclass(frozen=True)
class Table5Row(PaperRow):
    """
    Attributes:
        tflops (`float`): Floating-point operations, in 10^12.
    """

    tflops: float = 0.0


def _scores(columns: tuple[str, ...], *values: float | None) -> dict[str, float]:
    return {column: value for column, value in zip(columns, values, strict=True) if value is not None}


def _row_3(method: str, llm: str, resolution: int, *values: float | None) -> Table3Row:
    return Table3Row(method, _scores(TABLE_3_COLUMNS, *values), llm=llm, resolution=resolution)


def _row_4(
    method: str, tokens_per_frame: int | None, align: int, pretrain: int, instruct: int, *values: float | None
) -> Table4Row:
    scores = _scores(TABLE_4_COLUMNS, *values)
    return Table4Row(method, scores, tokens_per_frame, align=align, pretrain=pretrain, instruct=instruct)


def _row_5(tokens_per_frame: int, tflops: float, *values: float) -> Table5Row:
    scores = _scores(TABLE_5_COLUMNS, *values)
    return Table5Row(f"FTFV-LLM S4-V {tokens_per_frame}", scores, tokens_per_frame, tflops=tflops)


# fmt: off
TABLE_3: tuple[Table3Row, ...] = (
    _row_3("mPLUG-Owl", "LLaMA-7B", 224, 209.4, 46.6, None, None),
    _row_3("Otter", "LLaMA-7B", 224, None, 32.6, None, None),
    _row_3("IDEFICS-9B", "LLaMA-7B", 224, None, 48.2, 25.2, None),
    _row_3("InstructBLIP", "Vicuna-7B", 224, 300.6, 36.0, 23.7, 58.8),
    _row_3("Qwen-VL", "Qwen-7B", 448, None, 38.2, 7.4, 62.3),
    _row_3("Qwen-VL-Chat", "Qwen-7B", 448, 316.8, 60.6, 56.7, 65.4),
    _row_3("MiniGPT-v2", "LLaMA2 7B", 448, None, None, None, None),
    _row_3("MiniGPT-v2-Chat", "LLaMA2-Chat 7B", 448, None, None, None, None),
    _row_3("LLaVA-1.5", "Vicuna-7B", 336, 307.1, 64.3, 58.3, None),
    _row_3("InternLM-XComposer-VL", "InternLM-7B", 224, 322.5, 74.8, 73.1, 66.9),
    _row_3("Video-LLaVA", "Vicuna-7B", 224, None, 60.9, None, None),
    _row_3("LLaMA-VID", "Vicuna-7B", 336, None, 65.1, None, 67.6),
    _row_3("FTFV-LLM image", "Vicuna-7B", 448, 325.2, 75.5, 68.1, 69.5),
    _row_3("FTFV-LLM S4-V", "Vicuna-7B", 448, 318.2, 74.6, 68.8, 69.0),
    _row_3("FTFV-LLM S3-IV", "Vicuna-7B", 448, 323.8, 75.5, 69.5, 69.9),
    _row_3("FTFV-LLM S2-S3-IV", "Vicuna-7B", 448, 318.5, 75.2, 68.5, 69.8),
)

# Tokens per frame. LLaMA-VID: 2, by the title of its paper (arXiv 2311.17043). Video-LLaVA: 256, the patches of its
# encoder (arXiv 2311.10122; `video_llava` of transformers). FTFV-LLM: 128, by the caption of Table 4, which says
# nothing of the image model. VideoChat2 makes 96 tokens of a whole video, other methods pool over frames, too, or do
# not say how many tokens they make of one.
_UNKNOWN = None
TABLE_4: tuple[Table4Row, ...] = (
    _row_4("FrozenBiLM", _UNKNOWN, 0, 10_000_000, 0,
           33.8, None, 16.7, None, 25.9, None, None, None, None, None, None),
    _row_4("VideoLLaMA", _UNKNOWN, 0, 2_500_000, 11_000,
           51.6, 2.5, 29.6, 1.8, 12.4, 1.1, 32.5, 27.8, 38.2, 32.8, 34.1),
    _row_4("LLaMA-Adapter", _UNKNOWN, 0, 0, 0,
           54.9, 3.1, 43.8, 2.7, 34.2, 2.7, None, None, None, None, None),
    _row_4("VideoChat", _UNKNOWN, 0, 10_000_000, 11_000,
           56.3, 2.8, 45.0, 2.5, 26.5, 2.2, 34.1, 29.6, 42.5, 35.4, 35.5),
    _row_4("Video-ChatGPT", _UNKNOWN, 0, 0, 100_000,
           64.9, 3.3, 49.3, 2.8, 35.2, 2.7, 39.8, 29.2, 46.5, 38.5, 32.7),
    _row_4("BT-Adapter", _UNKNOWN, 0, 2_000_000, 100_000,
           67.5, 3.7, 57.0, 3.2, 45.7, 3.2, None, None, None, None, None),
    _row_4("Otter", _UNKNOWN, 0, 0, 502_000,
           None, None, None, None, None, None, 37.5, 33.0, 41.9, 37.5, 26.8),
    _row_4("PandaGPT", _UNKNOWN, 0, 0, 0,
           None, None, None, None, None, None, 37.5, 32.0, 43.1, 37.5, None),
    _row_4("mPLUG-Owl", _UNKNOWN, 0, 0, 0,
           None, None, None, None, None, None, 33.2, 26.4, 39.9, 33.2, 29.7),
    _row_4("Video-LLaVA", 256, 10_000_000, 702_000, 100_000,
           70.7, 3.9, 59.2, 3.5, 45.3, 3.3, None, None, None, None, None),
    _row_4("LLaMA-VID", 2, 0, 232_000, 98_000,
           69.7, 3.7, 57.7, 3.2, 47.4, 3.3, None, None, None, None, None),
    _row_4("VideoChat2", _UNKNOWN, 10_000_000, 10_000_000, 800_000,
           70.0, 3.9, 54.1, 3.3, 49.1, 3.3, None, None, None, None, 51.1),
    _row_4("FTFV-LLM image", _UNKNOWN, 0, 0, 0,
           65.0, 3.6, 42.9, 2.6, 46.9, 3.2, 52.4, 42.8, 52.3, 49.2, 42.4),
    _row_4("FTFV-LLM S4-V", 128, 0, 0, 9_800,
           69.2, 3.7, 55.1, 3.1, 49.7, 3.3, 54.3, 42.0, 54.5, 50.3, 43.5),
    _row_4("FTFV-LLM S3-IV", 128, 0, 0, 9_800,
           70.3, 3.8, 53.4, 3.1, 52.2, 3.4, 53.2, 41.9, 53.9, 49.7, 44.8),
    _row_4("FTFV-LLM S2-S3-IV", 128, 0, 86_300, 9_800,
           68.9, 3.7, 52.0, 3.1, 52.0, 3.4, 54.3, 42.5, 53.6, 50.1, 44.2),
)

TABLE_5: tuple[Table5Row, ...] = (
    _row_5(4, 32.14, 67.31, 3.69, 49.61, 3.00, 44.85, 3.16, 49.65, 44.57),
    _row_5(16, 33.47, 68.29, 3.74, 53.45, 3.16, 48.44, 3.31, 49.59, 44.70),
    _row_5(32, 35.24, 68.32, 3.73, 54.07, 3.17, 49.43, 3.32, 49.87, 44.38),
    _row_5(64, 38.79, 68.85, 3.74, 54.80, 3.19, 49.46, 3.32, 49.84, 44.07),
    _row_5(128, 45.88, 69.18, 3.73, 55.06, 3.14, 49.67, 3.31, 50.26, 43.52),
    _row_5(256, 60.07, 68.62, 3.71, 53.28, 3.13, 48.17, 3.30, 49.39, 44.47),
)
# fmt: on
