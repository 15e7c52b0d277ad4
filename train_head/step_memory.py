"""Whether a training step fits in memory, as far as can be told before the first one."""

import math

import numpy as np
from absl import logging

from lrcn.common.devices import has_gpu
from lrcn.common.machine import find_memory_bytes
from train_head.clip_reader import ClipReader
from train_head.config import TrainConfig

# What a step takes at its peak, in float32 copies of its frames' features: batches that wait,
# normalisation, dropout, and what the gradients need. Seven were measured at 25,088 features.
_COPIES = 7
# The rest is for the weights and for clips that are kept decoded.
_PART_OF_MEMORY = 0.5
_GIB = 1 << 30
# Itself, its gradient, and what an optimizer keeps of each weight at least.
_COPIES_OF_WEIGHTS = 3


def check_weights(config: TrainConfig, feature_shape: tuple[int, ...]) -> None:
    """Checks that the weights of the FC layer, nearly all of a head's, can be learnt in memory.

    A GPU's memory has an error of its own.

    Raises:
        MemoryError: If not.
    """
    is_flat = config.frame_pooling == "flatten"
    num_weights = config.fc_units * (math.prod(feature_shape) if is_flat else feature_shape[-1])
    if not has_gpu():
        what = f"the {num_weights} weights of the FC layer, with their gradients and the optimizer,"
        _check_fits(_COPIES_OF_WEIGHTS * num_weights * 4, what)


def check_batches(reader: ClipReader, config: TrainConfig) -> None:
    """Warns where a batch of the longest clips may take more memory than there is.

    The system then ends the program without a word, hours after its start. A GPU's memory has an
    error of its own.

    Raises:
        MemoryError: If the features alone do, before anything is done with them.
    """
    lengths = reader.num_frames
    if config.sequence == "fixed":
        lengths = np.full(len(reader), config.seq_len)
    num_frames = int(np.sort(lengths)[-config.batch_size :].sum())
    batch_bytes = num_frames * math.prod(reader.feature_shape) * 4
    step_bytes, memory_bytes = _COPIES * batch_bytes, find_memory_bytes()
    _check_fits(batch_bytes, f"{num_frames} frames in one batch")
    if not has_gpu() and step_bytes > _PART_OF_MEMORY * memory_bytes:
        logging.warning(
            "A step over the longest clips, %d frames in one batch, takes some %.0f GiB, of %.0f "
            "that there are. If the program is ended without a word, lower --batch_size, or read "
            "fewer frames (--sequence=fixed, --seq_len; --fps or --frame_stride at extraction)",
            num_frames,
            step_bytes / _GIB,
            memory_bytes / _GIB,
        )


def _check_fits(taken_bytes: int, what: str) -> None:
    memory_bytes = find_memory_bytes()
    if taken_bytes > memory_bytes:
        raise MemoryError(
            f"{what} take {taken_bytes / _GIB:.0f} GiB, of {memory_bytes / _GIB:.0f} that there are"
        )
