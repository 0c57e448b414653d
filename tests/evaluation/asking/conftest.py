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
"""The tiny model and processor that all tests of this folder ask."""

from typing import Any

import pytest

from tests.tiny import build_model, build_processor


@pytest.fixture
def model() -> Any:
    return build_model()


@pytest.fixture(scope="module")
def processor() -> Any:
    return build_processor()
