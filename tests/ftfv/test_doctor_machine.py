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
"""What the doctor finds out about a machine, with parts of it missing or wrong."""

import numpy as np
import pytest
import torch

from ftfv import doctor_machine
from ftfv.processing.video_decoding_ftfv import READERS


def test_the_dtypes_of_this_machine_compute():
    assert doctor_machine.check_dtypes("cpu") == "float32, bfloat16, float16 compute."


def test_a_gpu_that_torch_cannot_use_is_bad(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(doctor_machine.shutil, "which", lambda name: None)
    assert doctor_machine.examine_device().good
    monkeypatch.setattr(doctor_machine.shutil, "which", lambda name: f"/usr/bin/{name}")
    finding = doctor_machine.examine_device()
    assert not finding.good and "finds no GPU" in finding.text and "built with CUDA" in finding.cure


def test_attention_backends_run_as_eager_attention(monkeypatch):
    found = {finding.subject: finding for finding in doctor_machine.examine_attention("cpu")}
    assert list(found) == ["attention eager", "attention sdpa", "attention flex_attention", "attention flash 2"]
    assert found["attention eager"].good and found["attention sdpa"].good
    monkeypatch.setattr(doctor_machine, "ATTENTION_TOLERANCE", -1.0)
    found = {finding.subject: finding for finding in doctor_machine.examine_attention("cpu")}
    assert "logits differ from those of eager attention by" in found["attention sdpa"].text
    assert "attn_implementation='eager'" in found["attention sdpa"].cure


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    return doctor_machine.write_clips(tmp_path_factory.mktemp("clips"))


def test_pyav_reads_every_format_that_it_writes(clips):
    assert set(clips) == {name for name, _, _ in doctor_machine.FORMATS}
    assert doctor_machine.check_decoder("pyav", clips) == f"reads {', '.join(clips)}."


def test_a_decoder_that_gives_other_frames_is_bad(clips, monkeypatch):
    class NextFrames:
        def __init__(self, source):
            self.reader = READERS["pyav"](source)

        def frames_at(self, indices):
            return self.reader.frames_at(indices + 1)

    class Nothing:
        def __init__(self, source):
            raise OSError("cannot open")

    monkeypatch.setitem(READERS, "decord", NextFrames)
    with pytest.raises(ValueError, match="decord gives other frames of a clip of H.264 than those asked for"):
        doctor_machine.check_decoder("decord", clips)
    monkeypatch.setitem(READERS, "decord", Nothing)
    with pytest.raises(ValueError, match="decord reads none of H.264"):
        doctor_machine.check_decoder("decord", clips)


def test_what_a_decoder_refuses_is_left_to_pyav(clips, monkeypatch):
    class NoTransportStreams:
        def __init__(self, source):
            if source.endswith(".ts"):
                raise ValueError("MPEG-TS has no index")
            self.reader = READERS["pyav"](source)

        def frames_at(self, indices):
            return np.asarray(self.reader.frames_at(indices))

    monkeypatch.setitem(READERS, "decord", NoTransportStreams)
    assert doctor_machine.check_decoder("decord", clips).endswith("Not MPEG-TS, left to PyAV.")


def test_a_decoder_that_is_missing_is_good_if_it_is_optional(monkeypatch):
    monkeypatch.setattr(doctor_machine, "usable_decoders", lambda: [])
    monkeypatch.setattr(doctor_machine, "is_av_available", lambda: False)
    monkeypatch.setattr(doctor_machine, "is_decord_available", lambda: False)
    monkeypatch.setattr(doctor_machine, "is_torchcodec_available", lambda: True)
    torchcodec, pyav, decord = doctor_machine.examine_decoders()
    assert (torchcodec.good, pyav.good, decord.good) == (False, False, True)
    assert "install FFmpeg" in torchcodec.cure and pyav.cure == "pip install av"
