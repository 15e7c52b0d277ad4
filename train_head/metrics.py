"""Scores of predicted class probabilities, with scikit-learn's definitions."""

from collections.abc import Sequence

import numpy as np
from sklearn import metrics

from train_head.bootstrap import draw_counts, find_share_interval, sum_groups

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
        `mean_class_accuracy_interval` ([low, high], 95 % bootstrap by clip), `by_group` (the same
        two intervals by group, and `num_groups`; None where each clip is a group, or all are one),
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
    per_class = score_classes(probabilities, class_ids, predicted, class_names)
    recalls = {name: row["recall"] for name, row in per_class.items()}
    # A place in the ranking by stable sort, so that ties never count twice.
    ranks = np.argsort(-probabilities, axis=1, kind="stable")
    in_top5 = (ranks[:, :5] == class_ids[:, None]).any(axis=1)
    # Scores depend on the numbers of right and wrong clips of each class, [2 K], and nothing else.
    cells = 2 * class_ids + (predicted == class_ids)
    cell_counts = np.bincount(cells, minlength=2 * num_classes)
    by_clip = _bootstrap(
        np.eye(2 * num_classes), chances=cell_counts / num_clips, num_drawn=num_clips
    )
    error, reliability = measure_calibration(probabilities, class_ids)
    return {
        "num_clips": num_clips,
        "top1": float(metrics.accuracy_score(class_ids, predicted)),
        "top1_interval": by_clip["top1_interval"],
        "top5": float(in_top5.mean()),
        "mean_class_accuracy": float(np.mean([x for x in recalls.values() if x is not None])),
        "mean_class_accuracy_interval": by_clip["mean_class_accuracy_interval"],
        "by_group": _bootstrap_groups(cells, groups, num_classes=num_classes),
        "expected_calibration_error": error,
        "reliability": reliability,
        "per_class_accuracy": recalls,
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
    # Bin m holds ((m - 1) / 15, m / 15], as in the paper.
    bins = np.clip(np.ceil(confidences * _CALIBRATION_BINS), 1, _CALIBRATION_BINS).astype(int)
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
    predicted: np.ndarray,
    class_names: list[str],
    *,
    counted: str = "num_clips",
) -> dict[str, dict]:
    """Scores each class against all others.

    Args:
        probabilities: [N, K] float.
        class_ids: [N] int, the true classes.
        predicted: [N] int, the classes predicted.
        class_names: The K names.
        counted: What the number of a class' elements is called.

    Returns:
        For each class that number, precision, recall, f1 and average_precision; None is what is
        not defined.
    """
    precisions, recalls, f1s, counts = metrics.precision_recall_fscore_support(
        class_ids, predicted, labels=np.arange(len(class_names)), zero_division=np.nan
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


def _bootstrap_groups(
    cells: np.ndarray, groups: Sequence[str] | None, *, num_classes: int
) -> dict | None:
    counts = sum_groups(np.eye(2 * num_classes)[cells], groups)
    if counts is None:
        return None
    chances = np.full(len(counts), 1 / len(counts))
    intervals = _bootstrap(counts, chances=chances, num_drawn=len(counts))
    return {"num_groups": len(counts), **intervals}


def _bootstrap(counts: np.ndarray, *, chances: np.ndarray, num_drawn: int) -> dict:
    """Finds 95 % bootstrap intervals.

    To draw N clips with replacement is to draw how often each kind of clip comes from a
    multinomial distribution, so a resample is a row of counts and not of clips.

    Args:
        counts: [kinds, 2 K], what one draw of a kind adds to the wrong and right clips of each
            class in turn.
        chances: [kinds], that a draw gives this kind.
        num_drawn: Draws of a resample.

    Returns:
        `top1_interval` and `mean_class_accuracy_interval`, [low, high] each. A class that a
        resample has no clip of is left out of its mean.
    """
    drawn = draw_counts(chances, num_drawn=num_drawn) @ counts
    wrong, right = drawn[:, 0::2], drawn[:, 1::2]
    total = wrong + right
    recalls = np.divide(right, total, out=np.full_like(right, np.nan), where=total > 0)
    scores = {
        "top1_interval": right.sum(axis=1) / total.sum(axis=1),
        "mean_class_accuracy_interval": np.nanmean(recalls, axis=1),
    }
    return {
        name: find_share_interval(values, num_drawn=num_drawn) for name, values in scores.items()
    }
