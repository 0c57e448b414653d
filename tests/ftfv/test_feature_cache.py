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
"""Features on disk: made once, taken where they are those of encoding again, and made anew where they are damaged."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers.utils import logging

from ftfv import VideoTextToTextPipeline
from ftfv.feature_cache import FeatureCache, fingerprint, hash_tensor, read_entry
from tests.tiny import build_frames, build_model, build_processor, write_video


def build_pipe(model: Any = None, **options: Any) -> VideoTextToTextPipeline:
    """A pipeline that counts in `encoded` how many frames went through its vision tower."""
    pipe = VideoTextToTextPipeline(
        model=build_model(**options) if model is None else model,
        processor=build_processor(tokens_per_frame=options.get("tokens_per_frame", 4)),
    )
    pipe.encoded = []
    pipe.model.model.vision_tower.register_forward_hook(lambda _, args, kwargs: pipe.encoded.append(len(args[0])))
    return pipe


def equal(one: Any, other: Any) -> bool:
    tokens = zip(one.pooler_output, other.pooler_output, strict=True)
    names = ("responses", "token_indices", "frame_times")
    return all(torch.equal(*pair) for pair in tokens) and all(
        torch.equal(getattr(one, name), getattr(other, name)) for name in names
    )


def entries(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.safetensors"))


def test_a_video_is_encoded_once(clip, tmp_path):
    pipe = build_pipe()
    fresh = pipe.encode(clip)
    pipe.encoded.clear()
    for _ in range(3):
        assert equal(FeatureCache(tmp_path, pipe).encode(clip), fresh)
    assert pipe.encoded == [8] and len(entries(tmp_path)) == 1
    assert fresh.frame_times.tolist() == [[0.1, 0.3, 0.6, 0.8, 1.1, 1.3, 1.6, 1.8]]
    # The same bytes elsewhere, and the same weights in another object.
    copied = tmp_path / "copied.mp4"
    copied.write_bytes(Path(clip).read_bytes())
    other = build_pipe()
    assert equal(FeatureCache(tmp_path, other).encode(str(copied)), fresh) and other.encoded == []
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_only_the_same_call_is_a_hit(clip, tmp_path):
    """Each of these is another entry: other frames, another part, another size, another video."""
    pipe = build_pipe()
    cache = FeatureCache(tmp_path, pipe)
    other = write_video(tmp_path / "other.mp4", 255 - build_frames(20))
    calls: list[tuple[Any, dict[str, Any]]] = [
        (clip, {}),
        (clip, {"num_frames": 4}),
        (clip, {"fps": 3}),
        (clip, {"clip": (0.0, 0.9)}),
        (clip, {"size": {"height": 28, "width": 28}}),
        (other, {}),
        (np.array(build_frames(8)), {}),
    ]
    for video, options in calls:
        pipe.encoded.clear()
        made = cache.encode(video, **options)
        assert len(pipe.encoded) == 1, options
        again = cache.encode(video, **options)
        assert len(pipe.encoded) == 1
        assert torch.equal(made.pooler_output, again.pooler_output)
        assert torch.equal(made.pooler_output, pipe.encode(video, **options).pooler_output)
    pipe.encoded.clear()
    cache.encode(clip, fps=2)
    assert pipe.encoded == [], "the same four frames, asked for otherwise"
    assert len(entries(tmp_path)) == len(calls)


def test_fewer_tokens_are_taken_from_an_entry_and_more_replace_it(clip, tmp_path):
    pipe = build_pipe()
    cache = FeatureCache(tmp_path, pipe)
    cache.encode(clip, tokens_per_frame=6)
    two = cache.encode(clip, tokens_per_frame=2)
    assert pipe.encoded == [8]
    alone = pipe.encode(clip, tokens_per_frame=2)
    assert torch.equal(two.token_indices, alone.token_indices)
    torch.testing.assert_close(two.pooler_output, alone.pooler_output, rtol=0, atol=1e-6)
    pipe.encoded.clear()
    nine = cache.encode(clip, tokens_per_frame=9)
    assert pipe.encoded == [8] and nine.token_indices.shape == (1, 8, 9) and len(entries(tmp_path)) == 1
    assert cache.encode(clip, tokens_per_frame=6).token_indices.shape == (1, 8, 6) and pipe.encoded == [8]


@pytest.mark.parametrize("part", ["vision_tower", "temporal_encoding", "multi_modal_projector"])
def test_other_weights_never_hit(clip, tmp_path, part):
    pipe = build_pipe()
    first = FeatureCache(tmp_path, pipe).encode(clip)
    *_, parameter = getattr(pipe.model.model, part).parameters()
    with torch.no_grad():
        parameter.view(-1)[3] += 1
    pipe.encoded.clear()
    second = FeatureCache(tmp_path, pipe).encode(clip)
    assert pipe.encoded == [8] and not torch.equal(first.pooler_output, second.pooler_output)
    assert torch.equal(second.pooler_output, pipe.encode(clip).pooler_output) and len(entries(tmp_path)) == 2


def test_the_language_model_is_no_part_of_the_fingerprint():
    model = build_model()
    before = fingerprint(model)
    with torch.no_grad():
        model.lm_head.weight += 1
        next(model.model.language_model.parameters()).add_(1)
    assert fingerprint(model) == before == fingerprint(build_model())
    assert fingerprint(build_model(vision_config={"num_attention_heads": 4})) != before
    assert fingerprint(model.to(torch.bfloat16)) != before


@pytest.mark.parametrize(
    "options", [{"token_order": "query"}, {"token_sampler": "first"}, {"token_sampler": "uniform"}]
)
def test_other_samplers_never_hit(clip, tmp_path, options):
    FeatureCache(tmp_path, build_pipe()).encode(clip)
    pipe = build_pipe(**options)
    cache = FeatureCache(tmp_path, pipe)
    assert torch.equal(cache.encode(clip).token_indices, pipe.encode(clip).token_indices)
    pipe.encoded.clear()
    fewer = cache.encode(clip, tokens_per_frame=3)
    assert len(pipe.encoded) == (0 if options.get("token_order") else 1)
    assert torch.equal(fewer.token_indices, pipe.encode(clip, tokens_per_frame=3).token_indices)


@pytest.mark.parametrize(
    "options", [{"skip_unchanged_patches": 0.5}, {"merge_patches": 0.5}, {"merge_patches": 0.25, "merge_layers": 1}]
)
def test_other_patches_never_hit(clip, tmp_path, options):
    FeatureCache(tmp_path, build_pipe()).encode(clip)
    FeatureCache(tmp_path, build_pipe(merge_patches=0.25)).encode(clip)
    pipe = build_pipe(**options)
    assert equal(FeatureCache(tmp_path, pipe).encode(clip), pipe.encode(clip)) and len(entries(tmp_path)) == 3


def test_a_random_sampler_is_refused(tmp_path):
    with pytest.raises(ValueError, match="`token_sampler` is 'random', which chooses anew each time"):
        FeatureCache(tmp_path, build_pipe(token_sampler="random"))


@pytest.mark.parametrize("damage", ["empty", "half", "flipped", "text", "exchanged"])
def test_damaged_entries_are_made_again(clip, tmp_path, damage, caplog):
    pipe = build_pipe()
    cache = FeatureCache(tmp_path, pipe)
    fresh = cache.encode(clip)
    (path,) = entries(tmp_path)
    content = bytearray(path.read_bytes())
    if damage == "flipped":
        content[-5] ^= 1
    elif damage == "exchanged":
        cache.encode(clip, num_frames=4)
        (other,) = [entry for entry in entries(tmp_path) if entry != path]
        content = bytearray(other.read_bytes())
    path.write_bytes({"empty": b"", "half": content[: len(content) // 2], "text": b"no tensors"}.get(damage, content))
    pipe.encoded.clear()
    with caplog.at_level("WARNING"):
        logging.enable_propagation()
        assert equal(cache.encode(clip), fresh)
        logging.disable_propagation()
    assert pipe.encoded == [8]
    assert equal(cache.encode(clip), fresh) and pipe.encoded == [8], "the new entry is whole"
    assert any(re.search("cannot be used and are made again: ", record.getMessage()) for record in caplog.records)


def test_an_interrupted_write_leaves_nothing(clip, tmp_path, monkeypatch):
    def save_half(tensors: Any, path: Path, metadata: Any) -> None:
        Path(path).write_bytes(b"half")
        raise KeyboardInterrupt

    cache = FeatureCache(tmp_path, build_pipe())
    monkeypatch.setattr("ftfv.feature_cache.save_file", save_half)
    with pytest.raises(KeyboardInterrupt):
        cache.encode(clip)
    assert entries(tmp_path) == [] and [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_several_videos_with_different_numbers_of_frames(clip, tmp_path):
    pipe = build_pipe()
    cache = FeatureCache(tmp_path, pipe)
    short = write_video(tmp_path / "short.mp4", 3)
    features = cache.encode([clip, short])
    assert pipe.encoded == [8, 3] and features.token_indices.shape == (2, 8, 4)
    assert [len(tokens) for tokens in features.pooler_output] == [32, 12]
    assert equal(cache.encode([short, clip]).split()[1], features.split()[0]) and pipe.encoded == [8, 3]


def test_an_entry_holds_no_more_than_it_should(clip, tmp_path):
    """What the docstring says of the size, at the tiny sizes: 8 frames of 4 tokens of 32 numbers in fp32."""
    cache = FeatureCache(tmp_path, build_pipe())
    key = cache.key(cache.pipe.prepare_videos(clip))
    cache.encode(clip)
    (path,) = entries(tmp_path)
    assert path == tmp_path / key[:2] / f"{key}.safetensors"
    tokens, others = 8 * 4 * 32 * 4, 8 * 16 * 4 + 8 * 4 * 4 + 8 * 8
    assert tokens + others < path.stat().st_size < tokens + others + 1000
    assert read_entry(path, key).last_hidden_state is None and read_entry(path, "another") is None
    assert read_entry(tmp_path / "none.safetensors", key) is None


def test_tensors_are_told_apart_by_type_shape_and_values():
    tensor = torch.arange(6, dtype=torch.float32)
    others = (tensor, tensor.view(2, 3), tensor.view(3, 2), tensor.int(), tensor.bfloat16(), tensor + 1, tensor.sum())
    assert len({hash_tensor(other) for other in others}) == len(others)
    assert hash_tensor(tensor.view(2, 3).T) == hash_tensor(torch.tensor([[0.0, 3], [1, 4], [2, 5]]))
