"""Tests the scores on tables small enough to check by hand."""

import json
import tracemalloc

import numpy as np
import pytest
from small_scores import CLASS_IDS, NAMES, PROBABILITIES, SIX_PROBABILITIES

from train_head.scores.confidence_intervals import (
    find_exact_interval,
    find_mean_interval,
    find_ratio_interval,
)
from train_head.scores.metrics import compute_metrics, measure_calibration


def test_scores_of_a_small_table():
    scores = compute_metrics(PROBABILITIES, CLASS_IDS, NAMES)
    expected = {
        "num_clips": 5,
        "top1": 3 / 5,
        "top5": 1.0,
        "mean_class_accuracy": pytest.approx(2 / 3),
        "by_group": None,
        "per_class_accuracy": {"walk": 1.0, "run": 1.0, "jump": 0.0},
        "confusion_matrix": [[2, 0, 0], [0, 1, 0], [1, 1, 0]],
    }
    assert {name: scores[name] for name in expected} == expected
    columns = ("num_clips", "precision", "recall", "f1", "average_precision")
    rows = {name: [row[x] for x in columns] for name, row in scores["per_class"].items()}
    # walk's clips come first and third by its probability, jump's first and last of five.
    assert rows == {
        "walk": [2, pytest.approx(2 / 3), 1.0, pytest.approx(0.8), pytest.approx(5 / 6)],
        "run": [1, 0.5, 1.0, pytest.approx(2 / 3), 1.0],
        "jump": [2, None, 0.0, 0.0, pytest.approx(0.7)],
    }


def test_an_accuracy_that_is_rounded_still_counts_its_clips():
    assert 1 / 49 * 49 < 1
    class_ids, predicted = np.repeat([0, 1], [49, 2]), np.repeat([0, 1], [1, 50])
    scores = compute_metrics(np.eye(3)[predicted], class_ids, NAMES)
    of_classes = [find_exact_interval(1, 49), find_exact_interval(2, 2)]
    expected = find_mean_interval([1 / 49, 1], of_classes)
    assert scores["mean_class_accuracy_interval"] == pytest.approx(expected)


def test_calibration_of_a_small_table():
    # Two clips in (8/15, 9/15], of which one is right; two at 1, one as it is rounded, right; one
    # in (1/3, 2/5].
    probabilities = np.array(
        [[0.54, 0.46, 0], [0.4, 0.6, 0], [1, 0, 0], [1 + 1e-7, 0, 0], [0.3, 0.3, 0.4]]
    )
    error, reliability = measure_calibration(probabilities, np.array([0, 0, 0, 0, 1]))
    assert reliability == [
        {"confidence": pytest.approx(0.4), "accuracy": 0.0, "num_clips": 1},
        {"confidence": pytest.approx(0.57), "accuracy": 0.5, "num_clips": 2},
        {"confidence": pytest.approx(1.0), "accuracy": 1.0, "num_clips": 2},
    ]
    assert error == pytest.approx((0.4 + 2 * 0.07 + 0) / 5)


def make_outcomes(num_clips, *, chance, seed=0):
    """Makes classes and predictions over three classes, each right with the given chance."""
    random = np.random.RandomState(seed)
    class_ids = random.randint(0, 3, size=num_clips)
    wrong = random.random_sample(num_clips) >= chance
    return np.eye(3)[(class_ids + wrong) % 3], class_ids


def test_intervals_are_near_those_of_drawing_clips_again_and_rather_wider():
    probabilities, class_ids = make_outcomes(80, chance=0.8)
    scores = compute_metrics(probabilities, class_ids, NAMES)
    random = np.random.RandomState(1)
    top1, mean_class = [], []
    is_right = probabilities.argmax(axis=1) == class_ids
    for _ in range(2000):
        drawn = random.randint(0, 80, size=80)
        top1.append(is_right[drawn].mean())
        mean_class.append(
            np.mean([is_right[drawn][class_ids[drawn] == k].mean() for k in (0, 1, 2)])
        )
    for name, values in (("top1", top1), ("mean_class_accuracy", mean_class)):
        low, high = scores[f"{name}_interval"]
        drawn_low, drawn_high = np.percentile(values, [2.5, 97.5])
        assert drawn_low - 0.05 < low < drawn_low + 0.01
        assert drawn_high - 0.01 < high < drawn_high + 0.05
        assert low < scores[name] < high
    assert compute_metrics(probabilities, class_ids, NAMES) == scores


def test_clips_that_are_right_or_wrong_together_are_worth_one():
    probabilities, class_ids = make_outcomes(20, chance=0.7)
    many = compute_metrics(
        np.repeat(probabilities, 9, axis=0),
        np.repeat(class_ids, 9),
        NAMES,
        groups=[f"video {i}" for i in range(20) for _ in range(9)],
    )
    few = compute_metrics(probabilities, class_ids, NAMES, groups=[f"video {i}" for i in range(20)])
    assert many["by_group"]["num_groups"] == 20 and few["by_group"] is None
    assert many["by_group"]["top1_interval"] == pytest.approx(few["top1_interval"], abs=0.03)
    assert np.ptp(many["top1_interval"]) < 0.5 * np.ptp(few["top1_interval"])
    # Of groups that are all alike, the interval is by their clips.
    half_right = np.tile(np.eye(3)[:2], (10, 1))
    groups = [str(i // 2) for i in range(20)]
    scores = compute_metrics(half_right, np.zeros(20, int), NAMES, groups=groups)
    expected = find_ratio_interval(np.ones(10), np.full(10, 2))
    assert scores["by_group"]["top1_interval"] == pytest.approx(expected)


@pytest.mark.parametrize("is_right", [True, False])
def test_a_few_clips_that_are_all_alike_leave_doubt(is_right):
    class_ids = np.array([0, 0, 1, 1])
    probabilities = np.eye(2)[class_ids if is_right else 1 - class_ids]
    scores = compute_metrics(probabilities, class_ids, ["a", "b"])
    # Clopper and Pearson's bounds of 4 of 4, as scipy.stats.binomtest gives them.
    wanted = [0.3976354, 1] if is_right else [0, 0.6023646]
    assert scores["top1_interval"] == pytest.approx(wanted, abs=1e-6)


def test_one_group_alone_has_no_interval():
    scores = compute_metrics(PROBABILITIES, CLASS_IDS, NAMES, groups=["a"] * 5)
    assert scores["by_group"] is None and scores["of_one_group"]
    alone = compute_metrics(PROBABILITIES[:1], np.array([0]), NAMES, groups=["a"])
    assert not alone["of_one_group"]


def test_class_without_clips_is_left_out_of_the_mean():
    scores = compute_metrics(PROBABILITIES, np.array([0, 1, 1, 1, 0]), NAMES)
    assert scores["per_class_accuracy"] == {
        "walk": 1.0,
        "run": pytest.approx(2 / 3),
        "jump": None,
    }
    assert scores["mean_class_accuracy"] == pytest.approx((1 + 2 / 3) / 2)
    assert scores["confusion_matrix"] == [[2, 0, 0], [1, 2, 0], [0, 0, 0]]
    assert scores["per_class"]["jump"] == {
        "num_clips": 0,
        "precision": None,
        "recall": None,
        "f1": None,
        "average_precision": None,
    }


def test_top5_counts_the_five_most_probable():
    scores = compute_metrics(SIX_PROBABILITIES, np.array([0, 4, 5]), list("abcdef"))
    assert scores["top1"] == pytest.approx(1 / 3)
    assert scores["top5"] == pytest.approx(2 / 3)


def test_ties_never_count_twice():
    # All equal: the first class is the prediction, the first five are the top five.
    probabilities = np.full((6, 6), 1 / 6)
    scores = compute_metrics(probabilities, np.arange(6), list("abcdef"))
    assert scores["top1"] == pytest.approx(1 / 6)
    assert scores["top5"] == pytest.approx(5 / 6)
    assert scores["confusion_matrix"][3] == [1, 0, 0, 0, 0, 0]
    # Of sixteen that are as probable, the first five, whichever sort NumPy takes.
    is_likely = np.arange(64) % 4 == 0
    scores = compute_metrics(
        np.tile(is_likely / 16, (6, 1)), np.arange(0, 24, 4), [f"class {k}" for k in range(64)]
    )
    assert scores["top5"] == pytest.approx(5 / 6)


def test_scores_are_plain_numbers_that_json_can_hold():
    scores = compute_metrics(PROBABILITIES, CLASS_IDS, NAMES)
    assert {type(scores[name]) for name in ("top1", "top5", "mean_class_accuracy")} == {float}
    assert type(scores["num_clips"]) is int
    assert {type(x) for row in scores["confusion_matrix"] for x in row} == {int}
    assert {type(x) for x in scores["per_class_accuracy"].values()} == {float}
    assert json.loads(json.dumps(scores, allow_nan=False)) == scores


def test_no_clips_are_refused():
    with pytest.raises(ValueError, match="at least one clip to score"):
        compute_metrics(np.zeros((0, 3)), np.zeros(0, int), NAMES)


def test_groups_of_clips_of_many_classes_take_little_memory():
    num_classes, num_clips = 500, 300
    probabilities = np.random.RandomState(0).uniform(size=(num_clips, num_classes))
    class_ids, groups = np.arange(num_clips), [str(i // 2) for i in range(num_clips)]
    names = [str(k) for k in range(num_classes)]
    tracemalloc.start()
    try:
        compute_metrics(probabilities, class_ids, names, groups=groups)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # The confusion matrix takes the most. A row of twice the classes for each class and clip, as
    # there once was, is as much again and more with every clip.
    assert peak_bytes < 30 * num_classes**2
