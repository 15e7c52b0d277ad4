"""Intervals of scores by the bootstrap: what they might have been with another draw of clips.

Percentile intervals as in Efron and Tibshirani 1993, "An Introduction to the Bootstrap", ch. 13.
"""

from collections.abc import Sequence

import numpy as np

_RESAMPLES = 2000
_SEED = 0
_PERCENTILES = (2.5, 97.5)


def draw_counts(chances: np.ndarray, *, num_drawn: int, stream: int = 0) -> np.ndarray:
    """Draws with replacement, again and again, and counts how often each kind comes.

    Args:
        chances: [kinds] float, that one draw gives this kind; they sum to 1.
        num_drawn: Draws of a resample.
        stream: Another number gives draws that have nothing to do with these.

    Returns:
        [2000, kinds] int64, a row for each resample; the same for the same arguments.
    """
    rng = np.random.default_rng([_SEED, stream])
    return rng.multinomial(num_drawn, chances, size=_RESAMPLES)


def find_interval(resampled: np.ndarray) -> list[float]:
    """Returns the 95 % interval [low, high] of a score's resampled values."""
    return np.percentile(resampled, _PERCENTILES).tolist()


def find_share_interval(resampled: np.ndarray, *, num_drawn: int) -> list[float]:
    """As `find_interval`, of a score in [0, 1] of which each draw is right, wrong or in between.

    Where all are right, or all wrong, no resample differs, and four right clips of four would be
    [1, 1]. The interval is then the exact one, [0.025^(1/n), 1] or [0, 1 - 0.025^(1/n)]: Clopper
    and Pearson 1934, "The Use of Confidence or Fiducial Limits".

    Args:
        resampled: Values of the score.
        num_drawn: Draws of a resample, n.
    """
    low, high = find_interval(resampled)
    unseen = _find_unseen_share(num_drawn)
    if low == 1:
        return [1 - unseen, 1.0]
    if high == 0:
        return [0.0, unseen]
    return [low, high]


def _find_unseen_share(num_drawn: int) -> float:
    """The largest share of all that clips may have of which none is among so many."""
    return 1 - (_PERCENTILES[0] / 100) ** (1 / num_drawn)


def sum_groups(rows: np.ndarray, groups: Sequence[str] | None) -> np.ndarray | None:
    """Adds up what clips of one group give: they are right or wrong together, so drawn together.

    Args:
        rows: [N, ...], of each clip.
        groups: N names, such as of source videos.

    Returns:
        [G, ...] float64; None where there are no groups, each clip is one, or all are one.
    """
    if groups is None:
        return None
    names, group_ids = np.unique(np.asarray(groups), return_inverse=True)
    if len(names) in (1, len(rows)):
        return None
    sums = np.zeros((len(names), *rows.shape[1:]))
    np.add.at(sums, group_ids, rows)
    return sums


def bootstrap_difference(
    first: np.ndarray, second: np.ndarray, *, groups: Sequence[str] | None = None
) -> dict[str, float]:
    """Measures how much better the first model is than the second, on the same clips.

    Clips, or their groups, and seeds are drawn anew, independently of each other; both models
    always share the draw, so a clip that is hard for both does not widen the interval. Of few
    seeds the spread is hardly known: the interval is then rather too narrow than too wide.

    What no clip shows no resample shows, however few they are. So where all differ alike, or none
    differs to one side and the interval ends at 0 there, as many clips as may be unseen
    (`find_share_interval`) are taken to differ as much as can be the other way.

    Args:
        first: [S, N] bool, whether the first model is right; a row a seed, a column a clip.
        second: The same of the second model.
        groups: As `sum_groups`.

    Returns:
        `mean` of the difference in accuracy, and its 95 % interval's `low` and `high`, in [-1, 1].
    """
    difference = first.astype(np.float64) - second
    num_seeds, num_clips = difference.shape
    # A row for each that is drawn: its difference with each seed, and its number of clips.
    drawn = np.concatenate([difference, np.ones((1, num_clips))]).T
    grouped = sum_groups(drawn, groups)
    drawn = drawn if grouped is None else grouped
    # Those on which all is alike are one kind, so that 20,000 clips are as quick as 200.
    kinds, num_alike = np.unique(drawn, axis=0, return_counts=True)
    counts = draw_counts(num_alike / len(drawn), num_drawn=len(drawn))
    seeds = draw_counts(np.full(num_seeds, 1 / num_seeds), num_drawn=num_seeds, stream=1)
    sums = ((seeds @ kinds[:, :-1].T) * counts).sum(axis=1) / num_seeds
    low, high = find_interval(sums / (counts @ kinds[:, -1]))
    mean, unseen = float(difference.mean()), _find_unseen_share(len(drawn))
    of_drawn = kinds[:, :-1].mean(axis=1)
    if np.isclose(low, high):
        low, high = mean * (1 - unseen) - unseen, mean * (1 - unseen) + unseen
    elif low == 0 and of_drawn.min() >= 0:
        low = -unseen
    elif high == 0 and of_drawn.max() <= 0:
        high = unseen
    return {"mean": mean, "low": low, "high": high}
