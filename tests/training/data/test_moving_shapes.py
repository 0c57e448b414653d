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
import hashlib
from collections import Counter
from pathlib import Path

import datasets
import numpy as np
import pytest
from PIL import Image

from ftfv.training.data.dataset_folder import media_path, read_rows
from ftfv.training.data.frame_cache import cache_frames
from ftfv.training.data.media import read_video, write_video
from ftfv.training.data.moving_shapes import (
    CHANCE,
    IMAGE_SKILLS,
    QUESTION_TYPES,
    TEMPORAL_SKILLS,
    WORDS,
    build_tokenizer,
    draw_story,
    write_dataset,
    write_evaluation_set,
)
from ftfv.training.data.moving_shapes.dataset import GENERATOR_VERSION
from ftfv.training.data.moving_shapes.questions import (
    ask_about_clip,
    converse_about_clip,
    converse_about_picture,
    describe_clip,
    describe_picture,
    num_answer_classes,
    reason_about_clip,
)
from ftfv.training.data.moving_shapes.scenes import (
    CLIP_DISTANCE,
    DIRECTIONS,
    MARGIN,
    NUM_FRAMES,
    OPPOSITE_DIRECTION,
    clip_times,
    draw_clip,
    draw_picture,
    render,
    sampled_times,
)
from ftfv.training.data.moving_shapes.stories import tell_clip, tell_picture
from ftfv.training.data.moving_shapes.vocabulary import SPECIAL_TOKENS


# The frames FTFV samples from a 16-frame clip: index_i = floor((i + 0.5) * 16 / T).
SAMPLED = {T: np.floor((np.arange(T) + 0.5) * NUM_FRAMES / T).astype(int) for T in (1, 2, 4, 8)}


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def places(shape, frames) -> np.ndarray:
    """Centres of a shape in the given frames, forgetting their order."""
    return np.array(sorted(zip(shape.x[frames].round(3), shape.y[frames].round(3), strict=True)))


@pytest.fixture(scope="module")
def training_set(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("sets") / "train"
    return write_dataset(folder, num_clips=16, num_images=40, num_stories=4, seed=3, progress=False)


@pytest.fixture(scope="module")
def evaluation_set(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("sets") / "validation"
    return write_evaluation_set(folder, clips_per_skill=4, images_per_skill=12, seed=3, progress=False)


@pytest.mark.parametrize("num_frames", SAMPLED)
def test_sampled_frames_lie_symmetrically(num_frames):
    sampled = clip_times()[SAMPLED[num_frames]]
    np.testing.assert_allclose(sampled, 1 - sampled[::-1])
    np.testing.assert_allclose(sampled, sampled_times(num_frames))


@pytest.mark.parametrize("skill", TEMPORAL_SKILLS)
def test_shapes_keep_their_distance(skill):
    rng = np.random.default_rng(0)
    for _ in range(50):
        scene = draw_clip(rng, skill)
        for index, first in enumerate(scene.shapes):
            assert min(first.x.min(), first.y.min()) > MARGIN - 4
            for second in scene.shapes[:index]:
                assert np.hypot(first.x - second.x, first.y - second.y).min() >= CLIP_DISTANCE


@pytest.mark.parametrize("num_frames", SAMPLED)
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_direction_is_lost_in_a_bag_of_frames(num_frames, direction):
    # The same random numbers give the same path for opposite directions, run through the other way.
    for seed in range(20):
        scenes = [
            draw_clip(np.random.default_rng(seed), "direction", direction=way)
            for way in (direction, OPPOSITE_DIRECTION[direction])
        ]
        there, back = (scene.shapes[0] for scene in scenes)
        np.testing.assert_allclose(places(there, SAMPLED[num_frames]), places(back, SAMPLED[num_frames]), atol=2e-3)
        step = np.array([there.x[-1] - there.x[0], there.y[-1] - there.y[0]])
        np.testing.assert_array_equal(np.sign(step), DIRECTIONS[direction])


def test_turns_are_lost_in_a_bag_of_frames():
    for seed in range(20):
        bags = [
            places(
                draw_clip(np.random.default_rng(seed), "turns", num_turns=turns, direction="up").shapes[0], SAMPLED[8]
            )
            for turns in range(3)
        ]
        np.testing.assert_allclose(bags[0], bags[1], atol=2e-3)
        np.testing.assert_allclose(bags[0], bags[2], atol=2e-3)


@pytest.mark.parametrize("num_turns", range(3))
def test_turns_can_be_counted_in_the_sampled_frames(num_turns):
    rng = np.random.default_rng(0)
    for num_frames, times in ((8, clip_times()[SAMPLED[8]]), (4, sampled_times(4))):
        scene = draw_clip(rng, "turns", times=times, num_sampled_frames=num_frames, num_turns=num_turns)
        actor = scene.shapes[0]
        steps = np.sign(np.diff(actor.x) + np.diff(actor.y))
        assert np.count_nonzero(np.diff(steps)) == num_turns
        assert steps[0] == sum(DIRECTIONS[scene.directions[0]])


@pytest.mark.parametrize("num_frames", [2, 4, 8])
def test_who_moves_first_is_lost_in_a_bag_of_frames(num_frames):
    rng = np.random.default_rng(0)
    for _ in range(20):
        first, second = draw_clip(rng, "moves_first").shapes
        frames = SAMPLED[num_frames]
        moves = [(np.abs(np.diff(shape.x)) + np.abs(np.diff(shape.y))) > 1e-3 for shape in (first, second)]
        assert np.flatnonzero(moves[0]).max() < np.flatnonzero(moves[1]).min()
        # Each is spread over its path like the other played backwards: the reversed clip is one in which the second
        # moves first. The last frame, at 15/16, sees the second after 7/8 of its path.
        travelled = []
        for shape, share in ((first, 1), (second, 7 / 8)):
            distance = np.hypot(shape.x - shape.x[0], shape.y - shape.y[0])
            travelled.append(distance[frames] / distance[-1] * share)
        np.testing.assert_allclose(np.sort(travelled[0]), np.sort(1 - travelled[1]), atol=1e-3)


def test_both_shapes_of_an_order_of_appearance_are_seen_equally_often_and_vanish():
    rng = np.random.default_rng(0)
    starts = Counter()
    for _ in range(300):
        scene = draw_clip(rng, "appears_first")
        first, second = scene.shapes[:2]
        for frames in (SAMPLED[8], np.arange(NUM_FRAMES)):
            assert first.visible[frames].sum() == second.visible[frames].sum() > 0
            assert np.flatnonzero(first.visible[frames]).max() < np.flatnonzero(second.visible[frames]).min()
        assert not first.visible[-1]
        assert not (first.visible & second.visible).any()
        starts[scene.bystander is not None] += 1
    assert starts[True] > 60 and starts[False] > 60


def test_clips_of_one_stream_are_the_same_and_of_others_differ():
    frames = [
        render(draw_clip(np.random.default_rng(seed), "turns"), np.random.default_rng(seed)) for seed in (5, 5, 6)
    ]
    assert frames[0].shape == (NUM_FRAMES, 84, 84, 3) and frames[0].dtype == np.uint8
    np.testing.assert_array_equal(frames[0], frames[1])
    assert (frames[0] != frames[2]).any()


def test_the_generator_draws_what_its_version_says():
    # Training sets and the language model's stories are rebuilt from seeds. If this fails, what was shipped can no
    # longer be rebuilt: raise GENERATOR_VERSION and make the miniature again.
    stories = [draw_story(np.random.default_rng(seed)) for seed in range(200)]
    digest = hashlib.sha256(repr(stories).encode()).hexdigest()[:16]
    assert (GENERATOR_VERSION, digest) == (3, "6b61c32d376b89ce")


def test_a_picture_is_told_one_shape_a_position_and_a_clip_word_by_word():
    lengths = set()
    for seed in range(100):
        rng = np.random.default_rng(seed)
        picture = draw_picture(rng)
        told = tell_picture(picture, rng)
        lengths.add(len(told))
        assert {" ".join(words.split()[:2]) for words in told if words != ";"} == {
            shape.name for shape in picture.shapes
        }
        assert {len(words.split()) for words in told if words != ";"} == {4}
    assert (min(lengths), max(lengths)) == (4, 16)
    clip = draw_clip(np.random.default_rng(0), "direction")
    told = tell_clip(clip, np.random.default_rng(0))
    assert told.count("frame") == clip.num_frames and all(" " not in words for words in told)


def test_unknown_skills_are_named():
    with pytest.raises(ValueError, match="'jumps' is not a temporal skill"):
        draw_clip(np.random.default_rng(0), "jumps")


def test_every_word_is_in_the_vocabulary_and_used():
    tokenizer = build_tokenizer()
    rng = np.random.default_rng(0)
    texts = []
    for index in range(500):
        scene = draw_picture(rng)
        questions = converse_about_picture(rng, scene, 8)
        questions += [describe_picture(scene, detailed=False), describe_picture(scene, detailed=True)]
        clip = draw_clip(rng, TEMPORAL_SKILLS[index % 4])
        questions += [*converse_about_clip(rng, clip, 6), ask_about_clip(rng, clip), reason_about_clip(rng, clip)]
        questions += [describe_clip(clip, detailed=False), describe_clip(clip, detailed=True)]
        texts += [question.text for question in questions] + [question.answer for question in questions]
        texts += [*tell_picture(scene, rng), *tell_clip(clip, rng)]
    texts = sorted(set(texts))
    encoded = tokenizer(texts, add_special_tokens=False).input_ids
    assert all(tokenizer.unk_token_id not in ids for ids in encoded)
    used = {token for ids in encoded for token in ids}
    unused = {*SPECIAL_TOKENS, "user", "assistant", ":"}
    assert {WORDS[index] for index in range(len(WORDS)) if index not in used} == unused
    assert tokenizer.batch_decode(encoded) == texts


def test_tokenizer_has_the_special_tokens_and_survives_saving(tmp_path):
    tokenizer = build_tokenizer()
    assert len(set(WORDS)) == len(WORDS) == len(tokenizer)
    tokenizer.save_pretrained(tmp_path)
    loaded = type(tokenizer).from_pretrained(tmp_path)
    for each in (tokenizer, loaded):
        assert (each.image_token, each.video_token) == ("<image>", "<video>")
        assert (each.pad_token, each.bos_token, each.eos_token, each.unk_token) == ("<pad>", "<s>", "</s>", "<unk>")
        ids = each("<s>user: <video> Which way? assistant: left</s>user: x").input_ids
        words = [
            "<s>",
            "user",
            ":",
            "<video>",
            "which",
            "way",
            "?",
            "assistant",
            ":",
            "left",
            "</s>",
            "user",
            ":",
            "<unk>",
        ]
        assert each.convert_ids_to_tokens(ids) == words
        assert each.decode(ids, skip_special_tokens=True) == "user : which way ? assistant : left user :"


def test_earlier_turns_do_not_answer_later_ones():
    rng = np.random.default_rng(0)
    for _ in range(300):
        scene = draw_picture(rng)
        said = ""
        for question in converse_about_picture(rng, scene, 5):
            if question.skill in ("colour", "shape"):
                (name,) = question.told
                assert name not in said
            said += f" {question.text} {question.answer}"


def test_clip_conversations_ask_the_canonical_question_and_describe_last():
    rng = np.random.default_rng(0)
    for index in range(100):
        scene = draw_clip(rng, TEMPORAL_SKILLS[index % 4])
        questions = converse_about_clip(rng, scene, 3)
        captions = [question.type.endswith("caption") for question in questions]
        assert len(questions) == 3 and captions == sorted(captions)
        assert {question.type for question in questions} & {"classification", "vqa"}


def test_yes_and_no_are_right():
    rng = np.random.default_rng(0)
    for answer_class, answer in enumerate(("yes", "no")):
        scene = draw_clip(rng, "appears_first")
        question = reason_about_clip(rng, scene, answer_class)
        first, second = (shape.name for shape in scene.shapes[:2])
        named = (first, second) if answer == "yes" else (second, first)
        assert (question.text, question.answer) == (f"does the {named[0]} appear before the {named[1]} ?", answer)
        scene = draw_clip(rng, "direction", direction="left")
        question = reason_about_clip(rng, scene, answer_class)
        asked = "left" if answer == "yes" else "right"
        assert (question.text, question.answer) == (f"does the {scene.shapes[0].name} move {asked} ?", answer)


def test_a_training_set_has_all_question_types_and_media(training_set):
    rows = read_rows(training_set)
    assert len(rows) == 16 + 40 + 4
    assert {row["type"] for row in rows} == set(QUESTION_TYPES)
    for row in rows:
        roles = [message["role"] for message in row["messages"]]
        assert roles == ["user", "assistant"] * (len(roles) // 2)
        assert (len(roles) > 2) <= (row["type"] == "conversation")
        assert row["images"] == [] and row["source"] == "moving_shapes"
    assert len({row["id"] for row in rows}) == len(rows)
    assert len(list((training_set / "clips").glob("*.mp4"))) == 16
    pictures = sorted((training_set / "images").glob("*.png"))
    assert len(pictures) == 40
    with Image.open(pictures[0]) as picture:
        assert picture.size == (84, 84) and picture.mode == "RGB"


def test_the_card_fixes_the_features_for_load_dataset(training_set, evaluation_set):
    train, validation = (
        datasets.load_dataset(str(folder), cache_dir=str(folder.parent / "cache"))
        for folder in (training_set, evaluation_set)
    )
    assert list(train) == ["train"] and list(validation) == ["validation"]
    assert train["train"].features == validation["validation"].features
    loaded = sorted(train["train"], key=lambda row: row["id"])
    assert loaded == sorted(read_rows(training_set), key=lambda row: row["id"])


def test_evaluation_answers_are_balanced(evaluation_set):
    rows = read_rows(evaluation_set)
    for skill in (*IMAGE_SKILLS, *TEMPORAL_SKILLS):
        answers = Counter(row["messages"][1]["content"][0]["text"] for row in rows if row["skill"] == skill)
        assert sum(answers.values()) == (4 if skill in TEMPORAL_SKILLS else 12)
        if skill in ("moves_first", "appears_first"):
            questions = [row["messages"][0]["content"][1]["text"] for row in rows if row["skill"] == skill]
            given = [row["messages"][1]["content"][0]["text"] for row in rows if row["skill"] == skill]
            named_first = [text.split(" , ")[1].startswith(name) for text, name in zip(questions, given, strict=True)]
            assert sum("first" in text for text in questions) == sum(named_first) == 2
        elif skill != "turns":
            assert len(set(answers.values())) == 1 and len(answers) == round(1 / CHANCE[skill])
    assert [row["skill"] for row in rows[:11]] == [*IMAGE_SKILLS, *TEMPORAL_SKILLS]
    assert all(len(row["messages"]) == 2 for row in rows)
    assert len({media_path(row) for row in rows}) == len(rows)
    assert set(CHANCE) == {*IMAGE_SKILLS, *TEMPORAL_SKILLS}


@pytest.mark.parametrize("skill", CHANCE)
def test_chance_follows_from_the_classes(skill):
    assert num_answer_classes(skill) % round(1 / CHANCE[skill]) == 0


def test_clips_decode_to_what_was_drawn(training_set, tmp_path):
    path = sorted((training_set / "clips").glob("*.mp4"))[0]
    frames = read_video(path)
    assert frames.shape == (NUM_FRAMES, 84, 84, 3) and frames.dtype == np.uint8
    rng = np.random.default_rng(1)
    drawn = render(draw_clip(rng, "direction"), rng)
    write_video(tmp_path / "clip.mp4", drawn, 8)
    difference = read_video(tmp_path / "clip.mp4").astype(int) - drawn
    assert np.abs(difference).mean() < 3.5
    assert np.abs(difference.mean(axis=(1, 2))).max() < 1.5


def test_the_same_seed_writes_the_same_bytes(training_set, tmp_path):
    again = write_dataset(tmp_path / "train", num_clips=16, num_images=40, num_stories=4, seed=3, progress=False)
    assert files(again) == files(training_set)


def test_splits_and_seeds_share_nothing(tmp_path):
    pictures = []
    for split, seed in (("train", 0), ("validation", 0), ("test", 0), ("train", 1)):
        folder = write_evaluation_set(
            tmp_path / f"{split}{seed}",
            clips_per_skill=1,
            images_per_skill=4,
            skills=["shape", "direction"],
            split=split,
            seed=seed,
            progress=False,
        )
        pictures.append({path.read_bytes() for path in folder.rglob("*.*") if path.suffix in (".png", ".mp4")})
    training = write_dataset(tmp_path / "set", num_clips=4, num_images=4, seed=0, progress=False)
    pictures.append({path.read_bytes() for path in training.rglob("*.*") if path.suffix in (".png", ".mp4")})
    assert len(set.union(*pictures)) == sum(map(len, pictures)) == 4 * 5 + 8


def test_a_deleted_file_is_written_again_and_others_are_left(tmp_path):
    def write():
        return write_dataset(tmp_path, num_clips=2, num_images=2, seed=0, progress=False)

    before = files(write())
    clip, picture = tmp_path / "clips" / "000001.mp4", tmp_path / "images" / "000000.png"
    kept = (tmp_path / "clips" / "000000.mp4").stat().st_mtime_ns
    for path in (clip, picture, tmp_path / "train.jsonl"):
        path.unlink()
    with pytest.raises(FileNotFoundError, match="interrupted"):
        read_rows(tmp_path)
    assert files(write()) == before
    assert (tmp_path / "clips" / "000000.mp4").stat().st_mtime_ns == kept


def test_another_request_on_the_same_folder_is_refused(tmp_path):
    write_dataset(tmp_path / "a", num_images=2, seed=0, progress=False)
    with pytest.raises(ValueError, match="seed=0, not seed=1"):
        write_dataset(tmp_path / "a", num_images=2, seed=1, progress=False)
    with pytest.raises(ValueError, match="kind=training"):
        write_evaluation_set(tmp_path / "a", clips_per_skill=0, images_per_skill=2, seed=0, progress=False)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match=r"request\.json"):
        write_dataset(tmp_path / "b", num_images=2, seed=0, progress=False)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_images": -1}, "`num_images` is -1"),
        ({}, "both 0|all 0"),
        ({"num_images": 1, "split": "dev"}, "'dev'"),
        ({"num_clips": 1, "clip_mix": {"jumps": 1}}, "'jumps'"),
        ({"num_clips": 1, "clip_mix": {"turns": 0}}, "positive sum"),
        ({"num_clips": 1, "questions_per_clip": 0}, "`questions_per_clip` is 0"),
        ({"num_clips": 1, "clip_types": ["poems"]}, r"`clip_types` is \['poems'\]; expected one or more of classif"),
        ({"num_clips": 1, "clip_types": []}, r"`clip_types` is \[\]; expected one or more"),
        ({"num_clips": 1, "clip_types": ["vqa", "vqa"]}, r"`clip_types` is \['vqa', 'vqa'\]; expected"),
        (
            {"num_clips": 1, "clip_types": ["vqa"], "clip_mix": {"direction": 1}},
            "`clip_types` asks for 'vqa', which asks for moves_first, appears_first, but `clip_mix` is",
        ),
    ],
)
def test_bad_arguments_are_named(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        write_dataset(tmp_path / "set", seed=0, progress=False, **arguments)
    assert not (tmp_path / "set").exists()


def test_clip_mix_is_followed(tmp_path):
    mix = {"direction": 2, "appears_first": 1}
    rows = read_rows(write_dataset(tmp_path, num_clips=12, seed=0, clip_mix=mix, progress=False))
    assert Counter(row["skill"] for row in rows) == {"direction": 8, "appears_first": 4}
    directions = Counter()
    for row in rows:
        answers = " ".join(message["content"][-1]["text"] for message in row["messages"][1::2]).split()
        directions.update(set(answers) & set(DIRECTIONS) if row["skill"] == "direction" else ())
    assert set(directions.values()) == {2} and len(directions) == 4


def test_clips_of_chosen_types(tmp_path):
    mix = {"direction": 4, "appears_first": 4, "moves_first": 1, "turns": 1}
    types = list(QUESTION_TYPES)
    rows = read_rows(write_dataset(tmp_path, num_clips=120, seed=0, clip_mix=mix, clip_types=types, progress=False))
    assert Counter(row["type"] for row in rows) == dict.fromkeys(types, 20)
    skills = Counter((row["type"], row["skill"]) for row in rows)
    for kind in types:
        of_kind = {skill: number for (other, skill), number in skills.items() if other == kind}
        assert of_kind == {
            "classification": {"direction": 16, "turns": 4},
            "vqa": {"appears_first": 16, "moves_first": 4},
        }.get(kind, {"direction": 8, "appears_first": 8, "moves_first": 2, "turns": 2})
    for row in rows:
        assert len(row["messages"]) == (6 if row["type"] == "conversation" else 2)
    answers = Counter(
        row["messages"][1]["content"][0]["text"]
        for row in rows
        if (row["type"], row["skill"]) == ("classification", "direction")
    )
    assert answers == dict.fromkeys(DIRECTIONS, 4)


def test_frame_cache_holds_the_decoded_frames_and_is_a_data_set(training_set):
    cached = cache_frames(training_set, progress=False)
    rows, cached_rows = read_rows(training_set), read_rows(cached)
    assert [row["id"] for row in rows] == [row["id"] for row in cached_rows]
    for row, cached_row in zip(rows, cached_rows, strict=True):
        assert cached_row["messages"][1:] == row["messages"][1:]
        if row["skill"] == "story":
            assert cached_row == row
            continue
        name = media_path(cached_row)
        assert (cached / name).is_file()
        if name.endswith(".npy"):
            assert cached_row["messages"][0]["content"][0] == {"type": "video", "path": name}
    frames = np.load(cached / "clips" / "000002.npy", mmap_mode="r")
    np.testing.assert_array_equal(frames, read_video(training_set / "clips" / "000002.mp4"))

    (cached / "clips" / "000002.npy").unlink()
    kept = (cached / "clips" / "000003.npy").stat().st_mtime_ns
    assert cache_frames(training_set, progress=False) == cached
    assert (cached / "clips" / "000002.npy").is_file()
    assert (cached / "clips" / "000003.npy").stat().st_mtime_ns == kept


def test_frame_cache_needs_a_complete_set(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"request\.json"):
        cache_frames(tmp_path, progress=False)
