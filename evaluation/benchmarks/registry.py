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
"""The benchmarks by name."""

from difflib import get_close_matches

from .benchmark import Benchmark
from .lvlm_ehub import LVLMEhub
from .mmbench import MMBENCH_CN, MMBENCH_EN
from .mvbench import MVBench
from .own import OwnQuestions
from .seed_bench import SeedBench
from .video_bench import VideoBench
from .video_qa import ACTIVITYNET_QA, MSRVTT_QA, MSVD_QA


BENCHMARKS: dict[str, Benchmark] = {
    benchmark.name: benchmark
    for benchmark in (
        MSVD_QA,
        MSRVTT_QA,
        ACTIVITYNET_QA,
        MVBench(),
        VideoBench(),
        LVLMEhub(),
        MMBENCH_EN,
        MMBENCH_CN,
        SeedBench(),
        OwnQuestions(),
    )
}


def find_benchmark(name: str) -> Benchmark:
    """
    The benchmark of this name.

    Raises:
        ValueError: there is none; the message says which there are and which comes closest.
    """
    if name in BENCHMARKS:
        return BENCHMARKS[name]
    wanted = name.lower().replace("-", "_")
    close = [known for known in BENCHMARKS if wanted and known.startswith(wanted)]
    close = close or get_close_matches(wanted, BENCHMARKS, n=1, cutoff=0.5)
    hint = f" Did you mean {' or '.join(close)}?" if close else ""
    raise ValueError(f"There is no benchmark {name!r}; expected one of {', '.join(BENCHMARKS)}.{hint}")
