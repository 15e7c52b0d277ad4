"""Convolutions with a quarter of the multiplications, for VGG16 that stays as it is.

Of a tile of 6 x 6 pixels, 4 x 4 outputs of a 3 x 3 convolution are made: tile and kernel are
transformed by small matrices of few different numbers, multiplied element by element, and
transformed back (Winograd 1980; Lavin and Gray 2016, "Fast Algorithms for Convolutional Neural
Networks", whose F(4x4, 3x3) and matrices these are). Multiplying element by element is, over tiles
and channels, 36 products of matrices, with 36 multiplications where there were 144.

Each image is computed by itself. Of all images together it would be faster still, but then the last
bits of a feature would depend on the place of its frame in the batch, and a cache that was stopped
and went on would not be that of an unbroken extraction.
"""

import numpy as np

from lrcn.common.tensorflow_start import import_tensorflow

tf = import_tensorflow()

_STEP = 4  # outputs of a tile along each axis
_TILE = 6  # pixels of it: those, and one around them

# In which order the pixels of a tile are cut out: first those of its own 4 x 4, then those that it
# shares with the tiles below, to the right, and both.
_OWN, _SHARED = range(_STEP), range(_STEP, _TILE)
_TILE_ORDER = [
    _TILE * i + j
    for rows, columns in ((_OWN, _OWN), (_SHARED, _OWN), (_OWN, _SHARED), (_SHARED, _SHARED))
    for i in rows
    for j in columns
]


def _along_both_axes(matrix: list[list[float]]) -> np.ndarray:
    return np.kron(matrix, matrix).astype(np.float32)


# Lavin and Gray 2016, equation (14) and what follows: B^T, G and A^T.
_OF_PIXELS = _along_both_axes(
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ]
)[:, _TILE_ORDER]
_OF_KERNEL = _along_both_axes(
    [
        [1 / 4, 0, 0],
        [-1 / 6, -1 / 6, -1 / 6],
        [-1 / 6, 1 / 6, -1 / 6],
        [1 / 24, 1 / 12, 1 / 6],
        [1 / 24, -1 / 12, 1 / 6],
        [0, 0, 1],
    ]
)
_OF_OUTPUTS = _along_both_axes(
    [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]]
)
# With few channels, moving the tiles costs more than what need not be multiplied: inputs times
# outputs, as from block 3 on. For few tiles of an image, the kernel is read for too little.
_MIN_CHANNEL_PAIRS = 128 * 256
_MIN_TILES = 25


def is_faster(layer) -> bool:
    """Whether a convolution of Keras can be computed so, and is the faster for it.

    In half precision the sums of a tile would lose what is small.
    """
    if layer.kernel.shape[:2] != (3, 3):
        return False
    num_inputs, num_outputs = layer.kernel.shape[2:]
    height, width = layer.output.shape[1:3]
    return (
        layer.compute_dtype == "float32"
        and num_inputs * num_outputs >= _MIN_CHANNEL_PAIRS
        and _count_tiles(height) * _count_tiles(width) >= _MIN_TILES
    )


def make_convolution(kernel: np.ndarray):
    """Makes a function that convolves with a kernel which does not change.

    Args:
        kernel: [3, 3, C, D] float32.

    Returns:
        A function from [N, H, W, C] float32, H and W known, to [N, H, W, D] float32: in steps of
        one pixel, beyond whose borders all is 0. Its second argument, the kernel that Keras hands
        over, is not looked at.
    """
    num_inputs, num_outputs = kernel.shape[2:]
    transformed = tf.matmul(_OF_KERNEL, kernel.reshape(9, -1))
    transformed = tf.reshape(transformed, [_TILE**2, num_inputs, num_outputs])

    def convolve_image(image):
        height, width = image.shape[:2]
        rows, columns = _count_tiles(height), _count_tiles(width)
        tiles = tf.matmul(_OF_PIXELS, _cut_tiles(image, rows, columns))
        products = tf.matmul(tf.reshape(tiles, [_TILE**2, -1, num_inputs]), transformed)
        outputs = tf.matmul(_OF_OUTPUTS, tf.reshape(products, [_TILE**2, -1]))
        outputs = tf.reshape(outputs, [_STEP, _STEP, rows, columns, num_outputs])
        outputs = tf.transpose(outputs, [2, 0, 3, 1, 4])
        outputs = tf.reshape(outputs, [rows * _STEP, columns * _STEP, num_outputs])
        return outputs[:height, :width]

    def convolve(images, _=None):
        signature = tf.TensorSpec((*images.shape[1:3], num_outputs), tf.float32)
        return tf.map_fn(convolve_image, images, fn_output_signature=signature)

    return convolve


def _cut_tiles(image, rows: int, columns: int):
    """Cuts an image into tiles, [36, rows * columns * C]: a row for each pixel of a tile."""
    height, width, num_channels = image.shape
    # A row and a column more than there are tiles, for what the last ones share.
    below, right = (rows + 1) * _STEP - 1 - height, (columns + 1) * _STEP - 1 - width
    image = tf.pad(image, [[1, below], [1, right], [0, 0]])
    image = tf.reshape(image, [rows + 1, _STEP, columns + 1, _STEP, num_channels])
    pixels = tf.transpose(image, [1, 3, 0, 2, 4])
    parts = (
        pixels[:, :, :rows, :columns],
        pixels[: len(_SHARED), :, 1:, :columns],
        pixels[:, : len(_SHARED), :rows, 1:],
        pixels[: len(_SHARED), : len(_SHARED), 1:, 1:],
    )
    return tf.concat([tf.reshape(x, [x.shape[0] * x.shape[1], -1]) for x in parts], axis=0)


def _count_tiles(size: int) -> int:
    return -(-size // _STEP)
