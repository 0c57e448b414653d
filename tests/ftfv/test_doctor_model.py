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
"""What the doctor finds out about models and videos, sound ones and broken ones."""

import json
import shutil

import pytest

from ftfv import FTFVConfig, doctor_model
from tests.tiny import build_model, write_video


def examine(*arguments):
    return {finding.subject: finding for finding in doctor_model.examine_model(*map(_as_text, arguments))}


def _as_text(value):
    return value if value is None or isinstance(value, int) else str(value)


@pytest.fixture
def broken_folder(saved_folder, tmp_path):
    """A copy of the tiny model to break."""
    return shutil.copytree(saved_folder, tmp_path / "model")


def test_a_sound_model_answers(saved_folder, clip):
    found = examine(saved_folder, clip, 3, 5)
    assert list(found) == ["config.json", "processor", "agreement", "video", "memory", "weights", "answer"]
    assert [finding.text for finding in found.values() if not finding.good] == []
    assert "20 frames at 10 frames per second, 64 x 48; 5 of them read" in found["video"].text
    assert "pyav reads it" in found["video"].text
    assert "5 frames x 3 tokens" in found["answer"].text


def test_memory_is_that_of_the_weights_and_of_keys_and_values(saved_folder):
    model = build_model()
    num_weights = sum(tensor.numel() for tensor in model.state_dict().values())
    num_keys_and_values = 2 * 2 * (5 * 3 + 48) * 16  # layers, both, tokens, two heads of width 8
    text = doctor_model.check_memory(FTFVConfig.from_pretrained(saved_folder), 3, 5)
    # float32
    assert text.startswith(f"{4 * num_weights / 1e6:.2f} MB of weights and {4 * num_keys_and_values / 1e6:.2f} MB of")


def test_a_model_that_does_not_fit_is_not_loaded(saved_folder, monkeypatch):
    monkeypatch.setattr(doctor_model, "free_memory", lambda: (1000, "CPU"))
    found = examine(saved_folder)
    assert not found["memory"].good and "smaller --tokens-per-frame" in found["memory"].cure
    assert "answer" not in found


def test_a_number_of_tokens_out_of_range_is_bad(saved_folder):
    found = examine(saved_folder, None, 17)
    assert "`tokens_per_frame` is 17; expected 1 to 16" in found["memory"].text


def remove(name):
    return lambda folder: (folder / name).unlink()


def cut(name):
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:-100])


def disagree(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "tokens_per_frame": 9}))


@pytest.mark.parametrize(
    ("damage", "subject", "message"),
    [
        (shutil.rmtree, "config.json", "No model folder"),
        (remove("config.json"), "config.json", "No config.json in the folder"),
        (cut("config.json"), "config.json", ""),
        (remove("processor_config.json"), "processor", ""),
        (remove("tokenizer.json"), "processor", ""),
        (disagree, "agreement", "`tokens_per_frame` is 9 in config.json but 4 in processor_config.json"),
        (remove("model.safetensors"), "weights", ""),
        (cut("model.safetensors"), "weights", ""),
    ],
)
def test_a_broken_folder_is_one_bad_line(broken_folder, damage, subject, message):
    damage(broken_folder)
    found = examine(broken_folder)
    assert not found[subject].good
    assert message in found[subject].text and found[subject].cure
    assert "answer" not in found or subject == "agreement"


def test_weights_that_are_missing_are_bad(broken_folder):
    config = json.loads((broken_folder / "config.json").read_text())
    config["text_config"]["num_hidden_layers"] = 3
    (broken_folder / "config.json").write_text(json.dumps(config))
    found = examine(broken_folder)
    assert "missing keys in the weights, such as 'model.language_model.layers.2" in found["weights"].text


@pytest.mark.parametrize(
    ("content", "message"), [(None, "No file"), (b"", "is empty"), (b"not a video at all\n" * 50, "cannot be decoded")]
)
def test_a_broken_video_is_bad_and_so_is_the_answer(saved_folder, tmp_path, content, message):
    path = tmp_path / "broken.mp4"
    if content is not None:
        path.write_bytes(content)
    found = examine(saved_folder, path)
    assert message in found["video"].text and "encode it again" in found["video"].cure
    assert message in found["answer"].text


def test_a_video_is_looked_at_where_the_model_is_broken(tmp_path):
    found = examine(tmp_path / "none", write_video(tmp_path / "clip.mp4", 20))
    assert not found["config.json"].good and found["video"].good
