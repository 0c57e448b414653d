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
"""The package registers its classes, and what it saves works where it is not installed."""

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoModel,
    AutoModelForImageTextToText,
    AutoModelForMultimodalLM,
    AutoProcessor,
    AutoVideoProcessor,
    pipeline,
)
from transformers.dynamic_module_utils import get_imports
from transformers.pipelines import PIPELINE_REGISTRY

import ftfv
from ftfv.registration import register
from tests.strangers import GENERATE, QUESTION, ask_as_stranger, package_answer
from tests.tiny import ROOT, WORDS, build_model, build_processor


MODEL_FILES = (
    "configuration_ftfv.py",
    "modeling_ftfv.py",
    "patch_layout_ftfv.py",
    "patch_merging_ftfv.py",
    "sampler_ftfv.py",
    "unchanged_patches_ftfv.py",
)
PROCESSOR_FILES = (
    "control_tokens_ftfv.py",
    "frame_source_ftfv.py",
    "image_processing_ftfv.py",
    "media_source_ftfv.py",
    "pipeline_ftfv.py",
    "pipeline_rows_ftfv.py",
    "processing_ftfv.py",
    "training_rows_ftfv.py",
    "video_decoding_ftfv.py",
    "video_processing_ftfv.py",
)


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("elsewhere")


@pytest.fixture(scope="module")
def by_a_stranger(saved_folder: Path, clip: str, elsewhere: Path) -> dict[str, Any]:
    return ask_as_stranger(saved_folder, elsewhere / "saved_again", clip, elsewhere)


# Installed


def test_public_names():
    assert set(ftfv.__all__) == {
        "FTFVAdapterConfig",
        "FTFVConfig",
        "FTFVForConditionalGeneration",
        "FTFVImageProcessor",
        "FTFVModel",
        "FTFVProcessor",
        "FTFVVideoProcessor",
        "FTFVVisionConfig",
        "FTFVVisionModel",
        "VideoTextToTextPipeline",
    }
    assert all(getattr(ftfv, name).__name__ == name for name in ftfv.__all__)


def test_registering_twice_changes_nothing():
    register()
    assert PIPELINE_REGISTRY.check_task("video-text-to-text")[1]["impl"] is ftfv.VideoTextToTextPipeline


def test_auto_classes_find_ours(saved_folder):
    loaded = {
        AutoConfig: ftfv.FTFVConfig,
        AutoModel: ftfv.FTFVModel,
        AutoModelForImageTextToText: ftfv.FTFVForConditionalGeneration,
        AutoModelForMultimodalLM: ftfv.FTFVForConditionalGeneration,
        AutoImageProcessor: ftfv.FTFVImageProcessor,
        AutoVideoProcessor: ftfv.FTFVVideoProcessor,
        AutoProcessor: ftfv.FTFVProcessor,
    }
    for auto, expected in loaded.items():
        assert type(auto.from_pretrained(saved_folder)) is expected


@pytest.mark.parametrize("trust_remote_code", [None, True])
def test_the_pipeline_needs_no_trust_in_remote_code(saved_folder, clip, trust_remote_code):
    pipe = pipeline("video-text-to-text", model=str(saved_folder), trust_remote_code=trust_remote_code)
    assert type(pipe) is ftfv.VideoTextToTextPipeline and type(pipe.model) is ftfv.FTFVForConditionalGeneration
    (answer,) = pipe(
        videos=clip, text=QUESTION, tokens_per_frame=7, num_frames=3, generate_kwargs=GENERATE, return_tensors=True
    )
    assert answer["generated_token_ids"].tolist() == package_answer(saved_folder, clip)


def test_a_pipeline_of_objects(clip):
    pipe = pipeline("video-text-to-text", model=build_model(), processor=build_processor())
    assert type(pipe) is ftfv.VideoTextToTextPipeline
    assert pipe(videos=clip, text=QUESTION, generate_kwargs=GENERATE)


@pytest.mark.parametrize("task", ["image-text-to-text", "any-to-any"])
def test_tasks_of_the_library_take_videos_and_features(saved_folder, clip, task):
    expected = package_answer(saved_folder, clip)
    features = pipeline("video-text-to-text", model=str(saved_folder)).encode(clip, num_frames=3, tokens_per_frame=7)
    pipe = pipeline(task, model=str(saved_folder))
    for video, processor_kwargs in ((clip, {"tokens_per_frame": 7, "max_num_frames": 3}), (features, {})):
        content = [{"type": "video", "video": video}, {"type": "text", "text": QUESTION}]
        (answer,) = pipe(
            text=[{"role": "user", "content": content}],
            processor_kwargs=processor_kwargs,
            generate_kwargs=dict(GENERATE),
            return_tensors=True,
        )
        assert answer["generated_token_ids"].tolist() == expected


# Saved


def test_a_saved_folder_carries_its_code(saved_folder):
    for room, names in (("modeling_ftfv", MODEL_FILES), ("processing", PROCESSOR_FILES)):
        for name in names:
            assert (saved_folder / name).read_text() == (ROOT / room / name).read_text()
    assert {path.name for path in saved_folder.iterdir()} == {
        *MODEL_FILES,
        *PROCESSOR_FILES,
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "processor_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
    }


def test_every_file_meant_to_travel_does(saved_folder):
    meant = {path.name for room in ("modeling_ftfv", "processing") for path in (ROOT / room).glob("*_ftfv.py")}
    assert meant == {*MODEL_FILES, *PROCESSOR_FILES}
    assert not (saved_folder / "cost.py").exists()


def test_each_part_saves_its_own_code(tmp_path):
    build_model().save_pretrained(tmp_path / "model")
    build_model().model.save_pretrained(tmp_path / "base")
    build_processor().save_pretrained(tmp_path / "processor")
    for name, files in (("model", MODEL_FILES), ("base", MODEL_FILES), ("processor", PROCESSOR_FILES)):
        assert {path.name for path in (tmp_path / name).glob("*.py")} == set(files)


def test_a_processor_brings_the_code_of_the_model_where_one_lies(tmp_path):
    """As a trainer does that pushes during training: weights and config copied there, then the processor saved."""
    (tmp_path / "config.json").write_text("{}")
    build_processor().save_pretrained(tmp_path)
    assert {path.name for path in tmp_path.glob("*.py")} == {*MODEL_FILES, *PROCESSOR_FILES}
    for name in MODEL_FILES:
        assert (tmp_path / name).read_text() == (ROOT / "modeling_ftfv" / name).read_text()


@pytest.mark.parametrize("name", [*MODEL_FILES, *PROCESSOR_FILES])
def test_no_file_makes_strangers_install_a_decoder(saved_folder, name):
    """transformers asks for whatever a file on the Hub imports outside `try`, also inside functions."""
    known = {"torch", "torchvision", "transformers", "huggingface_hub", "numpy", "PIL"}
    assert set(get_imports(saved_folder / name)) - sys.stdlib_module_names <= known


# Where it is not installed


def test_a_stranger_loads_every_class(by_a_stranger):
    remote = "transformers_modules"
    assert by_a_stranger["classes"] == {
        "AutoConfig": [remote, "FTFVConfig"],
        "AutoModel": [remote, "FTFVModel"],
        "AutoModelForImageTextToText": [remote, "FTFVForConditionalGeneration"],
        "AutoModelForMultimodalLM": [remote, "FTFVForConditionalGeneration"],
        "AutoProcessor": [remote, "FTFVProcessor"],
        "AutoVideoProcessor": [remote, "FTFVVideoProcessor"],
        "AutoImageProcessor": [remote, "FTFVImageProcessor"],
    }
    assert by_a_stranger["vocabulary"] == len(WORDS)
    assert by_a_stranger["pipeline"] == "VideoTextToTextPipeline"
    assert by_a_stranger["imported"] == []


def test_a_stranger_gets_the_same_answer(by_a_stranger, saved_folder, clip):
    expected = package_answer(saved_folder, clip)
    assert by_a_stranger["ids"] == expected and len(set(expected[-5:])) > 1
    assert by_a_stranger["on_features"] == expected
    assert by_a_stranger["others"] == {"image-text-to-text": expected, "any-to-any": expected}


def test_a_stranger_gets_the_same_errors(by_a_stranger):
    assert "clip.mp4.missing'; expected an existing file" in by_a_stranger["message"]


def test_what_a_stranger_saves_works_again(by_a_stranger, saved_folder, clip, elsewhere):
    saved_again = elsewhere / "saved_again"
    assert {path.name for path in saved_again.iterdir()} == {path.name for path in saved_folder.iterdir()}
    for name in (*MODEL_FILES, *PROCESSOR_FILES, "chat_template.jinja", "tokenizer.json"):
        assert (saved_again / name).read_text() == (saved_folder / name).read_text()
    third = ask_as_stranger(saved_again, None, clip, elsewhere)
    assert third["ids"] == by_a_stranger["ids"] and third["classes"] == by_a_stranger["classes"]
    # And where the package is installed.
    assert package_answer(saved_again, clip) == by_a_stranger["ids"]


def test_weights_survive_the_round_through_remote_code(by_a_stranger, saved_folder, elsewhere):
    first, again = (
        AutoModelForImageTextToText.from_pretrained(folder).state_dict()
        for folder in (saved_folder, elsewhere / "saved_again")
    )
    assert first.keys() == again.keys() and all(torch.equal(first[name], again[name]) for name in first)
