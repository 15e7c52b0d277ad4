"""Scores of predicted class probabilities, with scikit-learn's definitions."""

from collections.abc import Sequence

import numpy as np
from sklearn import metrics

from train_head.scores.confidence_intervals import (
    find_exact_interval,
    find_grouped_mean_interval,
    find_mean_interval,
    find_ratio_interval,
    is_one_group,
    number_groups,
)

_CALIBRATION_BINS = 15


def compute_metrics(
    probabilities: np.ndarray,
    class_ids: np.ndarray,
    class_names: list[str],
    *,
    groups: Sequence[str] | None = None,
) -> dict:
    """Scores the predictions of N clips.

    Args:
        probabilities: [N, K] float, rows sum to 1.
        class_ids: [N] int, the true classes.
        class_names: The K names.
        groups: N names; clips of one group are alike, such as those of one source video.

    Returns:
        What `metrics.json` holds of the scores, plain numbers only; None is what is not defined:
        `num_clips`, `top1`, `top5` (of K classes where K < 5), `mean_class_accuracy` (the mean of
        the recall of each class that has clips), `top1_interval` and
        `mean_class_accuracy_interval` ([low, high], 95 %, by clip), `by_group` (the same two
        intervals by group, and `num_groups`; None where each clip is a group, or all are one),
        `of_one_group` (whether all are one, of which the intervals by clip say nothing beyond it),
        `per_class_accuracy` (the recall), `per_class` (num_clips, precision, recall, f1,
        average_precision), `confusion_matrix` (rows are true classes, columns predicted ones),
        `expected_calibration_error` and `reliability`, see `measure_calibration`.

    Raises:
        ValueError: If there are no clips.
    """
    if len(class_ids) == 0:
        raise ValueError("Expected at least one clip to score. Received: none.")
    class_ids = np.asarray(class_ids)
    num_clips, num_classes = len(class_ids), len(class_names)
    predicted = probabilities.argmax(axis=1)
    per_class = score_classes(probabilities, class_ids, class_names)
    seen = [row for row in per_class.values() if row["num_clips"]]
    # A place in the ranking by stable sort, so that ties never count twice.
    ranks = np.argsort(-probabilities, axis=1, kind="stable")
    in_top5 = (ranks[:, :5] == class_ids[:, None]).any(axis=1)
    num_right = int((predicted == class_ids).sum())
    error, reliability = measure_calibration(probabilities, class_ids)
    return {
        "num_clips": num_clips,
        "top1": float(metrics.accuracy_score(class_ids, predicted)),
        "top1_interval": find_exact_interval(num_right, num_clips),
        "top5": float(in_top5.mean()),
        "mean_class_accuracy": float(np.mean([row["recall"] for row in seen])),
        "mean_class_accuracy_interval": _find_mean_interval(seen),
        "by_group": _find_group_intervals(
            predicted == class_ids, class_ids, groups, num_classes=num_classes
        ),
        "of_one_group": is_one_group(groups),
        "expected_calibration_error": error,
        "reliability": reliability,
        "per_class_accuracy": {name: row["recall"] for name, row in per_class.items()},
        "per_class": per_class,
        "confusion_matrix": metrics.confusion_matrix(
            class_ids, predicted, labels=np.arange(num_classes)
        ).tolist(),
    }


def measure_calibration(
    probabilities: np.ndarray, class_ids: np.ndarray
) -> tuple[float, list[dict]]:
    """Measures how far a prediction's probability is from how often it is right.

    The expected calibration error of Guo et al., "On Calibration of Modern Neural Networks"
    (ICML 2017), equations 2 to 5: 15 equally wide bins of the highest probability, in each the gap
    between mean probability and accuracy, weighted by clips.

    Args:
        probabilities: [N, K] float, rows sum to 1.
        class_ids: [N] int, the true classes.

    Returns:
        The error in [0, 1], and {confidence, accuracy, num_clips} of each bin that has clips, by
        rising confidence.
    """
    confidences = probabilities.max(axis=1).astype(np.float64)
    is_correct = probabilities.argmax(axis=1) == class_ids
    # Bin m holds ((m - 1) / 15, m / 15], as in the paper; by rounding, one may be above 1.
    bins = np.minimum(np.ceil(confidences * _CALIBRATION_BINS), _CALIBRATION_BINS).astype(int)
    reliability = [
        {
            "confidence": float(confidences[bins == number].mean()),
            "accuracy": float(is_correct[bins == number].mean()),
            "num_clips": int((bins == number).sum()),
        }
        for number in np.unique(bins)
    ]
    gaps = [row["num_clips"] * abs(row["accuracy"] - row["confidence"]) for row in reliability]
    return sum(gaps) / len(confidences), reliability


def score_classes(
    probabilities: np.ndarray,
    class_ids: np.ndarray,
    class_names: list[str],
    *,
    counted: str = "num_clips",
) -> dict[str, dict]:
    """Scores each class against all others.

    Args:
        probabilities: [N, K] float.
        class_ids: [N] int, the true classes.
        class_names: The K names.
        counted: What the number of a class' elements is called.

    Returns:
        For each class that number, precision, recall, f1 and average_precision; None is what is
        not defined.
    """
    precisions, recalls, f1s, counts = metrics.precision_recall_fscore_support(
        class_ids,
        probabilities.argmax(axis=1),
        labels=np.arange(len(class_names)),
        zero_division=np.nan,
    )
    per_class = {}
    for k, name in enumerate(class_names):
        average_precision = np.nan
        if counts[k]:
            average_precision = metrics.average_precision_score(class_ids == k, probabilities[:, k])
        scores = {
            "precision": precisions[k],
            "recall": recalls[k],
            "f1": f1s[k],
            "average_precision": average_precision,
        }
        defined = {x: None if np.isnan(score) else float(score) for x, score in scores.items()}
        per_class[name] = {counted: int(counts[k]), **defined}
    return per_class


def _find_mean_interval(seen: list[dict]) -> list[float]:
    intervals = [
        find_exact_interval(round(row["recall"] * row["num_clips"]), row["num_clips"])
        for row in seen
    ]
    return find_mean_interval([row["recall"] for row in seen], intervals)


def _find_group_intervals(
    is_right: np.ndarray, class_ids: np.ndarray, groups: Sequence[str] | None, *, num_classes: int
) -> dict | None:
    group_ids = number_groups(groups)
    if group_ids is None:
        return None
    right, total = np.zeros((2, group_ids.max() + 1, num_classes))
    np.add.at(right, (group_ids, class_ids), is_right)
    np.add.at(total, (group_ids, class_ids), 1)
    return {
        "num_groups": len(total),
        "top1_interval": find_ratio_interval(right.sum(axis=1), total.sum(axis=1)),
        "mean_class_accuracy_interval": find_grouped_mean_interval(right, total),
    }
