"""Late fusion: the predictions of several runs for the same clips, averaged.

Donahue et al. 2015 (LRCN, section 4.1) average the predictions of a network on RGB frames and one
on optical flow so, and weigh the better one more.
"""

import math

import numpy as np
from absl import logging

from lrcn.common.cache.run_dir import RunDir
from lrcn.common.programs.wording import pad_names
from train_head.scores.metrics import compute_metrics
from train_head.scores.prediction_file import Predictions
from train_head.scores.score_file import read_scores

# Of many names that differ, so many are told.
_SHOWN_NAMES = 3


def warn_of_changed_clips(named: dict[str, Predictions], *, split: str) -> None:
    """Warns where runs were scored on one cache whose clips changed between the two scores.

    Args:
        named: {folder of the run: its predictions}.
        split: Whose predictions they are.
    """
    known = {}
    for name, predictions in named.items():
        path = RunDir(name).metrics_path(split)
        origin = read_scores(path).get("provenance", {}) if path.exists() else {}
        if "sources" in origin:
            # In another order, the same clips have another digest.
            clips = (origin["cache_dir"], *predictions.clip_ids)
            first, sources = known.setdefault(clips, (name, origin["sources"]))
            if sources != origin["sources"]:
                logging.warning(
                    "%s and %s were scored on other contents of these clips. If it was one cache, "
                    "%s, they changed in between: score both again (train_head.evaluate)",
                    first,
                    name,
                    origin["cache_dir"],
                )


def fuse_predictions(named: dict[str, Predictions], weights: list[float]) -> Predictions:
    """Averages predictions by weight. Clips and classes are matched by name, in any order.

    Args:
        named: {name of the run: its predictions}, at least two.
        weights: One a run, positive; their sum does not matter.

    Returns:
        The average, clips and classes in the order of the first run.

    Raises:
        ValueError: If there are fewer than two runs, a weight is missing or not positive, or clips,
            labels or classes of the runs differ.
    """
    if len(named) < 2:
        raise ValueError(
            f"Expected at least two different runs to fuse. Received: {[*named]}. Name another."
        )
    if len(weights) != len(named) or not all(math.isfinite(x) and x > 0 for x in weights):
        raise ValueError(
            f"Expected a positive weight for each of the {len(named)} runs. Received: {weights}. "
            "Give as many, such as 2,1, or none for equal ones."
        )
    (first_name, first), *others = named.items()
    shares = _find_shares(weights)
    total = first.probabilities * shares[0]
    for (name, other), share in zip(others, shares[1:], strict=True):
        both = f"{first_name} and {name}"
        columns = _match(first.class_names, other.class_names, what="classes", both=both)
        rows = _match(first.clip_ids, other.clip_ids, what="clips", both=both)
        for clip_id, label, row in zip(first.clip_ids, first.labels, rows, strict=True):
            if other.labels[row] != label:
                raise ValueError(
                    f"{both}: expected the same label for every clip. Received: {clip_id} is "
                    f"{label!r} in the one and {other.labels[row]!r} in the other. Train both on "
                    "the same labels."
                )
        total = total + other.probabilities[np.ix_(rows, columns)] * share
    return Predictions(first.clip_ids, first.labels, first.class_names, total)


def format_fusion(named: dict[str, Predictions], weights: list[float], fused: Predictions) -> str:
    """Renders the scores of each run and of the fusion as a table for a terminal."""
    shares = [f"{share:.2f}" for share in _find_shares(weights)]
    rows = [*zip(named, shares, named.values(), strict=True), ("fusion", "", fused)]
    heading, *names = pad_names(["run", *(name for name, _, _ in rows)])
    # Of five classes, every clip's is among the five most probable.
    has_top5 = len(fused.class_names) > 5
    top5 = "   top-5" if has_top5 else ""
    lines = [f"{heading}  weight  clips   top-1{top5}  mean class accuracy"]
    for name, (_, share, predictions) in zip(names, rows, strict=True):
        scores = compute_metrics(
            predictions.probabilities, predictions.class_ids, predictions.class_names
        )
        top5 = f"  {scores['top5']:6.1%}" if has_top5 else ""
        lines.append(
            f"{name}  {share:>6}  {scores['num_clips']:5}  {scores['top1']:6.1%}{top5}  "
            f"{scores['mean_class_accuracy']:19.1%}"
        )
    return "\n".join(lines)


def _find_shares(weights: list[float]) -> np.ndarray:
    parts = np.array(weights) / max(weights)  # so that their sum stays finite
    return parts / parts.sum()


def _match(wanted: list[str], received: list[str], *, what: str, both: str) -> list[int]:
    """Returns where each wanted name stands among the received ones."""
    places = {name: place for place, name in enumerate(received)}
    missing = [name for name in wanted if name not in places]
    extra = sorted(set(received) - set(wanted))
    if missing or extra:
        counts = ", ".join(
            f"{len(names)} only in the {which}, such as {names[:_SHOWN_NAMES]}"
            for which, names in (("first", missing), ("second", extra))
            if names
        )
        raise ValueError(
            f"{both}: expected the same {what}. Received: {counts}. Fuse runs of one data set and "
            "split."
        )
    return [places[name] for name in wanted]
