"""Tests how many images VGG16 sees at once where nobody says, and at most."""

import dataclasses

import pytest
from refusals import refusal

from extract_features.backbone_settings import DEFAULT_BACKBONE, build_backbone
from lrcn.common.programs import machine
from lrcn.common.programs.tensorflow_start import import_tensorflow
from lrcn.common.vgg16.batch_size import find_first_that_fits, limit_batch_size

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


def test_of_large_images_a_cpu_sees_fewer_at_once():
    sizes = [limit_batch_size(size) for size in (32, 224, 448, 449, 640, 1024, 1280, 10_000)]
    assert sizes == [16, 16, 16, 15, 7, 3, 1, 1]


def test_a_batch_that_is_larger_than_the_memory_is_refused(monkeypatch):
    settings = dataclasses.replace(
        DEFAULT_BACKBONE, weights="random", compute_dtype="float32", image_size=32, views="flip"
    )
    # 64 channels of each pixel, into the second convolution and out of it.
    taken_bytes = 2 * 100 * 32 * 32 * 64 * 4
    monkeypatch.setattr(machine, "find_memory_bytes", lambda: taken_bytes - 1)
    told = "feature maps of images of 32 px in one batch take 0 GiB, of 0 that there are: "
    with refusal(f"{told}--batch_size=100, --image_size=32", MemoryError):
        build_backbone(settings, 101, num_clips=1)
    monkeypatch.setattr(machine, "find_memory_bytes", lambda: taken_bytes)
    assert build_backbone(settings, 101, num_clips=1).frames_per_batch == 50


def test_a_batch_with_which_tensorflow_would_crash_is_refused(monkeypatch):
    settings = dataclasses.replace(
        DEFAULT_BACKBONE, weights="random", compute_dtype="float32", image_size=32
    )
    monkeypatch.setattr(machine, "find_memory_bytes", lambda: 1 << 40)
    assert build_backbone(settings, 32767, num_clips=1).frames_per_batch == 32767
    with refusal("batch_size of at most 32767 images"):
        build_backbone(settings, 32768, num_clips=1)
