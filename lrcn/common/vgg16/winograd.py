"""Convolutions with fewer multiplications, and the gradients of their kernels.

Of a tile of pixels, some outputs of a 3 x 3 convolution are made: tile and kernel are transformed
by small matrices of few different numbers, multiplied element by element, and transformed back
(Winograd 1980; Lavin and Gray 2016, "Fast Algorithms for Convolutional Neural Networks", whose
matrices and names F(2x2, 3x3) and F(4x4, 3x3) these are). Multiplying element by element is, over
tiles and channels, a product of matrices for each element: for F(4x4, 3x3) 36 multiplications where
there were 144, for F(2x2, 3x3) 16 where there were 36.

The gradient of the kernel takes the same matrices in other roles, as what a change of the kernel
adds to the loss is a sum of products of three: a pixel, a weight and the gradient of an output.
The matrix of the outputs transforms their gradient, and that of the kernel transforms back.
"""

import numpy as np

from lrcn.common.programs.devices import has_avx2, has_bfloat16_vectors
from lrcn.common.programs.tensorflow_start import import_tensorflow

tf = import_tensorflow()


class Winograd:
    """F(step x step, 3 x 3): convolutions in steps of one pixel, beyond whose borders all is 0.

    Args:
        of_pixels: B^T of Lavin and Gray, [step + 2, step + 2].
        of_kernel: G, [step + 2, 3].
        of_outputs: A^T, [step, step + 2].
    """

    def __init__(self, *, of_pixels, of_kernel, of_outputs):
        self._step, self._tile_size = np.shape(of_outputs)
        self._of_pixels = _along_both_axes(of_pixels)
        self._of_kernel = _along_both_axes(of_kernel)
        self._of_outputs = _along_both_axes(of_outputs)

    def count_multiplications(self, height: int, width: int) -> int:
        """Returns those of an image, for each pair of channels."""
        return self.count_tiles(height, width) * self._tile_size**2

    def transform_kernel(self, kernel):
        """Transforms [3, 3, C, D] to the [(step + 2)^2, C, D] that `convolve` takes."""
        num_inputs, num_outputs = kernel.shape[2:]
        transformed = tf.matmul(self._of_kernel, tf.reshape(kernel, [9, -1]))
        return tf.reshape(transformed, [-1, num_inputs, num_outputs])

    def count_tiles(self, height: int, width: int) -> int:
        """Returns those of an image."""
        rows, columns = self._divide(height, width)
        return rows * columns

    def convolve(self, images, transformed, *, each_alike: bool = False):
        """Convolves images with a transformed kernel.

        Args:
            images: [N, H, W, C] float32 or bfloat16, H and W known.
            transformed: [(step + 2)^2, C, D] of that dtype.
            each_alike: Whether an image has the same values among any others, to the last bit, also
                where rounding depends on the place in a product: then a product has the tiles of
                one image, and not of all.

        Returns:
            [N, H, W, D] of that dtype.
        """
        height, width = images.shape[1:3]
        num_inputs, num_outputs = transformed.shape[1:]
        tiles = self._transform_pixels(images)
        if each_alike:
            tiles_shape = [-1, self.count_tiles(height, width), num_inputs]
            transformed = transformed[:, None]
        else:
            tiles_shape = [-1, num_inputs]
        products = tf.matmul(tf.reshape(tiles, [self._tile_size**2, *tiles_shape]), transformed)
        products = tf.reshape(products, [self._tile_size**2, -1])
        outputs = tf.matmul(tf.cast(self._of_outputs, images.dtype), products)
        rows, columns = self._divide(height, width)
        outputs = tf.reshape(outputs, [self._step, self._step, -1, rows, columns, num_outputs])
        outputs = tf.transpose(outputs, [2, 3, 0, 4, 1, 5])
        outputs = tf.reshape(outputs, [-1, rows * self._step, columns * self._step, num_outputs])
        return outputs[:, :height, :width]

    def find_kernel_gradient(self, images, upstream):
        """Finds the gradient of the kernel of a convolution.

        Args:
            images: [N, H, W, C] float32 or bfloat16, H and W known, which were convolved.
            upstream: [N, H, W, D] of that dtype, the gradient of the outputs.

        Returns:
            [3, 3, C, D] float32.
        """
        num_inputs, num_outputs = images.shape[3], upstream.shape[3]
        tiles = self._transform_pixels(images)
        changes = self._cut_tiles(upstream, self._step, before=0)
        changes = tf.matmul(tf.cast(self._of_outputs.T, images.dtype), changes)
        products = tf.matmul(
            tf.reshape(tiles, [self._tile_size**2, -1, num_inputs]),
            tf.reshape(changes, [self._tile_size**2, -1, num_outputs]),
            transpose_a=True,
        )
        products = tf.reshape(tf.cast(products, tf.float32), [self._tile_size**2, -1])
        gradient = tf.matmul(self._of_kernel, products, transpose_a=True)
        return tf.reshape(gradient, [3, 3, num_inputs, num_outputs])

    def _transform_pixels(self, images):
        """Transforms [N, H, W, C] to [(step + 2)^2, N * rows * columns * C]."""
        tiles = self._cut_tiles(images, self._tile_size, before=1)
        return tf.matmul(tf.cast(self._of_pixels, images.dtype), tiles)

    def _cut_tiles(self, images, size: int, *, before: int):
        """Cuts [N, H, W, C] into tiles: [size^2, N * rows * columns * C].

        A tile has size x size pixels, beginning so many before the `step` x `step` outputs that it
        is of. Beyond the border all is 0.
        """
        height, width, num_channels = images.shape[1:]
        num_rows, num_columns = self._divide(height, width)
        within = np.arange(size)[:, None] - before
        y = (within + self._step * np.arange(num_rows))[:, None, :, None]
        x = (within + self._step * np.arange(num_columns))[None, :, None, :]
        is_inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
        in_image = (y * width + x).reshape(size**2, 1, -1).astype(np.int32)
        # Of the pixels of all images, one after the other. Cut out so, each is copied once, and
        # what lies nowhere is 0.
        first = height * width * tf.range(tf.shape(images)[0])[:, None]
        places = tf.where(is_inside.reshape(size**2, 1, -1), first + in_image, -1)
        pixels = tf.reshape(images, [-1, num_channels])
        tiles = tf.gather_nd(pixels, places[..., None], bad_indices_policy="IGNORE")
        return tf.reshape(tiles, [size**2, -1])

    def _divide(self, height: int, width: int) -> tuple[int, int]:
        """Returns the rows and columns of tiles."""
        return -(-height // self._step), -(-width // self._step)


def _along_both_axes(matrix) -> np.ndarray:
    return np.kron(matrix, matrix).astype(np.float32)


# Lavin and Gray 2016, section 4.1.
F2 = Winograd(
    of_pixels=[[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]],
    of_kernel=[[1, 0, 0], [1 / 2, 1 / 2, 1 / 2], [1 / 2, -1 / 2, 1 / 2], [0, 0, 1]],
    of_outputs=[[1, 1, 1, 0], [0, 1, -1, -1]],
)
# Equation (14) and what follows.
F4 = Winograd(
    of_pixels=[
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ],
    of_kernel=[
        [1 / 4, 0, 0],
        [-1 / 6, -1 / 6, -1 / 6],
        [-1 / 6, 1 / 6, -1 / 6],
        [1 / 24, 1 / 12, 1 / 6],
        [1 / 24, -1 / 12, 1 / 6],
        [0, 0, 1],
    ],
    of_outputs=[[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]],
)


def find_method(compute_dtype: str) -> Winograd | None:
    """Finds how this machine multiplies fewer times in a dtype, and faster; None where it does not.

    Sums of a tile lose more than each of their numbers. In float32 that is nothing (0.004 % of
    VGG16's features, as a relative norm). In bfloat16, which loses 0.3 % of a convolution by
    itself, F4 would lose 2.6 %, and F2 loses 0.5 %.
    """
    if compute_dtype == "float32" and has_avx2():
        return F4
    # In AMX, to move the tiles would take longer than to multiply.
    if compute_dtype == "bfloat16" and has_bfloat16_vectors():
        return F2
    return None
