"""VGG16's convolutions that learn compute what TensorFlow's do, in ways that are faster here."""

import functools

import numpy as np
import pytest
from small_vgg16 import build_vgg16

from lrcn.common.programs.devices import has_avx2, has_bfloat16_vectors
from lrcn.common.vgg16 import backbone
from lrcn.common.vgg16.winograd import F2, F4
from train_head.head.convolution import convolve, find_kernel_gradient, let_learn
from train_head.head.layers import tf

TILE_BYTES = {F2: 6 * 16 * 2 * 4, F4: 2 * 36 * 2 * 4}  # of one image below, 3 x 2 or 2 x 1 tiles


@pytest.mark.parametrize("method", [F2, F4])
@pytest.mark.parametrize("images_at_once", [0, 2, 5, 100])
def test_the_gradient_of_a_kernel_is_found_of_some_images_at_a_time(method, images_at_once):
    images, kernel, upstream = draw_convolution()
    with tf.GradientTape() as tape:
        tape.watch(kernel)
        outputs = tf.nn.conv2d(images, kernel, strides=1, padding="SAME")
    expected = tape.gradient(outputs, kernel, upstream)
    found = find_kernel_gradient(
        images, upstream, method=method, max_tile_bytes=images_at_once * TILE_BYTES[method]
    )
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("method", "dtype", "tolerance"), [(F4, "float32", 1e-5), (F2, "bfloat16", 0.01)]
)
def test_a_convolution_whose_kernel_learns_is_that_of_tensorflow(method, dtype, tolerance):
    *inputs, upstream = (tf.cast(x, dtype) for x in draw_convolution())

    def compute(function):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = function(*inputs)
        return outputs, *tape.gradient(outputs, inputs, upstream)

    expected = compute(lambda *x: tf.nn.conv2d(*x, strides=1, padding="SAME"))
    results = compute(functools.partial(convolve, method=method))
    for found, value in zip(results, expected, strict=True):
        assert found.dtype == value.dtype
        assert found.shape == value.shape
        found, value = tf.cast(found, "float32"), tf.cast(value, "float32")
        assert tf.norm(found - value) < tolerance * tf.norm(value)


@pytest.mark.parametrize(
    ("image_size", "compute_dtype", "expected"),
    [
        (224, "float32", F4 if has_avx2() else None),
        (64, "float32", F4 if has_avx2() else None),  # one tile of 4 x 4 pixels
        (32, "float32", None),  # 2 x 2 pixels are a quarter of a tile
        (224, "bfloat16", F2 if has_bfloat16_vectors() else None),
        (32, "bfloat16", F2 if has_bfloat16_vectors() else None),
        (48, "bfloat16", None),
    ],
)
def test_what_learns_is_computed_as_is_faster_here(image_size, compute_dtype, expected):
    vgg16 = build_vgg16(image_size=image_size, compute_dtype=compute_dtype)
    top = backbone.build_top(vgg16, "block4_pool")
    frozen, *layers = (x for x in top.layers if "conv" in x.name)
    frozen.trainable = False
    let_learn(layers)
    assert all(x.trainable for x in layers)
    assert not frozen.trainable
    assert "convolution_op" not in frozen.__dict__
    own = [layer.__dict__.get("convolution_op") for layer in layers]
    methods = [x and x.func is convolve and x.keywords["method"] for x in own]
    assert methods == [expected] * len(layers)


@pytest.mark.parametrize(
    ("image_size", "compute_dtype", "tolerance"),
    [(64, "float32", 1e-4), (32, "bfloat16", 0.05)],
)
def test_block_5_has_the_outputs_and_gradients_of_keras(image_size, compute_dtype, tolerance):
    top = backbone.build_top(
        build_vgg16(image_size=image_size, compute_dtype=compute_dtype), "block4_pool"
    )
    maps = np.random.RandomState(0).uniform(0, 10, (6, *top.input.shape[1:])).astype(np.float16)

    def learn():
        with tf.GradientTape() as tape:
            outputs = top(maps, training=True)
            loss = tf.reduce_mean(tf.square(tf.cast(outputs, "float32")))
        return tf.cast(outputs, "float32"), *tape.gradient(loss, top.trainable_variables)

    for layer in top.layers:
        layer.trainable = True
    expected = learn()
    let_learn(top.layers)
    found = learn()
    assert len(found) == len(expected) == 1 + 3 * 2
    for value, expected_value in zip(found, expected, strict=True):
        assert tf.norm(expected_value) > 0
        assert tf.norm(value - expected_value) < tolerance * tf.norm(expected_value)


def draw_convolution():
    """Five images, a kernel, and the gradient of what they make."""
    random = np.random.RandomState(0)
    shapes = [5, 6, 4, 2], [3, 3, 2, 7], [5, 6, 4, 7]
    return [tf.constant(random.standard_normal(shape), tf.float32) for shape in shapes]
