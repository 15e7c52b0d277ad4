"""The convolutions of VGG16 that stays as it is, in the ways that are faster for it on a CPU."""

import contextlib
from collections.abc import Callable, Iterator

import numpy as np

from lrcn.common.devices import has_amx, has_avx2
from lrcn.common.tensorflow_start import import_tensorflow
from lrcn.common.winograd import F4

tf = import_tensorflow()

import keras  # noqa: E402  it imports TensorFlow, whose start-up noise is dealt with above

# With few channels, moving the tiles costs more than what need not be multiplied: inputs times
# outputs, as from block 3 on. For few tiles of an image, the kernel is read for too little.
_MIN_CHANNEL_PAIRS = 128 * 256
_MIN_TILES = 25


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
    by_winograd = [x for x in layers if has_avx2() and _is_faster_by_winograd(x)]
    # oneDNN multiplies kernels in an order of its own, into which it turns a constant once, but
    # in every batch what might have changed.
    are_constants = many_batches and has_amx()
    with_constants = [x for x in layers if are_constants and x.compute_dtype == "bfloat16"]
    for layer in by_winograd:
        layer.convolution_op = make_winograd_convolution(layer.kernel.numpy())
    for layer in with_constants:
        layer.convolution_op = make_constant_convolution(layer)
    try:
        yield bool(with_constants)
    finally:
        for layer in (*by_winograd, *with_constants):
            del layer.convolution_op  # the class has its own


def _is_faster_by_winograd(layer) -> bool:
    # In half precision the sums of a tile would lose what is small.
    if layer.compute_dtype != "float32" or layer.kernel.shape[:2] != (3, 3):
        return False
    num_inputs, num_outputs = layer.kernel.shape[2:]
    num_tiles = F4.count_tiles(*layer.output.shape[1:3])
    return num_inputs * num_outputs >= _MIN_CHANNEL_PAIRS and num_tiles >= _MIN_TILES


def make_winograd_convolution(kernel: np.ndarray) -> Callable:
    """Makes a function that convolves with a kernel which does not change.

    Each image is computed by itself. Of all images together it would be faster still, but then the
    last bits of a feature would depend on the place of its frame in the batch, and a cache that was
    stopped and went on would not be that of an unbroken extraction.

    Args:
        kernel: [3, 3, C, D] float32.

    Returns:
        A function from [N, H, W, C] float32, H and W known, to [N, H, W, D] float32: in steps of
        one pixel, beyond whose borders all is 0. Its second argument, the kernel that Keras hands
        over, is not looked at.
    """
    transformed = F4.transform_kernel(kernel)

    def convolve(images, _=None):
        signature = tf.TensorSpec((*images.shape[1:3], kernel.shape[-1]), tf.float32)
        return tf.map_fn(
            lambda image: F4.convolve(image[None], transformed)[0],
            images,
            fn_output_signature=signature,
        )

    return convolve


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
