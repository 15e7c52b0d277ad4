"""How many images VGG16 should see at once on this machine, and may."""

import math
from collections.abc import Callable, Sequence

from absl import logging

from lrcn.common.backbone import make_forward
from lrcn.common.devices import has_gpu
from lrcn.common.tensorflow_start import import_tensorflow

tf = import_tensorflow()

_CPU_BATCH_SIZE = 16
_GPU_BATCH_SIZES = (128, 64, 32, 16, 8, 4, 2, 1)
# TensorFlow counts what a convolution reads on a CPU with 32 bits, and crashes beyond.
_MAX_VALUES = 2**31 - 1


def find_batch_size(part) -> int:
    """Finds how many images bottom or top should see at once on this machine.

    That is 16 on a CPU, where more is no faster from 112 px on; on a GPU the largest of 128, 64,
    32, ... of which two fit in its memory at once, as an extraction has two in flight.

    Raises:
        MemoryError: If not even one image fits.
    """
    if not has_gpu():
        return _CPU_BATCH_SIZE

    def try_two(batch_size: int) -> None:
        forward = make_forward(part, batch_size=2 * batch_size)
        forward(tf.zeros((2 * batch_size, *part.input.shape[1:]), part.input.dtype)).numpy()

    return find_first_that_fits(_GPU_BATCH_SIZES, try_two)


def check_batch_size(vgg16, batch_size: int) -> None:
    """Checks that the network can see so many images at once, whatever the memory.

    Raises:
        ValueError: If not.
    """
    largest = max(math.prod(layer.output.shape[1:]) for layer in vgg16.layers)
    if batch_size * largest > _MAX_VALUES:
        raise ValueError(
            f"Expected a batch_size of at most {_MAX_VALUES // largest} images of this size, as a "
            f"layer gives {largest} values for each and TensorFlow takes 2^31 at once. Received: "
            f"{batch_size}. Lower it; more than some dozens are no faster."
        )


def find_first_that_fits(sizes: Sequence[int], run: Callable[[int], object]) -> int:
    """Returns the first size with which `run` does not run out of memory.

    Raises:
        MemoryError: If it does with all of them.
    """
    for size in sizes:
        try:
            run(size)
        except tf.errors.ResourceExhaustedError:
            logging.info("%d images at once do not fit in memory", size)
        else:
            return size
    raise MemoryError(f"not even {sizes[-1]} image at once fits")
