"""The convolutions of VGG16 that stays as it is, in the ways that are faster for it on a CPU."""

import contextlib
from collections.abc import Callable, Iterator

from lrcn.common import winograd
from lrcn.common.devices import has_amx, has_avx2
from lrcn.common.tensorflow_start import import_tensorflow

tf = import_tensorflow()

import keras  # noqa: E402  it imports TensorFlow, whose start-up noise is dealt with above


@contextlib.contextmanager
def use_frozen_convolutions(model, *, many_batches: bool) -> Iterator[bool]:
    """Has the convolutions of a model computed so inside the block, where that is faster.

    A function that is traced inside stays so. It keeps the kernels that the model has now. What
    constant kernels compute is the same bit by bit.

    Args:
        model: A Keras model, whose layers may be models.
        many_batches: Whether what is gained for each batch is worth a second and half a gigabyte
            at the first.

    Yields:
        Whether kernels are constants of the graph, which is what costs that.
    """
    layers = [x for x in _iter_layers(model) if isinstance(x, keras.layers.Conv2D)]
    by_winograd = [x for x in layers if has_avx2() and winograd.is_faster(x)]
    # oneDNN multiplies kernels in an order of its own, into which it turns a constant once, but
    # in every batch what might have changed.
    are_constants = many_batches and has_amx()
    with_constants = [x for x in layers if are_constants and x.compute_dtype == "bfloat16"]
    for layer in by_winograd:
        layer.convolution_op = winograd.make_convolution(layer.kernel.numpy())
    for layer in with_constants:
        layer.convolution_op = make_constant_convolution(layer)
    try:
        yield bool(with_constants)
    finally:
        for layer in (*by_winograd, *with_constants):
            del layer.convolution_op  # the class has its own


def make_constant_convolution(layer) -> Callable:
    """Makes a Keras layer's convolution with the kernel that it has now as a constant."""
    kernel = tf.cast(layer.kernel, layer.compute_dtype).numpy()
    strides, padding = layer.strides, layer.padding.upper()
    return lambda images, _: tf.nn.conv2d(images, tf.constant(kernel), strides, padding)


def _iter_layers(model):
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _iter_layers(layer)
        else:
            yield layer
