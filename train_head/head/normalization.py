"""What brings features of any clip to a common scale."""

from typing import NamedTuple

import numpy as np


class FeatureStatistics(NamedTuple):
    """What brings features to a common scale: (asinh(x / scale) - mean) / sqrt(variance).

    Here x are the features of a clip that `scale_clip` has scaled. asinh is linear for small
    features and logarithmic for large ones of either sign, so the few that reach hundreds do not
    drown the rest. One variance serves all features: a variance of each blows up those that
    hardly ever fire, and did worse on real features (benchmarks/RECIPE.md).

    Attributes:
        scale: The mean of |x| over all features and frames, positive.
        mean: `feature_shape` float32, the mean of each asinh(x / scale).
        variance: The variance around it, over all features, positive.
    """

    scale: float
    mean: np.ndarray
    variance: float


def scale_clip(maps: np.ndarray) -> np.ndarray:
    """Does in NumPy what `layers.ScaleClip` does: [T, ...] float32 to the same."""
    length = np.linalg.norm(maps.reshape(len(maps), -1), axis=1).mean()
    return maps / length if length > 0 else maps
