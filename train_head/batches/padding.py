"""Clips of different lengths as one array, with a mask that tells frames from padding."""

import math
from collections.abc import Callable, Sequence

import numpy as np

_ALIGNMENT_BYTES = 64  # of TensorFlow's own tensors


def allocate_aligned(size_bytes: int, make: Callable = np.empty) -> np.ndarray:
    """Allocates [size_bytes] uint8 where TensorFlow can use them without a copy."""
    memory = make(size_bytes + _ALIGNMENT_BYTES, np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT_BYTES
    return memory[start : start + size_bytes]


def pad_clips(clips: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Right-pads clips with zeros to the longest.

    Args:
        clips: b arrays [T_i, ...] float16.

    Returns:
        [b, max T_i, ...] float16 and the mask [b, max T_i] bool, true for a clip's own frames.
    """
    maps, mask = allocate_padded([len(clip) for clip in clips], clips[0].shape[1:])
    for row, clip in zip(maps, clips, strict=True):
        row[: len(clip)] = clip
    return maps, mask


def allocate_padded(
    lengths: Sequence[int],
    feature_shape: tuple[int, ...],
    *,
    allocate: Callable[[int], np.ndarray] = allocate_aligned,
) -> tuple[np.ndarray, np.ndarray]:
    """Makes what `pad_clips` returns, with zeros where padding is and anything elsewhere.

    Args:
        lengths: The b numbers of frames.
        feature_shape: Shape of the features of one frame.
        allocate: From n to [n] uint8, whatever they hold, for clips of one length.
    """
    mask = np.arange(max(lengths)) < np.asarray(lengths)[:, None]
    size_bytes = mask.size * math.prod(feature_shape) * np.dtype(np.float16).itemsize
    # Zeros that nobody writes, as nobody reads padding, take no memory: beside one long clip it is
    # most of a batch.
    memory = allocate(size_bytes) if mask.all() else allocate_aligned(size_bytes, np.zeros)
    return memory.view(np.float16).reshape(*mask.shape, *feature_shape), mask
