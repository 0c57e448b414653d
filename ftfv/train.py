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
"""`ftfv train`: evolves an image model on one's own clips, or runs a recipe, after saying what it will train."""

import argparse
from pathlib import Path
from typing import Any


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `ftfv train`."""
    parser.add_argument(
        "source",
        metavar="CLIPS.jsonl|RECIPE.yaml",
        help='lines such as {"video": "clip.mp4", "question": "...", "answer": "..."}, paths relative to the file; or '
        "options of `trl sft`",
    )
    parser.add_argument("--model", help="folder of the model to start from (default: the recipe's)")
    parser.add_argument(
        "--output",
        help="folder for recipe, checkpoints and the merged model; a rerun continues (default: the recipe's)",
    )
    parser.add_argument(
        "--memory", help="memory of the GPU to choose recipe, K and batch size for, such as 24GB (default: this GPU's)"
    )
    parser.add_argument(
        "--num-gpus", type=int, default=1, help="GPUs that share a recipe's weights, for the memory shown (default: 1)"
    )
    parser.add_argument("--dry-run", action="store_true", help="show recipe, trained modules and memory, and stop")


def run(args: argparse.Namespace) -> None:
    """Trains and prints the folder of the merged model."""
    from .training.stages import run_stage

    if args.source.endswith((".yaml", ".yml")):
        model, dataset, output = _prepare_recipe(args)
        recipe = args.source
    else:
        model, dataset, output = _prepare_clips(args)
        recipe = output / "recipe.yaml"
    if args.dry_run:
        return
    print(run_stage(recipe, model, dataset, output))


def _prepare_recipe(args: argparse.Namespace) -> tuple[str, None, Path]:
    from .model_folder import check_model_folder
    from .modeling_ftfv.configuration_ftfv import FTFVConfig
    from .training.compute import recipe_cost, row_sizes
    from .training.memory import estimate_memory
    from .training.preflight import check_recipe
    from .training.stages import read_recipe

    if args.memory is not None:
        raise ValueError("--memory is for clips; a recipe says its batch size by itself.")
    options = read_recipe(args.source)
    model = args.model or options.get("model_name_or_path")
    output = args.output or str(options.get("output_dir", "")).removesuffix("/training")
    if not model or not output:
        raise ValueError(f"{args.source!r} does not say model or output folder; pass --model and --output.")
    check_model_folder(model)
    config = FTFVConfig.from_pretrained(model)
    preflight = check_recipe(options, config)
    print(preflight.table())
    if "per_device_train_batch_size" in options:
        sizes: dict[str, Any] = row_sizes(preflight, config)
        memory = estimate_memory(options, config, num_shards=args.num_gpus, preflight=preflight, **sizes)
        print(_describe(memory))
        flops = recipe_cost(options, config, preflight=preflight, **sizes).total_flops
        print(f"compute, computed: {flops / 1e12:.3g} TFLOPs a row")
    return model, None, Path(output)


def _prepare_clips(args: argparse.Namespace) -> tuple[str, Path, Path]:
    import torch
    import yaml

    from .model_folder import check_model_folder
    from .modeling_ftfv.configuration_ftfv import FTFVConfig
    from .training.data.media import write_text
    from .training.data.own_clips import write_own_clips
    from .training.plan import plan_training
    from .training.preflight import check_recipe, quantization

    if not args.model or not args.output:
        raise ValueError("Clips need --model, the folder of the image model, and --output, a folder to work in.")
    check_model_folder(args.model)
    config = FTFVConfig.from_pretrained(args.model)
    limit = _memory_limit(args.memory)
    output = Path(args.output)
    num_rows = write_own_clips(args.source, output / "data")
    plan = plan_training(config, limit, num_rows)
    options: dict[str, Any] = {
        **plan.options,
        "model_name_or_path": str(Path(args.model).resolve()),
        "dataset_name": str((output / "data").resolve()),
        "output_dir": str((output / "training").resolve()),
    }
    if not torch.cuda.is_available():
        options.update(bf16=False, use_cpu=True, dataloader_pin_memory=False)
        if quantization(options) and not args.dry_run:
            raise ValueError("The recipe that fits quantises the model, which needs a GPU; --dry-run shows it.")
    text = yaml.safe_dump(options, sort_keys=False, allow_unicode=True)
    write_text(output / "recipe.yaml", text)
    batch_size, accumulation = options["per_device_train_batch_size"], options["gradient_accumulation_steps"]
    print(
        f"{num_rows:,} rows, {batch_size} x {accumulation} a step; recipe {plan.recipe}, K = {plan.tokens_per_frame}"
    )
    print(_describe(plan.memory))
    print(f"\n{output / 'recipe.yaml'}:\n{text}")
    print(check_recipe(options, config).table())
    if not args.dry_run and quantization(options):
        _check_installed("qlora", "bitsandbytes", "deepspeed")
    return args.model, output / "data", output


def _memory_limit(memory: str | None) -> int:
    """Bytes; a GB of a GPU is 2**30 of them."""
    import re

    import torch

    if memory is not None:
        match = re.fullmatch(r"(\d+(?:\.\d+)?) ?(?:GB|GiB|G)?", memory, flags=re.IGNORECASE)
        if match is None or float(match.group(1)) == 0:
            raise ValueError(f"--memory is {memory!r}; expected the memory of a GPU, such as 24GB.")
        return round(float(match.group(1)) * 2**30)
    if torch.cuda.is_available():
        return torch.cuda.get_device_properties(0).total_memory
    raise ValueError("There is no GPU here whose memory could be asked for; pass --memory, such as 24GB.")


def _check_installed(extra: str, *packages: str) -> None:
    import importlib.util

    missing = [package for package in packages if importlib.util.find_spec(package) is None]
    if missing:
        raise ImportError(f"The recipe needs {' and '.join(missing)}; `pip install 'ftfv[{extra}]'`.")


def _describe(memory: Any) -> str:
    parts = ("weights", "gradients", "optimizer", "activations", "reserve")
    sizes = ", ".join(f"{part} {getattr(memory, part) / 2**30:.2f}" for part in parts)
    return f"memory, computed: {memory.total / 2**30:.2f} GB ({sizes})"
