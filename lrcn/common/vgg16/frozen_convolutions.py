"""The convolutions of VGG16 that stays as it is, in the ways that are faster for it on a CPU."""

import contextlib
import math
from collections.abc import Callable, Iterator

import numpy as np

from lrcn.common.programs.devices import has_amx, is_without_avx512
from lrcn.common.programs.tensorflow_start import import_tensorflow
from lrcn.common.vgg16.parts import map_parts
from lrcn.common.vgg16.winograd import Winograd, find_method

tf = import_tensorflow()

import keras  # noqa: E402  it imports TensorFlow, whose start-up noise is dealt with above

# With few channels, moving the tiles costs more than what need not be multiplied: inputs times
# outputs, as from block 2 on, in half the bits from block 3 on. For few pixels of an image, the
# kernel is read for too little.
_MIN_CHANNEL_PAIRS = {"float32": 64 * 128, "bfloat16": 128 * 256}
_MIN_PIXELS = {"float32": 11 * 11, "bfloat16": 17 * 17}
# Of several images of few tiles each, a kernel is read once for all.
_TILES_AT_ONCE = 256
# Side by side, so that no core waits for the others' last tiles; as many as TensorFlow's loops
# take by themselves.
_PARTS_AT_ONCE = 10


@contextlib.contextmanager
def use_frozen_convolutions(model, *, many_batches: bool) -> Iterator[bool]:
    """Within the block, has a model's convolutions computed in a faster way, where there is one.

    A function that is traced inside keeps that way, and the kernels that the model has now. With
    constant kernels it gives the same values bit by bit; Winograd's method rounds otherwise.

    Args:
        model: A Keras model, whose layers may be models.
        many_batches: Whether what is gained for each batch is worth a second and half a gigabyte
            at the first.

    Yields:
        Whether kernels are constants of the graph, which is what costs that.
    """
    layers = [x for x in _iter_layers(model) if isinstance(x, keras.layers.Conv2D)]
    methods = {layer: _find_faster_method(layer) for layer in layers}
    by_winograd = [layer for layer in layers if methods[layer] is not None]
    # oneDNN multiplies kernels in an order of its own, into which it turns a constant once, but
    # in every batch what might have changed.
    are_constants = many_batches and has_amx()
    with_constants = [x for x in layers if are_constants and x.compute_dtype == "bfloat16"]
    for layer in by_winograd:
        layer.convolution_op = make_winograd_convolution(
            layer.kernel.numpy(), method=methods[layer], dtype=layer.compute_dtype
        )
    for layer in with_constants:
        layer.convolution_op = make_constant_convolution(layer)
    try:
        yield bool(with_constants)
    finally:
        for layer in (*by_winograd, *with_constants):
            del layer.convolution_op  # the class has its own


def _find_faster_method(layer) -> Winograd | None:
    """Finds the method by which the layer is faster here than by TensorFlow, if there is one."""
    dtype = layer.compute_dtype
    method = find_method(dtype) if layer.kernel.shape[:2] == (3, 3) else None
    if method is None:
        return None
    num_pairs = math.prod(layer.kernel.shape[2:])
    num_pixels = math.prod(layer.output.shape[1:3])
    is_large = num_pairs >= _MIN_CHANNEL_PAIRS[dtype] and num_pixels >= _MIN_PIXELS[dtype]
    return method if is_large else None


def make_winograd_convolution(kernel: np.ndarray, *, method: Winograd, dtype: str) -> Callable:
    """Makes a function that convolves with a kernel which does not change.

    The last bits of a feature must not depend on the place of its frame in the batch, or a cache
    that was stopped and went on would not be that of an unbroken extraction. oneDNN's products of
    matrices round every row alike in AVX-512, and otherwise not: there each image is multiplied by
    itself.

    Args:
        kernel: [3, 3, C, D] float32.
        method: How few multiplications.
        dtype: What is multiplied: float32 or bfloat16.

    Returns:
        A function from [N, H, W, C] of the dtype, H and W known, to [N, H, W, D] of it: in steps of
        one pixel, beyond whose borders all is 0. Its second argument, the kernel that Keras hands
        over, is not looked at.
    """
    transformed = tf.cast(method.transform_kernel(kernel), dtype)
    each_alike = is_without_avx512()

    def convolve(images, _=None):
        height, width = images.shape[1:3]
        return map_parts(
            lambda part: method.convolve(part, transformed, each_alike=each_alike),
            images,
            shape=(height, width, kernel.shape[-1]),
            dtype=dtype,
            rows_at_once=max(1, _TILES_AT_ONCE // method.count_tiles(height, width)),
            parts_at_once=_PARTS_AT_ONCE,
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
