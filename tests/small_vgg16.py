"""Builds VGG16 for small frames."""

import contextlib
from collections.abc import Iterator

import keras
import pytest

from lrcn.common.vgg16 import backbone

RANDOM_SHA256 = "7c92030ee7de955a952eac1f229dc5b9fe3c7d02eb41b868abaa9e28e1be8242"

# Two float16 neighbours are 2^-10 apart, and a batch of another size adds up in another order.
FLOAT16_TOLERANCE = 2e-3


def build_vgg16(weights="random", cut="block5_pool", image_size=32, compute_dtype="float32"):
    return backbone.build_vgg16(
        weights=str(weights), cut=cut, image_size=image_size, compute_dtype=compute_dtype
    )


@contextlib.contextmanager
def draw_random_weights_once() -> Iterator[None]:
    """Has this process draw the random weights, always the same, but once: to draw them takes a
    fifth of a small extraction.
    """
    set_random_weights, drawn = backbone.set_random_weights, {}

    def set_weights(vgg16):
        names = tuple(layer.name for layer in vgg16.layers if layer.weights)
        if names in drawn:
            vgg16.set_weights(drawn[names])
        else:
            set_random_weights(vgg16)
            if "fc1" not in names:  # of half a gigabyte
                drawn[names] = vgg16.get_weights()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backbone, "set_random_weights", set_weights)
        yield


def build_keras_vgg16():
    """Keras' own, which saves files as users have them, with the random weights."""
    vgg16 = keras.applications.VGG16(weights=None, include_top=False, input_shape=(32, 32, 3))
    vgg16.set_weights(build_vgg16().get_weights())
    return vgg16


def write_other_weights(path, layer_name):
    """Writes the random weights but for those of one layer."""
    vgg16 = build_keras_vgg16()
    layer = vgg16.get_layer(layer_name)
    layer.bias.assign(layer.bias + 1e-3)
    vgg16.save_weights(path)
    return path
