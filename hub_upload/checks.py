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
"""What a model folder must and must not hold before it is published; nothing here loads the weights."""

import fnmatch
import json
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from transformers.dynamic_module_utils import get_imports, get_relative_imports

from ..modeling_ftfv.configuration_ftfv import AUTO_MAP, CUSTOM_PIPELINES, FTFVConfig
from ..processing.pipeline_ftfv import check_agreement
from ..processing.processing_ftfv import FTFVProcessor


REQUIRED = ("config.json", "generation_config.json", "processor_config.json", "tokenizer_config.json")
# Drawn for the card.
PICTURE = "kept_patches.png"
WEIGHTS, WEIGHTS_INDEX = "model.safetensors", "model.safetensors.index.json"
# What `save_pretrained` of model and processor writes and what a person puts beside it, as patterns of paths.
EXPECTED = (
    *REQUIRED,
    WEIGHTS,
    WEIGHTS_INDEX,
    "model-?????-of-?????.safetensors",
    "*_ftfv.py",
    "chat_template.jinja",
    "chat_templates/*.jinja",
    "tokenizer.json",
    "tokenizer.model",
    "vocab.json",
    "merges.txt",
    "added_tokens.json",
    "special_tokens_map.json",
    "README.md",
    PICTURE,
    "LICENSE*",
    "NOTICE*",
    "USE_POLICY*",
    ".gitattributes",
    ".eval_results/*.yaml",
)
PICKLES = ("*.bin", "*.pt", "*.pth", "*.pkl", "*.pickle", "*.ckpt", "*.h5", "*.msgpack")
TRAINING_STATE = (
    "checkpoint-*",
    "last-checkpoint",
    "optimizer*",
    "scheduler*",
    "rng_state*",
    "scaler*",
    "training_args.bin",
    "trainer_state.json",
    "adapter_config.json",
    "adapter_model.*",
)
TEXT_SUFFIXES = {".json", ".py", ".jinja", ".md", ".txt", ".yaml", ".model", ""}
# Vocabularies hold any text, so that what looks like a path in them is none.
VOCABULARIES = {"tokenizer.json", "vocab.json", "merges.txt", "added_tokens.json", "special_tokens_map.json"}
# What whoever runs transformers on images and videos has.
LIBRARIES = {"torch", "torchvision", "transformers", "huggingface_hub", "numpy", "PIL"}
HUB_TOKEN = re.compile(r"\bhf_[A-Za-z0-9]{30,}")
# A whole string of a JSON file, and a path in running text.
PATH_VALUE = re.compile(r"(?:file://)?(?:~|[A-Za-z]:)?[/\\][^/\\\s]+[/\\]\S*")
PATH_IN_TEXT = re.compile(r"(?<![\w.:/<])/(?:home|Users|root|mnt|tmp|private|scratch|workspace)/\w[^\s\"'`]*")


def check_folder(folder: Path, exclude: Iterable[str] = ()) -> list[Path]:
    """
    Checks everything about a folder that shows without loading the weights.

    Args:
        folder (`Path`): a saved model with its processor.
        exclude (`Iterable[str]`, *optional*): patterns of relative paths that stay behind, such as `"checkpoint-*"`.

    Returns:
        `list[Path]`: the files to publish, relative to the folder, in order of their names.

    Raises:
        FileNotFoundError: a file is missing: config, processor, weights, or the code that strangers load.
        ValueError: the folder holds something else or more than one FTFV model, pickles, training states, stray files,
            paths of this machine or Hub tokens; or config.json and processor_config.json disagree.
    """
    files = list_files(folder, exclude)
    names = {path.as_posix() for path in files}
    _check_one_model(folder, names)
    _check_nothing_strays(names)
    _check_weights(folder, names)
    _check_code(folder, names)
    for path in files:
        check_text(path.as_posix(), _texts(folder / path))
    check_agreement(FTFVConfig.from_pretrained(folder), FTFVProcessor.from_pretrained(folder))
    return files


def list_files(folder: Path, exclude: Iterable[str] = ()) -> list[Path]:
    """All files of a folder but those excluded, relative to it, in order of their names."""
    files = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return [path for path in files if not _matches(path.as_posix(), exclude)]


def check_text(name: str, texts: Iterable[str]) -> None:
    """
    Refuses Hub tokens and paths of this machine in what is to be published. The message does not repeat a token.

    Args:
        name (`str`): of the file, for the message.
        texts (`Iterable[str]`): strings of a JSON file, or the whole of another file.

    Raises:
        ValueError: there is one.
    """
    for text in texts:
        if HUB_TOKEN.search(text):
            raise ValueError(
                f"{name} holds a Hub token ('hf_...'); remove it, and revoke it at "
                "https://huggingface.co/settings/tokens if anyone else has seen the file."
            )
        if Path(name).name in VOCABULARIES:
            continue
        found = PATH_VALUE.fullmatch(text) or PATH_IN_TEXT.search(text)
        if found:
            raise ValueError(
                f"{name} holds the path {found.group()!r}, which exists on this machine only; write a Hub id or a "
                "relative path there, or remove it."
            )


def _check_one_model(folder: Path, names: set[str]) -> None:
    if "adapter_config.json" in names:
        raise ValueError(
            f"{str(folder)!r} holds an adapter, which strangers cannot load without its base; expected a whole model. "
            f"Merge it first: `ftfv merge {folder} --output MODEL`."
        )
    missing = [name for name in REQUIRED if name not in names]
    if missing:
        raise FileNotFoundError(
            f"No {', '.join(missing)} in {str(folder)!r}; expected what `save_pretrained` of model and "
            "processor write."
        )
    model_type = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type")
    if model_type != FTFVConfig.model_type:
        raise ValueError(f"The model in {str(folder)!r} is of type {model_type!r}; expected 'ftfv'.")


def _check_nothing_strays(names: set[str]) -> None:
    cure = "Remove them, or leave them out with --exclude 'PATTERN'."
    states = sorted(name for name in names if _matches(name, TRAINING_STATE))
    if states:
        raise ValueError(f"The folder holds states of training: {_some(states)}; expected a model alone. {cure}")
    pickles = sorted(name for name in names if _matches(name, PICKLES))
    if pickles:
        raise ValueError(
            f"The folder holds pickles, which run code when they are loaded: {_some(pickles)}; expected safetensors "
            f"only. {cure}"
        )
    stray = sorted(name for name in names if not _matches(name, EXPECTED))
    if stray:
        raise ValueError(f"The folder holds files that no FTFV model has: {_some(stray)}. {cure}")


def _check_weights(folder: Path, names: set[str]) -> None:
    present = {name for name in names if name.endswith(".safetensors")}
    if (WEIGHTS in names) == (WEIGHTS_INDEX in names):
        what = "both" if WEIGHTS in names else "neither"
        raise ValueError(
            f"{str(folder)!r} has {what} of {WEIGHTS} and {WEIGHTS_INDEX}; expected the weights in one file, or in "
            "several with an index."
        )
    wanted = {WEIGHTS}
    if WEIGHTS_INDEX in names:
        wanted = set(json.loads((folder / WEIGHTS_INDEX).read_text(encoding="utf-8"))["weight_map"].values())
    if wanted != present:
        wrong = [f"{name} is missing" for name in sorted(wanted - present)]
        wrong += [f"{name} is not in the index" for name in sorted(present - wanted)]
        raise ValueError(f"The weights in {str(folder)!r} are not whole: {', '.join(wrong)}. Save the model again.")
    for name in sorted(present):
        try:
            with safe_open(folder / name, framework="pt") as weights:
                metadata = weights.metadata() or {}
        except SafetensorError as error:
            raise ValueError(f"{name} cannot be read: {error}. Save the model again.") from None
        check_text(name, metadata.values())


def _check_code(folder: Path, names: set[str]) -> None:
    """Every class that the Auto classes look for is named, and every file it comes from is there."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    processor = json.loads((folder / "processor_config.json").read_text(encoding="utf-8"))
    references = _references(config, processor)
    cure = "Save model and processor again with `import ftfv`."
    absent = sorted(place for place, reference in references.items() if reference is None)
    if absent:
        raise ValueError(f"{str(folder)!r} names no class for {', '.join(absent)}. {cure}")
    foreign = sorted(reference for reference in references.values() if reference and "--" in reference)
    if foreign:
        raise ValueError(f"{foreign[0]!r} is code of another repository; expected this folder's own. {cure}")
    pending = [f"{reference.split('.')[0]}.py" for reference in references.values() if reference]
    seen: set[str] = set()
    while pending:
        name = pending.pop()
        if name in seen:
            continue
        seen.add(name)
        if name not in names:
            raise FileNotFoundError(f"No {name} in {str(folder)!r}, so strangers could not load the model. {cure}")
        asked = sorted(set(get_imports(folder / name)) - LIBRARIES - sys.stdlib_module_names)
        if asked:
            raise ValueError(
                f"{name} imports {', '.join(asked)}, which transformers would ask every stranger to install. {cure}"
            )
        pending += [f"{module}.py" for module in get_relative_imports(folder / name)]


def _references(config: dict[str, Any], processor: dict[str, Any]) -> dict[str, str | None]:
    """Where a class must be named, and the class named there."""
    found = {f"config.json auto_map.{auto}": config.get("auto_map", {}).get(auto) for auto in AUTO_MAP}
    for task in CUSTOM_PIPELINES:
        found[f"config.json custom_pipelines.{task}"] = config.get("custom_pipelines", {}).get(task, {}).get("impl")
    for part, auto in (
        ("", "AutoProcessor"),
        ("image_processor", "AutoImageProcessor"),
        ("video_processor", "AutoVideoProcessor"),
    ):
        settings = processor.get(part, {}) if part else processor
        place = f"processor_config.json {part + '.' if part else ''}auto_map.{auto}"
        found[place] = settings.get("auto_map", {}).get(auto)
    return found


def _texts(path: Path) -> Iterator[str]:
    """The strings of a JSON file, the whole of another file of text, nothing of a binary one."""
    if path.suffix not in TEXT_SUFFIXES:
        return
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return
    if path.suffix != ".json" or path.name in VOCABULARIES:
        yield text
    else:
        yield from _strings(json.loads(text))


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, entry in value.items():
            yield key
            yield from _strings(entry)
    elif isinstance(value, list):
        for entry in value:
            yield from _strings(entry)


def _matches(name: str, patterns: Iterable[str]) -> bool:
    """Whether a pattern describes the path, or a folder that it lies in."""
    parts = name.split("/")
    split = (pattern.split("/") for pattern in patterns)
    return any(len(parts) >= len(pattern) and all(map(fnmatch.fnmatchcase, parts, pattern)) for pattern in split)


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
