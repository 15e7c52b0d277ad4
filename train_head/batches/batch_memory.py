"""The memory of batches, used again for later ones.

The system clears memory before it gives it, which takes longer than to copy the frames of kept
clips there.
"""

import contextlib
import ctypes
import weakref

import numpy as np

from train_head.batches.padding import allocate_aligned

_released: list[np.ndarray] = []


def take_memory(size_bytes: int) -> np.ndarray:
    """Gives [size_bytes] uint8, whatever they hold: those of a batch that nobody holds any more.

    Where there are none of this size, they are allocated, and what has another size is given back.
    """
    memory = _take_released(size_bytes)
    # All that is made of the array holds this object, TensorFlow's tensors included. Of a view of
    # the memory, or of a memoryview, NumPy would hold what lies beneath.
    lease = (ctypes.c_ubyte * size_bytes).from_buffer(memory)
    weakref.finalize(lease, _released.append, memory).atexit = False
    return np.frombuffer(lease, np.uint8)


def _take_released(size_bytes: int) -> np.ndarray:
    with contextlib.suppress(IndexError):  # none is left
        while (memory := _released.pop()).nbytes != size_bytes:
            pass
        return memory
    return allocate_aligned(size_bytes)
