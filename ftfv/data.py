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
"""`ftfv data`: writes data sets in the form that `trl sft` trains on."""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `ftfv data`."""
    parser.add_argument("source", choices=("moving-shapes",), help="where the data come from")
    parser.add_argument("--output", required=True, help="folder to write; a rerun continues")
    parser.add_argument("--clips", type=int, default=0, help="clips to train on, or to test each temporal skill with")
    parser.add_argument("--images", type=int, default=0, help="pictures to train on, or to test each image skill with")
    parser.add_argument("--seed", type=int, default=0, help="seed of everything that is drawn (default: 0)")
    parser.add_argument(
        "--split",
        choices=("train", "validation", "test"),
        default="train",
        help="train: conversations; validation, test: one balanced question a row (default: train)",
    )
    parser.add_argument(
        "--cache", action="store_true", help="also decode the clips once, to OUTPUT/cached, to train on these"
    )


def run(args: argparse.Namespace) -> None:
    """Writes the data set and prints its folder."""
    from .training.data.frame_cache import cache_frames
    from .training.data.moving_shapes import write_dataset, write_evaluation_set

    if args.split == "train":
        folder = write_dataset(args.output, num_clips=args.clips, num_images=args.images, seed=args.seed)
    else:
        folder = write_evaluation_set(
            args.output,
            clips_per_skill=args.clips,
            images_per_skill=args.images,
            seed=args.seed,
            split=args.split,
        )
    if args.cache:
        folder = cache_frames(folder)
    print(folder)
