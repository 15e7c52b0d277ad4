"""VGG16 that stays as it is computes the same values, in other ways only where they are faster."""

import numpy as np
import pytest
from small_vgg16 import build_vgg16

from lrcn.common.programs.devices import has_amx, has_avx2, has_bfloat16_vectors
from lrcn.common.vgg16 import backbone
from lrcn.common.vgg16.backbone import tf
from lrcn.common.vgg16.frozen_convolutions import (
    make_constant_convolution,
    make_winograd_convolution,
    use_frozen_convolutions,
)
from lrcn.common.vgg16.winograd import F4, find_method

NUM_CONVOLUTIONS = 13
# Of blocks 2 and 3 at 80 px, in half the bits of block 3; those that are left are computed by
# TensorFlow.
NUM_BY_WINOGRAD = {
    "float32": 5 if has_avx2() else 0,
    "bfloat16": 3 if has_bfloat16_vectors() else 0,
}


@pytest.fixture(scope="module")
def bottom():
    return build_bottom(image_size=80)


@pytest.fixture(scope="module")
def frames():
    return np.random.default_rng(0).integers(0, 256, (3, 80, 80, 3), np.uint8)


def test_vgg16_computes_the_same_with_far_fewer_multiplications(bottom, frames):
    plain = trace(bottom)
    with use_frozen_convolutions(bottom, many_batches=True):
        fast = trace(bottom)
    assert count(plain, "Conv2D") == NUM_CONVOLUTIONS
    assert count(fast, "Conv2D") == NUM_CONVOLUTIONS - NUM_BY_WINOGRAD["float32"]
    features = plain(frames).numpy()
    assert features.max() > 1  # the comparison below would hold for zeros
    np.testing.assert_allclose(fast(frames), features, rtol=1e-3, atol=1e-4 * features.max())
    # Outside of the block the model is as it was.
    assert count(trace(bottom), "Conv2D") == NUM_CONVOLUTIONS
    np.testing.assert_array_equal(trace(bottom)(frames), features)


def test_in_bfloat16_features_lose_little_more_than_by_bfloat16_itself(bottom, frames):
    exact = trace(bottom)(frames).numpy()
    half = build_bottom(image_size=80, compute_dtype="bfloat16")
    plain = trace(half)(frames).numpy()
    with use_frozen_convolutions(half, many_batches=False):
        fast = trace(half)(frames).numpy()
    lost = np.linalg.norm(plain - exact)
    assert 0 < lost < 0.02 * np.linalg.norm(exact)
    assert np.linalg.norm(fast - exact) < 1.5 * lost


@pytest.mark.parametrize(
    ("image_size", "compute_dtype", "num_large"),
    [
        (112, "float32", 8),  # blocks 2 to 4, of 56, 28 and 14 pixels a side
        (112, "bfloat16", 3),
        (32, "float32", 2),
        (32, "bfloat16", 0),
        (112, "float16", 0),
    ],
)
def test_what_would_not_gain_stays_as_it_is(image_size, compute_dtype, num_large):
    bottom = build_bottom(image_size=image_size, compute_dtype=compute_dtype)
    with use_frozen_convolutions(bottom, many_batches=False):
        num_by_winograd = num_large if NUM_BY_WINOGRAD.get(compute_dtype) else 0
        assert count(trace(bottom), "Conv2D") == NUM_CONVOLUTIONS - num_by_winograd


@pytest.mark.parametrize("compute_dtype", ["float32", "bfloat16"])
def test_a_forward_pass_takes_what_is_faster_here(compute_dtype, frames):
    bottom = build_bottom(image_size=80, compute_dtype=compute_dtype)
    features = []
    for many_batches in (False, True):
        forward = backbone.make_forward(bottom, batch_size=3, many_batches=many_batches)
        assert count(forward, "Conv2D") == NUM_CONVOLUTIONS - NUM_BY_WINOGRAD[compute_dtype]
        are_constants = has_amx() and compute_dtype == "bfloat16" and many_batches
        assert len(find_constant_kernels(forward)) == (NUM_CONVOLUTIONS if are_constants else 0)
        features.append(forward(frames).numpy())
    assert features[0].max() > 1
    # Few clips of a cache may have been extracted at another time than its many.
    np.testing.assert_array_equal(*features)


@pytest.mark.parametrize("compute_dtype", ["float32", "bfloat16"])
def test_a_constant_kernel_has_the_values_of_the_layers(compute_dtype, frames):
    bottom = build_bottom(image_size=80, compute_dtype=compute_dtype)
    layer = bottom.get_layer("below_cut").get_layer("block1_conv2")
    images = tf.cast(np.resize(frames, (2, 16, 16, 64)), compute_dtype)
    outputs = layer(images).numpy()
    assert outputs.astype(np.float32).max() > 1
    convolve = make_constant_convolution(layer)
    layer.convolution_op = convolve
    np.testing.assert_array_equal(layer(images).numpy(), outputs)
    layer.kernel.assign(layer.kernel * 2)
    np.testing.assert_array_equal(layer(images).numpy(), outputs)


def test_kernels_that_change_after_the_block_are_those_of_the_model(frames):
    vgg16 = build_vgg16(image_size=80)
    bottom = backbone.build_bottom(vgg16, "block5_pool")
    with use_frozen_convolutions(bottom, many_batches=True):
        before = trace(bottom)(frames).numpy()
    kernel = vgg16.get_layer("block3_conv2").kernel  # of those that were replaced
    kernel.assign(kernel * 2)
    assert before.max() > 1
    assert np.abs(bottom(frames) - before).max() > 0.1 * before.max()


def test_the_number_of_images_may_be_unknown():
    kernel = np.ones((3, 3, 2, 1), np.float32)
    convolve = make_winograd_convolution(kernel, method=F4, dtype="float32")
    signature = tf.TensorSpec((None, 4, 4, 2), tf.float32)
    convolve = tf.function(convolve, input_signature=[signature], autograph=False)
    for num_images in (1, 3):
        outputs = convolve(np.ones((num_images, 4, 4, 2), np.float32))
        # A pixel sees 3 x 3 others, at a corner 2 x 2.
        np.testing.assert_allclose(outputs[:, 1, 1, 0], [18] * num_images, rtol=1e-5)
        np.testing.assert_allclose(outputs[:, 3, 3, 0], [8] * num_images, rtol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_an_image_has_the_same_values_in_any_batch_and_place(dtype):
    # To the last bit, or a cache would depend on where its extraction was stopped.
    method = find_method(dtype)
    if method is None:
        pytest.skip("no method is faster here")
    random = np.random.RandomState(0)
    images = tf.cast(random.standard_normal((20, 14, 14, 512)), dtype).numpy()
    kernel = random.standard_normal((3, 3, 512, 64)).astype(np.float32)
    convolve = make_winograd_convolution(kernel, method=method, dtype=dtype)
    convolve = tf.function(convolve, autograph=False)
    outputs = convolve(images).numpy()
    assert outputs.dtype == dtype
    for start, num_images in ((1, 19), (7, 10), (3, 4), (18, 2), (19, 1)):
        some = slice(start, start + num_images)
        np.testing.assert_array_equal(convolve(images[some]), outputs[some])


def build_bottom(**settings):
    return backbone.build_bottom(build_vgg16(**settings), "block5_pool")


def trace(model):
    signature = tf.TensorSpec((None, *model.input.shape[1:]), model.input.dtype)
    return tf.function(model, input_signature=[signature], autograph=False).get_concrete_function()


def count(function, kind: str) -> int:
    """Counts the operations of a kind in a traced function."""
    return [operation.type for operation in function.graph.get_operations()].count(kind)


def find_constant_kernels(function) -> list:
    convolutions = [x for x in function.graph.get_operations() if x.type == "Conv2D"]
    return [x for x in convolutions if x.inputs[1].op.type == "Const"]
