"""One is said as one, of many the first, and names of any script stand in columns."""

import numpy as np
import pytest

from lrcn.common.programs.wording import name_count, name_some, pad_names, wrap_sentence
from train_head.scores.metrics import compute_metrics
from train_head.scores.score_table import format_headline, format_metrics
from train_head.studies.comparison_text import find_verdict


@pytest.mark.parametrize(
    ("number", "expected"), [(0, "0 clips"), (1, "1 clip"), (2, "2 clips"), (1234, "1,234 clips")]
)
def test_a_number_and_what_is_counted(number, expected):
    assert name_count(number, "clip") == expected


def test_a_few_are_named_and_the_others_counted():
    assert name_some(["a", "b", "c", "d", "e"]) == "a, b, c, d, e"
    assert name_some(["a", "b", "c", "d", "e", "f"]) == "a, b, c, d, e and 1 more"


@pytest.mark.parametrize("before", range(60, 80))
def test_a_sentence_is_broken_into_lines_but_not_within_a_number_and_its_interval(before):
    sentence = f"{'x' * (before - 1)} -15.0 [-20.0, -9.6] points, and {'y' * 70}."
    lines = wrap_sentence(sentence).splitlines()
    assert " ".join(lines) == sentence
    assert max(map(len, lines)) < 80
    assert any("-15.0 [-20.0, -9.6]" in line for line in lines)


def test_names_of_any_script_are_as_wide_as_the_widest_in_a_terminal():
    # Full width, and a letter with its accent behind it.
    blanks = {"walk": 2, "走る": 2, "\uff21\uff22\uff23": 0, "A\u0308rger": 1, "걷기": 2, "": 6}
    assert pad_names([*blanks]) == [name + " " * number for name, number in blanks.items()]
    assert pad_names([]) == []


def test_the_columns_of_a_score_are_below_their_headings():
    scores = compute_metrics(np.eye(2), np.array([0, 1]), ["walk", "ジャンプする"])
    scores |= {"split": "test", "provenance": {"leaking_groups": 0}}
    lines = format_metrics(scores).splitlines()
    for heading in ("class ", "true class "):
        start = next(i for i, line in enumerate(lines) if line.startswith(heading))
        of_walk, of_jump = (
            next(x for x in lines[start + 1 :] if x.startswith(name))
            for name in ("walk", "ジャンプする")
        )
        # Six characters are six columns wider than they are long.
        assert len(of_walk) == len(of_jump) + 6
        assert of_walk.endswith("= 0") or len(of_walk) == len(lines[start])


def test_a_score_of_a_single_clip():
    scores = compute_metrics(np.array([[0.9, 0.1]]), np.array([0]), ["a", "b"])
    scores |= {"split": "test", "provenance": {"leaking_groups": 1}}
    expected = "top-1 100.0% [2.5, 100.0] of 1 test clip (too good: groups in several splits: 1)"
    assert format_headline(scores) == expected
    frames = {"frame_accuracy": 1.0, "frame_accuracy_interval": [0.0, 1.0], "num_frames": 1}
    shown = format_headline({**scores, **frames})
    assert shown.startswith("frame accuracy 100.0% [0.0, 100.0] of 1 frame of 1 test clip (too")


def test_the_line_of_a_score_takes_the_interval_over_groups_where_they_are_known():
    scores = {"split": "test", "num_clips": 4, "num_frames": 50, "frame_accuracy": 0.5}
    scores |= {"frame_accuracy_interval": [0.3, 0.7], "provenance": {"leaking_groups": 0}}
    by_group = {"num_groups": 2, "frame_accuracy_interval": [0.0, 1.0]}
    assert format_headline({**scores, "by_group": by_group}) == (
        "frame accuracy 50.0% [0.0, 100.0] of 50 frames of 4 test clips of 2 groups"
    )


def test_a_comparison_on_a_single_clip():
    is_right = dict.fromkeys(("mean_pool", "gru", "gru_shuffled"), np.array([[True]]))
    assert "1 clip is too few to tell whether order plays a part" in find_verdict(is_right)
