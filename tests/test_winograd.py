"""Convolutions with fewer multiplications, and gradients of their kernels: the same values."""

import numpy as np
import pytest

from lrcn.common.vgg16.backbone import tf
from lrcn.common.vgg16.winograd import F2, F4

SHAPES = [(2, 8, 8), (3, 4, 12), (2, 7, 14), (1, 5, 2), (1, 1, 1)]


def draw(*shape, dtype="float32"):
    values = np.random.RandomState(sum(shape)).standard_normal(shape)
    return tf.cast(tf.constant(values), dtype)


@pytest.mark.parametrize("method", [F2, F4])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_convolution_is_that_of_tensorflow(method, shape):
    images, kernel = draw(*shape, 5), draw(3, 3, 5, 7)
    expected = tf.nn.conv2d(images, kernel, strides=1, padding="SAME")
    for each_alike in (False, True):
        outputs = method.convolve(images, method.transform_kernel(kernel), each_alike=each_alike)
        np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-4)


def test_a_convolution_in_bfloat16_is_off_by_its_rounding():
    images, kernel = draw(8, 14, 14, 64, dtype="bfloat16"), draw(3, 3, 64, 32)
    found = F2.convolve(images, tf.cast(F2.transform_kernel(kernel), "bfloat16"))
    expected = tf.nn.conv2d(tf.cast(images, "float32"), kernel, strides=1, padding="SAME")
    assert found.dtype == tf.bfloat16
    assert tf.norm(tf.cast(found, "float32") - expected) < 0.01 * tf.norm(expected)


@pytest.mark.parametrize("method", [F2, F4])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_gradient_of_a_kernel_is_that_of_tensorflow(method, shape):
    images, upstream = draw(*shape, 5), draw(*shape, 7)
    found = method.find_kernel_gradient(images, upstream)
    np.testing.assert_allclose(found, find_gradient(images, upstream), rtol=1e-4, atol=1e-4)


def test_a_gradient_in_bfloat16_is_off_by_its_rounding():
    images, upstream = (draw(8, 14, 14, n, dtype="bfloat16") for n in (64, 32))
    found = F2.find_kernel_gradient(images, upstream)
    expected = find_gradient(tf.cast(images, "float32"), tf.cast(upstream, "float32"))
    assert found.dtype == tf.float32
    assert tf.norm(found - expected) < 0.01 * tf.norm(expected)


def test_multiplications_are_those_of_whole_tiles():
    # 4 x 4 tiles of 4 x 4 outputs each, and 7 x 7 of 2 x 2; one by one there were 14 * 14 * 9.
    assert F4.count_multiplications(14, 14) == 16 * 36
    assert F2.count_multiplications(14, 14) == 49 * 16
    assert F4.count_multiplications(1, 5) == 2 * 36


def find_gradient(images, upstream):
    kernel = tf.zeros([3, 3, images.shape[-1], upstream.shape[-1]])
    with tf.GradientTape() as tape:
        tape.watch(kernel)
        outputs = tf.nn.conv2d(images, kernel, strides=1, padding="SAME")
    return tape.gradient(outputs, kernel, upstream)
