"""Convolutions with fewer multiplications: the same values, and only where they are faster."""

import numpy as np
import pytest
from small_vgg16 import build_vgg16

from lrcn.common import backbone
from lrcn.common.backbone import tf
from lrcn.common.devices import has_avx2
from lrcn.common.winograd import make_convolution, use_winograd


@pytest.fixture(scope="module")
def bottom():
    return backbone.build_bottom(build_vgg16(image_size=80), "block5_pool")


@pytest.fixture(scope="module")
def frames():
    return np.random.default_rng(0).integers(0, 256, (3, 80, 80, 3), np.uint8)


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


def test_vgg16_computes_the_same_with_far_fewer_multiplications(bottom, frames):
    plain = trace(bottom)
    with use_winograd(bottom):
        fast = trace(bottom)
    assert count_convolutions(plain) == 13
    assert count_convolutions(fast) == 10  # without block 3
    features = plain(frames).numpy()
    assert features.max() > 1  # the comparison below would hold for zeros
    np.testing.assert_allclose(fast(frames), features, rtol=1e-3, atol=1e-4 * features.max())
    # Outside of the block the model is as it was.
    assert count_convolutions(trace(bottom)) == 13
    np.testing.assert_array_equal(trace(bottom)(frames), features)


@pytest.mark.parametrize(
    ("image_size", "compute_dtype", "num_replaced"),
    [
        (112, "float32", 3),  # 28 x 28 pixels in block 3, and 14 x 14, 4 x 4 tiles, in block 4
        (32, "float32", 0),
        (112, "bfloat16", 0),  # in which the sums of a tile lose what is small
    ],
)
def test_what_would_not_gain_stays_as_it_is(image_size, compute_dtype, num_replaced):
    vgg16 = backbone.build_vgg16(
        weights="random", cut="block5_pool", image_size=image_size, compute_dtype=compute_dtype
    )
    bottom = backbone.build_bottom(vgg16, "block5_pool")
    with use_winograd(bottom):
        assert count_convolutions(trace(bottom)) == 13 - num_replaced


def test_a_forward_pass_takes_it_on_an_x86_processor(bottom):
    forward = backbone.make_forward(bottom, batch_size=2)
    assert (count_convolutions(forward) == 10) == has_avx2()


def test_kernels_that_change_after_the_block_are_those_of_the_model(frames):
    vgg16 = build_vgg16(image_size=80)
    bottom = backbone.build_bottom(vgg16, "block5_pool")
    with use_winograd(bottom):
        before = trace(bottom)(frames).numpy()
    kernel = vgg16.get_layer("block3_conv2").kernel  # of those that were replaced
    kernel.assign(kernel * 2)
    assert before.max() > 1
    assert np.abs(bottom(frames) - before).max() > 0.1 * before.max()


def trace(model):
    signature = tf.TensorSpec((None, *model.input.shape[1:]), model.input.dtype)
    return tf.function(model, input_signature=[signature], autograph=False).get_concrete_function()


def count_convolutions(function):
    """Counts those of a traced function that TensorFlow computes."""
    return [operation.type for operation in function.graph.get_operations()].count("Conv2D")
