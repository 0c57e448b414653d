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
"""`ftfv doctor`: says what works on this machine, with this model and this video, and what to do about the rest."""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `ftfv doctor`."""
    parser.add_argument("model", metavar="MODEL", nargs="?", help="model folder or Hub id (default: none)")
    parser.add_argument("video", metavar="VIDEO", nargs="?", help="path or URL of a video (default: a made-up one)")
    parser.add_argument("--tokens-per-frame", type=int, help="tokens per frame, K (default: the model's own)")
    parser.add_argument("--num-frames", type=int, help="frames of the video, T (default: the model's own, 8)")
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def run(args: argparse.Namespace) -> int | tuple[dict[str, object], int]:
    """Prints a line for each finding as it is made, or returns the document of `--json`; with 1 if any is bad."""
    import warnings

    from transformers.utils import logging

    from .doctor_machine import examine_machine
    from .doctor_model import examine_model

    # What libraries warn of is among the findings.
    warnings.simplefilter("ignore")
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    findings = []
    parts = [examine_machine()]
    if args.model is not None:
        parts.append(examine_model(args.model, args.video, args.tokens_per_frame, args.num_frames))
    for part in parts:
        for finding in part:
            findings.append(finding)
            if not args.json:
                print(finding, flush=True)
    good = all(finding.good for finding in findings)
    code = 0 if good else 1
    if args.json:
        return {"good": good, "findings": [finding.as_document() for finding in findings]}, code
    return code
