"""Which clips make the batches of an epoch: numbers only, nothing is read.

A draw is a clip's turn in an epoch: draw d is of clip d % N. Only balanced sampling gives a clip
several turns; d // N counts them, so that each can be augmented in a way of its own.
"""

from collections.abc import Sequence

import numpy as np

from train_head.run.config import TrainConfig

# Shuffled clips are sorted by length inside windows of so many batches: long enough to make
# batches of like lengths, short enough to leave the order of batches random.
_WINDOW_BATCHES = 8


def count_batches(num_clips: int, config: TrainConfig) -> int:
    """Returns the batches in a pass over the clips, a smaller last one included."""
    return -(-num_clips // config.batch_size)


def plan_epoch(
    num_frames: np.ndarray, class_ids: Sequence, config: TrainConfig, *, epoch: int
) -> list[np.ndarray]:
    """Plans a training epoch of N draws, decided by (seed, epoch).

    Without balanced sampling each clip is drawn once. A last smaller batch is kept.

    Args:
        num_frames: [N] int64, T of each clip.
        class_ids: [N] int32; only balanced sampling looks at them.
        config: Sequence, balance, batch size and seed.
        epoch: From 0.

    Returns:
        [b] int64 draws for each batch.
    """
    num_clips, size = len(num_frames), config.batch_size
    rng = np.random.default_rng([config.seed, epoch])
    if config.balanced_sampling:
        order = _draw_balanced(class_ids, rng)
    else:
        order = rng.permutation(num_clips)
    if config.sequence == "fixed":
        return [order[i : i + size] for i in range(0, num_clips, size)]
    batches = []
    for start in range(0, num_clips, _WINDOW_BATCHES * size):
        window = order[start : start + _WINDOW_BATCHES * size]
        window = window[np.argsort(num_frames[window % num_clips], kind="stable")]
        batches += [window[i : i + size] for i in range(0, len(window), size)]
    return [batches[i] for i in rng.permutation(len(batches))]


def plan_evaluation(num_frames: np.ndarray, config: TrainConfig) -> list[np.ndarray]:
    """Plans one pass over rows in their order.

    A batch ends early where it would be more padding than frames: one long clip among short ones
    takes many times the memory of its frames.

    Args:
        num_frames: [R] int64, T of each row.
        config: Batch size.

    Returns:
        [b] int64 rows for each batch.
    """
    starts, longest, total = [0], 0, 0
    for row, length in enumerate(num_frames.tolist()):
        size = row - starts[-1] + 1
        longest, total = max(longest, length), total + length
        if size > config.batch_size or size * longest > 2 * total:
            starts.append(row)
            longest = total = length
    return np.split(np.arange(len(num_frames)), starts[1:])


def _draw_balanced(class_ids: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draws N times: all classes equally often, give or take one, and so the clips of a class."""
    num_clips = len(class_ids)
    # Shuffled, so that it is not always the same classes that get one more.
    classes = rng.permutation(np.unique(class_ids))
    shares = np.array_split(np.arange(num_clips), len(classes))
    drawn = []
    for class_id, share in zip(classes, shares, strict=True):
        clips = np.flatnonzero(class_ids == class_id)
        num_turns = -(-len(share) // len(clips))
        draws = [rng.permutation(clips) + turn * num_clips for turn in range(num_turns)]
        drawn += np.concatenate([*draws, []])[: len(share)].tolist()
    return rng.permutation(np.array(drawn, np.int64))
