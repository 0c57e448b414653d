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

import shutil

import pytest

from ftfv.model_identity import identify_model


def test_a_model_is_its_files_and_not_its_folder(saved_folder, tmp_path):
    identity = identify_model(str(saved_folder))
    copy = tmp_path / "copy"
    shutil.copytree(saved_folder, copy)
    (copy / "README.md").write_text("a card")
    assert identify_model(str(copy)) == identity
    assert list(identity) == ["sha256"] and len(identity["sha256"]) == 64

    weights = next(copy.glob("*.safetensors"))
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert identify_model(str(copy)) != identity


def test_no_model(tmp_path):
    with pytest.raises(FileNotFoundError, match="No config.json"):
        identify_model(str(tmp_path))
    with pytest.raises(FileNotFoundError, match="No model 'org/ftfv-of-nobody' on the Hub or in its cache"):
        identify_model("org/ftfv-of-nobody")
