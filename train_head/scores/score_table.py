"""The scores of a run as text for a terminal."""

from collections.abc import Sequence

import numpy as np

from lrcn.common.files.escaped_text import escape_control
from lrcn.common.programs.wording import name_count, pad_names

# The scores of segments, which are runs of frames with one label, and the overlap from which two
# segments match. They stand here so that showing scores does not import what computes them.
OVERLAPS = {"segment_f1_10": 0.10, "segment_f1_25": 0.25, "segment_f1_50": 0.50}
# Of more classes, a confusion matrix is wider than a terminal.
_MAX_MATRIX_CLASSES = 10
_NUM_CONFUSIONS = 12

_SEEN_IN_TRAINING = {
    "train": "these clips were trained on, so the scores are too good",
    "val": "these clips chose the epoch, so the scores are too good",
}
ONE_GROUP = "all clips are of one group: intervals say nothing of other groups"


def format_headline(scores: dict) -> str:
    """Renders the score in a line: `top-1 97.5% [92.9, 99.5] of 120 test clips`, or
    `frame accuracy 93.1% [90.2, 95.8] of 1,234 frames of 12 test clips of 6 groups`.

    Where groups are known, the interval is over these: clips of one are right or wrong together,
    and this line is what is quoted without the table.
    """
    leaking_groups = scores["provenance"]["leaking_groups"]
    leak = f" (too good: groups in several splits: {leaking_groups})" if leaking_groups else ""
    clips = name_count(scores["num_clips"], f"{scores['split']} clip")
    by_group = scores["by_group"]
    if by_group is not None:
        clips += f" of {by_group['num_groups']:,} groups"
    elif _is_of_one_group(scores):
        clips += " of one group"
    frames = f"{name_count(scores['num_frames'], 'frame')} of " if "num_frames" in scores else ""
    name, title = find_main_score(scores)
    interval = _format_interval((by_group or scores)[f"{name}_interval"])
    return f"{title} {scores[name]:.1%} {interval} of {frames}{clips}{leak}"


def find_main_score(scores: dict) -> tuple[str, str]:
    """Returns which of the scores is a run's first, as they name it and as readers do."""
    if "frame_accuracy" in scores:
        return "frame_accuracy", "frame accuracy"
    return "top1", "top-1"


def format_metrics(scores: dict) -> str:
    """Renders the content of `metrics.json` as tables.

    Up to 10 classes the confusion matrix is shown, as clips and as shares of the true class; of
    more, the pairs of classes that are confused most. With a label for every frame, it is frames
    that they count.
    """
    if "frame_accuracy" in scores:
        clips = name_count(scores["num_clips"], "clip")
        counted, number = "frames", f"{scores['num_frames']:,} with a label, in {clips}"
        shown = {
            "frame_accuracy": "frame accuracy",
            "mean_class_accuracy": "mean class accuracy",
            "mean_average_precision": "mean AP",
            **{name: f"segment F1@{overlap:.2f}" for name, overlap in OVERLAPS.items()},
        }
    else:
        counted, number = "clips", scores["num_clips"]
        shown = {
            "top1": "top-1",
            "top5": "top-5",
            "mean_class_accuracy": "mean class accuracy",
            "expected_calibration_error": "calibration error",
        }
        if len(scores["per_class"]) <= 5:  # of five, each clip's is among the five most probable
            del shown["top5"]
    lines = [f"{counted:19}  {number} of the split {scores['split']}"]
    lines += [_format_score(scores, *score) for score in shown.items()]
    lines += _format_notes(scores)
    lines += ["", *_format_classes(scores["per_class"], counted), "", *format_confusions(scores)]
    return "\n".join(lines)


def format_confusions(*scores: dict) -> list[str]:
    """Renders what is taken for what, added up over scores of the same classes, as
    `format_metrics` does.
    """
    names = list(scores[0]["per_class"])
    matrix = np.sum([x["confusion_matrix"] for x in scores], axis=0)
    if len(names) <= _MAX_MATRIX_CLASSES:
        return _format_matrix(names, matrix)
    return _format_pairs(names, matrix, "frames" if "frame_accuracy" in scores[0] else "clips")


def list_confusions(confusion_matrix: Sequence[Sequence[int]]) -> list[dict]:
    """Returns the pairs of classes that are mistaken most often, as ids, with what is counted."""
    counts = np.asarray(confusion_matrix)
    totals, errors = counts.sum(axis=1), counts - np.diag(counts.diagonal())
    # By number, then by their share of the class; a stable sort leaves equals in class order.
    shares = errors / np.maximum(totals, 1)[:, None]
    places = np.lexsort((-shares.ravel(), -errors.ravel()))[:_NUM_CONFUSIONS]
    pairs = [divmod(place, len(errors)) for place in places.tolist()]
    return [
        {"true": k, "predicted": other, "count": int(errors[k, other]), "of": int(totals[k])}
        for k, other in pairs
        if errors[k, other]
    ]


def _format_score(scores: dict, name: str, title: str) -> str:
    line = f"{title:19}  {scores[name]:6.1%}"
    interval = f"{name}_interval"
    if interval in scores:
        line += f" {_format_interval(scores[interval])}"
        if scores["by_group"] is not None:
            line += f", by group {_format_interval(scores['by_group'][interval])}"
    return line


def _format_notes(scores: dict) -> list[str]:
    by_group = scores["by_group"]
    groups = "" if by_group is None else f"; by group: over the {by_group['num_groups']:,} groups"
    lines = [f"[low, high]: 95 % interval over the clips{groups}"]
    if _is_of_one_group(scores):
        lines.append(ONE_GROUP)
    if scores["split"] in _SEEN_IN_TRAINING:
        lines.append(_SEEN_IN_TRAINING[scores["split"]])
    leaking_groups = scores["provenance"]["leaking_groups"]
    if leaking_groups:
        lines.append(format_leaks(leaking_groups))
    return lines


def _is_of_one_group(scores: dict) -> bool:
    return scores.get("of_one_group", False)  # scores of an earlier version do not say


def format_leaks(leaking_groups: int) -> str:
    """Says that scores are not to be believed."""
    return f"groups in several splits: {leaking_groups}, so the scores are too good"


def _format_classes(per_class: dict[str, dict], counted: str) -> list[str]:
    heading, *names = pad_names(["class", *per_class])
    columns = ("precision", "recall", "f1", "average_precision")
    key = f"num_{counted}"
    digits = max(len(counted), len(str(max(row[key] for row in per_class.values()))))
    headings = "precision  recall      F1  average precision"
    lines = [f"{heading}  {counted:>{digits}}  {headings}"]
    for name, row in zip(names, per_class.values(), strict=True):
        shown = ["--" if row[x] is None else f"{row[x]:.1%}" for x in columns]
        cells = "{:>9}  {:>6}  {:>6}  {:>17}".format(*shown)
        lines.append(f"{name}  {row[key]:{digits}}  {cells}")
    return lines


def _format_matrix(names: list[str], matrix: np.ndarray) -> list[str]:
    heading, blank, *padded = pad_names(["true class", "", *names])
    totals = matrix.sum(axis=1, keepdims=True)
    shares = np.divide(matrix, totals, out=np.zeros(matrix.shape), where=totals > 0)
    cell = max(len(str(matrix.max())), 2) + 1
    numbers = "".join(f"{i:{cell}}" for i in range(len(names)))
    share_numbers = "".join(f"{i:5}" for i in range(len(names)))
    lines = [
        f"{heading}  {'predicted':{len(numbers)}}     % of the true class",
        f"{blank}  {numbers}   {share_numbers}",
    ]
    for i, name in enumerate(padded):
        counts = "".join(f"{count:{cell}}" for count in matrix[i])
        percents = "".join(f"{share:5.0f}" if totals[i] else "   --" for share in 100 * shares[i])
        lines.append(f"{name}  {counts}   {percents}  = {i}")
    return lines


def _format_pairs(names: list[str], matrix: np.ndarray, counted: str) -> list[str]:
    pairs = list_confusions(matrix)
    if not pairs:
        return ["No class is taken for another."]
    padded = pad_names([names[pair["true"]] for pair in pairs])
    return [f"{counted} confused most, of the true class", ""] + [
        f"{pair['count']:5} of {pair['of']:<5} {name}  taken for "
        f"{escape_control(names[pair['predicted']])}"
        for name, pair in zip(padded, pairs, strict=True)
    ]


def _format_interval(interval: list[float]) -> str:
    low, high = interval
    return f"[{100 * low:.1f}, {100 * high:.1f}]"
