"""The fully connected layer, on processors where few frames take TensorFlow as long as many."""

import math

from lrcn.common.devices import is_without_avx512
from train_head.layers import keras, tf

# oneDNN multiplies matrices with AVX2 as they lie in memory where 1 / rows + 1 / columns of the
# product is at least so much, to save a copy (`nocopy_checker_avx2` of its gemm_driver.cpp). With
# the FC layer's 2,048 columns this halves the speed up to 301 rows.
_SLOW_FROM = 0.0038


@keras.saving.register_keras_serializable("lrcn")
class FullyConnected(keras.layers.Dense):
    """Keras' Dense on [N, C]."""

    def call(self, inputs, training=None):
        if self.compute_dtype == "float32" and is_without_avx512():
            return self.activation(multiply(inputs, self.kernel) + self.bias)
        return super().call(inputs, training=training)


def multiply(rows, kernel):
    """Multiplies matrices: with rows of zeros behind them, where as many more cost less than none.

    Args:
        rows: [N, C] float32.
        kernel: [C, D] float32, a variable or its value.

    Returns:
        [N, D] float32.
    """
    return _multiply(rows, tf.convert_to_tensor(kernel))


@tf.custom_gradient
def _multiply(rows, kernel):
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
