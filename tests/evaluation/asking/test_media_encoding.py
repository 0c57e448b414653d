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

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ftfv.evaluation.asking.media_encoding import Looking, encode_media, open_image, random_frame
from ftfv.evaluation.asking.rows import evaluating, shuffled_order
from ftfv.evaluation.benchmarks.benchmark import Question
from tests.tiny import NUM_QUERIES, build_model, frame_indices, write_video


def ask(path: str | Path | None = None, **options) -> Question:
    return Question("0", "task", "what moves ?", "left", video=None if path is None else str(path), **options)


def test_tokens_and_responses_are_those_of_the_model(model, processor, clip):
    seen = encode_media(model, processor, ask(clip), Looking(num_frames=5), shuffled=True, seed=0)

    inputs = processor(videos=[clip], return_tensors="pt", tokens_per_frame=NUM_QUERIES, num_frames=5)
    with torch.no_grad():
        features = model.get_video_features(inputs["pixel_values_videos"], tokens_per_frame=NUM_QUERIES)
    assert seen.modality == "video"
    assert seen.encoded[False].tokens.shape == (5, NUM_QUERIES, 32)
    torch.testing.assert_close(seen.encoded[False].responses, features.responses[0])
    # The model kept its tokens by falling response; those of a question are in the order of the queries.
    order = features.token_indices[0].argsort(dim=-1)
    tokens = features.pooler_output[0].unflatten(0, (5, -1))
    expected = tokens.gather(1, order.unsqueeze(-1).expand_as(tokens))
    torch.testing.assert_close(seen.encoded[False].tokens, expected, atol=1e-5, rtol=0)
    # One placeholder stands for each frame.
    assert seen.block["video"].token_indices.shape == (1, 5, 1)


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_shuffled_frames_go_through_temporal_encoding_and_adapter_again(processor, clip, share):
    model = build_model(skip_unchanged_patches=share)
    calls: list[torch.Tensor] = []
    model.model.vision_tower.register_forward_hook(lambda module, args, output: calls.append(args[0]))
    seen = encode_media(model, processor, ask(clip), Looking(), shuffled=True, seed=0)

    # What the tower leaves out goes by the frame before, so that it runs again where it leaves out anything.
    assert len(calls) == (2 if share else 1)
    shown = frame_indices(calls[0])
    pixels = processor(videos=[clip], return_tensors="pt")["pixel_values_videos"]
    assert frame_indices(pixels[0]) == shown == sorted(shown)
    order = torch.from_numpy(shuffled_order(8, f"0 {Path(clip).name} None"))
    with torch.no_grad(), evaluating(model, token_sampler="none", tokens_per_frame=NUM_QUERIES):
        expected = model.get_video_features(pixels[:, order])
    torch.testing.assert_close(seen.encoded[True].tokens.flatten(0, 1), expected.pooler_output[0], atol=1e-5, rtol=0)
    assert not torch.allclose(seen.encoded[True].tokens, seen.encoded[False].tokens[order], atol=1e-3)


def test_frames_of_a_folder_take_their_rate_from_the_question(model, processor, tmp_path):
    for index in range(9):
        Image.fromarray(np.full((42, 42, 3), 8 * index + 16, np.uint8)).save(
            tmp_path / f"{index + 1:05d}.jpg", quality=100
        )
    calls = []
    handle = model.model.vision_tower.register_forward_hook(lambda module, args, output: calls.append(args[0]))
    question = ask(tmp_path, clip=(1.0, 2.0), frame_rate=3.0)
    encode_media(model, processor, question, Looking(), shuffled=False, seed=0)
    handle.remove()
    assert frame_indices(calls[0]) == [3, 4, 5]


def test_a_random_frame_is_one_of_the_clip_and_depends_on_seed_and_name(processor, tmp_path):
    path = write_video(tmp_path / "clip.mp4", 20)
    question = ask(path, clip=(0.5, 1.0))

    def index_of(question: Question, seed: int) -> int:
        return round((np.asarray(random_frame(processor, question, seed)).mean() - 16) / 8)

    drawn = [index_of(question, seed) for seed in range(30)]
    assert set(drawn) == {5, 6, 7, 8, 9}
    assert [index_of(question, seed) for seed in range(30)] == drawn
    (tmp_path / "moved").mkdir()
    moved = write_video(tmp_path / "moved/clip.mp4", 20)
    assert [index_of(ask(moved, clip=(0.5, 1.0)), seed) for seed in range(30)] == drawn


def test_images_from_files_contents_and_memory(tmp_path):
    image = Image.fromarray(np.arange(27, dtype=np.uint8).reshape(3, 3, 3))
    image.save(tmp_path / "image.png")
    sources = (str(tmp_path / "image.png"), (tmp_path / "image.png").read_bytes(), image)
    for source in sources:
        assert np.array_equal(np.asarray(open_image(ask(image=source))), np.asarray(image))
    with pytest.raises(
        ValueError, match="The image of question '0' cannot be decoded: .* Download or encode it again"
    ):
        open_image(ask(image=b"no image"))
    with pytest.raises(FileNotFoundError):
        open_image(ask(image=str(tmp_path / "gone.png")))


def test_frame_size(model, processor, clip, tmp_path):
    calls = []
    handle = model.model.vision_tower.register_forward_hook(lambda module, args, output: calls.append(args[0].shape))
    encode_media(model, processor, ask(clip), Looking(frame_size=28), shuffled=False, seed=0)
    encode_media(model, processor, ask(clip), Looking(frame_size=28, as_image=True), shuffled=False, seed=0)
    handle.remove()
    assert calls == [(8, 3, 28, 28), (1, 3, 28, 28)]
