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
"""Options of subcommands that trade accuracy for compute: frame size, skipped and merged patches."""

import argparse
from typing import TYPE_CHECKING, Any


if TYPE_CHECKING:
    from .modeling_ftfv.configuration_ftfv import FTFVConfig


PATCH_OPTIONS = ("skip_unchanged_patches", "merge_patches", "merge_layers")
TRADES = ("frame_size", *PATCH_OPTIONS)


def add_trade_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options; without one, the model's own value holds."""
    parser.add_argument(
        "--frame-size", type=int, metavar="PIXELS", help="side of the frames that the model sees (default: its own)"
    )
    parser.add_argument(
        "--skip-unchanged-patches",
        type=float,
        metavar="SHARE",
        help="share of each further frame that the vision tower leaves out, where it has changed least: 0 to less "
        "than 1 (default: the model's own, mostly 0)",
    )
    parser.add_argument(
        "--merge-patches",
        type=float,
        metavar="SHARE",
        help="share of the patches that the vision tower merges into others: 0 to less than 1 (default: the model's "
        "own, mostly 0)",
    )
    parser.add_argument(
        "--merge-layers", type=int, metavar="N", help="layers that do so, from the first on (default: the model's own)"
    )


def set_trades(args: argparse.Namespace, config: "FTFVConfig") -> dict[str, Any]:
    """
    Sets the patch options on a model's config, and checks them and the frame size.

    Args:
        args (`argparse.Namespace`): with what [`add_trade_arguments`] adds.
        config (`FTFVConfig`): that of the model, which may be in use; changed in place.

    Returns:
        `dict` of arguments for the processor: `size`, where it is asked for.

    Raises:
        ValueError: one is out of range, or nothing that this model can do.
    """
    for name in PATCH_OPTIONS:
        value = getattr(args, name)
        if value is not None:
            setattr(config, name, value)
    config.check_patch_options()
    if args.frame_size is None:
        return {}
    patch_size = config.vision_config.patch_size
    if args.frame_size < patch_size or args.frame_size % patch_size:
        raise ValueError(
            f"--frame-size is {args.frame_size}; expected a multiple of the vision tower's patch size, {patch_size}."
        )
    return {"size": {"height": args.frame_size, "width": args.frame_size}}
