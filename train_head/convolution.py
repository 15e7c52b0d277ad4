"""VGG16's convolutions with kernels that learn, where TensorFlow's own are slow to."""

import functools
from collections.abc import Callable

from lrcn.common.devices import has_amx, has_avx2
from lrcn.common.winograd import F2, F4, Winograd
from train_head.layers import keras, map_parts, tf

_MAX_TILE_BYTES = 32 << 20  # of transformed tiles, which a processor's cache has about room for
_MIN_SAVING = 2  # times fewer multiplications, of which moving the tiles takes a part


def let_learn(layers) -> None:
    """Frees layers to learn, of the built top of VGG16.

    On x86 processors their convolutions are, in float32, those of `convolve`. In bfloat16 sums of a
    tile would lose what is small of the features, but little of a gradient, which is a sum over all
    pixels: there it is that of the kernel alone, for which oneDNN takes twice as long as for the
    convolution. Where there is AMX, it does not.
    """
    for layer in layers:
        layer.trainable = True
        if not isinstance(layer, keras.layers.Conv2D) or not has_avx2():
            continue
        if layer.compute_dtype == "float32" and _saves_enough(F4, layer):
            layer.convolution_op = convolve
        elif layer.compute_dtype == "bfloat16" and not has_amx() and _saves_enough(F2, layer):
            layer.convolution_op = convolve_in_bfloat16


def convolve(images, kernel):
    """Convolves as VGG16 does, in steps of one pixel and without a change of size, by F(4x4, 3x3).

    Args:
        images: [N, H, W, C] float32.
        kernel: [3, 3, C, D] float32, a variable or its value.

    Returns:
        [N, H, W, D] float32, as is the gradient of each.
    """
    return _convolve(images, kernel, forward=_convolve_by_f4, method=F4)


def convolve_in_bfloat16(images, kernel):
    """Convolves as TensorFlow does; the gradient of the kernel is by F(2x2, 3x3).

    Arguments and result as `convolve`, in bfloat16.
    """
    forward = functools.partial(tf.nn.conv2d, strides=1, padding="SAME")
    return _convolve(images, kernel, forward=forward, method=F2)


def _convolve(images, kernel, *, forward: Callable, method: Winograd):
    @tf.custom_gradient
    def convolve(images, kernel):
        def find_gradients(upstream):
            turned = tf.transpose(tf.reverse(kernel, [0, 1]), [0, 1, 3, 2])
            of_kernel = find_kernel_gradient(images, upstream, method=method)
            return forward(upstream, turned), tf.cast(of_kernel, kernel.dtype)

        return forward(images, kernel), find_gradients

    return convolve(images, tf.convert_to_tensor(kernel))


def _convolve_by_f4(images, kernel):
    transformed = F4.transform_kernel(kernel)
    return map_parts(
        lambda part: F4.convolve(part, transformed),
        images,
        shape=(*images.shape[1:3], kernel.shape[-1]),
        dtype=images.dtype,
        frames_at_once=_count_at_once(F4, images, _MAX_TILE_BYTES),
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
