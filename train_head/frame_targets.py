"""What a batch is trained and scored against where every frame has a label."""

from collections.abc import Sequence

import numpy as np

from train_head.config import TrainConfig
from train_head.frame_labels import UNLABELLED


class FrameTargets:
    """Gives batches the class ids of their frames, and what each frame weighs in the loss.

    Keras divides the weighted losses of a batch by its b * T frames, padding among them, and the
    sum over an epoch by its N rows. Weights of T * N / n, where n of all frames that are read have
    a label, undo both: each labelled frame counts 1 / n of the epoch, whatever shares its batch,
    and frames without a label, and padding, count nothing.

    Attributes:
        arrays: The dtype and the number of axes of each array of a batch.
    """

    arrays = ((np.int32, 2), (np.float32, 2))

    def __init__(
        self,
        class_ids: Sequence[np.ndarray],
        *,
        num_rows: int,
        num_labelled: float,
        num_counted: int | None = None,
        class_weights: np.ndarray | None = None,
    ):
        """Notes what to count.

        Args:
            class_ids: [T] int32 of each clip, see `frame_labels`.
            num_rows: Rows of an epoch, N.
            num_labelled: Labelled frames that these rows read, n, or how many are expected.
            num_counted: From this draw on rows fill up a batch and count nothing; None: all count.
            class_weights: [K], how much more a frame of each class counts; None: all alike.
        """
        self._class_ids = class_ids
        self._scale = num_rows / max(num_labelled, 1)
        self._num_counted = num_counted
        self._class_weights = class_weights

    def make_batch(
        self, draws: np.ndarray, chosen: Sequence[tuple[int, np.ndarray | None]]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Makes the targets of a batch.

        Args:
            draws: [b] int64.
            chosen: The clip's number of each draw, and its frames, or None for all.

        Returns:
            [b, T] int32 class ids, and [b, T] float32 weights, 0 for frames that do not count.
        """
        rows = []
        for draw, (clip_number, frames) in zip(draws, chosen, strict=True):
            class_ids = self._class_ids[clip_number]
            class_ids = class_ids if frames is None else class_ids[frames]
            is_filling = self._num_counted is not None and draw >= self._num_counted
            rows.append(np.full_like(class_ids, UNLABELLED) if is_filling else class_ids)
        padded = np.full((len(rows), max(map(len, rows))), UNLABELLED, np.int32)
        for row, class_ids in zip(padded, rows, strict=True):
            row[: len(class_ids)] = class_ids
        weights = (padded != UNLABELLED).astype(np.float32) * padded.shape[1] * self._scale
        # A class that a loss can be computed of; its weight is 0.
        padded[padded == UNLABELLED] = 0
        if self._class_weights is not None:
            weights *= self._class_weights[padded]
        return padded, weights.astype(np.float32)


def expect_labelled(class_ids: Sequence[np.ndarray], config: TrainConfig) -> float:
    """Returns how many labelled frames an epoch of training reads, on average over its draws."""
    labelled_parts = np.array([np.mean(x != UNLABELLED) for x in class_ids])
    if config.sequence == "fixed":
        return float(config.seq_len * labelled_parts.sum())
    # Of a random span each frame is as likely to be dropped, but one stays, see `sampling`.
    span_lengths = np.array([len(x) for x in class_ids]) * (1 + config.min_span) / 2
    kept = span_lengths * (1 - config.drop_frames) + config.drop_frames**span_lengths
    return float((labelled_parts * kept).sum())


def balance_classes(class_ids: Sequence[np.ndarray]) -> np.ndarray:
    """Returns weights with which all classes count alike, [K] float64, of mean 1 over frames."""
    labelled = np.concatenate(class_ids)
    counts = np.bincount(labelled[labelled != UNLABELLED])
    return counts.sum() / (np.count_nonzero(counts) * np.maximum(counts, 1))
