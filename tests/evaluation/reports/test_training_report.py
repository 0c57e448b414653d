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
"""The report: what it says of given results, and what it refuses to claim."""

import json
from typing import Any

import pytest

from ftfv.evaluation.reports.training_report import render_report, separated, write_report
from ftfv.evaluation.scores.scoring import Score, scores_to_dict


def scores(**counts: int) -> dict[str, Any]:
    return scores_to_dict({skill: Score.from_counts(count, 200) for skill, count in counts.items()})


@pytest.fixture
def results() -> dict[str, Any]:
    return {
        "title": "The demo",
        "introduction": "A tiny model.",
        "setup": {"clips": 600},
        "examples": {"direction": "which way does it move ?"},
        "num_frames": 8,
        "tokens_per_frame": 8,
        "chance": {"direction": 0.25, "turns": 1 / 3, "shape": 0.25, "count": 0.25},
        "before": scores(direction=60, turns=66, shape=196, count=198),
        "after": scores(direction=190, turns=70, shape=150, count=197),
        "floor": scores(direction=62, turns=68),
        "by_tokens_per_frame": [
            {
                "tokens_per_frame": count,
                "visual_tokens": 8 * count,
                "llm_flops": 1.25e6 * count,
                "total_flops": 1.25e6 * count + 1e8,
                "top": scores(direction=top),
                "random": scores(direction=random),
            }
            for count, top, random in ((1, 100, 60), (8, 190, 188))
        ],
        "training": {"num_steps": 800, "seconds": 240.0, "seconds_per_step": 0.3, "batch_size": 16},
        "questions": [{"video": "a.mp4", "question": "a | b ?", "answer": "left", "truth": "right"}],
        "pictures": [{"path": "plot.png", "caption": "Accuracy against K."}],
    }


def test_a_report_holds_every_figure(results, tmp_path):
    results["pictures"].append({"path": str(tmp_path / "look.png"), "caption": "A clip."})
    write_report(tmp_path / "report.md", json.loads(json.dumps(results)))

    text = (tmp_path / "report.md").read_text()
    for line in (
        "# The demo",
        "| direction |   25.0 | 30.0 (24.1 to 36.7) | 95.0 (91.0 to 97.3) |    31.0 (25.0 to 37.7) |",
        "| direction |   25.0 | 50.0 (43.1 to 56.9) | 95.0 (91.0 to 97.3) |",
        "| 8   |            64 |                  10M |      110M |",
        "| training |   800 |             16 |            0.300 |            4.0 |",
        "| a.mp4 | a \\| b ? |   left | right |",
        "![Accuracy against K.](<plot.png>)",
        "![A clip.](<look.png>)",
        "| direction | which way does it move ? |",
        "| clips   |   600 |",
    ):
        assert line in text.splitlines()
    assert list(tmp_path.iterdir()) == [tmp_path / "report.md"]


def test_every_table_follows_a_sentence(results):
    paragraphs = render_report(results).split("\n\n")
    for before, paragraph in zip(paragraphs, paragraphs[1:], strict=False):
        if paragraph.startswith("|"):
            assert before.rstrip()[-1] in ".:?" and not before.startswith(("#", "|"))


def test_only_intervals_that_lie_apart_are_told_apart(results):
    text = render_report(results)

    assert "lies wholly above that of the shuffled frames for: direction. For the other skills" in text
    assert "wholly lower after training than before for: shape." in text
    assert "above that of random queries for: direction at K = 1; wholly below it for: none" in text


def test_no_skill_is_put_down_to_the_ranking_or_to_the_temporal_encoding(results):
    closing = render_report(results).split("## What these figures do not show")[1]
    assert "nothing here shows that E causes a skill" in closing
    assert "no model was trained with random queries to tell the two apart" in closing

    results["by_tokens_per_frame"][0]["random"] = scores(direction=95)
    closing = render_report(results).split("## What these figures do not show")[1]
    assert "nothing here shows that choosing tokens by their response causes a skill" in closing

    for entry in results["by_tokens_per_frame"]:
        del entry["random"]
    assert "Nothing here compares the choice of tokens" in render_report(results)


def test_what_was_not_measured_has_no_section(results):
    for name in ("introduction", "setup", "examples", "floor", "by_tokens_per_frame", "training", "questions"):
        del results[name]
    results["pictures"] = []

    text = render_report(results)

    assert [line for line in text.splitlines() if line.startswith("#")] == [
        "# The demo",
        "## Before and after training",
        "## What these figures do not show",
    ]
    assert "shuffled" not in text


def test_missing_results_are_named(results, tmp_path):
    del results["after"], results["chance"]
    with pytest.raises(ValueError, match="`results` lacks chance, after"):
        write_report(tmp_path / "report.md", results)
    assert not list(tmp_path.iterdir())


def test_intervals_lie_apart_when_they_do_not_touch():
    high, low = Score.from_counts(90, 100), Score.from_counts(50, 100)
    assert separated({"a": high, "b": high}, {"a": low, "b": high, "c": low}) == ["a"]
    assert separated({"a": low}, {"a": high}) == []
