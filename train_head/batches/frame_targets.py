"""What a batch is trained and scored against where every frame has a label."""

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from train_head.batches.frame_choice import ChosenFrames
from train_head.labels.frame_labels import UNLABELLED


class FrameTargets:
    """Gives batches the class ids of their frames, and what each frame weighs in the loss.

    Each of the n labelled frames that an epoch reads is to count 1 / n, whatever shares its batch.
    Keras does otherwise: it divides the losses of a batch by its b * T frames, padding among them,
    and the mean over an epoch counts a batch by its b of the N rows. A weight of T * N / n undoes
    both. Padding, and frames without a label, have the weight 0.

    Attributes:
        arrays: The dtype and the number of axes of each array of a batch.
    """

    arrays = ((np.int32, 2), (np.float32, 2))

    def __init__(
        self,
        class_ids: Sequence[np.ndarray],
        *,
        count_epoch: Callable[[int], tuple[int, int]],
        class_weights: np.ndarray | None = None,
    ):
        """Notes what to count.

        Args:
            class_ids: [T] int32 of each clip, see `frame_labels`.
            count_epoch: Gives of an epoch its rows, N, and the labelled frames that these read, n.
            class_weights: [K], how much more a frame of each class counts; None: all alike.
        """
        self._class_ids = class_ids
        self._count_epoch = count_epoch
        self._class_weights = class_weights

    def make_batch(
        self, epoch: int, chosen: Sequence[ChosenFrames]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Makes the targets of a batch.

        Args:
            epoch: Which it is of.
            chosen: What is read for each of the b rows.

        Returns:
            [b, T] int32 class ids, and [b, T] float32 weights, 0 for frames that do not count.
        """
        rows = list(_iter_read(self._class_ids, chosen))
        padded = np.full((len(rows), max(map(len, rows))), UNLABELLED, np.int32)
        for row, class_ids in zip(padded, rows, strict=True):
            row[: len(class_ids)] = class_ids
        num_rows, num_labelled = self._count_epoch(epoch)
        scale = padded.shape[1] * num_rows / max(num_labelled, 1)
        weights = (padded != UNLABELLED).astype(np.float32) * scale
        # A class that a loss can be computed of; its weight is 0.
        padded[padded == UNLABELLED] = 0
        if self._class_weights is not None:
            weights *= self._class_weights[padded]
        return padded, weights.astype(np.float32)


def count_labelled(
    class_ids: Sequence[np.ndarray], chosen: Iterable[ChosenFrames]
) -> tuple[int, int]:
    """Counts rows of an epoch, and the labelled frames that they read; arguments as above."""
    counts = [np.count_nonzero(read != UNLABELLED) for read in _iter_read(class_ids, chosen)]
    return len(counts), sum(counts)


def _iter_read(
    class_ids: Sequence[np.ndarray], chosen: Iterable[ChosenFrames]
) -> Iterator[np.ndarray]:
    """Yields the class ids of the frames that each row reads, [T]."""
    for clip_number, frames, _ in chosen:
        yield class_ids[clip_number] if frames is None else class_ids[clip_number][frames]


def balance_classes(class_ids: Sequence[np.ndarray]) -> np.ndarray:
    """Returns weights with which all classes count alike, [K] float64.

    Their mean over all that have a label is 1. A class id is of a clip, or of a frame; there is one
    of every class.
    """
    labelled = np.concatenate(class_ids)
    counts = np.bincount(labelled[labelled != UNLABELLED])
    return counts.sum() / (len(counts) * counts)
