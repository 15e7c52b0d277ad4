"""The FC layer's product with few rows is what it is with many, and so are its gradients."""

import numpy as np
import pytest

from train_head import fully_connected
from train_head.fully_connected import FullyConnected, multiply
from train_head.layers import keras, tf


@pytest.mark.parametrize("num_rows", [1, 151, 152, 301, 302, 400])
@pytest.mark.parametrize("num_columns", [2048, 200])
def test_products_and_gradients_are_those_of_matrices(num_rows, num_columns):
    random = np.random.default_rng(0)
    rows = tf.constant(random.standard_normal((num_rows, 30)), tf.float32)
    kernel = tf.Variable(random.standard_normal((30, num_columns)), dtype=tf.float32)
    upstream = random.standard_normal((num_rows, num_columns))

    @tf.function(input_signature=[tf.TensorSpec((None, 30))])
    def multiply_any(rows):
        return multiply(rows, kernel)

    with tf.GradientTape() as tape:
        tape.watch(rows)
        products = multiply_any(rows)
    of_rows, of_kernel = tape.gradient(products, [rows, kernel], tf.constant(upstream, tf.float32))
    exact_rows, exact_kernel = rows.numpy().astype(float), kernel.numpy().astype(float)
    for found, expected in (
        (products, exact_rows @ exact_kernel),
        (of_rows, upstream @ exact_kernel.T),
        (of_kernel, exact_rows.T @ upstream),
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_the_layer_is_keras_dense(monkeypatch):
    rows = np.random.default_rng(0).standard_normal((200, 30)).astype(np.float32)
    layer = FullyConnected(2048, activation="relu")
    known = keras.layers.Dense(2048, activation="relu")
    known.build(rows.shape)
    known.bias.assign(np.linspace(-1, 1, 2048))
    layer.build(rows.shape)
    layer.set_weights(known.get_weights())
    for without_avx512 in (True, False):
        monkeypatch.setattr(fully_connected, "is_without_avx512", lambda x=without_avx512: x)
        np.testing.assert_allclose(layer(rows), known(rows), rtol=1e-5, atol=1e-5)
