"""Statistics of the training split that the head normalises features with."""

import numpy as np

from train_head.input_pipeline import ClipReader

# A feature that hardly varies in training would otherwise turn its noise into large numbers.
_MIN_RELATIVE_STD = 0.1


def measure_features(reader: ClipReader) -> tuple[np.ndarray, np.ndarray]:
    """Measures mean and variance over all frames of the reader's clips, in one pass.

    The mean is taken for each feature (position and channel). The variance too, but not below a
    hundredth of the mean variance of all features.

    Args:
        reader: The clips of the training split.

    Returns:
        Mean and variance, each `feature_shape` float32; the variance is positive.
    """
    num_frames = 0
    total = np.zeros(reader.feature_shape, np.float64)
    squares = np.zeros(reader.feature_shape, np.float64)
    for clip_number in range(len(reader)):
        maps = reader.read(clip_number).astype(np.float32)
        num_frames += len(maps)
        total += maps.sum(axis=0, dtype=np.float64)
        squares += np.square(maps).sum(axis=0, dtype=np.float64)
    mean = total / num_frames
    variance = np.maximum(squares / num_frames - np.square(mean), 0.0)
    floor = _MIN_RELATIVE_STD**2 * variance.mean()
    # All features constant: any positive variance maps them to zero.
    variance = np.maximum(variance, floor if floor > 0 else 1.0)
    return mean.astype(np.float32), variance.astype(np.float32)
