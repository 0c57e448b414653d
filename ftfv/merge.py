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
"""`ftfv merge`: turns the output of a training stage into a plain model folder."""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `ftfv merge`."""
    parser.add_argument("stage", metavar="STAGE", help="output folder of a `trl sft` stage, with adapter_config.json")
    parser.add_argument("--output", required=True, help="folder to write; it must not exist yet")
    parser.add_argument("--base", help="base model (default: where adapter_config.json says)")
    parser.add_argument(
        "--dtype", default="auto", help="type of the saved weights, such as float32 (default: the base's)"
    )


def run(args: argparse.Namespace) -> None:
    """Writes the merged model and prints how far its logits moved."""
    from transformers.utils import logging

    from .training.merge import merge

    logging.set_verbosity_warning()
    logging.disable_progress_bar()
    difference = merge(args.stage, args.output, base_folder=args.base, dtype=args.dtype)
    print(f"{args.output}: logits before and after merging differ by at most {difference:.2g}")
