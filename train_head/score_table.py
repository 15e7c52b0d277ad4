"""The scores of a run as text for a terminal."""

import numpy as np

# Of more classes, a confusion matrix is wider than a terminal.
_MAX_MATRIX_CLASSES = 10
_SHOWN_CONFUSIONS = 10


def format_headline(scores: dict) -> str:
    """Renders the score in a line: `top-1 97.5% [94.2, 100.0] of 120 test clips`."""
    return (
        f"top-1 {scores['top1']:.1%} {_format_interval(scores['top1_interval'])} of "
        f"{scores['num_clips']} {scores['split']} clips"
    )


def format_metrics(scores: dict) -> str:
    """Renders the content of `metrics.json` as tables.

    Up to 10 classes the confusion matrix is shown, as clips and as shares of the true class; of
    more, the pairs of classes that are confused most.
    """
    by_group = scores["by_group"]
    lines = [f"clips                {scores['num_clips']} of the split {scores['split']}"]
    for name, title in (("top1", "top-1"), ("mean_class_accuracy", "mean class accuracy")):
        line = f"{title:19}  {scores[name]:6.1%} {_format_interval(scores[f'{name}_interval'])}"
        if by_group is not None:
            line += f", by group {_format_interval(by_group[f'{name}_interval'])}"
        lines.append(line)
    lines.insert(2, f"top-5                {scores['top5']:6.1%}")
    lines.append(f"calibration error    {scores['expected_calibration_error']:6.1%}")
    groups = "" if by_group is None else f"; by group: over the {by_group['num_groups']} groups"
    lines.append(f"[low, high]: 95 % bootstrap interval over the clips{groups}")
    leaking_groups = scores["provenance"]["leaking_groups"]
    if leaking_groups:
        lines.append(f"groups in several splits: {leaking_groups}, so the scores are too good")
    lines += ["", *_format_classes(scores["per_class"]), ""]
    names, matrix = list(scores["per_class"]), np.array(scores["confusion_matrix"])
    if len(names) <= _MAX_MATRIX_CLASSES:
        lines += _format_matrix(names, matrix)
    else:
        lines += _format_confusions(names, matrix)
    return "\n".join(lines)


def _format_classes(per_class: dict[str, dict]) -> list[str]:
    width = max(map(len, [*per_class, "class"]))
    columns = ("precision", "recall", "f1", "average_precision")
    lines = [f"{'class':{width}}  clips  precision  recall      F1  average precision"]
    for name, row in per_class.items():
        shown = ["--" if row[x] is None else f"{row[x]:.1%}" for x in columns]
        cells = "{:>9}  {:>6}  {:>6}  {:>17}".format(*shown)
        lines.append(f"{name:{width}}  {row['num_clips']:5}  {cells}")
    return lines


def _format_matrix(names: list[str], matrix: np.ndarray) -> list[str]:
    width = max(map(len, [*names, "true class"]))
    totals = matrix.sum(axis=1, keepdims=True)
    shares = np.divide(matrix, totals, out=np.zeros(matrix.shape), where=totals > 0)
    cell = max(len(str(matrix.max())), 2) + 1
    numbers = "".join(f"{i:{cell}}" for i in range(len(names)))
    share_numbers = "".join(f"{i:5}" for i in range(len(names)))
    lines = [
        f"{'true class':{width}}  {'predicted':{len(numbers)}}     % of the true class",
        f"{'':{width}}  {numbers}   {share_numbers}",
    ]
    for i, name in enumerate(names):
        counts = "".join(f"{count:{cell}}" for count in matrix[i])
        percents = "".join(f"{share:5.0f}" if totals[i] else "   --" for share in 100 * shares[i])
        lines.append(f"{name:{width}}  {counts}   {percents}  = {i}")
    return lines


def _format_confusions(names: list[str], matrix: np.ndarray) -> list[str]:
    errors = matrix - np.diag(matrix.diagonal())
    # By clips, then by their share of the class; a stable sort leaves equals in class order.
    shares = errors / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    order = np.lexsort((-shares.ravel(), -errors.ravel()))[:_SHOWN_CONFUSIONS]
    pairs = [divmod(int(place), len(names)) for place in order if errors.flat[place]]
    if not pairs:
        return ["No class is taken for another."]
    width = max(len(names[true]) for true, _ in pairs)
    return ["clips confused most, of the true class", ""] + [
        f"{errors[true, other]:5} of {matrix[true].sum():<5} {names[true]:{width}}  taken for "
        f"{names[other]}"
        for true, other in pairs
    ]


def _format_interval(interval: list[float]) -> str:
    low, high = interval
    return f"[{100 * low:.1f}, {100 * high:.1f}]"
