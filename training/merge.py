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
Turns what a stage of training leaves behind, LoRA and fully trained modules apart from the model, into a plain model
folder.
"""

import json
import os
import shutil
from pathlib import Path

import torch
from peft import PeftModel

from ..modeling_ftfv.modeling_ftfv import FTFVForConditionalGeneration
from ..processing.pipeline_ftfv import check_agreement
from ..processing.processing_ftfv import FTFVProcessor


def merge(
    adapter_folder: str | Path,
    output_folder: str | Path,
    base_folder: str | Path | None = None,
    dtype: str | torch.dtype = "auto",
) -> float:
    """
    Merges the output of a `trl sft` stage into its base model and saves a folder that the next stage,
    `from_pretrained` and the Hub take. The folder appears only when it is complete.

    Args:
        adapter_folder (`str` or `Path`): output folder of the stage, with adapter_config.json.
        output_folder (`str` or `Path`): folder to write; it must not exist yet.
        base_folder (`str` or `Path`, *optional*): the base model, if not where adapter_config.json says.
        dtype (`str` or `torch.dtype`, *optional*, defaults to `"auto"`): type of the saved weights, by default the
            base's.

    Returns:
        `float`: largest absolute difference of the logits of a probe before and after merging.

    Raises:
        FileNotFoundError: `adapter_folder` is not the output of a PEFT stage, or the base model is gone.
        FileExistsError: `output_folder` exists.
        ValueError: model and processor disagree, or merging changed the model's outputs.
    """
    adapter_folder, output_folder = Path(adapter_folder), Path(output_folder)
    adapter_config = adapter_folder / "adapter_config.json"
    if not adapter_config.is_file():
        raise FileNotFoundError(
            f"No adapter_config.json in {str(adapter_folder)!r}; expected the output folder of a `trl sft` stage with "
            "`use_peft: true`. A stage without PEFT needs no merging."
        )
    if output_folder.exists():
        raise FileExistsError(f"{str(output_folder)!r} exists; choose another output folder or remove it.")
    base = str(base_folder or json.loads(adapter_config.read_text())["base_model_name_or_path"])

    model = FTFVForConditionalGeneration.from_pretrained(base, dtype=dtype)
    processor = FTFVProcessor.from_pretrained(adapter_folder)
    check_agreement(model.config, processor)
    peft_model = PeftModel.from_pretrained(model, str(adapter_folder)).eval()
    before = _probe(peft_model, model.config)
    merged = peft_model.merge_and_unload().eval()
    difference = (_probe(merged, merged.config) - before).abs().max().item()
    # Rounding LoRA into low-precision weights moves the logits by a few units in the last place.
    tolerance = 1e-3 if merged.dtype == torch.float32 else 0.05 * before.abs().max().item()
    if not difference <= tolerance:
        raise ValueError(
            f"Merging {str(adapter_folder)!r} into {base!r} changed the logits by {difference:.3g}; expected at most "
            f"{tolerance:.3g}. Is this the model that the stage started from? Pass the right one as `base_folder`."
        )

    unfinished = output_folder.with_name(output_folder.name + ".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.parent.mkdir(parents=True, exist_ok=True)
    merged.save_pretrained(unfinished)
    processor.save_pretrained(unfinished)
    os.replace(unfinished, output_folder)
    return difference


@torch.no_grad()
def _probe(model: torch.nn.Module, config) -> torch.Tensor:
    """Logits of a seeded video prompt: it passes through every part of the model."""
    generator = torch.Generator().manual_seed(0)
    size = config.vision_config.image_size
    pixels = torch.rand(1, 2, 3, size, size, generator=generator).to(model.dtype)
    words = torch.randint(config.text_config.vocab_size, (8,), generator=generator)
    words[(words == config.video_token_id) | (words == config.image_token_id)] = config.text_config.eos_token_id or 0
    placeholders = torch.full((2 * config.tokens_per_frame,), config.video_token_id)
    input_ids = torch.cat([placeholders, words])[None]
    return model(input_ids=input_ids, pixel_values_videos=pixels).logits.float()
