"""95 % confidence intervals: what scores might have been with other test clips of the same kind.

Closed formulas, of which the same scores always give the same. They are rather too wide than too
narrow, and widen as fewer clips, or groups of clips that are right or wrong together, were seen.
"""

import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

_TAIL = 0.025


def find_exact_interval(num_right: float, num_drawn: float) -> list[float]:
    """Returns [low, high] of the share that is right, of which so many of so many drawn are.

    Clopper and Pearson 1934, "The Use of Confidence or Fiducial Limits". Four right clips of four
    are [0.398, 1].

    Args:
        num_right: In [0, num_drawn]; like the other it need not be a whole number.
        num_drawn: Above 0.
    """
    num_wrong = num_drawn - num_right
    low = stats.beta.ppf(_TAIL, num_right, num_wrong + 1) if num_right > 0 else 0.0
    high = stats.beta.ppf(1 - _TAIL, num_right + 1, num_wrong) if num_wrong > 0 else 1.0
    return [float(low), float(high)]


def find_ratio_interval(parts: np.ndarray, wholes: np.ndarray) -> list[float]:
    """Returns [low, high] of sum(parts) / sum(wholes), of which whole rows are drawn.

    The exact interval for as many independent draws as tell as much (Korn and Graubard 1998,
    "Confidence Intervals for Proportions with Small Expected Number of Positive Counts Estimated
    from Survey Data"). Where all is right, or all wrong, each row is one. One row alone says
    nothing of others: [0, 1].

    Args:
        parts: [G] float, such as the right clips of each group.
        wholes: [G] float, such as all clips of each, at least `parts`.
    """
    num_rows = len(parts)
    if num_rows < 2:
        return [0.0, 1.0]
    total = wholes.sum()
    share = parts.sum() / total
    if share in (0, 1):
        return find_exact_interval(share * num_rows, num_rows)
    variance, freedom = _find_variance((parts - share * wholes) / total, wholes)
    num_drawn = total
    if variance > 0:
        num_drawn = min(total, share * (1 - share) / variance)
    # Fewer, as the variance is known from few rows.
    num_drawn *= (_find_t(max(total, num_rows) - 1) / _find_t(freedom)) ** 2
    return find_exact_interval(share * num_drawn, num_drawn)


def find_mean_interval(
    values: Sequence[float], intervals: Sequence[Sequence[float]]
) -> list[float]:
    """Returns [low, high] of the mean of values that know nothing of each other.

    Zou and Donner 2008, "Construction of confidence limits about effect measures: a general
    approach" (Statistics in Medicine 27): distances to the limits add up as the sides of a right
    angle do.

    Args:
        values: [K], such as the recalls of classes.
        intervals: [K, 2], of each.
    """
    distances = np.abs(np.asarray(intervals) - np.asarray(values)[:, None])
    low, high = np.sqrt(np.square(distances).sum(axis=0)) / len(values)
    mean = float(np.mean(values))
    return [max(0.0, mean - float(low)), min(1.0, mean + float(high))]


def find_grouped_mean_interval(right: np.ndarray, total: np.ndarray) -> list[float]:
    """Returns [low, high] of the mean recall of K classes, whose clips come in groups.

    Two intervals are made, and to each side the wider one is taken. The first joins those of the
    classes, and is wide where few groups have a class. It takes classes as independent. The second
    adds up the errors of each group over all classes, and is wide where a group that is bad at one
    class is bad at others.

    Args:
        right: [G, K] float, the right clips of each group and class.
        total: [G, K] float, all of them. Classes without clips do not count.
    """
    seen = total.sum(axis=0) > 0
    right, total = right[:, seen], total[:, seen]
    recalls = right.sum(axis=0) / total.sum(axis=0)
    of_classes = []
    for k in range(len(recalls)):
        has = total[:, k] > 0
        of_classes.append(find_ratio_interval(right[has, k], total[has, k]))
    low, high = find_mean_interval(recalls, of_classes)
    # The mean as a sum over groups, to first order.
    errors = ((right - recalls * total) / total.sum(axis=0)).mean(axis=1)
    mean = float(recalls.mean())
    # By what a group is of the mean: of each class, which weigh the same, its clips.
    variance, freedom = _find_variance(errors, (total / total.sum(axis=0)).sum(axis=1))
    reach = float(_find_t(freedom) * np.sqrt(variance))
    return [max(0.0, min(low, mean - reach)), min(1.0, max(high, mean + reach))]


def measure_difference(
    first: np.ndarray, second: np.ndarray, *, groups: Sequence[str] | None = None
) -> dict[str, float]:
    """Measures how much better the first model is than the second, on the same clips.

    The interval is Student's, of two things that are drawn: clips, or their groups, and seeds. Both
    models share the clips, so one that is hard for both does not widen it. Its degrees of freedom
    are Satterthwaite's (1946, "An Approximate Distribution of Estimates of Variance Components").

    A variance tells only of what was seen. Where no clip differs to one side, or all differ alike,
    there may be others all the same: a share up to the upper limit of `find_exact_interval` for
    none of so many. That share is taken to differ as much as it can, and this distance is joined
    with the other as in `find_mean_interval`.

    Args:
        first: [S, N] bool, whether the first model is right; a row a seed, a column a clip.
        second: The same of the second model.
        groups: As `sum_groups`.

    Returns:
        `mean` of the difference in accuracy, and its 95 % interval's `low` and `high`, in [-1, 1].
    """
    difference = first.astype(np.float64) - second
    num_seeds, num_clips = difference.shape
    # A row for each that is drawn: the sum of its clips' differences, and their number, over all
    # seeds: whole numbers, of which a sum that is 0 is not a little less.
    drawn = np.stack([difference.sum(axis=0), np.full(num_clips, num_seeds)], axis=1)
    grouped = sum_groups(drawn, groups)
    sums, sizes = (drawn if grouped is None else grouped).T
    mean, num_drawn = float(difference.mean()), len(sums)
    if num_drawn < 2:
        return {"mean": mean, "low": -1.0, "high": 1.0}
    errors = (sums - mean * sizes) / difference.size
    variance, freedom = _find_variance(errors, sizes)
    reach = _find_reach([variance, _find_seed_variance(difference)], [freedom, num_seeds - 1])
    unseen = find_exact_interval(0, num_drawn)[1]
    is_alike = np.allclose(errors, 0)
    below = math.hypot(reach, unseen * (1 + mean) if is_alike or sums.min() >= 0 else 0)
    above = math.hypot(reach, unseen * (1 - mean) if is_alike or sums.max() <= 0 else 0)
    return {"mean": mean, "low": max(-1.0, mean - below), "high": min(1.0, mean + above)}


def sum_groups(rows: np.ndarray, groups: Sequence[str] | None) -> np.ndarray | None:
    """Adds up what clips of one group give: they are right or wrong together, so drawn together.

    Args:
        rows: [N, ...], of each clip.
        groups: N names, such as of source videos.

    Returns:
        [G, ...] float64; None where there are no groups, each clip is one, or all are one.
    """
    group_ids = number_groups(groups)
    if group_ids is None:
        return None
    sums = np.zeros((group_ids.max() + 1, *rows.shape[1:]))
    np.add.at(sums, group_ids, rows)
    return sums


def number_groups(groups: Sequence[str] | None) -> np.ndarray | None:
    """Numbers the groups of N clips, [N] int64 from 0; None as `sum_groups`."""
    if groups is None:
        return None
    names, group_ids = np.unique(np.asarray(groups), return_inverse=True)
    return None if len(names) in (1, len(groups)) else group_ids


def is_one_group(groups: Sequence[str] | None) -> bool:
    """Whether several clips are all of one group, so that no interval tells of others."""
    return groups is not None and len(groups) > 1 and len(set(groups)) == 1


def _find_variance(errors: np.ndarray, sizes: np.ndarray) -> tuple[float, float]:
    """Returns the variance of a mean over rows of unlike size, and its degrees of freedom.

    The variance is the jackknife's, which leaves each row out in turn: a large row draws the mean
    towards itself, so its own error looks too small. The degrees of freedom are Kish's effective
    number of rows (1965, "Survey Sampling"), less one: a large row beside many small ones is hardly
    more than one. For rows of equal size, both are the usual ones.

    Args:
        errors: [G], what each row adds to the mean's error, to first order.
        sizes: [G], above 0, of at least two rows, in any unit.
    """
    parts = sizes / sizes.sum()
    variance = (len(parts) - 1) / len(parts) * np.square(errors / (1 - parts)).sum()
    return float(variance), float(1 / np.square(parts).sum() - 1)


def _find_seed_variance(difference: np.ndarray) -> float:
    """Of the mean over the seeds, [S, N]; 0 of one, whose luck cannot be told."""
    num_seeds = len(difference)
    return float(difference.mean(axis=1).var(ddof=1) / num_seeds) if num_seeds > 1 else 0.0


def _find_reach(variances: Sequence[float], freedoms: Sequence[int]) -> float:
    """How far the interval of a mean reaches whose variance is the sum of these."""
    known = [(v, f) for v, f in zip(variances, freedoms, strict=True) if v > 0]
    if not known:
        return 0.0
    total = sum(v for v, _ in known)
    return float(_find_t(total**2 / sum(v**2 / f for v, f in known)) * np.sqrt(total))


def _find_t(freedom: float) -> float:
    return float(stats.t.ppf(1 - _TAIL, freedom))
