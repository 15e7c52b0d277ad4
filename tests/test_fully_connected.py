"""The FC layer is Keras' Dense behind dropout: its products, its gradients, what it drops."""

import numpy as np
import pytest

from train_head.head import fully_connected
from train_head.head.fully_connected import FullyConnected, multiply, multiply_kept
from train_head.head.layers import keras, tf


@pytest.mark.parametrize("num_rows", [1, 151, 152, 301, 302, 400])
@pytest.mark.parametrize("num_columns", [2048, 200])
@pytest.mark.parametrize("without_avx512", [True, False])
def test_products_and_gradients_are_those_of_matrices(
    num_rows, num_columns, without_avx512, monkeypatch
):
    monkeypatch.setattr(fully_connected, "is_without_avx512", lambda: without_avx512)
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


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("without_avx512", [True, False])
@pytest.mark.parametrize("kept", [[0, 3, 4, 29], list(range(30)), [17]])
def test_products_with_some_columns_are_those_with_zeros_in_the_others(
    kept, without_avx512, dtype, monkeypatch
):
    monkeypatch.setattr(fully_connected, "is_without_avx512", lambda: without_avx512)
    random = np.random.default_rng(0)
    rows = tf.cast(random.standard_normal((160, 30)), dtype)
    kernel = tf.cast(random.standard_normal((30, 2048)), dtype)
    upstream = tf.cast(random.standard_normal((160, 2048)), dtype)
    with tf.GradientTape() as tape:
        tape.watch([rows, kernel])
        products = multiply_kept(rows, kernel, tf.constant(kept))
    of_rows, of_kernel = tape.gradient(products, [rows, kernel], upstream)

    exact_rows, exact_kernel, exact_upstream = (
        tf.cast(x, tf.float64).numpy() for x in (rows, kernel, upstream)
    )
    mask = np.isin(np.arange(30), kept)
    near = {"float32": 1e-5, "bfloat16": 0.01}[dtype]
    for found, expected in (
        (products, exact_rows * mask @ exact_kernel),
        (of_rows, exact_upstream @ exact_kernel.T * mask),
        (of_kernel, (exact_rows * mask).T @ exact_upstream),
    ):
        found = tf.cast(found, tf.float64).numpy()
        assert np.linalg.norm(found - expected) < near * np.linalg.norm(expected)
        assert not found[expected == 0].any()


def build_identity(num_features, **settings):
    """Builds a layer that shows what it drops."""
    layer = FullyConnected(num_features, kernel_initializer="identity", **settings)
    layer.build((None, num_features))
    return layer


@pytest.mark.parametrize(
    ("num_features", "rate", "num_kept"), [(40, 0.5, 20), (40, 0.9, 4), (3, 0.5, 2), (2, 0.9, 1)]
)
def test_a_step_drops_the_same_features_of_all_rows_and_scales_the_others(
    num_features, rate, num_kept
):
    layer = build_identity(num_features, input_dropout=rate)
    rows = 1 + np.random.default_rng(0).random((6, num_features), np.float32)
    outputs = layer(rows, training=True).numpy()
    kept = outputs[0] != 0
    assert kept.sum() == num_kept
    np.testing.assert_allclose(outputs, rows * kept * (num_features / num_kept), rtol=1e-6)
    np.testing.assert_array_equal(layer(rows), rows)


def test_each_step_drops_others_and_every_feature_as_often():
    keras.utils.set_random_seed(0)
    layer = build_identity(20, input_dropout=0.75)
    rows = np.ones((1, 20), np.float32)
    counts = sum(layer(rows, training=True).numpy()[0] != 0 for _ in range(400))
    assert counts.sum() == 400 * 5
    # Of 400 draws at a quarter 100 are expected, with a deviation of 8.7.
    assert 65 < counts.min() < 100 < counts.max() < 135


def test_a_seed_drops_the_same_features_again():
    rows = np.ones((1, 30), np.float32)
    drawn = []
    for _ in range(2):
        keras.utils.set_random_seed(7)
        layer = build_identity(30, input_dropout=0.5)
        drawn.append([layer(rows, training=True).numpy() for _ in range(3)])
    np.testing.assert_array_equal(*drawn)


def test_a_stored_layer_drops_as_much():
    layer = FullyConnected(4, input_dropout=0.3, activation="relu")
    again = FullyConnected.from_config(layer.get_config())
    assert (again.units, again.input_dropout) == (4, 0.3)
