"""One batch: its clips read into one array, and what they are trained and scored against."""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from train_head.batches.batch_memory import take_memory
from train_head.batches.clip_reader import ClipReader
from train_head.batches.frame_choice import ChosenFrames
from train_head.batches.frame_targets import FrameTargets
from train_head.batches.padding import allocate_padded


class ClipTargets:
    """Gives batches the class ids of their clips, and weights if any.

    Attributes:
        arrays: The dtype and the number of axes of each array of a batch.
    """

    def __init__(self, class_ids: np.ndarray, weights: np.ndarray | None):
        """Takes the [N] class ids of all clips, and their [N] weights in the loss."""
        self._values = [np.asarray(class_ids, np.int32)]
        if weights is not None:
            self._values.append(weights.astype(np.float32))
        self.arrays = [(x.dtype, x.ndim) for x in self._values]

    def make_batch(self, _epoch: int, chosen: Sequence[ChosenFrames]) -> list[np.ndarray]:
        """Makes the targets of a batch of b rows: [b] int32, and weights [b] float32."""
        clip_numbers = [x.clip_number for x in chosen]
        return [values[clip_numbers] for values in self._values]


@dataclasses.dataclass(frozen=True, kw_only=True)
class BatchLoader:
    """Loads any batch of draws.

    A batch that the devices cannot share equally is filled up by some of its rows once more, with
    weight 0, and the weights of the others grow.

    Attributes:
        reader: The clips.
        choose_frames: From an epoch and a draw to what is read for it.
        targets: What the draws are trained and scored against; of several devices with weights.
        num_devices: How many share a batch.
        find_scale: From the rows of a batch, and to how many it is filled up, to what its weights
            are multiplied by.
    """

    reader: ClipReader
    choose_frames: Callable[[int, int], ChosenFrames]
    targets: ClipTargets | FrameTargets
    num_devices: int
    find_scale: Callable[[int, int], float]

    def load(self, epoch: int, draws: np.ndarray) -> tuple[np.ndarray, ...]:
        """Loads the batch of [b] int64 draws.

        Returns:
            Feature maps [B, T, ...] float16, the mask [B, T] bool of those that are no padding, and
            the targets. B is b, rounded up to a multiple of the devices.
        """
        chosen = [self.choose_frames(int(epoch), int(draw)) for draw in draws]
        lengths = [
            int(self.reader.num_frames[x.clip_number]) if x.frames is None else len(x.frames)
            for x in chosen
        ]
        num_rows, num_filled = len(draws), round_up(len(draws), self.num_devices)
        maps, mask = allocate_padded(
            np.resize(lengths, num_filled), self.reader.feature_shape, allocate=take_memory
        )
        self.reader.read_many(chosen, [maps[row, :x] for row, x in enumerate(lengths)])
        for row in range(num_rows, num_filled):
            maps[row] = maps[row - num_rows]
        targets = self.targets.make_batch(int(epoch), chosen)
        if self.num_devices > 1:
            scale = self.find_scale(num_rows, num_filled)
            targets = _fill_targets(*targets, num_filled=num_filled, scale=scale)
        return maps, mask, *targets


def round_up(number: int, multiple: int) -> int:
    """Returns the lowest multiple that is not below the number."""
    return -(-number // multiple) * multiple


def _fill_targets(
    class_ids: np.ndarray, weights: np.ndarray, *, num_filled: int, scale: float
) -> tuple[np.ndarray, np.ndarray]:
    """Adds rows that count nothing, and multiplies the weights of the others."""
    filled = np.zeros((num_filled, *weights.shape[1:]), np.float32)
    filled[: len(weights)] = weights * scale
    return np.resize(class_ids, filled.shape), filled
