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
"""Generation: every mode, with and without a cache, with left padding, and with media encoded once."""

from typing import Any

import pytest
import torch
from transformers import CompileConfig

from tests.tiny import (
    IMAGE_TOKEN_ID,
    NUM_QUERIES,
    VIDEO_TOKEN_ID,
    build_model,
    random_pixels,
    video_prompt,
)


# A model with random weights would also answer with placeholders and end at any time.
GREEDY: dict[str, Any] = {
    "do_sample": False,
    "max_new_tokens": 6,
    "min_new_tokens": 6,
    "suppress_tokens": [IMAGE_TOKEN_ID, VIDEO_TOKEN_ID],
}
QUESTIONS = ("what moves ?", "which way does the red circle move ?")


@pytest.fixture
def model() -> Any:
    return build_model()


def video_inputs(row: int) -> dict[str, torch.Tensor]:
    input_ids = torch.tensor([video_prompt(12, QUESTIONS[row])])
    return {
        "input_ids": input_ids,
        "attention_mask": torch.ones_like(input_ids),
        "pixel_values_videos": random_pixels(2, 3)[row : row + 1],
        "video_frame_mask": torch.ones(1, 3, dtype=torch.long),
        "tokens_per_frame": torch.tensor([4]),
    }


def left_padded_batch() -> dict[str, torch.Tensor]:
    rows = [video_inputs(row) for row in range(2)]
    longest = max(row["input_ids"].shape[1] for row in rows)
    for row in rows:
        missing = longest - row["input_ids"].shape[1]
        row["input_ids"] = torch.nn.functional.pad(row["input_ids"], (missing, 0))
        row["attention_mask"] = torch.nn.functional.pad(row["attention_mask"], (missing, 0))
    return {name: torch.cat([row[name] for row in rows]) for name in rows[0]}


@torch.no_grad()
def greedy_by_hand(model: Any, inputs: dict[str, torch.Tensor]) -> list[int]:
    """Runs the whole sequence again for every new token."""
    inputs, answer = dict(inputs), []
    for _ in range(6):
        logits = model(**inputs).logits[:, -1]
        logits[:, [2, IMAGE_TOKEN_ID, VIDEO_TOKEN_ID]] = float("-inf")
        answer.append(logits.argmax(dim=-1))
        inputs["input_ids"] = torch.cat([inputs["input_ids"], answer[-1][:, None]], dim=1)
        inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    return torch.stack(answer, dim=1)[0].tolist()


def answers(model: Any, inputs: dict[str, torch.Tensor], **kwargs: Any) -> list[list[int]]:
    return model.generate(**inputs, **{**GREEDY, **kwargs})[:, inputs["input_ids"].shape[1] :].tolist()


@pytest.mark.parametrize("use_cache", [True, False])
def test_greedy_answers_equal_repeated_forward_passes(model, use_cache):
    for row in range(2):
        inputs = video_inputs(row)
        assert answers(model, inputs, use_cache=use_cache) == [greedy_by_hand(model, inputs)]


@pytest.mark.parametrize("num_beams", [1, 2])
def test_left_padding_changes_nothing(model, num_beams):
    alone = [answers(model, video_inputs(row), num_beams=num_beams)[0] for row in range(2)]
    assert alone[0] != alone[1], "the test needs different answers"
    assert answers(model, left_padded_batch(), num_beams=num_beams) == alone


def test_left_padding_changes_no_logit(model):
    inputs = left_padded_batch()
    together = model(**inputs, position_ids=(inputs["attention_mask"].cumsum(dim=1) - 1).clamp(min=0)).logits
    for row in range(2):
        alone = model(**video_inputs(row)).logits[0]
        torch.testing.assert_close(together[row, -len(alone) :], alone, rtol=0, atol=1e-5)


def test_beams_are_at_least_as_likely_as_greedy(model):
    def log_probability(sequence: list[int], inputs: dict[str, torch.Tensor]) -> float:
        whole = torch.cat([inputs["input_ids"], torch.tensor([sequence])], dim=1)
        batch = {**inputs, "input_ids": whole, "attention_mask": torch.ones_like(whole)}
        logits = model(**batch).logits[0, -7:-1].clone()
        logits[:, [IMAGE_TOKEN_ID, VIDEO_TOKEN_ID]] = float("-inf")
        logits[:, 2] = float("-inf")
        return logits.log_softmax(dim=-1).gather(1, torch.tensor(sequence)[:, None]).sum().item()

    for row in range(2):
        inputs = video_inputs(row)
        outputs = model.generate(**inputs, **GREEDY, num_beams=4, return_dict_in_generate=True, output_scores=True)
        beam = outputs.sequences[0, inputs["input_ids"].shape[1] :].tolist()
        assert log_probability(beam, inputs) >= log_probability(answers(model, inputs)[0], inputs) - 1e-5


@pytest.mark.parametrize("options", [{}, {"num_beams": 2}, {"num_beams": 2, "num_return_sequences": 2}])
def test_media_are_encoded_once(model, options):
    calls = []
    model.model.vision_tower.register_forward_hook(lambda *_: calls.append(1))
    answers(model, left_padded_batch(), **options)
    assert len(calls) == 1


@pytest.mark.parametrize("num_beams", [1, 2])
def test_ragged_videos_images_and_text_in_one_batch(model, num_beams):
    """Row 0 has an image and a short video, row 1 two videos of which one is short, row 2 is text."""
    image, frame = [IMAGE_TOKEN_ID] * NUM_QUERIES, [VIDEO_TOKEN_ID] * 4
    rows = [[1, *image, *frame * 2, 9, 10], [1, *frame * 3, *frame, 11], [1, 12, 13]]
    images, videos = random_pixels(1, seed=5), random_pixels(3, 3, seed=6)
    mask = torch.tensor([[1, 1, 0], [1, 1, 1], [1, 0, 0]])
    media: list[dict[str, torch.Tensor]] = [
        {"pixel_values": images, "pixel_values_videos": videos[:1], "video_frame_mask": mask[:1]},
        {"pixel_values_videos": videos[1:], "video_frame_mask": mask[1:]},
        {},
    ]
    alone = [
        answers(model, {"input_ids": torch.tensor([row]), **its_media}, num_beams=num_beams)[0]
        for row, its_media in zip(rows, media, strict=True)
    ]
    longest = max(len(row) for row in rows)
    batch = {
        "input_ids": torch.tensor([[0] * (longest - len(row)) + row for row in rows]),
        "attention_mask": torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows]),
        "pixel_values": images,
        "pixel_values_videos": videos,
        "video_frame_mask": mask,
    }
    assert answers(model, batch, num_beams=num_beams) == alone


def test_samples_of_a_row_see_the_media_of_the_row(model):
    """With a temperature of almost nothing every sample is the greedy answer, if it saw what that saw."""
    batch = left_padded_batch()
    greedy = answers(model, batch)
    samples = answers(model, batch, do_sample=True, temperature=1e-4, num_return_sequences=2)
    assert samples == [greedy[0], greedy[0], greedy[1], greedy[1]]


@pytest.mark.parametrize("num_beams", [1, 2])
def test_sampling_follows_the_seed(model, num_beams):
    samples = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        samples.append(
            answers(model, left_padded_batch(), do_sample=True, num_beams=num_beams, num_return_sequences=2, top_k=0)
        )
    assert samples[0] == samples[1] != samples[2]
    assert [len(sample) for sample in samples[0]] == [6] * 4


@pytest.mark.parametrize("row", [0, 1])
def test_assisted_decoding_equals_greedy(model, row):
    inputs = video_inputs(row)
    expected = answers(model, inputs)
    assert answers(model, inputs, assistant_model=build_model(seed=1)) == expected
    assert answers(model, inputs, prompt_lookup_num_tokens=3) == expected


@pytest.mark.parametrize("num_beams", [1, 2])
def test_a_static_cache_gives_the_same_answers(model, num_beams):
    batch = left_padded_batch()
    expected = answers(model, batch, num_beams=num_beams)
    assert answers(model, batch, num_beams=num_beams, cache_implementation="static") == expected


def test_the_compiled_decoding_step_has_no_graph_break_and_gives_the_same_answers(model):
    """`backend="eager"` traces and runs the graph without generating code, which takes a C++ compiler and minutes."""
    batch = left_padded_batch()
    expected = answers(model, batch)
    compile_config = CompileConfig(fullgraph=True, backend="eager", mode=None, dynamic=False)
    compile_config._compile_all_devices = True  # not only where it pays off
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    assert answers(model, batch, cache_implementation="static", compile_config=compile_config) == expected
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1
    assert not torch._dynamo.utils.counters["graph_break"]


def test_a_conversation_goes_on_from_its_cache(model):
    inputs = video_inputs(0)
    first = model.generate(**inputs, **GREEDY, return_dict_in_generate=True)
    follow_up = torch.cat([first.sequences, torch.tensor([[6, 8, 9, 10]])], dim=1)
    media = {name: inputs[name] for name in ("pixel_values_videos", "video_frame_mask", "tokens_per_frame")}
    from_scratch = answers(model, {"input_ids": follow_up, **media})
    from_cache = answers(model, {"input_ids": follow_up}, past_key_values=first.past_key_values)
    assert from_cache == from_scratch


def test_features_computed_before_are_taken(model):
    inputs = video_inputs(0)
    expected = answers(model, inputs)
    features = {"video": model.get_video_features(inputs.pop("pixel_values_videos"))}
    assert answers(model, {"input_ids": inputs["input_ids"], "mm_encoder_outputs": features}) == expected


def test_inputs_embeds_generate_the_same(model):
    inputs = video_inputs(0)
    expected = answers(model, inputs)
    embeds = model.get_input_embeddings()(inputs.pop("input_ids"))
    assert model.generate(**inputs, inputs_embeds=embeds, **GREEDY).tolist() == expected


def test_a_wrong_number_of_placeholders_raises(model):
    with pytest.raises(ValueError, match="holds 12 <video> placeholder tokens but there are 15 video features"):
        answers(model, {**video_inputs(0), "tokens_per_frame": torch.tensor([5])})
