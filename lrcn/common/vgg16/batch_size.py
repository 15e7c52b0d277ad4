"""How many images VGG16 should see at once on this machine, and may."""

import math
from collections.abc import Callable, Sequence

from absl import logging

from lrcn.common.programs.devices import has_gpu
from lrcn.common.programs.machine import check_fits
from lrcn.common.programs.tensorflow_start import import_tensorflow
from lrcn.common.vgg16.backbone import make_forward

tf = import_tensorflow()

_CPU_BATCH_SIZE = 16
_CPU_PIXELS = _CPU_BATCH_SIZE * 448**2  # of which two batches at once take 2.4 GiB
_GPU_BATCH_SIZES = (128, 64, 32, 16, 8, 4, 2, 1)
# TensorFlow counts what a convolution reads on a CPU with 32 bits, and crashes beyond.
_MAX_VALUES = 2**31 - 1


def find_batch_size(part) -> int:
    """Finds how many images bottom or top should see at once on this machine.

    On a CPU that is what `limit_batch_size` says; on a GPU the largest of 128, 64, 32, ... of which
    two fit in its memory at once, as an extraction has two in flight.

    Raises:
        MemoryError: If not even one image fits.
    """
    if not has_gpu():
        return limit_batch_size(part.input.shape[1])

    def try_two(batch_size: int) -> None:
        forward = make_forward(part, batch_size=2 * batch_size)
        forward(tf.zeros((2 * batch_size, *part.input.shape[1:]), part.input.dtype)).numpy()

    return find_first_that_fits(_GPU_BATCH_SIZES, try_two)


def limit_batch_size(image_size: int) -> int:
    """Returns how many images of S x S pixels a CPU should see at once.

    That is 16, as more is no faster from 112 px on, and less where they are so large that their
    feature maps would fill the memory.
    """
    return max(1, min(_CPU_BATCH_SIZE, _CPU_PIXELS // image_size**2))


def check_batch_size(vgg16, batch_size: int) -> None:
    """Checks that the network can see so many images at once.

    A GPU's memory has an error of its own.

    Raises:
        ValueError: If not, whatever the memory.
        MemoryError: If a layer's input and output are larger than that.
    """
    largest = max(math.prod(layer.output.shape[1:]) for layer in vgg16.layers)
    if batch_size * largest > _MAX_VALUES:
        raise ValueError(
            f"Expected a batch_size of at most {_MAX_VALUES // largest} images of this size, as a "
            f"layer gives {largest} values for each and TensorFlow takes 2^31 at once. Received: "
            f"{batch_size}. Lower it; more than some dozens are no faster."
        )
    if not has_gpu():
        size, value_bytes = vgg16.input.shape[1], tf.as_dtype(vgg16.layers[-1].compute_dtype).size
        flags = {"batch_size": batch_size} if batch_size > 1 else {}
        check_fits(
            2 * batch_size * largest * value_bytes,
            f"feature maps of images of {size} px in one batch",
            {**flags, "image_size": size},
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
