"""Scores of predictions for every frame: of frames, of classes and of segments.

A frame without a label counts in none of them, and it ends a segment, of the labels as of the
predictions: what is true there is not known, so nothing is joined across it.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence

import numpy as np
from sklearn import metrics

from train_head.labels.frame_labels import UNLABELLED, find_runs
from train_head.scores.confidence_intervals import find_ratio_interval, is_one_group, sum_groups
from train_head.scores.metrics import score_classes
from train_head.scores.score_table import OVERLAPS

# What the counts of clips are divided to, two by two.
_SCORES = ("frame_accuracy", *OVERLAPS)


def compute_frame_metrics(
    probabilities: Sequence[np.ndarray],
    class_ids: Sequence[np.ndarray],
    class_names: list[str],
    *,
    groups: Sequence[str] | None = None,
) -> dict:
    """Scores the predictions for all frames of N clips.

    Args:
        probabilities: [T, K] float of each clip, rows sum to 1.
        class_ids: [T] int of each clip, the true classes, `UNLABELLED` for frames without.
        class_names: The K names.
        groups: N names; clips of one group are alike, such as those of one source video.

    Returns:
        What `metrics.json` holds of the scores, plain numbers only; None is what is not defined:
        `num_clips`, `num_frames` and `num_segments` (labelled), `frame_accuracy`,
        `mean_class_accuracy` (the mean of the recall of each class that has frames),
        `mean_average_precision` (over the same classes), a segment F1 for each of `OVERLAPS` (see
        `count_matches`; sums over all clips divided once), `chance` (the accuracy of who always
        says the most frequent class), `per_class` (num_frames, precision, recall, f1,
        average_precision), `confusion_matrix` (rows are true classes, columns predicted ones),
        `<score>_interval` of frame accuracy and segment F1 ([low, high], 95 %, by clip, as frames
        of one clip are alike), `by_group` (the same intervals by group, and `num_groups`; None
        where each clip is a group, or all are one), and `of_one_group` (whether all are one).

    Raises:
        ValueError: If no frame has a label.
    """
    predicted = [x.argmax(axis=1) for x in probabilities]
    is_labelled = [x != UNLABELLED for x in class_ids]
    true = np.concatenate([x[y] for x, y in zip(class_ids, is_labelled, strict=True)])
    if len(true) == 0:
        raise ValueError("Expected at least one labelled frame to score. Received: none.")
    rows = np.concatenate([x[y] for x, y in zip(probabilities, is_labelled, strict=True)])
    per_class = score_classes(rows, true, class_names, counted="num_frames")
    counts = np.array(
        [_count_clip(x, y) for x, y in zip(predicted, class_ids, strict=True)], np.float64
    )
    sums = counts.sum(axis=0)
    seen = [row for row in per_class.values() if row["num_frames"]]
    return {
        "num_clips": len(class_ids),
        "num_frames": len(true),
        "num_segments": int(sum(len(find_segments(x, x)) for x in class_ids)),
        **dict(zip(_SCORES, (sums[0::2] / sums[1::2]).tolist(), strict=True)),
        "mean_class_accuracy": float(np.mean([row["recall"] for row in seen])),
        "mean_average_precision": float(np.mean([row["average_precision"] for row in seen])),
        "chance": float(np.bincount(true).max() / len(true)),
        **_find_intervals(counts),
        "by_group": _find_group_intervals(counts, groups),
        "of_one_group": is_one_group(groups),
        "per_class": per_class,
        "confusion_matrix": metrics.confusion_matrix(
            true, rows.argmax(axis=1), labels=np.arange(len(class_names))
        ).tolist(),
    }


def find_segments(class_ids: np.ndarray, labels: np.ndarray) -> list[tuple[int, int, int]]:
    """Finds the longest runs of one class, within stretches of frames that have a label.

    Args:
        class_ids: [T] int, whose runs are wanted.
        labels: [T] int, the true classes, `UNLABELLED` for frames without.

    Returns:
        (start, end, class id) of each, in order; the end is the first frame behind it.
    """
    shown = np.where(labels == UNLABELLED, UNLABELLED, class_ids)
    runs = [(start, end, int(shown[start])) for start, end in find_runs(shown)]
    return [run for run in runs if run[2] != UNLABELLED]


def count_matches(
    predicted: Sequence[tuple[int, int, int]],
    true: Sequence[tuple[int, int, int]],
    *,
    min_overlap: float,
) -> tuple[int, int, int]:
    """Counts which predicted segments of a clip are true ones.

    After Lea et al. 2017, "Temporal Convolutional Networks for Action Segmentation and Detection"
    (CVPR), and the code that they published: a predicted segment is a true positive if the true
    segment of its class that it overlaps with most (intersection over union) reaches `min_overlap`
    and was not matched before; else it is a false positive. So splitting an action in pieces costs,
    a small shift does not.

    Args:
        predicted: (start, end, class id) of each segment, in order.
        true: The same of the labels.
        min_overlap: Intersection over union from which segments match, above 0.

    Returns:
        Numbers of true positives, false positives and false negatives.
    """
    if not true:
        return 0, len(predicted), 0
    is_matched = [False] * len(true)
    starts, ends, classes = zip(*true, strict=True)
    for start, end, class_id in predicted:
        # True segments are in order and apart, so those that it overlaps with stand side by side.
        # A long video has thousands, and trying all takes minutes.
        near = range(bisect_right(ends, start), bisect_left(starts, end))
        overlaps = [
            (min(end, ends[i]) - max(start, starts[i]))
            / (max(end, ends[i]) - min(start, starts[i]))
            if class_id == classes[i]
            else 0.0
            for i in near
        ]
        most = max(overlaps, default=0.0)
        if most >= min_overlap:
            is_matched[near[overlaps.index(most)]] = True
    num_matched = sum(is_matched)
    return num_matched, len(predicted) - num_matched, len(true) - num_matched


def _count_clip(predicted: np.ndarray, class_ids: np.ndarray) -> list[int]:
    """Counts a clip's right and labelled frames, then 2 TP and 2 TP + FP + FN at each overlap."""
    counts = [int((predicted == class_ids).sum()), int((class_ids != UNLABELLED).sum())]
    found, true = find_segments(predicted, class_ids), find_segments(class_ids, class_ids)
    for overlap in OVERLAPS.values():
        matched, wrong, missed = count_matches(found, true, min_overlap=overlap)
        counts += [2 * matched, 2 * matched + wrong + missed]
    return counts


def _find_intervals(counts: np.ndarray) -> dict:
    """Returns the 95 % intervals of the scores, of which rows of counts are drawn."""
    return {
        f"{name}_interval": find_ratio_interval(parts, wholes)
        for name, parts, wholes in zip(_SCORES, counts.T[0::2], counts.T[1::2], strict=True)
    }


def _find_group_intervals(counts: np.ndarray, groups: Sequence[str] | None) -> dict | None:
    of_groups = sum_groups(counts, groups)
    if of_groups is None:
        return None
    return {"num_groups": len(of_groups), **_find_intervals(of_groups)}
