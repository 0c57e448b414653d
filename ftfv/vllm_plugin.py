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
vLLM's plug-in: makes FTFV known in each of its processes, for its transformers backend.

vLLM calls `register` through the entry point `ftfv` of the group `vllm.general_plugins`; nothing here imports vLLM. In
an environment with vLLM, which asks for other versions than ours, `pip install --no-deps ftfv` is enough. Then

    vllm serve MODEL --model-impl transformers --media-io-kwargs '{"video": {"num_frames": -1}}'

answers chats with `video_url`. `-1` hands all frames to the processor, which samples as it does elsewhere; with any
other number vLLM samples frames of its own. K is `--mm-processor-kwargs '{"tokens_per_frame": 16}'`, and for a request
`mm_processor_kwargs` in its body.
"""

import transformers

from .modeling_ftfv.modeling_ftfv import FTFVForConditionalGeneration
from .registration import register as register_with_transformers


def register() -> None:
    """
    Registers the classes with transformers, where vLLM finds them without `trust_remote_code`; calling it again
    changes nothing.
    """
    register_with_transformers()
    # vLLM looks for the class that config.json names among the attributes of transformers, then in the folder's own
    # code, and nowhere else.
    setattr(transformers, FTFVForConditionalGeneration.__name__, FTFVForConditionalGeneration)
