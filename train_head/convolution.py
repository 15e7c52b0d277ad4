"""VGG16's convolutions with kernels that learn, where TensorFlow's own are slow to."""

from lrcn.common.devices import is_without_avx512
from train_head.layers import keras, tf

_MAX_PATCH_BYTES = 128 << 20  # at 224 px, what block 5 sees in 37 frames


def let_learn(layers) -> None:
    """Frees layers to learn, of the built top of VGG16.

    oneDNN's gradient of a kernel takes twice as long as the convolution on processors without
    AVX-512, as those of most laptops. There a product of matrices is the faster way to it.
    """
    for layer in layers:
        layer.trainable = True
        if (
            isinstance(layer, keras.layers.Conv2D)
            and layer.compute_dtype == "float32"
            and is_without_avx512()
        ):
            layer.convolution_op = convolve


def convolve(images, kernel):
    """Convolves as VGG16 does, in steps of one pixel and without a change of size.

    Args:
        images: [N, H, W, C] float32.
        kernel: [h, w, C, D] float32, a variable or its value.

    Returns:
        [N, H, W, D] float32, whose gradient is `find_kernel_gradient`'s.
    """
    return _convolve(images, tf.convert_to_tensor(kernel))


@tf.custom_gradient
def _convolve(images, kernel):
    def find_gradients(upstream):
        of_images = tf.nn.conv2d_transpose(upstream, kernel, tf.shape(images), strides=1)
        return of_images, find_kernel_gradient(images, upstream, kernel.shape)

    return tf.nn.conv2d(images, kernel, strides=1, padding="SAME"), find_gradients


def find_kernel_gradient(images, upstream, kernel_shape, *, max_patch_bytes=_MAX_PATCH_BYTES):
    """Finds the gradient of a convolution's kernel as a product of matrices.

    What each output saw of its image is a row of one matrix, [N * H * W, h * w * C], and the
    gradient of each output a row of the other; of some images at a time, as the first is large.

    Args:
        images: [N, H, W, C] float32, which were convolved.
        upstream: [N, H, W, D] float32, the gradient of the outputs.
        kernel_shape: (h, w, C, D).
        max_patch_bytes: How large the first matrix may be, if it is of more than one image.

    Returns:
        [h, w, C, D] float32.
    """
    height, width, num_inputs, num_outputs = kernel_shape
    patch_size = height * width * num_inputs
    image_bytes = images.shape[1] * images.shape[2] * patch_size * images.dtype.size
    num_at_once = max(1, max_patch_bytes // image_bytes)

    def add_some(start, total):
        some = slice(start, start + num_at_once)
        patches = tf.image.extract_patches(
            images[some], [1, height, width, 1], [1, 1, 1, 1], [1, 1, 1, 1], "SAME"
        )
        return start + num_at_once, total + tf.matmul(
            tf.reshape(patches, [-1, patch_size]),
            tf.reshape(upstream[some], [-1, num_outputs]),
            transpose_a=True,
        )

    # One after the other: side by side they would need the memory of all.
    _, total = tf.while_loop(
        lambda start, _: start < tf.shape(images)[0],
        add_some,
        (0, tf.zeros([patch_size, num_outputs], images.dtype)),
        parallel_iterations=1,
    )
    return tf.reshape(total, kernel_shape)
