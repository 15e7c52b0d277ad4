"""Which clips a report lists and shows, in which order, and what it rounds."""

import numpy as np

from lrcn.common.clips.clip import Clip
from train_head.reports.report_data import ScoredClips, round_probabilities


def make_scored(rows):
    """Makes clips of two classes or more of (true class, probabilities)."""
    class_ids, probabilities = zip(*rows, strict=True)
    clips = [Clip(f"clip_{i}", "x", str(k), "test") for i, k in enumerate(class_ids)]
    names = [str(k) for k in range(len(probabilities[0]))]
    return ScoredClips(clips, names, np.array(class_ids), np.array(probabilities))


def test_the_most_wrong_and_the_least_sure_clips():
    scored = make_scored(
        [
            (0, [0.90, 0.05, 0.05]),
            (0, [0.10, 0.80, 0.10]),
            (1, [0.50, 0.40, 0.10]),
            (1, [0.34, 0.36, 0.30]),
            (2, [0.70, 0.10, 0.20]),
            (2, [0.00, 0.00, 1.00]),
            (2, [0.20, 0.00, 0.80]),
        ]
    )
    assert scored.find_most_wrong() == [1, 4, 2]
    assert scored.find_least_sure() == [3, 2, 4, 6, 1, 0, 5]
    assert scored.chance == 3 / 7


def test_examples_of_confusions_come_before_those_of_what_is_right():
    scored = make_scored(
        [
            *[(0, [0.3, 0.7])] * 14,
            *[(1, [0.9, 0.1])] * 2,
            *[(1, [0.4, 0.6])] * 14,
            *[(0, [0.95, 0.05])] * 3,
        ]
    )
    most_wrong = [14, 15, *range(10)]
    least_sure = [*range(16, 28)]
    # A third of each pair of classes before a fourth; of the others all were shown before.
    assert scored.find_shown() == [
        *(*most_wrong, *least_sure, 30, 31, 32),
        *(10, 11, 12, 28, 13, 29),
    ]


def test_only_what_is_0_or_1_is_rounded_to_it():
    rounded = round_probabilities(np.array([0, 1e-6, 0.12345, 1 - 1e-6, 1]))
    assert rounded == [0, 0.0001, 0.123, 0.9999, 1]
