"""VGG16 up to the cut: known weights, the same features in any batch."""

import keras
import numpy as np
import pytest
from small_vgg16 import FLOAT16_TOLERANCE, RANDOM_SHA256, build_vgg16

from lrcn.common.cache.contract import CUTS
from lrcn.common.vgg16 import backbone
from lrcn.common.vgg16.backbone_weights import fingerprint_weights


@pytest.fixture(scope="module")
def vgg16():
    return build_vgg16()


@pytest.fixture(scope="module")
def frames():
    return np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), np.uint8)


def test_random_weights_are_the_same_everywhere(vgg16):
    assert fingerprint_weights(vgg16) == RANDOM_SHA256


def test_the_fingerprint_depends_on_the_network_not_on_cut_or_size(vgg16):
    assert fingerprint_weights(build_vgg16(cut="block4_pool", image_size=64)) == RANDOM_SHA256
    kernel = vgg16.get_layer("block5_conv3").kernel
    before = kernel.numpy()
    changed = before.copy()
    changed[0, 0, 0, 0] += 1e-6
    kernel.assign(changed)
    try:
        assert fingerprint_weights(vgg16) != RANDOM_SHA256
    finally:
        kernel.assign(before)


def test_the_batch_size_does_not_change_the_features(vgg16, frames):
    bottom = backbone.build_bottom(vgg16, "block5_pool")
    padded_forward = backbone.make_padded_forward(bottom, max_batch_size=8)
    features = {"padded": np.concatenate([padded_forward(x) for x in (frames[:5], frames[5:])])}
    for batch_size in (1, 3, 8):
        forward = backbone.make_forward(bottom, batch_size=batch_size)
        padded = np.concatenate([frames, np.zeros((1, 32, 32, 3), np.uint8)])  # 9 = 3 * 3
        batches = [
            forward(padded[i : i + batch_size]).numpy() for i in range(0, len(frames), batch_size)
        ]
        features[batch_size] = np.concatenate(batches)[: len(frames)]
        assert features[batch_size].dtype == np.float16
        assert features[batch_size].shape == (8, 1, 1, 512)
    scale = features[1].max()
    assert scale > 1  # the comparison below would hold for zeros
    for batch_size in (3, 8, "padded"):
        np.testing.assert_allclose(
            features[batch_size], features[1], rtol=FLOAT16_TOLERANCE, atol=1e-4 * scale
        )


def test_few_rows_are_not_padded_to_a_whole_batch():
    inputs = keras.Input((1,))
    counted = keras.layers.Lambda(
        lambda x: x * 0 + keras.ops.cast(keras.ops.shape(x)[0], "float32")
    )
    forward = backbone.make_padded_forward(keras.Model(inputs, counted(inputs)), max_batch_size=10)
    computed = {}
    for num_rows in (1, 2, 3, 8, 9, 10):
        counts = forward(np.zeros((num_rows, 1), np.float32))
        assert counts.shape == (num_rows, 1)
        computed[num_rows] = int(counts[0, 0])
    assert computed == {1: 2, 2: 2, 3: 4, 8: 8, 9: 10, 10: 10}


def test_bottom_and_top_are_the_network(vgg16, frames):
    whole = backbone.build_bottom(vgg16, "block5_pool")
    assert backbone.build_top(vgg16, "block5_pool") is None
    bottom, top = (f(vgg16, "block4_pool") for f in (backbone.build_bottom, backbone.build_top))
    assert [layer.name for layer in top.layers[1:]] == [
        "block5_conv1",
        "block5_conv2",
        "block5_conv3",
        "block5_pool",
    ]
    assert tuple(bottom(frames).shape) == (8, 2, 2, 512)
    # Whether a cut has a top is told by its place in CUTS, without the network.
    in_order = [layer.name for layer in vgg16.layers if layer.name in CUTS]
    assert list(CUTS[: len(in_order)]) == in_order
    for cut in filter(backbone.has_top, in_order):
        bottom, top = (f(vgg16, cut) for f in (backbone.build_bottom, backbone.build_top))
        np.testing.assert_allclose(top(bottom(frames)), whole(frames), rtol=1e-4, atol=1e-3)


def test_preprocessing_is_that_of_keras(vgg16, frames):
    below_cut = keras.Model(vgg16.input, vgg16.get_layer("block1_conv1").output)
    pixels = keras.applications.vgg16.preprocess_input(frames.astype(np.float32))
    assert np.abs(pixels).max() > 100  # not scaled to 1
    np.testing.assert_allclose(
        backbone.build_bottom(vgg16, "block1_conv1")(frames), below_cut(pixels), rtol=1e-5
    )
    # Blue first, minus ImageNet's mean; the sources are VGG's own.
    np.testing.assert_allclose(
        pixels, frames[..., ::-1] - np.array([103.939, 116.779, 123.68]), atol=1e-4
    )


@pytest.mark.parametrize(
    ("cut", "image_size", "text"),
    [
        ("fc1", 64, r"take 224 px frames only\. Received: image_size=64\. Use --image_size=224"),
        ("fc2", 225, r"take 224 px frames only\. Received: image_size=225\."),
        ("block5_pool", 31, r"at least 32 px\. Received: image_size=31\."),
        ("pool5", 32, r"Expected a cut of .*block5_pool.*Received: cut=pool5\."),
    ],
)
def test_cuts_and_sizes_that_do_not_fit(cut, image_size, text):
    with pytest.raises(ValueError, match=text):
        build_vgg16(cut=cut, image_size=image_size)
