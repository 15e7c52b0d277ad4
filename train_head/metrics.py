"""Scores of predicted class probabilities, with scikit-learn's definitions."""

import numpy as np
from sklearn import metrics


def compute_metrics(
    probabilities: np.ndarray, class_ids: np.ndarray, class_names: list[str]
) -> dict:
    """Scores the predictions of N clips.

    Args:
        probabilities: [N, K] float, rows sum to 1.
        class_ids: [N] int, the true classes.
        class_names: The K names.

    Returns:
        `num_clips`, `top1`, `top5` (of K classes where K < 5), `mean_class_accuracy` (the mean of
        the recall of each class that has clips), `per_class_accuracy` (None for a class without
        clips) and `confusion_matrix` (rows are true classes, columns predicted ones).

    Raises:
        ValueError: If there are no clips.
    """
    if len(class_ids) == 0:
        raise ValueError("Expected at least one clip to score. Received: none.")
    classes = np.arange(len(class_names))
    predicted = probabilities.argmax(axis=1)
    confusion = metrics.confusion_matrix(class_ids, predicted, labels=classes)
    counts = confusion.sum(axis=1)
    recalls = [
        None if count == 0 else float(correct / count)
        for correct, count in zip(confusion.diagonal(), counts, strict=True)
    ]
    # A place in the ranking by stable sort, so that ties never count twice.
    ranks = np.argsort(-probabilities, axis=1, kind="stable")
    in_top5 = (ranks[:, :5] == np.asarray(class_ids)[:, None]).any(axis=1)
    return {
        "num_clips": len(class_ids),
        "top1": float(metrics.accuracy_score(class_ids, predicted)),
        "top5": float(in_top5.mean()),
        "mean_class_accuracy": float(np.mean([x for x in recalls if x is not None])),
        "per_class_accuracy": dict(zip(class_names, recalls, strict=True)),
        "confusion_matrix": confusion.tolist(),
    }


def format_metrics(scores: dict) -> str:
    """Renders `compute_metrics`' result as a table for a terminal."""
    names = list(scores["per_class_accuracy"])
    matrix = np.array(scores["confusion_matrix"])
    width = max(map(len, names), default=0)
    cell = max(len(str(matrix.max())), len(str(len(names) - 1)), 2) + 1
    lines = [
        f"clips                {scores['num_clips']}",
        f"top-1                {scores['top1']:.1%}",
        f"top-5                {scores['top5']:.1%}",
        f"mean class accuracy  {scores['mean_class_accuracy']:.1%}",
        "",
        f"{'true class':{width}}  accuracy  predicted as number",
        " " * (width + 10) + "".join(f"{i:{cell}}" for i in range(len(names))),
    ]
    for i, name in enumerate(names):
        recall = scores["per_class_accuracy"][name]
        shown = "      --" if recall is None else f"{recall:8.1%}"
        lines.append(
            f"{name:{width}}  {shown}" + "".join(f"{n:{cell}}" for n in matrix[i]) + f"  = {i}"
        )
    return "\n".join(lines)
