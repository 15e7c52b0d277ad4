"""Tests the scores on tables small enough to check by hand."""

import numpy as np
import pytest

from train_head.metrics import compute_metrics, format_metrics

NAMES = ["walk", "run", "jump"]
# Rows are clips. Predicted: walk, walk, run, run, walk.
PROBABILITIES = np.array(
    [[0.7, 0.2, 0.1], [0.5, 0.3, 0.2], [0.1, 0.8, 0.1], [0.2, 0.5, 0.3], [0.6, 0.3, 0.1]]
)


def test_scores_of_a_small_table():
    scores = compute_metrics(PROBABILITIES, np.array([0, 0, 1, 2, 2]), NAMES)
    assert scores == {
        "num_clips": 5,
        "top1": 3 / 5,
        "top5": 1.0,
        "mean_class_accuracy": pytest.approx(2 / 3),
        "per_class_accuracy": {"walk": 1.0, "run": 1.0, "jump": 0.0},
        "confusion_matrix": [[2, 0, 0], [0, 1, 0], [1, 1, 0]],
    }


def test_mean_per_class_weighs_classes_and_top1_clips():
    probabilities = np.eye(2)[[0, 0, 0, 0]]
    scores = compute_metrics(probabilities, np.array([0, 0, 0, 1]), ["a", "b"])
    assert scores["top1"] == 0.75
    assert scores["mean_class_accuracy"] == 0.5


def test_class_without_clips_is_left_out_of_the_mean():
    scores = compute_metrics(PROBABILITIES, np.array([0, 1, 1, 1, 0]), NAMES)
    assert scores["per_class_accuracy"] == {
        "walk": 1.0,
        "run": pytest.approx(2 / 3),
        "jump": None,
    }
    assert scores["mean_class_accuracy"] == pytest.approx((1 + 2 / 3) / 2)
    assert scores["confusion_matrix"] == [[2, 0, 0], [1, 2, 0], [0, 0, 0]]
    assert "jump        --  0  0  0  = 2" in format_metrics(scores)


def test_top5_counts_the_five_most_probable():
    probabilities = np.array([[0.3, 0.25, 0.2, 0.12, 0.08, 0.05]] * 3)
    scores = compute_metrics(probabilities, np.array([0, 4, 5]), list("abcdef"))
    assert scores["top1"] == pytest.approx(1 / 3)
    assert scores["top5"] == pytest.approx(2 / 3)


def test_ties_never_count_twice():
    # All equal: the first class is the prediction, the first five are the top five.
    probabilities = np.full((6, 6), 1 / 6)
    scores = compute_metrics(probabilities, np.arange(6), list("abcdef"))
    assert scores["top1"] == pytest.approx(1 / 6)
    assert scores["top5"] == pytest.approx(5 / 6)
    assert scores["confusion_matrix"][3] == [1, 0, 0, 0, 0, 0]


def test_scores_are_plain_numbers_that_json_can_hold():
    scores = compute_metrics(PROBABILITIES, np.array([0, 0, 1, 2, 2]), NAMES)
    assert {type(scores[name]) for name in ("top1", "top5", "mean_class_accuracy")} == {float}
    assert type(scores["num_clips"]) is int
    assert {type(x) for row in scores["confusion_matrix"] for x in row} == {int}
    assert {type(x) for x in scores["per_class_accuracy"].values()} == {float}


def test_no_clips_are_refused():
    with pytest.raises(ValueError, match="at least one clip to score"):
        compute_metrics(np.zeros((0, 3)), np.zeros(0, int), NAMES)


def test_table():
    table = format_metrics(compute_metrics(PROBABILITIES, np.array([0, 0, 1, 2, 2]), NAMES))
    assert table.splitlines() == [
        "clips                5",
        "top-1                60.0%",
        "top-5                100.0%",
        "mean class accuracy  66.7%",
        "",
        "true class  accuracy  predicted as number",
        "                0  1  2",
        "walk    100.0%  2  0  0  = 0",
        "run     100.0%  0  1  0  = 1",
        "jump      0.0%  1  1  0  = 2",
    ]
