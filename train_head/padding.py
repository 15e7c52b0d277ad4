"""Clips of different lengths as one array, with a mask that tells frames from padding."""

import math
from collections.abc import Callable, Sequence

import numpy as np

_ALIGNMENT_BYTES = 64  # of TensorFlow's own tensors


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
    lengths: Sequence[int], feature_shape: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Makes what `pad_clips` returns, with zeros where padding is and anything elsewhere."""
    mask = np.arange(max(lengths)) < np.asarray(lengths)[:, None]
    # Zeros that nobody writes, as nobody reads padding, take no memory: beside one long clip it is
    # most of a batch.
    make = np.empty if mask.all() else np.zeros
    return _allocate((*mask.shape, *feature_shape), make), mask


def _allocate(shape: tuple[int, ...], make: Callable) -> np.ndarray:
    """Allocates float16 numbers where TensorFlow can use them without a copy."""
    size_bytes = math.prod(shape) * np.dtype(np.float16).itemsize
    memory = make(size_bytes + _ALIGNMENT_BYTES, np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT_BYTES
    return memory[start : start + size_bytes].view(np.float16).reshape(shape)
