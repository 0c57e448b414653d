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
"""What a folder may hold: each fault is named, with what to do about it."""

import json
import shutil
from pathlib import Path

import pytest

from ftfv.hub_upload.checks import check_folder, check_text
from tests.tiny import build_model


TOKEN = "hf_" + "q" * 34


@pytest.fixture
def folder(saved_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved_folder, tmp_path / "model"))


def change(path: Path, **values: object) -> None:
    """Sets keys of a JSON file; a dot in a name goes one level down."""
    document = json.loads(path.read_text())
    for name, value in values.items():
        *above, last = name.split(".")
        target = document
        for part in above:
            target = target[part]
        target[last] = value
    path.write_text(json.dumps(document))


def test_a_saved_folder_passes_and_lists_its_files(folder):
    (folder / "LICENSE").write_text("mine")
    (folder / ".eval_results").mkdir()
    (folder / ".eval_results" / "mvbench.yaml").write_text("[]")
    files = check_folder(folder)
    assert files == sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    assert len(files) == 25


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("training_args.bin", "states of training: training_args.bin; expected a model alone"),
        ("checkpoint-3/optimizer.pt", "states of training: checkpoint-3/optimizer.pt"),
        ("pytorch_model.bin", "pickles, which run code when they are loaded: pytorch_model.bin"),
        ("notes/weights.pt", "no FTFV model has: notes/weights.pt"),
        (".DS_Store", "files that no FTFV model has: .DS_Store. Remove them, or leave them out with --exclude"),
        ("adapter_config.json", "holds an adapter, .* Merge it first: `ftfv merge"),
    ],
)
def test_what_does_not_belong_is_refused_or_left_out(folder, name, message):
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text("{}")
    with pytest.raises(ValueError, match=message):
        check_folder(folder)
    assert Path(name) not in check_folder(folder, exclude=[name.split("/")[0]])


def test_many_strays_are_counted(folder):
    for index in range(8):
        (folder / f"stray{index}").touch()
    with pytest.raises(ValueError, match="stray4 and 3 more"):
        check_folder(folder)


@pytest.mark.parametrize("name", ["config.json", "processor_config.json", "tokenizer_config.json"])
def test_a_missing_part_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(FileNotFoundError, match=f"No {name} in .*; expected what `save_pretrained`"):
        check_folder(folder)


def test_another_kind_of_model(folder):
    change(folder / "config.json", model_type="llava")
    with pytest.raises(ValueError, match="is of type 'llava'; expected 'ftfv'"):
        check_folder(folder)


def test_weights_must_be_there_once(folder):
    (folder / "model.safetensors.index.json").write_text('{"weight_map": {}}')
    with pytest.raises(ValueError, match="has both of model.safetensors and model.safetensors.index.json"):
        check_folder(folder)
    (folder / "model.safetensors.index.json").unlink()
    (folder / "model.safetensors").unlink()
    with pytest.raises(ValueError, match="has neither of model.safetensors"):
        check_folder(folder)


def test_shards_must_be_those_of_the_index(folder):
    (folder / "model.safetensors").unlink()
    build_model().save_pretrained(folder, max_shard_size="100KB")
    shards = sorted(folder.glob("model-*.safetensors"))
    assert len(shards) > 1
    assert shards[0].relative_to(folder) in check_folder(folder)
    shards[0].rename(folder / "model-00009-of-00009.safetensors")
    with pytest.raises(
        ValueError, match="model-00001-of-0000. is missing|model-00001-of-.*is missing, model-00009-of-00009"
    ):
        check_folder(folder)


def test_weights_that_were_cut_off(folder):
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(ValueError, match="model.safetensors cannot be read: .*Save the model again"):
        check_folder(folder)


@pytest.mark.parametrize("name", ["modeling_ftfv.py", "sampler_ftfv.py", "pipeline_ftfv.py", "media_source_ftfv.py"])
def test_missing_code(folder, name):
    (folder / name).unlink()
    with pytest.raises(FileNotFoundError, match=f"No {name} in .*strangers could not load.*`import ftfv`"):
        check_folder(folder)


def test_code_that_asks_for_more_than_strangers_have(folder):
    """transformers looks for `import` in every file on the Hub, also inside functions; in a folder it does not."""
    with (folder / "media_source_ftfv.py").open("a") as code:
        code.write("\n\ndef late():\n    import decord\n    import json\n")
    with pytest.raises(ValueError, match="media_source_ftfv.py imports decord, which transformers would ask"):
        check_folder(folder)


@pytest.mark.parametrize(
    ("file", "place"),
    [
        ("config.json", "auto_map.AutoModelForMultimodalLM"),
        ("config.json", "custom_pipelines.video-text-to-text.impl"),
        ("processor_config.json", "auto_map.AutoProcessor"),
        ("processor_config.json", "video_processor.auto_map.AutoVideoProcessor"),
    ],
)
def test_a_class_that_is_not_named(folder, file, place):
    change(folder / file, **{place: None})
    with pytest.raises(ValueError, match=f"names no class for {file} {place.removesuffix('.impl')}"):
        check_folder(folder)


def test_code_of_another_repository(folder):
    change(folder / "config.json", **{"auto_map.AutoModel": "other/repo--modeling_ftfv.FTFVModel"})
    with pytest.raises(ValueError, match="'other/repo--modeling_ftfv.FTFVModel' is code of another repository"):
        check_folder(folder)


@pytest.mark.parametrize(
    ("file", "place", "value", "name"),
    [
        ("config.json", "tokens_per_frame", 8, "tokens_per_frame"),
        ("processor_config.json", "num_query_tokens", 9, "num_query_tokens"),
        ("processor_config.json", "sample_images", True, "sample_images"),
    ],
)
def test_configs_that_disagree(folder, file, place, value, name):
    change(folder / file, **{place: value})
    with pytest.raises(ValueError, match=f"`{name}` is .* in config.json but .* in processor_config.json"):
        check_folder(folder)


@pytest.mark.parametrize("place", ["config.json", "LICENSE", "tokenizer.json", "weights"])
def test_a_token_is_refused_and_not_repeated(folder, place):
    if place == "weights":
        from safetensors.torch import load_file, save_file

        tensors = load_file(folder / "model.safetensors")
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt", "by": TOKEN})
    elif place == "LICENSE":
        (folder / "LICENSE").write_text(f"Use {TOKEN} to read this.")
    else:
        change(folder / place, secret=TOKEN)
    with pytest.raises(ValueError, match="holds a Hub token .*revoke it") as caught:
        check_folder(folder)
    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize("path", ["/data/me/vicuna", "~/models/vicuna", "C:\\models\\vicuna", "file:///data/vicuna"])
def test_a_path_of_this_machine(folder, path):
    change(folder / "config.json", **{"text_config.base": path})
    with pytest.raises(ValueError, match="config.json holds the path .* exists on this machine only"):
        check_folder(folder)


@pytest.mark.parametrize(
    "text", ["lmsys/vicuna-7b-v1.5", "</s>", "//", "/", "and/or", "https://hf.co/a/b", "1 / 2 / 3"]
)
def test_what_is_no_path(text):
    check_text("config.json", [text])


def test_a_path_in_running_text():
    with pytest.raises(ValueError, match="README.md holds the path '/home/me/clip.mp4'"):
        check_text("README.md", ["Watch /home/me/clip.mp4 first."])
    check_text("README.md", ["See https://example.org/home/me."])
