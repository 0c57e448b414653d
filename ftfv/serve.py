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
"""`ftfv serve`: an OpenAI-compatible server of one model."""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `ftfv serve`."""
    parser.add_argument("model", metavar="MODEL", help="model folder or Hub id, which clients pass as `model`")
    parser.add_argument("--host", default="localhost", help="address to listen at (default: localhost)")
    parser.add_argument("--port", type=int, default=8000, help="port to listen at (default: 8000)")
    parser.add_argument("--device", default="auto", help="where the model is loaded, such as cuda:0 (default: auto)")
    parser.add_argument("--dtype", default="auto", help="type of the weights (default: that of the files)")
    parser.add_argument("--attn-implementation", help="attention backend, such as sdpa (default: transformers' own)")
    parser.add_argument(
        "--media-folder",
        metavar="DIR",
        help="folder whose files clients may name by their paths, relative to it or absolute (default: none)",
    )
    parser.add_argument(
        "--max-file-size",
        type=float,
        default=100,
        metavar="MB",
        help="largest image or video, and all inline files of a request together (default: 100)",
    )
    parser.add_argument(
        "--max-frames", type=int, default=64, help="most frames of a request, an image counting as one (default: 64)"
    )
    parser.add_argument(
        "--max-seconds",
        type=float,
        default=120,
        help="longest time from a request to the end of its answer (default: 120)",
    )


def run(args: argparse.Namespace) -> None:
    """Serves until it is interrupted."""
    from pathlib import Path

    from transformers.utils import logging
    from transformers.utils.import_utils import is_serve_available

    from .model_folder import check_model_folder

    if not is_serve_available():
        raise ImportError("`ftfv serve` needs fastapi, uvicorn and openai; `pip install 'ftfv[serve]'`.")
    for name in ("max_file_size", "max_frames", "max_seconds"):
        if not getattr(args, name) > 0:
            option = f"--{name.replace('_', '-')}"
            raise ValueError(f"{option} is {getattr(args, name)}; expected a number above 0.")
    if args.media_folder is not None and not Path(args.media_folder).is_dir():
        raise FileNotFoundError(f"No folder {args.media_folder!r}; expected an existing one for --media-folder.")

    import uvicorn

    from .serve_app import FTFVModelManager, build_app, split_revision
    from .serve_media import Limits

    check_model_folder(split_revision(args.model)[0])
    logging.set_verbosity_warning()
    logging.disable_progress_bar()
    limits = Limits(
        media_folder=None if args.media_folder is None else Path(args.media_folder),
        max_bytes=int(args.max_file_size * 1_000_000),
        max_frames=args.max_frames,
        max_seconds=args.max_seconds,
    )
    manager = FTFVModelManager(args.model, args.device, args.dtype, args.attn_implementation)
    config = uvicorn.Config(build_app(manager, limits), host=args.host, port=args.port, log_level="info")
    print(f"model {args.model!r} at http://{args.host}:{args.port}/v1", flush=True)
    try:
        uvicorn.Server(config).run()
    except KeyboardInterrupt:
        print("stopped")
