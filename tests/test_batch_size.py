"""Tests how many images VGG16 sees at once where nobody says, and at most."""

import dataclasses

import pytest
from refusals import refusal

from extract_features.backbone_settings import DEFAULT_BACKBONE, build_backbone
from lrcn.common.batch_size import find_first_that_fits
from lrcn.common.tensorflow_start import import_tensorflow

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


def test_a_batch_with_which_tensorflow_would_crash_is_refused():
    settings = dataclasses.replace(
        DEFAULT_BACKBONE, weights="random", compute_dtype="float32", image_size=32
    )
    assert build_backbone(settings, 32767, num_clips=1).frames_per_batch == 32767
    with refusal("batch_size of at most 32767 images"):
        build_backbone(settings, 32768, num_clips=1)
