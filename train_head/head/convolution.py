"""VGG16's convolutions with kernels that learn, where TensorFlow's own are slow to."""

import functools

from lrcn.common.vgg16.parts import map_parts
from lrcn.common.vgg16.winograd import Winograd, find_method
from train_head.head.layers import keras, tf

_MAX_TILE_BYTES = 32 << 20  # of transformed tiles, which a processor's cache has about room for
_MIN_SAVING = 2  # times fewer multiplications, of which moving the tiles takes a part


def let_learn(layers) -> None:
    """Frees layers to learn, of the built top of VGG16.

    Their convolutions are those of `convolve` where that is faster here.
    """
    for layer in layers:
        layer.trainable = True
        if isinstance(layer, keras.layers.Conv2D):
            method = find_method(layer.compute_dtype)
            if method is not None and _saves_enough(method, layer):
                layer.convolution_op = functools.partial(convolve, method=method)


def convolve(images, kernel, *, method: Winograd):
    """Convolves as VGG16 does, in steps of one pixel and without a change of size.

    Args:
        images: [N, H, W, C] float32 or bfloat16, H and W known.
        kernel: [3, 3, C, D] of that dtype, a variable or its value.
        method: How few multiplications, of both gradients too.

    Returns:
        [N, H, W, D] of that dtype, as is the gradient of each.
    """

    @tf.custom_gradient
    def convolve(images, kernel):
        def find_gradients(upstream):
            turned = tf.transpose(tf.reverse(kernel, [0, 1]), [0, 1, 3, 2])
            of_kernel = find_kernel_gradient(images, upstream, method=method)
            return _convolve_some(upstream, turned, method), tf.cast(of_kernel, kernel.dtype)

        return _convolve_some(images, kernel, method), find_gradients

    return convolve(images, tf.convert_to_tensor(kernel))


def _convolve_some(images, kernel, method: Winograd):
    """Convolves some images at a time."""
    transformed = tf.cast(method.transform_kernel(tf.cast(kernel, tf.float32)), kernel.dtype)
    return map_parts(
        lambda part: method.convolve(part, transformed),
        images,
        shape=(*images.shape[1:3], kernel.shape[-1]),
        dtype=images.dtype,
        rows_at_once=_count_at_once(method, images, _MAX_TILE_BYTES),
    )


def find_kernel_gradient(
    images, upstream, *, method: Winograd, max_tile_bytes: int = _MAX_TILE_BYTES
):
    """Finds the gradient of a convolution's kernel, of some images at a time.

    Args:
        images: [N, H, W, C] float32 or bfloat16, which were convolved.
        upstream: [N, H, W, D] of that dtype, the gradient of the outputs.
        method: How few multiplications.
        max_tile_bytes: How large the tiles may be, if they are of more than one image.

    Returns:
        [3, 3, C, D] float32.
    """
    num_at_once = _count_at_once(method, images, max_tile_bytes)

    def add_some(start, total):
        some = slice(start, start + num_at_once)
        gradient = method.find_kernel_gradient(images[some], upstream[some])
        return start + num_at_once, total + gradient

    # One after the other: side by side they would need the memory of all.
    _, total = tf.while_loop(
        lambda start, _: start < tf.shape(images)[0],
        add_some,
        (0, tf.zeros([3, 3, images.shape[-1], upstream.shape[-1]])),
        parallel_iterations=1,
    )
    return total


def _count_at_once(method: Winograd, images, max_tile_bytes: int) -> int:
    height, width, num_channels = images.shape[1:]
    values = method.count_multiplications(height, width) * num_channels
    return max(1, max_tile_bytes // (values * images.dtype.size))


def _saves_enough(method: Winograd, layer) -> bool:
    height, width = layer.output.shape[1:3]
    saving = 9 * height * width / method.count_multiplications(height, width)
    return layer.kernel.shape[:2] == (3, 3) and saving >= _MIN_SAVING
