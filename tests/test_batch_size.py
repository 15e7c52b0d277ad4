"""Tests how many images VGG16 sees at once where nobody says."""

import pytest

from lrcn.common.batch_size import find_first_that_fits
from lrcn.common.devices import import_tensorflow

tf = import_tensorflow()


def make_memory(num_images):
    """Returns a function that runs out of memory as TensorFlow does, and the sizes it was given."""
    tried = []

    def run(size):
        tried.append(size)
        if size > num_images:
            raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")

    return run, tried


def test_the_largest_batch_that_fits_is_taken():
    run, tried = make_memory(40)
    assert find_first_that_fits((128, 64, 32, 16), run) == 32
    assert tried == [128, 64, 32]


def test_no_memory_at_all_is_said():
    run, _ = make_memory(0)
    with pytest.raises(MemoryError, match="not even 1 image at once fits"):
        find_first_that_fits((2, 1), run)


def test_other_errors_are_not_taken_for_a_lack_of_memory():
    with pytest.raises(ZeroDivisionError):
        find_first_that_fits((2, 1), lambda size: size / 0)
