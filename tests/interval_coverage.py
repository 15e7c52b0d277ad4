"""How often intervals hold what is true."""

import numpy as np


def cover(find, truth, *, times=400):
    """How often an interval of what a random generator draws holds the truth."""
    rng = np.random.default_rng(0)
    intervals = np.array([find(rng) for _ in range(times)])
    return ((intervals[:, 0] <= truth) & (truth <= intervals[:, 1])).mean()
