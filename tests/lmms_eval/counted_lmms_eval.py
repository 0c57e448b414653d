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
`lmms-eval` with a count of how often vision tower and adapter ran for each task: `counted_lmms_eval.py COUNTS ...`.

It runs in the environment of lmms-eval and writes a JSON file. A video or image that several tasks ask about counts
for the one that asked first.
"""

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from lmms_eval.cli.dispatch import main

from ftfv.evaluation.asking import batches
from ftfv.modeling_ftfv.modeling_ftfv import FTFVModel


counts: Counter[str] = Counter()
encode_media, encode_frames = batches.encode_media, FTFVModel.encode_frames
asking_task = ""


def noted_encode_media(model: Any, processor: Any, question: Any, *args: Any, **kwargs: Any) -> Any:
    global asking_task
    asking_task = question.task
    return encode_media(model, processor, question, *args, **kwargs)


def counted_encode_frames(*args: Any, **kwargs: Any) -> Any:
    counts[asking_task] += 1
    return encode_frames(*args, **kwargs)


if __name__ == "__main__":
    batches.encode_media, FTFVModel.encode_frames = noted_encode_media, counted_encode_frames
    path = Path(sys.argv.pop(1))
    try:
        main()
    finally:
        path.write_text(json.dumps(counts))
