"""Convolutions with fewer multiplications: the same values."""

import numpy as np
import pytest

from lrcn.common.backbone import tf
from lrcn.common.winograd import make_convolution


@pytest.mark.parametrize("shape", [(2, 8, 8), (3, 4, 12), (2, 7, 14), (1, 5, 2), (1, 1, 1)])
def test_a_convolution_is_that_of_tensorflow(shape):
    random = np.random.RandomState(0)
    images = tf.constant(random.standard_normal((*shape, 5)), tf.float32)
    kernel = random.standard_normal((3, 3, 5, 7)).astype(np.float32)
    expected = tf.nn.conv2d(images, kernel, strides=1, padding="SAME")
    np.testing.assert_allclose(make_convolution(kernel)(images), expected, rtol=1e-4, atol=1e-4)


def test_the_number_of_images_may_be_unknown():
    kernel = np.ones((3, 3, 2, 1), np.float32)
    signature = tf.TensorSpec((None, 4, 4, 2), tf.float32)
    convolve = tf.function(make_convolution(kernel), input_signature=[signature], autograph=False)
    for num_images in (1, 3):
        outputs = convolve(np.ones((num_images, 4, 4, 2), np.float32))
        # A pixel sees 3 x 3 others, at a corner 2 x 2.
        np.testing.assert_allclose(outputs[:, 1, 1, 0], [18] * num_images, rtol=1e-5)
        np.testing.assert_allclose(outputs[:, 3, 3, 0], [8] * num_images, rtol=1e-5)


def test_an_image_has_the_same_values_in_any_batch_and_place():
    # To the last bit, or a cache would depend on where its extraction was stopped.
    random = np.random.RandomState(0)
    images = random.standard_normal((20, 14, 14, 64)).astype(np.float32)
    kernel = random.standard_normal((3, 3, 64, 128)).astype(np.float32)
    convolve = tf.function(make_convolution(kernel), autograph=False)
    outputs = convolve(images).numpy()
    for start, num_images in ((1, 19), (7, 10), (3, 4), (19, 1)):
        some = slice(start, start + num_images)
        np.testing.assert_array_equal(convolve(images[some]), outputs[some])
