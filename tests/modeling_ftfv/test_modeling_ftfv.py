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
"""The model: features of images and videos, what joins a batch, losses, gradients, saving, and other towers."""

import re
from typing import Any

import pytest
import torch
from torch import nn
from transformers import AutoModel, AutoModelForImageTextToText, AutoModelForMultimodalLM
from trl.trainer.utils import add_fused_lm_head

from ftfv import FTFVForConditionalGeneration, FTFVModel, FTFVVisionModel
from ftfv.modeling_ftfv.modeling_ftfv import FTFVFeaturesOutput
from tests.tiny import (
    IMAGE_TOKEN_ID,
    NUM_PATCHES,
    NUM_QUERIES,
    VIDEO_TOKEN_ID,
    WORDS,
    build_config,
    build_model,
    random_pixels,
    video_prompt,
)


def video_batch(num_videos: int = 2, num_frames: int = 3, tokens_per_frame: int = 4) -> dict[str, Any]:
    """One video and one question per row."""
    input_ids = torch.tensor([video_prompt(num_frames * tokens_per_frame)] * num_videos)
    return {
        "input_ids": input_ids,
        "attention_mask": torch.ones_like(input_ids),
        "pixel_values_videos": random_pixels(num_videos, num_frames),
        "tokens_per_frame": torch.full((num_videos,), tokens_per_frame),
    }


def close(actual: Any, expected: Any, atol: float = 1e-5) -> None:
    torch.testing.assert_close(actual, expected, rtol=0, atol=atol)


# The vision tower


@torch.no_grad()
def reference_tower(tower: FTFVVisionModel, pixel_values: torch.Tensor) -> torch.Tensor:
    """The tower from torch's own pieces: unfolded patches, and pre-norm encoder layers with exact GELU."""
    config, width = tower.config, tower.config.hidden_size
    patches = nn.functional.unfold(pixel_values, config.patch_size, stride=config.patch_size).transpose(1, 2)
    hidden_states = patches @ tower.embeddings.patch_embedding.weight.flatten(1).T
    positions = tower.embeddings.position_embedding.T.reshape(1, width, 5, 5)
    positions = nn.functional.interpolate(positions, size=(6, 6), mode="bicubic")
    hidden_states = tower.pre_layernorm(hidden_states + positions.flatten(2).transpose(1, 2))
    for layer in tower.encoder.layers:
        block = nn.TransformerEncoderLayer(
            width,
            config.num_attention_heads,
            config.intermediate_size,
            dropout=0.0,
            activation="gelu",
            layer_norm_eps=1e-6,
            batch_first=True,
            norm_first=True,
        )
        projections = [layer.self_attn.q_proj, layer.self_attn.k_proj, layer.self_attn.v_proj]
        block.self_attn.in_proj_weight.copy_(torch.cat([projection.weight for projection in projections]))
        block.self_attn.in_proj_bias.copy_(torch.cat([projection.bias for projection in projections]))
        pairs = (
            (block.self_attn.out_proj, layer.self_attn.out_proj),
            (block.linear1, layer.mlp.fc1),
            (block.linear2, layer.mlp.fc2),
            (block.norm1, layer.layer_norm1),
            (block.norm2, layer.layer_norm2),
        )
        for theirs, ours in pairs:
            theirs.load_state_dict(ours.state_dict())
        hidden_states = block(hidden_states)
    return hidden_states


@pytest.mark.parametrize("attn_implementation", ["eager", "sdpa"])
def test_the_tower_equals_torch_encoder_layers(attn_implementation):
    model = build_model(attn_implementation=attn_implementation)
    pixel_values = random_pixels(2)
    close(
        model.model.vision_tower(pixel_values).last_hidden_state,
        reference_tower(model.model.vision_tower, pixel_values),
    )


def test_the_tower_records_hidden_states_and_attentions():
    tower = build_model(attn_implementation="eager").model.vision_tower
    outputs = tower(random_pixels(2), output_hidden_states=True, output_attentions=True)
    assert [tuple(states.shape) for states in outputs.hidden_states] == [(2, NUM_PATCHES, 24)] * 3
    assert [tuple(weights.shape) for weights in outputs.attentions] == [(2, 3, NUM_PATCHES, NUM_PATCHES)] * 2
    assert torch.equal(outputs.hidden_states[-1], outputs.last_hidden_state)


def test_every_part_takes_another_frame_size():
    model = build_model(model_class=FTFVModel)
    frames = torch.randn(1, 2, 3, 56, 56)
    features = model.get_video_features(frames, tokens_per_frame=5)
    assert features.last_hidden_state.shape == (1, 2, 64, 24) and features.pooler_output.shape == (1, 10, 32)
    with pytest.raises(ValueError, match="A frame has 48 patches; expected a square frame"):
        model.get_video_features(torch.randn(1, 2, 3, 56, 42))


# Features


def test_shapes_of_the_features():
    model = build_model()
    images = model.get_image_features(random_pixels(3))
    assert images.last_hidden_state.shape == (3, NUM_PATCHES, 24)
    assert images.pooler_output.shape == (3, NUM_QUERIES, 32)
    assert images.responses.shape == (3, NUM_QUERIES)
    assert images.token_indices.tolist() == [list(range(NUM_QUERIES))] * 3

    videos = model.get_video_features(random_pixels(2, 5), tokens_per_frame=6)
    assert videos.last_hidden_state.shape == (2, 5, NUM_PATCHES, 24)
    assert videos.pooler_output.shape == (2, 30, 32)
    assert videos.responses.shape == (2, 5, NUM_QUERIES)
    assert videos.token_indices.shape == (2, 5, 6)


def test_tuples_on_request():
    model = build_model()
    batch = video_batch()
    outputs = model(**batch)
    as_tuple = model(**batch, return_dict=False)
    assert isinstance(as_tuple, tuple) and torch.equal(as_tuple[0], outputs.logits)
    features = model.get_video_features(batch["pixel_values_videos"], return_dict=False)
    assert isinstance(features, tuple)
    close(features[1], model.get_video_features(batch["pixel_values_videos"]).pooler_output)


def test_images_keep_all_queries_unless_they_are_sampled():
    frames = random_pixels(2)
    whole = build_model().get_image_features(frames)
    sampled = build_model(sample_images=True).get_image_features(frames)
    assert sampled.pooler_output.shape == (2, 4, 32)
    for image in range(2):
        kept = whole.responses[image].argsort(descending=True)[:4]
        assert torch.equal(sampled.token_indices[image], kept)
        close(sampled.pooler_output[image], whole.pooler_output[image][kept])


def test_one_frame_changes_its_own_tokens_only():
    model, video = build_model(), random_pixels(1, 4)
    before = model.get_video_features(video).pooler_output.unflatten(1, (4, 4))
    changed = video.clone()
    changed[0, 2] = random_pixels(seed=9)
    after = model.get_video_features(changed).pooler_output.unflatten(1, (4, 4))
    close(after[:, [0, 1, 3]], before[:, [0, 1, 3]], atol=1e-6)
    assert (after[:, 2] - before[:, 2]).abs().max() > 0.1


def test_reversed_frames_give_reversed_tokens_without_e_and_others_with_it():
    model, video = build_model(), random_pixels(1, 4)
    with_e = model.get_video_features(video).pooler_output.unflatten(1, (4, 4))
    with_e_reversed = model.get_video_features(video.flip(1)).pooler_output.unflatten(1, (4, 4)).flip(1)
    assert (with_e - with_e_reversed).abs().amax(dim=(0, 2, 3)).min() > 0.01

    model.model.temporal_encoding.weight.data.zero_()
    without = model.get_video_features(video).pooler_output.unflatten(1, (4, 4))
    close(model.get_video_features(video.flip(1)).pooler_output.unflatten(1, (4, 4)).flip(1), without, atol=1e-6)


def test_swapped_frames_swap_their_tokens_without_e():
    model, video = build_model(), random_pixels(1, 4)
    model.model.temporal_encoding.weight.data.zero_()
    before = model.get_video_features(video).pooler_output.unflatten(1, (4, 4))
    after = model.get_video_features(video[:, [3, 1, 2, 0]]).pooler_output.unflatten(1, (4, 4))
    close(after, before[:, [3, 1, 2, 0]], atol=1e-6)
    assert (after[:, 0] - before[:, 0]).abs().max() > 0.1


def test_any_number_of_tokens_from_one_model_each_set_within_the_next():
    model, video = build_model(), random_pixels(1, 2)
    whole = model.get_video_features(video, tokens_per_frame=NUM_QUERIES)
    tokens = whole.pooler_output.unflatten(1, (2, NUM_QUERIES))
    for tokens_per_frame in range(1, NUM_QUERIES):
        fewer = model.get_video_features(video, tokens_per_frame=tokens_per_frame)
        assert torch.equal(fewer.token_indices, whole.token_indices[..., :tokens_per_frame])
        close(fewer.pooler_output.unflatten(1, (2, tokens_per_frame)), tokens[:, :, :tokens_per_frame], atol=1e-6)


def test_without_a_sampler_a_frame_is_read_as_an_image():
    model = build_model(token_sampler="none", tokens_per_frame=NUM_QUERIES)
    model.model.temporal_encoding.weight.data.zero_()
    frames = random_pixels(3)
    video, images = model.get_video_features(frames[None]), model.get_image_features(frames)
    close(video.pooler_output[0], images.pooler_output.flatten(0, 1), atol=0)
    # Asked the same question, it gives the same answer.
    logits = []
    for token_id, media in (
        (VIDEO_TOKEN_ID, {"pixel_values_videos": frames[None]}),
        (IMAGE_TOKEN_ID, {"pixel_values": frames}),
    ):
        logits.append(model(input_ids=torch.tensor([[1, *[token_id] * 3 * NUM_QUERIES, 6, 7]]), **media).logits)
    close(*logits, atol=0)


def test_tokens_per_frame_as_int_tensor_none_and_per_video():
    model, videos = build_model(), random_pixels(2, 3)
    as_int = model.get_video_features(videos, tokens_per_frame=4)
    for same in (None, torch.tensor([4, 4]), torch.tensor([4]), torch.tensor(4), torch.tensor([[4], [4]])):
        assert torch.equal(model.get_video_features(videos, tokens_per_frame=same).pooler_output, as_int.pooler_output)

    different = model.get_video_features(videos, tokens_per_frame=torch.tensor([4, 7]))
    assert [tokens.shape for tokens in different.pooler_output] == [(12, 32), (21, 32)]
    close(different.pooler_output[0], as_int.pooler_output[0], atol=1e-6)
    alone = model.get_video_features(videos[1:], tokens_per_frame=7)
    close(different.pooler_output[1], alone.pooler_output[0], atol=1e-6)
    assert different.token_indices.shape == (2, 3, 7)
    assert (different.token_indices[0, :, 4:] == -1).all() and (different.token_indices[:, :, :4] >= 0).all()


@pytest.mark.parametrize("tokens_per_frame", [0, NUM_QUERIES + 1, torch.tensor([4, 0]), torch.tensor([99, 4])])
def test_tokens_per_frame_out_of_range_raises(tokens_per_frame):
    with pytest.raises(ValueError, match=f"`tokens_per_frame` is (0|17|99); expected 1 to {NUM_QUERIES}"):
        build_model().get_video_features(random_pixels(2, 3), tokens_per_frame=tokens_per_frame)


def test_tokens_per_frame_for_another_number_of_videos_raises():
    with pytest.raises(ValueError, match="has 3 entries for 2 videos"):
        build_model().get_video_features(random_pixels(2, 3), tokens_per_frame=torch.tensor([4, 4, 4]))


@pytest.mark.parametrize("poison", [float("nan"), float("inf"), 1e6])
def test_padding_frames_never_reach_the_network(poison):
    model, videos = build_model(), random_pixels(2, 5)
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0]])
    clean = model.get_video_features(videos, video_frame_mask=mask)
    videos[1, 2:] = poison
    poisoned = model.get_video_features(videos, video_frame_mask=mask)
    for actual, expected in zip(poisoned.pooler_output, clean.pooler_output, strict=True):
        assert torch.equal(actual, expected)
    assert torch.equal(poisoned.responses, clean.responses)
    assert torch.equal(poisoned.last_hidden_state, clean.last_hidden_state)
    assert (poisoned.token_indices[1, 2:] == -1).all()


def test_ragged_videos_equal_single_ones():
    model = build_model()
    lengths = [5, 2, 1, 3]
    videos = random_pixels(4, 5)
    mask = (torch.arange(5) < torch.tensor(lengths)[:, None]).long()
    together = model.get_video_features(videos, video_frame_mask=mask)
    assert isinstance(together.pooler_output, list)
    for index, length in enumerate(lengths):
        alone = model.get_video_features(videos[index : index + 1, :length])
        close(together.pooler_output[index], alone.pooler_output[0], atol=1e-6)
        close(together.responses[index, :length], alone.responses[0], atol=1e-6)
        assert torch.equal(together.token_indices[index, :length], alone.token_indices[0])


def test_real_frames_may_stand_anywhere_in_the_padding():
    model, video = build_model(), random_pixels(1, 3)
    padded = torch.full((1, 5, *video.shape[2:]), float("nan"))
    padded[0, [0, 2, 4]] = video[0]
    spread = model.get_video_features(padded, video_frame_mask=torch.tensor([[1, 0, 1, 0, 1]]))
    assert torch.equal(spread.pooler_output, model.get_video_features(video).pooler_output)


def test_wrong_frame_masks_raise():
    model, videos = build_model(), random_pixels(2, 3)
    with pytest.raises(ValueError, match=re.escape("has shape (2, 4); expected (2, 3)")):
        model.get_video_features(videos, video_frame_mask=torch.ones(2, 4))
    with pytest.raises(ValueError, match="marks no frame of a video"):
        model.get_video_features(videos, video_frame_mask=torch.tensor([[1, 1, 1], [0, 0, 0]]))
    with pytest.raises(ValueError, match=re.escape("expected (num_videos, num_frames, 3, height, width)")):
        model.get_video_features(videos[0])


# The whole model


@pytest.mark.parametrize("model_class", [FTFVModel, FTFVForConditionalGeneration])
def test_shapes_of_a_forward_pass(model_class):
    model, batch = build_model(model_class=model_class), video_batch()
    outputs = model(**batch, output_hidden_states=True)
    length = batch["input_ids"].shape[1]
    first = outputs.logits if model_class is FTFVForConditionalGeneration else outputs.last_hidden_state
    assert first.shape == (2, length, len(WORDS) if model_class is FTFVForConditionalGeneration else 32)
    assert len(outputs.hidden_states) == 3 and outputs.video_hidden_states.shape == (2, 12, 32)
    assert outputs.image_hidden_states is None


def test_logits_to_keep():
    model, batch = build_model(), video_batch()
    close(model(**batch, logits_to_keep=2).logits, model(**batch).logits[:, -2:])


def test_eager_equals_sdpa():
    batch = video_batch()
    eager, sdpa = (build_model(attn_implementation=name) for name in ("eager", "sdpa"))
    assert eager.model.multi_modal_projector.attention.config._attn_implementation == "eager"
    close(eager(**batch).logits, sdpa(**batch).logits)
    sdpa.set_attn_implementation("eager")
    close(sdpa(**batch).logits, eager(**batch).logits, atol=0)


def test_the_language_model_reads_the_features_in_place_of_the_placeholders():
    model, batch = build_model(), video_batch()
    embeds = model.get_input_embeddings()(batch["input_ids"])
    features = model.get_video_features(batch["pixel_values_videos"]).pooler_output
    embeds[batch["input_ids"] == VIDEO_TOKEN_ID] = features.flatten(0, 1)
    expected = model.lm_head(model.model.language_model(inputs_embeds=embeds).last_hidden_state)
    close(model(**batch).logits, expected, atol=0)


def test_inputs_embeds_equal_input_ids():
    model, batch = build_model(), video_batch()
    expected = model(**batch).logits
    embeds = model.get_input_embeddings()(batch.pop("input_ids"))
    close(model(**batch, inputs_embeds=embeds).logits, expected, atol=0)


def test_neither_or_both_kinds_of_input_raise():
    model, batch = build_model(), video_batch()
    with pytest.raises(ValueError, match="exactly one of `input_ids` or `inputs_embeds`"):
        model(**batch, inputs_embeds=torch.zeros(2, 20, 32))
    del batch["input_ids"]
    with pytest.raises(ValueError, match="exactly one of `input_ids` or `inputs_embeds`"):
        model(**batch)


def test_a_wrong_number_of_placeholders_names_both_numbers_and_their_source():
    model, batch = build_model(), video_batch()
    with pytest.raises(
        ValueError, match="holds 24 <video> placeholder tokens but there are 30 video features"
    ) as error:
        model(**{**batch, "tokens_per_frame": 5})
    assert "`tokens_per_frame` from the processor or the call" in str(error.value)
    del batch["tokens_per_frame"]
    model.config.tokens_per_frame = 6
    with pytest.raises(ValueError, match="24 <video> .* 36 video features .*`tokens_per_frame` from the config"):
        model(**batch)


def test_a_wrong_number_of_image_placeholders_raises():
    model = build_model()
    input_ids = torch.tensor([[1, *[IMAGE_TOKEN_ID] * 15, 6]])
    with pytest.raises(ValueError, match="holds 15 <image> placeholder tokens but there are 16 image features"):
        model(input_ids=input_ids, pixel_values=random_pixels(1))


@pytest.mark.parametrize(
    ("token", "name"), [(VIDEO_TOKEN_ID, "pixel_values_videos"), (IMAGE_TOKEN_ID, "pixel_values")]
)
def test_placeholders_without_pixels_raise_where_they_matter(token, name):
    model, input_ids = build_model(), torch.tensor([[1, token, token, 6]])
    embeds = model.get_input_embeddings()(input_ids)
    with pytest.raises(ValueError, match=f"placeholder tokens but `{name}` is not given"):
        model(input_ids=input_ids, labels=input_ids)
    with pytest.raises(ValueError, match=f"placeholder tokens but `{name}` is not given"):
        model(inputs_embeds=embeds, labels=input_ids)
    with pytest.raises(ValueError, match=f"placeholder tokens but `{name}` is not given"):
        model.generate(input_ids, max_new_tokens=1)
    # As with every model of the library, a forward pass alone takes them for words.
    expected = model.lm_head(model.model.language_model(inputs_embeds=embeds).last_hidden_state)
    close(model(input_ids=input_ids).logits, expected, atol=0)


def test_placeholders_without_pixels_raise_in_training_by_trl():
    """A data set without an `images` column reaches TRL's trainer as text, which computes the loss by itself."""
    model = build_model().train()
    add_fused_lm_head(model)
    input_ids = torch.tensor([video_prompt(4)])
    with pytest.raises(ValueError, match="placeholder tokens but `pixel_values_videos` is not given"):
        model(input_ids=input_ids, labels=input_ids, fused_lm_head=True, use_cache=False)


def test_placeholders_of_the_other_modality_raise():
    batch = video_batch()
    batch["input_ids"][0, 0] = IMAGE_TOKEN_ID
    with pytest.raises(ValueError, match="<image> placeholder tokens but `pixel_values` is not given"):
        build_model()(**batch)


def test_pixels_without_placeholders_raise():
    with pytest.raises(ValueError, match="holds 0 <video> placeholder tokens but there are 12 video features"):
        build_model()(input_ids=torch.tensor([[1, 6, 7]]), pixel_values_videos=random_pixels(1, 3))


def mixed_batch() -> dict[str, torch.Tensor]:
    """Row 0: an image, a video of 3 frames and another image. Row 1: two videos, of 2 and 3 frames. Row 2: text."""
    image, video = [IMAGE_TOKEN_ID] * NUM_QUERIES, [VIDEO_TOKEN_ID] * 4
    rows = [[1, *image, 6, *video * 3, 7, *image, 8], [1, *video * 2, 9, *video * 3, 10], [1, 11, 12]]
    longest = max(len(row) for row in rows)
    mask = torch.ones(3, 3)
    mask[1, 2] = 0
    return {
        "input_ids": torch.tensor([row + [0] * (longest - len(row)) for row in rows]),
        "attention_mask": torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows]),
        "pixel_values": random_pixels(2, seed=1),
        "pixel_values_videos": random_pixels(3, 3, seed=2),
        "video_frame_mask": mask,
    }


def test_a_mixed_batch_equals_its_rows():
    model, batch = build_model(), mixed_batch()
    together = model(**batch).logits
    lengths = batch["attention_mask"].sum(dim=1).tolist()
    images, videos = batch["pixel_values"], batch["pixel_values_videos"]
    rows = [
        {"pixel_values": images, "pixel_values_videos": videos[:1]},
        {"pixel_values_videos": videos[1:], "video_frame_mask": batch["video_frame_mask"][1:]},
        {},
    ]
    for row, (media, length) in enumerate(zip(rows, lengths, strict=True)):
        alone = model(input_ids=batch["input_ids"][row : row + 1, :length], **media).logits
        close(together[row, :length], alone[0])


def test_a_mixed_forward_calls_tower_and_adapter_once():
    model, calls = build_model(), []
    for part in (model.model.vision_tower, model.model.multi_modal_projector):
        part.register_forward_hook(lambda module, args, output: calls.append((type(module).__name__, len(args[0]))))
    model(**mixed_batch())
    # 2 images and 3 + 2 + 3 real frames.
    assert calls == [("FTFVVisionModel", 10), ("FTFVAdapter", 10)]


def test_frames_in_chunks_equal_frames_at_once(monkeypatch):
    model, batch = build_model(attn_implementation="eager"), mixed_batch()
    media = {name: batch[name] for name in ("pixel_values", "pixel_values_videos", "video_frame_mask")}
    record = {"output_hidden_states": True, "output_attentions": True}
    at_once = model.model.encode_media(**media, **record)
    sizes = []
    model.model.vision_tower.register_forward_hook(lambda module, args, output: sizes.append(len(args[0])))
    monkeypatch.setattr(FTFVModel, "frames_per_chunk", 3)
    with torch.no_grad():
        in_chunks = model.model.encode_media(**media, **record)
    assert sizes == [3, 3, 3, 1]
    for modality, expected in at_once.items():
        actual = in_chunks[modality]
        for name in ("last_hidden_state", "responses"):
            close(actual[name], expected[name])
        for name in ("pooler_output", "hidden_states", "attentions"):
            for one, other in zip(actual[name], expected[name], strict=True):
                close(one, other)
        assert torch.equal(actual.token_indices, expected.token_indices)
    # With gradients all frames go at once, so that the ranks of a training make the same number of calls.
    sizes.clear()
    model.model.encode_media(**media)
    assert sizes == [10]


def test_hundreds_of_frames_need_the_memory_of_a_chunk(monkeypatch):
    model, video = build_model(model_class=FTFVModel), random_pixels(1, 300)
    sizes = []
    model.vision_tower.register_forward_hook(lambda module, args, output: sizes.append(len(args[0])))
    with torch.no_grad():
        features = model.get_video_features(video, tokens_per_frame=1)
    assert features.pooler_output.shape == (1, 300, 32) and max(sizes) == FTFVModel.frames_per_chunk == 32
    monkeypatch.setattr(FTFVModel, "frames_per_chunk", None)
    with torch.no_grad():
        close(model.get_video_features(video, tokens_per_frame=1).pooler_output, features.pooler_output)
    assert sizes[-1] == 300


def test_rows_sliced_by_data_parallel_give_the_rows_of_the_batch():
    """`DataParallel` and accelerate cut every tensor along its first axis."""
    model, batch = build_model(), video_batch()
    batch |= {"video_frame_mask": torch.ones(2, 3), "tokens_per_frame": torch.tensor([4, 4])}
    together = model(**batch).logits
    for row in range(2):
        close(model(**{name: values[row : row + 1] for name, values in batch.items()}).logits, together[row : row + 1])


def test_images_and_frames_of_different_sizes_raise():
    batch = mixed_batch() | {"pixel_values": torch.randn(2, 3, 28, 28)}
    with pytest.raises(ValueError, match=re.escape("Images are (28, 28) and video frames (42, 42) pixels")):
        build_model()(**batch)


def test_features_computed_before_equal_pixels():
    model, batch = build_model(), mixed_batch()
    expected = model(**batch).logits
    features = {
        "image": model.get_image_features(batch.pop("pixel_values")),
        "video": model.get_video_features(batch.pop("pixel_values_videos"), batch.pop("video_frame_mask")),
    }
    assert isinstance(features["video"], FTFVFeaturesOutput)
    close(model(**batch, mm_encoder_outputs=features).logits, expected)
    with pytest.raises(ValueError, match="pixels and `mm_encoder_outputs` at the same time"):
        model(**batch, pixel_values=random_pixels(2), mm_encoder_outputs=features)


# Training


def test_the_loss_is_the_cross_entropy_of_the_next_token():
    model, batch = build_model(), video_batch()
    labels = batch["input_ids"].clone()
    labels[labels == VIDEO_TOKEN_ID] = -100
    labels[0, -1] = -100
    outputs = model(**batch, labels=labels)
    log_probabilities = outputs.logits.double().log_softmax(dim=-1)
    losses = [
        -log_probabilities[row, position - 1, labels[row, position]]
        for row in range(2)
        for position in range(1, labels.shape[1])
        if labels[row, position] != -100
    ]
    close(outputs.loss.double(), torch.stack(losses).mean())
    close(model(**batch, labels=labels, num_items_in_batch=40).loss.double(), torch.stack(losses).sum() / 40)


def test_gradients_reach_every_parameter():
    model, batch = build_model(tokens_per_frame=NUM_QUERIES), video_batch(2, 8, NUM_QUERIES)
    model(**batch, labels=batch["input_ids"]).loss.backward()
    without = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    assert not without
    # A bias of the keys shifts all scores of a query alike, which the softmax does not see.
    zero = {name for name, p in model.named_parameters() if p.grad.abs().max() < 1e-8}
    assert all(name.endswith("k_proj.bias") for name in zero)


def test_images_alone_give_every_parameter_a_gradient():
    """Data-parallel training waits for all of them on every rank, whatever is in the rank's batch."""
    model = build_model()
    input_ids = torch.tensor([[1, *[IMAGE_TOKEN_ID] * NUM_QUERIES, 6, 7]])
    model(input_ids=input_ids, pixel_values=random_pixels(1), labels=input_ids).loss.backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []
    assert not model.model.temporal_encoding.weight.grad.any()


@pytest.mark.parametrize(
    "unfrozen",
    [
        ("multi_modal_projector",),
        ("temporal_encoding",),
        ("vision_tower.encoder.layers.1", "multi_modal_projector", "temporal_encoding"),
        ("language_model",),
    ],
)
def test_gradients_reach_exactly_the_unfrozen_parts(unfrozen):
    model, batch = build_model(), video_batch(2, 8)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.startswith(tuple(f"model.{part}" for part in unfrozen)))
    model.train()
    model(**batch, labels=batch["input_ids"]).loss.backward()
    reached = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert reached == {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    if "temporal_encoding" in unfrozen:
        assert (model.model.temporal_encoding.weight.grad.abs().amax(dim=(1, 2)) > 0).all()


def test_bf16_runs_and_responses_stay_fp32():
    model, batch = build_model().bfloat16(), video_batch()
    outputs = model(**batch, labels=batch["input_ids"])
    assert outputs.logits.dtype == torch.bfloat16 and torch.isfinite(outputs.loss)
    features = model.get_video_features(batch["pixel_values_videos"])
    assert features.pooler_output.dtype == torch.bfloat16 and features.responses.dtype == torch.float32


def test_autocast_runs_and_responses_stay_fp32():
    model, batch = build_model(), video_batch()
    expected = model(**batch).logits
    with torch.autocast("cpu", dtype=torch.bfloat16):
        outputs = model(**batch, labels=batch["input_ids"])
        assert model.get_video_features(batch["pixel_values_videos"]).responses.dtype == torch.float32
    outputs.loss.backward()
    assert torch.isfinite(outputs.logits).all() and expected.shape == outputs.logits.shape


# Saving and loading


EXPECTED_KEYS = """
lm_head.weight
model.temporal_encoding.weight
model.vision_tower.embeddings.patch_embedding.weight
model.vision_tower.embeddings.position_embedding
model.vision_tower.pre_layernorm.{weight,bias}
model.vision_tower.encoder.layers.N.layer_norm1.{weight,bias}
model.vision_tower.encoder.layers.N.self_attn.q_proj.{weight,bias}
model.vision_tower.encoder.layers.N.self_attn.k_proj.{weight,bias}
model.vision_tower.encoder.layers.N.self_attn.v_proj.{weight,bias}
model.vision_tower.encoder.layers.N.self_attn.out_proj.{weight,bias}
model.vision_tower.encoder.layers.N.layer_norm2.{weight,bias}
model.vision_tower.encoder.layers.N.mlp.fc1.{weight,bias}
model.vision_tower.encoder.layers.N.mlp.fc2.{weight,bias}
model.multi_modal_projector.query_tokens
model.multi_modal_projector.position_table
model.multi_modal_projector.query_norm.{weight,bias}
model.multi_modal_projector.kv_proj.weight
model.multi_modal_projector.kv_norm.{weight,bias}
model.multi_modal_projector.attention.q_proj.{weight,bias}
model.multi_modal_projector.attention.k_proj.{weight,bias}
model.multi_modal_projector.attention.v_proj.{weight,bias}
model.multi_modal_projector.attention.out_proj.{weight,bias}
model.multi_modal_projector.post_norm.{weight,bias}
model.multi_modal_projector.output_proj.weight
""".split()


def test_the_names_of_the_weights():
    """Exporters, PEFT, vLLM and saved checkpoints find the parts by these names."""
    expected = {key.replace(".{weight,bias}", end) for key in EXPECTED_KEYS for end in (".weight", ".bias")}
    actual = {re.sub(r"\.layers\.\d+\.", ".layers.N.", key) for key in build_model().state_dict()}
    language_model = {key for key in actual if key.startswith("model.language_model.")}
    assert actual - language_model == expected
    assert "model.language_model.layers.N.self_attn.q_proj.weight" in language_model
    assert "model.language_model.embed_tokens.weight" in language_model


def test_saved_and_loaded_models_are_equal(tmp_path):
    model, batch = build_model(), video_batch()
    model.save_pretrained(tmp_path)
    expected = model(**batch).logits
    for auto in (FTFVForConditionalGeneration, AutoModelForImageTextToText, AutoModelForMultimodalLM):
        loaded = auto.from_pretrained(tmp_path).eval()
        assert type(loaded) is FTFVForConditionalGeneration
        close(loaded(**batch).logits, expected, atol=0)
    state = loaded.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
    base = AutoModel.from_pretrained(tmp_path).eval()
    assert type(base) is FTFVModel
    close(base(**batch).last_hidden_state, model.model(**batch).last_hidden_state, atol=0)


def test_what_is_frozen_comes_back_frozen(tmp_path):
    build_model().save_pretrained(tmp_path)
    loaded = FTFVForConditionalGeneration.from_pretrained(tmp_path)
    assert all(parameter.requires_grad for parameter in loaded.parameters())
    assert not loaded.model.multi_modal_projector.position_table.requires_grad


def test_loading_reports_nothing_missing_and_keeps_the_stored_position_table(tmp_path):
    model = build_model()
    model.model.multi_modal_projector.position_table.add_(0.5)
    model.save_pretrained(tmp_path)
    loaded, report = FTFVForConditionalGeneration.from_pretrained(tmp_path, output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"] and not report["mismatched_keys"]
    tables = [m.model.multi_modal_projector.position_table for m in (loaded, model)]
    assert torch.equal(*tables)


def test_tied_embeddings(tmp_path):
    model, batch = build_model(tie_word_embeddings=True), video_batch()
    assert model.lm_head.weight is model.model.language_model.embed_tokens.weight
    model.save_pretrained(tmp_path)
    loaded, report = FTFVForConditionalGeneration.from_pretrained(tmp_path, output_loading_info=True)
    assert not report["missing_keys"]
    assert loaded.lm_head.weight is loaded.model.language_model.embed_tokens.weight
    close(loaded.eval()(**batch).logits, model(**batch).logits, atol=0)
    untied = build_model()
    assert untied.lm_head.weight is not untied.model.language_model.embed_tokens.weight


def test_a_new_model_is_initialised_as_documented():
    model = FTFVForConditionalGeneration(build_config())
    adapter = model.model.multi_modal_projector
    assert torch.count_nonzero(model.model.temporal_encoding.weight) == 0
    assert 0.015 < adapter.query_tokens.std() < 0.025
    assert 0.15 < model.model.vision_tower.embeddings.position_embedding.std() < 0.26  # 24**-0.5 is 0.204
    assert torch.equal(adapter.kv_norm.weight, torch.ones(32))
    assert all(torch.isfinite(tensor).all() for tensor in model.state_dict().values())


def test_embeddings_can_be_resized():
    model, batch = build_model(), video_batch()
    expected = model(**batch).logits
    model.resize_token_embeddings(len(WORDS) + 10)
    assert model.config.text_config.vocab_size == len(WORDS) + 10
    close(model(**batch).logits[..., : len(WORDS)], expected)


OTHER_TOWERS = {
    "clip": {"model_type": "clip_vision_model", "projection_dim": 8},
    "vit": {"model_type": "vit"},
    "dinov2": {"model_type": "dinov2", "mlp_ratio": 2},
    "dinov2_with_registers": {"model_type": "dinov2_with_registers", "num_register_tokens": 3, "mlp_ratio": 2},
    "siglip": {"model_type": "siglip_vision_model"},
}


@pytest.mark.parametrize("tower", OTHER_TOWERS)
def test_other_vision_towers(tower, tmp_path):
    vision_config = {
        "hidden_size": 24,
        "intermediate_size": 40,
        "num_hidden_layers": 2,
        "num_attention_heads": 3,
        "image_size": 42,
        "patch_size": 7,
        **OTHER_TOWERS[tower],
    }
    # The tiny config's own tower is replaced, not merged.
    config = build_config()
    model = build_model(type(config)(**{**config.to_dict(), "vision_config": vision_config}))
    batch = video_batch()
    features = model.get_video_features(batch["pixel_values_videos"])
    assert features.last_hidden_state.shape == (2, 3, NUM_PATCHES, 24), "class and register tokens are left out"
    patches = model.model.vision_tower(batch["pixel_values_videos"][0]).last_hidden_state[:, -NUM_PATCHES:]
    close(features.last_hidden_state[0], patches)

    model.save_pretrained(tmp_path)
    loaded = FTFVForConditionalGeneration.from_pretrained(tmp_path).eval()
    assert type(loaded.model.vision_tower) is type(model.model.vision_tower)
    close(loaded(**batch).logits, model(**batch).logits, atol=0)
