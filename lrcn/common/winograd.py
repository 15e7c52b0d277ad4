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

from lrcn.common.tensorflow_start import import_tensorflow

tf = import_tensorflow()

_NUM_SHARED = 2  # rows and columns of a tile that the next one has too


class Winograd:
    """F(step x step, 3 x 3): convolutions in steps of one pixel, beyond whose borders all is 0.

    Args:
        of_pixels: B^T of Lavin and Gray, [step + 2, step + 2].
        of_kernel: G, [step + 2, 3].
        of_outputs: A^T, [step, step + 2].
    """

    def __init__(self, *, of_pixels, of_kernel, of_outputs):
        self._step, self._tile_size = np.shape(of_outputs)
        self._of_pixels = _along_both_axes(of_pixels)[:, _order_tile(self._step)]
        self._of_kernel = _along_both_axes(of_kernel)
        self._of_outputs = _along_both_axes(of_outputs)

    def count_multiplications(self, height: int, width: int) -> int:
        """Returns those of an image, for each pair of channels."""
        rows, columns = self._divide(height, width)
        return rows * columns * self._tile_size**2

    def transform_kernel(self, kernel):
        """Transforms [3, 3, C, D] to the [(step + 2)^2, C, D] that `convolve` takes."""
        num_inputs, num_outputs = kernel.shape[2:]
        transformed = tf.matmul(self._of_kernel, tf.reshape(kernel, [9, -1]))
        return tf.reshape(transformed, [-1, num_inputs, num_outputs])

    def convolve(self, images, transformed):
        """Convolves images with a transformed kernel.

        Args:
            images: [N, H, W, C] float32 or bfloat16, H and W known.
            transformed: [(step + 2)^2, C, D] of that dtype.

        Returns:
            [N, H, W, D] of that dtype.
        """
        height, width = images.shape[1:3]
        num_inputs, num_outputs = transformed.shape[1:]
        tiles = self._transform_pixels(images)
        products = tf.matmul(tf.reshape(tiles, [self._tile_size**2, -1, num_inputs]), transformed)
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
        changes = self._cut_outputs(upstream)
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
        return tf.matmul(tf.cast(self._of_pixels, images.dtype), self._cut_tiles(images))

    def _cut_tiles(self, images):
        """Cuts [N, H, W, C] into overlapping tiles: [(step + 2)^2, N * rows * columns * C].

        Each row is of one pixel of a tile; the first tiles begin a pixel before the image.
        """
        rows, columns = self._divide(*images.shape[1:3])
        # A row and a column more than there are tiles, for what the last ones share.
        pixels = self._cut_blocks(images, rows + 1, columns + 1, before=1)
        parts = (
            pixels[:, :, :, :rows, :columns],
            pixels[:_NUM_SHARED, :, :, 1:, :columns],
            pixels[:, :_NUM_SHARED, :, :rows, 1:],
            pixels[:_NUM_SHARED, :_NUM_SHARED, :, 1:, 1:],
        )
        return tf.concat([tf.reshape(x, [x.shape[0] * x.shape[1], -1]) for x in parts], axis=0)

    def _cut_outputs(self, outputs):
        """Cuts [N, H, W, D] into what the tiles make: [step^2, N * rows * columns * D]."""
        rows, columns = self._divide(*outputs.shape[1:3])
        return tf.reshape(self._cut_blocks(outputs, rows, columns, before=0), [self._step**2, -1])

    def _cut_blocks(self, images, rows: int, columns: int, *, before: int):
        """Cuts images, with so many zeros before each axis: [step, step, N, rows, columns, C]."""
        step, (height, width, num_channels) = self._step, images.shape[1:]
        below, right = rows * step - before - height, columns * step - before - width
        images = tf.pad(images, [[0, 0], [before, below], [before, right], [0, 0]])
        images = tf.reshape(images, [-1, rows, step, columns, step, num_channels])
        return tf.transpose(images, [2, 4, 0, 1, 3, 5])

    def _divide(self, height: int, width: int) -> tuple[int, int]:
        """Returns the rows and columns of tiles."""
        return -(-height // self._step), -(-width // self._step)


def _order_tile(step: int) -> list[int]:
    """In which order pixels of a tile are cut: its own, and shared ones below, right, and both."""
    own, shared = range(step), range(step, step + _NUM_SHARED)
    return [
        (step + _NUM_SHARED) * i + j
        for rows, columns in ((own, own), (shared, own), (own, shared), (shared, shared))
        for i in rows
        for j in columns
    ]


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
