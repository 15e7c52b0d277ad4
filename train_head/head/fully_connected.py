"""The fully connected layer, whose products are nearly all the arithmetic of a training step."""

import math

from lrcn.common.programs.devices import is_without_avx512
from train_head.head.layers import keras, tf

# oneDNN multiplies matrices with AVX2 as they lie in memory where 1 / rows + 1 / columns of the
# product is at least so much, to save a copy (`nocopy_checker_avx2` of its gemm_driver.cpp). With
# the FC layer's 2,048 columns this halves the speed up to 301 rows.
_SLOW_FROM = 0.0038


@keras.saving.register_keras_serializable("lrcn")
class FullyConnected(keras.layers.Dense):
    """Keras' Dense on [N, C], with dropout of its inputs.

    A training step drops the same features of all N rows, so that it multiplies with the others
    alone: with half of them, its products take half the time (Graham, Reizenstein and Robinson
    2015, "Efficient batchwise dropout training using submatrices"). With masks of each row's own,
    held-out clips are named no better (benchmarks/RECIPE.md).

    Args:
        units: D, of the outputs [N, D].
        input_dropout: The share of the C features that each training step drops, from 0 up to
            below 1. At least one stays.
        settings: Keras' of Dense.
    """

    def __init__(self, units: int, *, input_dropout: float = 0.0, **settings):
        super().__init__(units, **settings)
        self.input_dropout = input_dropout
        if input_dropout:
            self.seed_generator = keras.random.SeedGenerator()

    def call(self, inputs, training=None):
        if training and self.input_dropout:
            num_features = inputs.shape[-1]
            num_kept = max(1, round(num_features * (1 - self.input_dropout)))
            order = keras.random.shuffle(tf.range(num_features), seed=self.seed_generator)
            kept = tf.sort(order[:num_kept])  # memory is read faster so
            products = multiply_kept(inputs, self.kernel, kept)
            return self.activation(products * (num_features / num_kept) + self.bias)
        return self.activation(multiply(inputs, self.kernel) + self.bias)

    def get_config(self):
        return {**super().get_config(), "input_dropout": self.input_dropout}


def multiply_kept(rows, kernel, kept):
    """Multiplies matrices as if all columns of the first were zero but some.

    Args:
        rows: [N, C].
        kernel: [C, D] of the same dtype, a variable or its value.
        kept: [K] int32, the numbers of the columns that are not zero, each once.

    Returns:
        [N, D].
    """
    return _multiply_kept(rows, tf.convert_to_tensor(kernel), kept)


@tf.custom_gradient
def _multiply_kept(rows, kernel, kept):
    rows = tf.gather(rows, kept, axis=1)
    kept_kernel = tf.gather(kernel, kept)

    def find_gradients(upstream):
        # `tf.pad` puts zeros behind the gradients of what was kept, and all that was dropped is
        # gathered from there. The gradient of `tf.gather` would add up rows one by one, and take as
        # long as a product.
        num_kept = tf.size(kept)
        places = tf.tensor_scatter_nd_update(
            tf.fill([kernel.shape[0]], num_kept), kept[:, None], tf.range(num_kept)
        )
        of_rows = tf.pad(tf.matmul(upstream, kept_kernel, transpose_b=True), [[0, 0], [0, 1]])
        of_kernel = tf.matmul(tf.pad(rows, [[0, 0], [0, 1]]), upstream, transpose_a=True)
        return tf.gather(of_rows, places, axis=1), tf.gather(of_kernel, places), None

    return multiply(rows, kept_kernel), find_gradients


def multiply(rows, kernel):
    """Multiplies matrices: with rows of zeros behind them, where as many more cost less than none.

    Args:
        rows: [N, C].
        kernel: [C, D] of the same dtype, a variable or its value.

    Returns:
        [N, D].
    """
    kernel = tf.convert_to_tensor(kernel)
    if rows.dtype == tf.float32 and is_without_avx512():
        return _multiply_enough(rows, kernel)
    return tf.matmul(rows, kernel)


@tf.custom_gradient
def _multiply_enough(rows, kernel):
    def find_gradients(upstream):
        of_rows = tf.matmul(upstream, kernel, transpose_b=True)
        return of_rows, tf.matmul(rows, upstream, transpose_a=True)

    num_rows = tf.shape(rows)[0]
    enough = _find_enough_rows(kernel.shape[1])
    num_more = tf.where(enough < 2 * num_rows, tf.maximum(enough - num_rows, 0), 0)
    products = tf.matmul(tf.pad(rows, [[0, num_more], [0, 0]]), kernel)
    return products[:num_rows], find_gradients


def _find_enough_rows(num_columns: int) -> int:
    """Finds from how many rows on a product is fast; 0 where none are enough."""
    rest = _SLOW_FROM - 1 / num_columns
    return math.floor(1 / rest) + 1 if rest > 0 else 0
