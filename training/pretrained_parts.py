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
"""Makes the pretrained parts of the miniature from nothing: a vision tower and a language model.

They stand in for Qwen-VL's ViT and Vicuna, which the paper starts from. The tower (`FTFVVisionModel`) learns to name
the colour, the shape and the place of the shape that covers a patch; the heads that name them are thrown away. The
language model (a tiny Llama) learns to answer questions about scenes told in words. Both see freshly drawn
MovingShapes scenes only.

    python -m ftfv.training.pretrained_parts vision --output parts
    python -m ftfv.training.pretrained_parts language --output parts

write `parts/vision_tower`, `parts/language_model` and `parts/tokenizer`. The two need nothing of each other and may
run side by side. A run that was stopped goes on from its last checkpoint and ends in the same weights.
"""

import argparse
import json
import math
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from tqdm.auto import tqdm
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel, PreTrainedTokenizerFast
from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD
from transformers.utils import logging

from ..modeling_ftfv.configuration_ftfv import FTFVVisionConfig
from ..modeling_ftfv.modeling_ftfv import FTFVVisionModel
from .data.moving_shapes.questions import IMAGE_SKILLS, TEMPORAL_SKILLS
from .data.moving_shapes.scenes import COLOURS, FRAME_SIZE, SHAPES, Scene, draw_picture, render
from .data.moving_shapes.stories import TextStory, draw_story, draw_test_story
from .data.moving_shapes.vocabulary import WORDS, build_tokenizer


logger = logging.get_logger(__name__)

IGNORE_INDEX = -100
# Pixels from a patch's centre to the centre of a shape, along either axis, up to which the shape labels the patch.
PATCH_LABEL_REACH = 11.0
# Centres are learned as (pixels - 42) / 20, about -1.5 to 1.5.
CENTRE_SCALE = 20.0
# Held-out scenes behind the final figures; those shown while training come from a quarter of them.
EVALUATION_PICTURES = 500
EVALUATION_STORIES_PER_SKILL = 400

# Entropy words that keep the random streams of training and evaluation apart.
_TRAINING_STREAM, _EVALUATION_STREAM = 0, 1


@dataclass(frozen=True)
class PretrainingArguments:
    """How a part is trained. Two runs with the same arguments end in the same weights.

    Attributes:
        steps (`int`): Optimisation steps.
        batch_size (`int`): Scenes per step.
        learning_rate (`float`): Peak of the schedule: linear warm-up, then a cosine to 3 % of the peak.
        adam_beta2 (`float`): Second decay rate of AdamW.
        weight_decay (`float`, defaults to 0.05): Of AdamW.
        warmup_share (`float`, defaults to 0.04): Share of the steps that warm up.
        seed (`int`, defaults to 0): Of the initial weights and of the scenes.
    """

    steps: int
    batch_size: int
    learning_rate: float
    adam_beta2: float
    weight_decay: float = 0.05
    warmup_share: float = 0.04
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"`{name}` is {getattr(self, name)}; expected a positive number.")

    def learning_rate_at(self, step: int) -> float:
        progress = (step + 1) / self.steps
        cosine = max(0.03, 0.5 * (1 + math.cos(math.pi * progress)))
        return self.learning_rate * min(1.0, progress / self.warmup_share) * cosine


VISION_DEFAULTS = PretrainingArguments(steps=2200, batch_size=32, learning_rate=1.5e-3, adam_beta2=0.999)
LANGUAGE_DEFAULTS = PretrainingArguments(steps=2000, batch_size=32, learning_rate=2e-3, adam_beta2=0.95)


class DensePatchModel(nn.Module):
    """A vision tower with three linear heads on every patch: colour, shape and centre of the shape that covers it."""

    def __init__(self, config: FTFVVisionConfig):
        super().__init__()
        self.tower = FTFVVisionModel(config)
        # class 0 is a patch without a shape
        self.colour_head = nn.Linear(config.hidden_size, len(COLOURS) + 1)
        self.shape_head = nn.Linear(config.hidden_size, len(SHAPES) + 1)
        # The centre is absolute, not relative to the patch: the adapter adds positions to its keys only, so the values
        # it passes on must carry the place themselves.
        self.centre_head = nn.Linear(config.hidden_size, 2)

    def forward(self, pixel_values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Maps pixels `(B, 3, S, S)` to logits of colour `(B, M, 7)` and shape `(B, M, 5)` and centres `(B, M, 2)`."""
        features = self.tower(pixel_values).last_hidden_state
        # the tower ends without a normalisation; the adapter has one of its own here
        features = nn.functional.layer_norm(features, features.shape[-1:])
        return self.colour_head(features), self.shape_head(features), self.centre_head(features)


def build_vision_config() -> FTFVVisionConfig:
    """The tower of the miniature: 84-pixel frames, 36 patches, width 64, 4 layers."""
    return FTFVVisionConfig(
        hidden_size=64,
        intermediate_size=256,
        num_hidden_layers=4,
        num_attention_heads=4,
        image_size=FRAME_SIZE,
        patch_size=14,
        num_position_embeddings=36,
    )


def build_language_config(tokenizer: PreTrainedTokenizerFast) -> LlamaConfig:
    """The language model of the miniature: width 128, 3 layers, tied embeddings."""
    return LlamaConfig(
        vocab_size=len(WORDS),
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        initializer_range=0.04,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )


def pretrain_vision(
    output_dir: str | Path, arguments: PretrainingArguments = VISION_DEFAULTS, *, save_steps: int = 200
) -> dict[str, float]:
    """Trains the vision tower on dense patch labels and saves it to `output_dir/vision_tower`.

    Args:
        output_dir (`str` or `Path`): Where the tower and, until it is done, the checkpoint go.
        arguments (`PretrainingArguments`, *optional*, defaults to `VISION_DEFAULTS`): How to train.
        save_steps (`int`, *optional*, defaults to 200): Steps between checkpoints.

    Returns:
        `dict[str, float]`: On held-out pictures, `colour_accuracy` and `shape_accuracy` of the patches that a shape
        covers, `background_accuracy` of the others, and `centre_error_pixels`, the mean distance to the true centre.

    Raises:
        ValueError: `output_dir` holds a tower or a checkpoint made with other arguments.
    """
    torch.manual_seed(arguments.seed)
    config = build_vision_config()
    model = DensePatchModel(config)

    def training_loss(rng: np.random.Generator) -> torch.Tensor:
        pixel_values, colours, shapes, centres = _draw_labelled_pictures(rng, arguments.batch_size, config.patch_size)
        colour_logits, shape_logits, predicted_centres = model(pixel_values)
        covered = colours > 0
        return (
            nn.functional.cross_entropy(colour_logits.flatten(0, 1), colours.flatten())
            + nn.functional.cross_entropy(shape_logits.flatten(0, 1), shapes.flatten())
            + nn.functional.smooth_l1_loss(predicted_centres[covered], centres[covered])
        )

    def evaluate(share: float) -> dict[str, float]:
        rng = np.random.default_rng([arguments.seed, _EVALUATION_STREAM])
        num_pictures = max(1, int(EVALUATION_PICTURES * share))
        pixel_values, colours, shapes, centres = _draw_labelled_pictures(rng, num_pictures, config.patch_size)
        colour_logits, shape_logits, predicted_centres = model(pixel_values)
        covered = colours > 0
        colour_is_right = colour_logits.argmax(-1) == colours
        error = (predicted_centres - centres)[covered].norm(dim=-1) * CENTRE_SCALE
        return {
            "colour_accuracy": colour_is_right[covered].float().mean().item(),
            "shape_accuracy": (shape_logits.argmax(-1) == shapes)[covered].float().mean().item(),
            "background_accuracy": colour_is_right[~covered].float().mean().item(),
            "centre_error_pixels": error.mean().item(),
        }

    folder = Path(output_dir) / "vision_tower"
    return _pretrain(model, model.tower, training_loss, evaluate, arguments, folder, save_steps)


def pretrain_language(
    output_dir: str | Path, arguments: PretrainingArguments = LANGUAGE_DEFAULTS, *, save_steps: int = 200
) -> dict[str, float]:
    """Trains the language model on scenes told in words and saves `output_dir/language_model` and `.../tokenizer`.

    Args:
        output_dir (`str` or `Path`): Where model, tokenizer and, until it is done, the checkpoint go.
        arguments (`PretrainingArguments`, *optional*, defaults to `LANGUAGE_DEFAULTS`): How to train.
        save_steps (`int`, *optional*, defaults to 200): Steps between checkpoints.

    Returns:
        `dict[str, float]`: For each skill the share of held-out stories whose answer is right in every token.

    Raises:
        ValueError: `output_dir` holds a language model or a checkpoint made with other arguments.
    """
    torch.manual_seed(arguments.seed)
    tokenizer = build_tokenizer()
    model = LlamaForCausalLM(build_language_config(tokenizer))

    def training_loss(rng: np.random.Generator) -> torch.Tensor:
        # Half the stories are of clips. They are longer, so they go through the model apart, which saves padding.
        num_clips = arguments.batch_size // 2
        losses = []
        for clip_share, number in ((0.0, arguments.batch_size - num_clips), (1.0, num_clips)):
            if number == 0:
                continue
            half = [draw_story(rng, clip_share=clip_share) for _ in range(number)]
            input_ids, labels = encode_stories(half, tokenizer)
            logits, labels = _next_token_logits(model, input_ids), labels[:, 1:]
            is_answer = labels != IGNORE_INDEX
            losses.append(nn.functional.cross_entropy(logits[is_answer], labels[is_answer], reduction="none"))
        return torch.cat(losses).mean()

    def evaluate(share: float) -> dict[str, float]:
        accuracy = {}
        stories_per_skill = max(1, int(EVALUATION_STORIES_PER_SKILL * share))
        for index, skill in enumerate((*IMAGE_SKILLS, *TEMPORAL_SKILLS)):
            rng = np.random.default_rng([arguments.seed, _EVALUATION_STREAM, index])
            stories = [draw_test_story(rng, skill) for _ in range(stories_per_skill)]
            input_ids, labels = encode_stories(stories, tokenizer)
            predicted, labels = _next_token_logits(model, input_ids).argmax(-1), labels[:, 1:]
            is_right = (predicted == labels) | (labels == IGNORE_INDEX)
            accuracy[skill] = is_right.all(dim=1).float().mean().item()
        return accuracy

    folder = Path(output_dir) / "language_model"
    figures = _pretrain(model, model, training_loss, evaluate, arguments, folder, save_steps)
    _save_folder(tokenizer, Path(output_dir) / "tokenizer")
    return figures


def encode_stories(
    stories: Sequence[TextStory], tokenizer: PreTrainedTokenizerFast
) -> tuple[torch.Tensor, torch.Tensor]:
    """Turns stories into `input_ids` `(B, L, W)` and `labels` `(B, L)`, padded on the right; only answers have labels.

    A position of a scene may hold several words, up to W; every other position holds one, followed by padding.
    """
    pieces = []
    for story in stories:
        pieces += ["<s>user:", *story.scene]
        for turn, question in enumerate(story.questions):
            pieces += [f"{'user: ' if turn else ''}{question.text} assistant:", f"{question.answer}</s>"]
    encoded = iter(tokenizer(pieces, add_special_tokens=False).input_ids)

    all_words, all_labels = [], []
    for story in stories:
        words = [[token] for token in next(encoded)] + [next(encoded) for _ in story.scene]
        labels = [IGNORE_INDEX] * len(words)
        for _ in story.questions:
            prompt, answer = next(encoded), next(encoded)
            words += [[token] for token in prompt + answer]
            labels += [IGNORE_INDEX] * len(prompt) + answer
        all_words.append(words)
        all_labels.append(labels)

    length = max(map(len, all_labels))
    words_per_position = max(len(position) for words in all_words for position in words)
    for words, labels in zip(all_words, all_labels, strict=True):
        labels += [IGNORE_INDEX] * (length - len(labels))
        words += [[] for _ in range(length - len(words))]
        for position in words:
            position += [tokenizer.pad_token_id] * (words_per_position - len(position))
    return torch.tensor(all_words), torch.tensor(all_labels)


def label_patches(scene: Scene, patch_size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels the patches of a picture by the shape that covers them.

    Returns:
        Colour and shape of each patch, `(M,)` integers counted from 1 with 0 for no shape, and the scaled centre of
        that shape, `(M, 2)` float32, zero for no shape.
    """
    grid = (np.arange(FRAME_SIZE // patch_size) + 0.5) * patch_size
    patch_x, patch_y = np.tile(grid, len(grid)), np.repeat(grid, len(grid))
    centres = np.array([(shape.x[0], shape.y[0]) for shape in scene.shapes], dtype=np.float32)
    colours = np.array([list(COLOURS).index(shape.colour) + 1 for shape in scene.shapes])
    shapes = np.array([SHAPES.index(shape.shape) + 1 for shape in scene.shapes])
    # (M, num_shapes): the larger of the two offsets
    distance = np.maximum(
        np.abs(patch_x[:, None] - centres[None, :, 0]), np.abs(patch_y[:, None] - centres[None, :, 1])
    )
    nearest = distance.argmin(axis=1)
    covered = distance.min(axis=1) < PATCH_LABEL_REACH
    scaled = (centres[nearest] - FRAME_SIZE / 2) / CENTRE_SCALE
    return colours[nearest] * covered, shapes[nearest] * covered, scaled * covered[:, None]


def _draw_labelled_pictures(rng: np.random.Generator, number: int, patch_size: int) -> tuple[torch.Tensor, ...]:
    """Pixels `(B, 3, S, S)`, normalised as FTFV's processors do, and the labels of `label_patches` in batches."""
    scenes = [draw_picture(rng) for _ in range(number)]
    frames = np.stack([render(scene, rng)[0] for scene in scenes])
    pixel_values = torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (OPENAI_CLIP_MEAN, OPENAI_CLIP_STD))
    labels = [label_patches(scene, patch_size) for scene in scenes]
    return (pixel_values - mean) / std, *(torch.from_numpy(np.stack(column)) for column in zip(*labels, strict=True))


def _next_token_logits(model: LlamaForCausalLM, input_ids: torch.Tensor) -> torch.Tensor:
    """Logits `(B, L - 1, V)` of the tokens that follow each position of `input_ids` `(B, L, W)` but the last.

    The embeddings of the words at one position are added up. Padding is on the right, where causal attention never
    looks, so no attention mask is needed.
    """
    is_word = input_ids != model.config.pad_token_id
    inputs_embeds = (model.get_input_embeddings()(input_ids) * is_word.unsqueeze(-1)).sum(dim=2)
    return model(inputs_embeds=inputs_embeds, use_cache=False).logits[:, :-1]


def _pretrain(
    model: nn.Module,
    part: PreTrainedModel,
    training_loss: Callable[[np.random.Generator], torch.Tensor],
    evaluate: Callable[[float], dict[str, float]],
    arguments: PretrainingArguments,
    folder: Path,
    save_steps: int,
) -> dict[str, float]:
    """Trains `model` step by step, then saves `part` of it to `folder` with the figures it reached beside it.

    `evaluate` takes the share of the held-out scenes to use.
    """
    report = folder / "pretraining.json"
    if report.is_file():
        finished = json.loads(report.read_text())
        _check_same_arguments(finished["arguments"], arguments, folder)
        logger.info("%s is already there.", folder)
        return finished["figures"]

    optimizer = torch.optim.AdamW(
        model.parameters(), betas=(0.9, arguments.adam_beta2), weight_decay=arguments.weight_decay
    )
    checkpoint = folder.with_name(f"{folder.name}.checkpoint.pt")
    first_step = 0
    if checkpoint.is_file():
        state = torch.load(checkpoint, weights_only=True)
        _check_same_arguments(state["arguments"], arguments, checkpoint)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        first_step = state["step"]

    model.train()
    steps = tqdm(range(first_step, arguments.steps), initial=first_step, total=arguments.steps, desc=folder.name)
    for step in steps:
        # Each step draws from a stream of its own, so that a resumed run sees the scenes it would have seen.
        rng = np.random.default_rng([arguments.seed, _TRAINING_STREAM, step])
        for group in optimizer.param_groups:
            group["lr"] = arguments.learning_rate_at(step)
        loss = training_loss(rng)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        done = step + 1
        if done % save_steps == 0 and done < arguments.steps:
            _save_checkpoint(checkpoint, model, optimizer, done, arguments)
            figures = _evaluate(model, evaluate, 0.25)
            steps.write(f"step {done} loss {loss.item():.3f} {_in_words(figures)}")

    figures = _evaluate(model, evaluate, 1.0)
    steps.write(f"final {_in_words(figures)}")
    _save_folder(part, folder, {"arguments": asdict(arguments), "figures": figures})
    checkpoint.unlink(missing_ok=True)
    return figures


@torch.no_grad()
def _evaluate(model: nn.Module, evaluate: Callable[[float], dict[str, float]], share: float) -> dict[str, float]:
    """Figures of the model on a share of the held-out scenes."""
    model.eval()
    figures = {name: round(value, 4) for name, value in evaluate(share).items()}
    model.train()
    return figures


def _in_words(figures: dict[str, float]) -> str:
    return " ".join(f"{name} {value:.3f}" for name, value in figures.items())


def _check_same_arguments(found: dict, arguments: PretrainingArguments, where: Path) -> None:
    differing = [name for name, value in asdict(arguments).items() if found.get(name) != value]
    if differing:
        was = ", ".join(f"{name}={found.get(name)}" for name in differing)
        now = ", ".join(f"{name}={getattr(arguments, name)}" for name in differing)
        raise ValueError(f"{where} was made with {was}, not {now}. Give the same values or another output folder.")


def _save_checkpoint(
    path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, step: int, arguments: PretrainingArguments
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.tmp")
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step}
    torch.save({**state, "arguments": asdict(arguments)}, temporary)
    os.replace(temporary, path)


def _save_folder(
    part: PreTrainedModel | PreTrainedTokenizerFast, folder: Path, report: dict[str, dict] | None = None
) -> None:
    """Saves a model or tokenizer to a folder that is there either whole or not at all."""
    temporary = folder.with_name(f"{folder.name}.tmp")
    for leftover in (temporary, folder):
        if leftover.exists():
            shutil.rmtree(leftover)
    part.save_pretrained(temporary)
    if report is not None:
        (temporary / "pretraining.json").write_text(json.dumps(report, indent=2) + "\n")
    os.replace(temporary, folder)


def main(argv: Sequence[str] | None = None) -> None:
    """Parses the command line and pretrains the part it names."""
    parser = argparse.ArgumentParser(
        prog="python -m ftfv.training.pretrained_parts",
        description="Make the miniature's vision tower or language model from nothing.",
        epilog="example: python -m ftfv.training.pretrained_parts vision --output parts",
    )
    parser.add_argument("part", choices=("vision", "language"), help="which part to make")
    parser.add_argument("--output", type=Path, required=True, help="folder the part is saved under")
    parser.add_argument("--steps", type=int, help="optimisation steps")
    parser.add_argument("--batch-size", type=int, help="scenes per step")
    parser.add_argument("--learning-rate", type=float, help="peak learning rate")
    parser.add_argument("--seed", type=int, default=0, help="seed of weights and scenes (default 0)")
    parser.add_argument("--save-steps", type=int, default=200, help="steps between checkpoints (default 200)")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of torch (default 1)")
    options = parser.parse_args(argv)

    defaults, pretrain = {
        "vision": (VISION_DEFAULTS, pretrain_vision),
        "language": (LANGUAGE_DEFAULTS, pretrain_language),
    }[options.part]
    given = {name: getattr(options, name) for name in ("steps", "batch_size", "learning_rate", "seed")}
    arguments = PretrainingArguments(**asdict(defaults) | {k: v for k, v in given.items() if v is not None})
    torch.set_num_threads(options.threads)
    pretrain(options.output, arguments, save_steps=options.save_steps)


if __name__ == "__main__":
    main()
