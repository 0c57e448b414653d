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
"""`ftfv doctor`: its lines, its document and its exit code."""

import json

import pytest

from ftfv import doctor_machine, doctor_model
from ftfv.cli import main
from ftfv.doctor_finding import Finding, examine


GOOD = Finding("device", True, "a machine.")
BAD = Finding("video", False, "no video.", "encode it again.")


@pytest.fixture
def findings(monkeypatch):
    """Puts the findings about the machine and about the model in the place of the true ones."""

    def put(machine, model=()):
        monkeypatch.setattr(doctor_machine, "examine_machine", lambda: iter(machine))
        monkeypatch.setattr(doctor_model, "examine_model", lambda *args: iter(model))

    return put


def test_every_line_is_good_or_bad_and_a_bad_one_says_what_to_do(findings, capsys):
    findings([GOOD], [BAD])
    assert main(["doctor", "model", "clip.mp4"]) == 1
    good, bad = capsys.readouterr().out.splitlines()
    assert good.split() == ["good", "device", "a", "machine."]
    assert bad.startswith("BAD ") and bad.endswith("no video. To mend it: encode it again.")


def test_without_a_model_the_machine_alone_is_examined(findings, capsys):
    findings([GOOD], [BAD])
    assert main(["doctor"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1


@pytest.mark.parametrize(("model", "code"), [((), 0), ((BAD,), 1)])
def test_the_document_holds_what_the_lines_say(findings, capsys, model, code):
    findings([GOOD], model)
    assert main(["doctor", "model", "--json"]) == code
    document = json.loads(capsys.readouterr().out)
    assert document["good"] is (code == 0)
    assert document["findings"][0] == {"subject": "device", "good": True, "text": "a machine.", "cure": None}
    assert [finding["cure"] for finding in document["findings"][1:]] == [finding.cure for finding in model]


def test_whatever_a_check_raises_becomes_one_bad_line():
    def check():
        raise KeyError("x\ny")

    finding = examine("config", check, "save it again.")
    assert (finding.good, finding.cure) == (False, "save it again.")
    assert finding.text == "KeyError: 'x\\ny'."
    assert examine("config", lambda: "fine.", "save it again.") == Finding("config", True, "fine.")
