"""Convolutions with fewer multiplications: the same values, and only where they are faster."""

import numpy as np
import pytest
from small_vgg16 import build_vgg16

from lrcn.common import backbone
from lrcn.common.backbone import tf
from lrcn.common.devices import is_without_avx512
from lrcn.common.winograd import make_convolution, use_winograd


@pytest.fixture(scope="module")
def bottom():
    return backbone.build_bottom(build_vgg16(image_size=64), "block5_pool")


@pytest.fixture(scope="module")
def frames():
    return np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), np.uint8)


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
    convolve = tf.function(make_convolution(kernel), input_signature=[signature])
    for num_images in (1, 3):
        outputs = convolve(np.ones((num_images, 4, 4, 2), np.float32))
        # A pixel sees 3 x 3 others, at a corner 2 x 2.
        np.testing.assert_allclose(outputs[:, 1, 1, 0], [18] * num_images, rtol=1e-5)
        np.testing.assert_allclose(outputs[:, 3, 3, 0], [8] * num_images, rtol=1e-5)


def test_vgg16_computes_the_same_with_far_fewer_multiplications(bottom, frames):
    plain = trace(bottom)
    with use_winograd(bottom):
        fast = trace(bottom)
    assert count_operations(plain) == {"Conv2D": 13}
    assert count_operations(fast) == {"Conv2D": 4, "BatchMatMulV2": 9}  # blocks 3 to 5
    features = plain(frames).numpy()
    assert features.max() > 1  # the comparison below would hold for zeros
    np.testing.assert_allclose(fast(frames), features, rtol=1e-3, atol=1e-4 * features.max())
    # Outside of the block the model is as it was, also where its weights change later.
    assert count_operations(trace(bottom)) == {"Conv2D": 13}
    np.testing.assert_array_equal(trace(bottom)(frames), features)


@pytest.mark.parametrize(
    ("image_size", "compute_dtype", "num_replaced"),
    [
        (64, "float32", 9),
        (64, "bfloat16", 0),  # in which the sums of a tile lose what is small
        (
            80,
            "float32",
            3,
        ),  # 10 x 10 and 5 x 5 pixels in blocks 4 and 5: 12 x 12 and 8 x 8 in tiles
    ],
)
def test_what_would_not_gain_stays_as_it_is(image_size, compute_dtype, num_replaced):
    vgg16 = backbone.build_vgg16(
        weights="random", cut="block5_pool", image_size=image_size, compute_dtype=compute_dtype
    )
    bottom = backbone.build_bottom(vgg16, "block5_pool")
    with use_winograd(bottom):
        assert count_operations(trace(bottom)).get("BatchMatMulV2", 0) == num_replaced


def test_a_forward_pass_takes_it_without_avx512(bottom):
    forward = backbone.make_forward(bottom, batch_size=2)
    assert ("BatchMatMulV2" in count_operations(forward)) == is_without_avx512()


def test_a_top_that_learns_sees_its_own_kernels():
    vgg16 = build_vgg16(image_size=64)
    top = backbone.build_top(vgg16, "block4_pool")
    maps = np.random.RandomState(0).standard_normal((2, 4, 4, 512)).astype(np.float32)
    before = backbone.make_forward(top, batch_size=2)(maps).numpy()
    vgg16.get_layer("block5_conv3").kernel.assign(vgg16.get_layer("block5_conv3").kernel * 2)
    changed = top(maps).numpy()
    assert np.abs(before).max() > 0
    assert np.abs(changed - before).max() > 0.1 * np.abs(before).max()


def trace(model):
    signature = tf.TensorSpec((None, *model.input.shape[1:]), model.input.dtype)
    return tf.function(model, input_signature=[signature], autograph=False).get_concrete_function()


def count_operations(function):
    """Counts the convolutions and the products of many matrices of a traced function."""
    kinds = [operation.type for operation in function.graph.get_operations()]
    return {kind: kinds.count(kind) for kind in ("Conv2D", "BatchMatMulV2") if kind in kinds}
