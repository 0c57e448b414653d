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
"""The model card: what a stranger should know about a model before and while using it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import PurePath
from typing import Any

import jinja2
import yaml
from huggingface_hub import ModelCardData

from ..evaluation.formatting import format_quantity, format_table
from ..modeling_ftfv.configuration_ftfv import FTFVConfig
from ..modeling_ftfv.cost import CostCounter, weight_bytes
from .results import TASK, Results, model_index, results_table
from .signature import sign


UNKNOWN = "unknown"
# Options of a recipe that say where it ran and not what it did.
PLACES = ("output_dir", "resume_from_checkpoint", "report_to", "env")
TEXT_TOKENS = 48


@dataclass(frozen=True)
class BaseModel:
    """
    A model that this one was made of.

    Attributes:
        id (`str`): on the Hub.
        licence (`str`, *optional*): as its authors name it; unknown if not given.
    """

    id: str
    licence: str | None = None

    @classmethod
    def parse(cls, text: str) -> "BaseModel":
        """
        From `"ID"` or `"ID=LICENCE"`.

        Raises:
            ValueError: there is no id, or an empty licence.
        """
        name, equals, licence = text.partition("=")
        if not name or (equals and not licence):
            raise ValueError(f"The base model is {text!r}; expected 'ID' or 'ID=LICENCE', such as 'Qwen/Qwen-VL'.")
        return cls(name, licence or None)


@dataclass(frozen=True)
class CardFacts:
    """
    What a card says beyond the config. Nothing here is guessed: what is not given is unknown on the card, or missing.

    Attributes:
        repo_id (`str`): where the model goes, for the snippets.
        licence (`str`, *optional*): of the whole, an identifier of the Hub.
        licence_name, licence_link (`str`, *optional*): of a licence that the Hub calls `other`.
        base_models (`tuple[BaseModel, ...]`): what it was made of.
        stage (`str`, *optional*): name of the stage of training that made it.
        recipe (`Mapping`, *optional*): options of `trl sft` that made it.
        datasets (`tuple[str, ...]`): data sets of the Hub that it was trained on.
        results (`tuple[Results, ...]`): of its evaluation.
        picture (`str`, *optional*): path of a picture in the repository.
    """

    repo_id: str
    licence: str | None = None
    licence_name: str | None = None
    licence_link: str | None = None
    base_models: tuple[BaseModel, ...] = ()
    stage: str | None = None
    recipe: Mapping[str, Any] | None = None
    datasets: tuple[str, ...] = ()
    results: tuple[Results, ...] = ()
    picture: str | None = None


def render_card(config: FTFVConfig, facts: CardFacts) -> str:
    """The signed Markdown of a card, see [`sign`]; the same facts give the same text."""
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True, autoescape=False)  # noqa: S701
    template = files(__package__).joinpath("templates", "model_card.jinja").read_text(encoding="utf-8")
    num_query_tokens = config.adapter_config.num_query_tokens
    card = environment.from_string(template).render(
        metadata=_metadata(facts),
        name=facts.repo_id.split("/")[-1],
        repo_id=facts.repo_id,
        num_query_tokens=num_query_tokens,
        # "none" knows no other number than all.
        smaller_count=(
            num_query_tokens if config.token_sampler == "none" else max(1, min(16, config.tokens_per_frame // 2))
        ),
        hidden_size=config.text_config.hidden_size,
        num_frames=config.num_frames,
        picture=facts.picture,
        parts=_parts(facts),
        settings=_settings(config),
        stage=facts.stage,
        recipe=None if facts.recipe is None else yaml.safe_dump(portable(facts.recipe), sort_keys=False).strip(),
        datasets=facts.datasets,
        cost=_cost(config),
        evaluation=results_table(facts.results) if facts.results else "Not evaluated, or no results were given.",
    )
    return sign(card)


def portable(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe without what is of one machine or person: of paths, the last name is left; no output folder, no Hub."""
    options: dict[str, Any] = {}
    for name, value in recipe.items():
        if name not in PLACES and not name.startswith(("hub_", "push_to_hub")):
            options[name] = _last_name(value)
    settings = {
        name: str(value)
        for name, value in (recipe.get("env") or {}).items()
        if name.startswith("FTFV_") and name != "FTFV_MEDIA_ROOT"
    }
    return {**options, "env": settings} if settings else options


def _last_name(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _last_name(entry) for name, entry in value.items()}
    if isinstance(value, list):
        return [_last_name(entry) for entry in value]
    if isinstance(value, str) and value.startswith(("/", "~", "./", "../")):
        return PurePath(value).name
    return value


def _metadata(facts: CardFacts) -> str:
    results = model_index(facts.results) or None
    data = ModelCardData(
        library_name="transformers",
        pipeline_tag=TASK,
        license=facts.licence or UNKNOWN,
        license_name=facts.licence_name,
        license_link=facts.licence_link,
        base_model=[base.id for base in facts.base_models] or None,
        datasets=list(facts.datasets) or None,
        tags=["ftfv", "video", "custom_code"],
        # A part of the `model-index`, and a stray key without one.
        model_name=facts.repo_id.split("/")[-1] if results else None,
        eval_results=results,
    )
    return data.to_yaml().strip()


def _parts(facts: CardFacts) -> str:
    licence = facts.licence_name or facts.licence or UNKNOWN
    lines = [["these weights", licence], ["the code (`*_ftfv.py`)", "Apache-2.0"]]
    lines += [[f"base model `{base.id}`", base.licence or UNKNOWN] for base in facts.base_models]
    if not facts.base_models:
        lines.append(["base models", UNKNOWN])
    return _left_table(["part", "licence"], lines)


def _settings(config: FTFVConfig) -> str:
    tower, language = config.vision_config, config.text_config
    lines = [
        ["parameters", format_quantity(weight_bytes(config) / 2)],
        ["vision tower", _describe(tower)],
        ["language model", _describe(language)],
        ["learned queries, N", str(config.adapter_config.num_query_tokens)],
        ["tokens per frame, K", str(config.tokens_per_frame)],
        ["choice and order of tokens", f"{config.token_sampler}, {config.token_order}"],
        ["images are sampled too", "yes" if config.sample_images else "no"],
        ["frames", str(config.num_frames)],
    ]
    return _left_table(["setting", "value"], lines)


def _describe(part: Any) -> str:
    return f"{part.model_type}, {part.num_hidden_layers} layers, width {part.hidden_size}"


def _cost(config: FTFVConfig) -> str:
    counter = CostCounter(config)
    try:
        costs = [counter.prefill(tokens_per_frame=count, num_text_tokens=TEXT_TOKENS) for count in _counts(config)]
    except ValueError as error:
        return f"Not counted: {error}"
    lines = [
        [
            str(row.tokens_per_frame),
            str(row.visual_tokens),
            format_quantity(row.vision_flops),
            format_quantity(row.language_flops),
            format_quantity(row.total_flops),
            format_quantity(row.kv_cache_bytes),
        ]
        for row in costs
    ]
    head = ["K", "visual tokens", "vision FLOPs", "language model FLOPs", "all FLOPs", "KV cache bytes"]
    return (
        f"Computed for one forward pass over {config.num_frames} frames and {TEXT_TOKENS} tokens of text, in 16 bits; "
        f"the weights take {format_quantity(counter.weight_bytes)} bytes more.\n\n{format_table(head, lines)}"
    )


def _counts(config: FTFVConfig) -> list[int]:
    """The model's own number, and, where it can choose, all queries, a quarter of them, and so on down to 4."""
    counts, count = {config.tokens_per_frame}, config.adapter_config.num_query_tokens
    while config.token_sampler != "none" and count >= 4:
        counts.add(count)
        count //= 4
    return sorted(counts)


def _left_table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
