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
"""
What a recipe trains of a model, told and checked before the first step and without the model's weights.

PEFT silently skips a name of `lora_modules_to_save` that matches nothing, and takes one that matches several modules
for all of them; bitsandbytes quantises whatever it is not told to skip. Here both are errors.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from torch import nn
from transformers.quantizers.base import get_keys_to_not_convert
from transformers.quantizers.quantizers_utils import should_convert_module

from ..modeling_ftfv.configuration_ftfv import FTFVConfig
from ..modeling_ftfv.modeling_ftfv import FTFVForConditionalGeneration
from ..processing.processing_ftfv import TOKENS_PER_FRAME_RANGE
from .data.dataset_folder import read_columns


# The value of `lora_target_modules` by which PEFT allows that no LoRA is added.
NO_LORA = "dummy-target-modules"
# The one `TrainedModule` of a recipe without LoRA.
WHOLE_MODEL = "the whole model"
# Values of `train_sampling_strategy` that go by the length of the rows.
BY_LENGTH = ("group_by_length", "batch_rebalance")


@dataclass(frozen=True)
class TrainedModule:
    """
    A part of the model that trains.

    Attributes:
        name (`str`): module, or common pattern of the modules with LoRA.
        how (`str`): `"in full"` or `"LoRA, rank R"`.
        num_tensors, num_parameters (`int`): of what trains, so of the LoRA weights where it is LoRA.
    """

    name: str
    how: str
    num_tensors: int
    num_parameters: int


@dataclass(frozen=True)
class Preflight:
    """
    What a recipe trains.

    Attributes:
        trained (`tuple[TrainedModule, ...]`): in the order of the model.
        num_parameters (`int`): of the whole model, LoRA not counted.
        num_quantized (`int`): weights that are held in 4 or 8 bits.
    """

    trained: tuple[TrainedModule, ...]
    num_parameters: int
    num_quantized: int

    @property
    def num_trained(self) -> int:
        return sum(module.num_parameters for module in self.trained)

    def table(self) -> str:
        """The modules that train, one a line, with counts and shares of the whole model."""
        rows = [("trains", "how", "tensors", "parameters", "share")]
        for module in self.trained:
            share = f"{module.num_parameters / self.num_parameters:.3%}"
            rows.append((module.name, module.how, f"{module.num_tensors:,}", f"{module.num_parameters:,}", share))
        tensors = sum(module.num_tensors for module in self.trained)
        share = f"{self.num_trained / self.num_parameters:.3%}"
        rows.append((f"of {self.num_parameters:,}", "", f"{tensors:,}", f"{self.num_trained:,}", share))
        widths = [max(len(row[column]) for row in rows) for column in range(5)]
        lines = [
            "  ".join(
                cell.ljust(width) if column < 2 else cell.rjust(width)
                for column, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in rows
        ]
        if self.num_quantized:
            lines.append(f"quantised: {self.num_quantized:,} weights, none of which train in full")
        return "\n".join(lines)


def check_recipe(options: Mapping[str, Any], model: str | Path | FTFVConfig) -> Preflight:
    """
    Finds what the options of a recipe train of a model, by building it without weights and adding LoRA as `trl sft`
    does.

    Args:
        options (`Mapping[str, Any]`): options of `trl sft`, as read from its YAML file.
        model (`str`, `Path` or `FTFVConfig`): folder or Hub id of the model, of which only the config is read.

    Raises:
        ValueError: a name in `lora_target_modules` or `lora_modules_to_save` matches no module, or in the latter more
            than one; a module that trains in full would be quantised; K would be drawn in evaluation, too; or batches
            are to be composed by length and rows have none.
    """
    _check_evaluation(options)
    _check_lengths(options)
    config = model if isinstance(model, FTFVConfig) else FTFVConfig.from_pretrained(model)
    with torch.device("meta"):
        network = FTFVForConditionalGeneration(config)
    modules = dict(network.named_modules())
    num_parameters = network.num_parameters()
    if not options.get("use_peft"):
        if quantization(options):
            raise ValueError(
                "The recipe quantises the model and trains all of it; expected `use_peft: true`, since quantised "
                "weights cannot train."
            )
        tensors = [parameter for parameter in network.parameters() if parameter.requires_grad]
        count = sum(parameter.numel() for parameter in tensors)
        return Preflight((TrainedModule(WHOLE_MODEL, "in full", len(tensors), count),), num_parameters, 0)

    in_full = [_find_module(entry, modules) for entry in options.get("lora_modules_to_save") or ()]
    _check_targets(options.get("lora_target_modules"), modules)
    quantized = quantized_modules(network, options)
    for name in in_full:
        inside = [other for other in quantized if f"{other}.".startswith(f"{name}.")]
        if inside:
            raise ValueError(
                f"{name!r} trains in full but {inside[0]!r} would be quantised; name {name!r} in "
                "`llm_int8_skip_modules` of `model_init_kwargs: quantization_config`."
            )
    num_quantized = sum(modules[name].weight.numel() for name in quantized)
    trained = _trained_modules(network, options, in_full)
    return Preflight(tuple(trained), num_parameters, num_quantized)


def quantization(options: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The quantisation that a recipe asks for, in either of the ways that `trl sft` knows; None without."""
    if options.get("load_in_4bit") or options.get("load_in_8bit"):
        return {name: options[name] for name in ("load_in_4bit", "load_in_8bit") if options.get(name)}
    return (options.get("model_init_kwargs") or {}).get("quantization_config")


def quantized_modules(network: nn.Module, options: Mapping[str, Any]) -> list[str]:
    """Names of the linear layers that bitsandbytes replaces, as transformers chooses them."""
    settings = quantization(options)
    if settings is None:
        return []
    skipped = settings.get("llm_int8_skip_modules")
    skipped = get_keys_to_not_convert(network) if skipped is None else skipped
    return [
        name
        for name, module in network.named_modules()
        if type(module) is nn.Linear and should_convert_module(name, skipped)
    ]


def _check_evaluation(options: Mapping[str, Any]) -> None:
    drawn = (options.get("env") or {}).get(TOKENS_PER_FRAME_RANGE)
    if drawn and options.get("eval_strategy", "no") != "no":
        raise ValueError(
            f"The recipe draws K by `{TOKENS_PER_FRAME_RANGE}` and evaluates by `eval_strategy: "
            f"{options['eval_strategy']}`; the trainer prepares both alike, so its evaluation would see drawn K. "
            "Evaluate the merged model, or leave one of the two out."
        )


def _check_lengths(options: Mapping[str, Any]) -> None:
    strategy = options.get("train_sampling_strategy")
    if strategy not in BY_LENGTH:
        return
    column = options.get("length_column_name", "length")
    if options.get("remove_unused_columns", True):
        raise ValueError(
            f"The recipe composes batches by `train_sampling_strategy: {strategy}`, but the trainer would drop the "
            f"column {column!r} before it reads it; expected `remove_unused_columns: false`."
        )
    datasets = options.get("datasets")
    for folder in [dataset["path"] for dataset in datasets] if datasets else [options.get("dataset_name")]:
        # Others are not ours to read, such as those on the Hub.
        columns = None if folder is None else read_columns(folder)
        if columns is not None and column not in columns:
            raise ValueError(
                f"The recipe composes batches by `train_sampling_strategy: {strategy}`, but the rows of {folder} have "
                f"no column {column!r}. Write them anew with `ftfv data`, or leave that option out."
            )


def _find_module(entry: str, modules: Iterable[str]) -> str:
    # PEFT compares the ends of names, without regard to where a part of the name begins.
    found = [name for name in modules if name.endswith(entry)]
    if not found:
        raise ValueError(
            f"`lora_modules_to_save` names {entry!r}, which matches no module of the model; PEFT would train without "
            "it. Expected the end of a module's name, such as 'model.multi_modal_projector'."
        )
    if len(found) > 1:
        raise ValueError(
            f"`lora_modules_to_save` names {entry!r}, which matches {len(found)} modules, {found[0]!r} and "
            f"{found[1]!r} among them; PEFT would train them all. Write more of the one name."
        )
    return found[0]


def _check_targets(targets: str | Sequence[str] | None, modules: Iterable[str]) -> None:
    """PEFT takes a string for a pattern of whole names, and a list for ends of names; TRL makes [one] a string."""
    targets = targets[0] if isinstance(targets, (list, tuple)) and len(targets) == 1 else targets
    if targets is None or targets in (NO_LORA, "all-linear"):
        return
    if isinstance(targets, str):
        if not any(re.fullmatch(targets, name) for name in modules):
            raise ValueError(f"`lora_target_modules` is {targets!r}, which matches no module of the model.")
        return
    for target in targets:
        if not any(name == target or name.endswith(f".{target}") for name in modules):
            raise ValueError(f"`lora_target_modules` names {target!r}, which matches no module of the model.")


def _trained_modules(
    network: FTFVForConditionalGeneration, options: Mapping[str, Any], in_full: Sequence[str]
) -> list[TrainedModule]:
    targets = options.get("lora_target_modules")
    targets = targets[0] if isinstance(targets, (list, tuple)) and len(targets) == 1 else targets
    rank = int(options.get("lora_r", 16))
    lora = LoraConfig(
        task_type="CAUSAL_LM",
        r=rank,
        target_modules=targets,
        modules_to_save=list(options.get("lora_modules_to_save") or ()) or None,
    )
    peft_model = get_peft_model(network, lora, low_cpu_mem_usage=True)
    counts: dict[tuple[str, str], list[int]] = {}
    for name, parameter in peft_model.named_parameters():
        if not parameter.requires_grad:
            continue
        name = name.removeprefix("base_model.model.")
        if ".lora_" in name:
            module, how = name.partition(".lora_")[0], f"LoRA, rank {rank}"
            # One line for the same linear layer of all layers.
            module = re.sub(r"\.\d+\.", ".*.", module)
        else:
            module, how = name.partition(".modules_to_save.")[0], "in full"
        count = counts.setdefault((module, how), [0, 0])
        count[0] += 1
        count[1] += parameter.numel()
    missing = [name for name in in_full if (name, "in full") not in counts]
    if missing:
        raise ValueError(f"{missing[0]!r} is named in `lora_modules_to_save` but holds no parameter that can train.")
    return [TrainedModule(name, how, *count) for (name, how), count in counts.items()]
