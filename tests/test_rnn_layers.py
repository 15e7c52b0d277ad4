"""Our GRU and LSTM are Keras', on every path that a head takes."""

import numpy as np
import pytest

from train_head.head.layers import keras, tf
from train_head.head.rnn_layers import GRU, LSTM

MASK = np.arange(7) < np.array([7, 4, 1])[:, None]


@pytest.mark.parametrize("mask", [None, MASK], ids=["unpadded", "padded"])
@pytest.mark.parametrize("go_backwards", [False, True])
@pytest.mark.parametrize("return_sequences", [False, True])
@pytest.mark.parametrize(
    ("ours", "keras_one"), [(GRU, keras.layers.GRU), (LSTM, keras.layers.LSTM)]
)
def test_outputs_and_gradients_are_those_of_keras(
    ours, keras_one, return_sequences, go_backwards, mask
):
    random = np.random.RandomState(0)
    x = tf.constant(random.normal(size=(3, 7, 5)), tf.float32)
    results, weights = [], None
    for kind in (ours, keras_one):
        layer = kind(4, return_sequences=return_sequences, go_backwards=go_backwards)
        layer.build(x.shape)
        weights = weights or [random.normal(size=w.shape) for w in layer.get_weights()]
        layer.set_weights(weights)
        with tf.GradientTape() as tape:
            tape.watch(x)
            outputs = layer(x, mask=mask, training=True)
            loss = tf.reduce_sum(tf.square(outputs))
        gradients = tape.gradient(loss, [x, *(w.value for w in layer.trainable_weights)])
        results.append([outputs, *gradients])
    for received, wanted in zip(*results, strict=True):
        np.testing.assert_allclose(received, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", [GRU, LSTM])
def test_recurrent_dropout_is_that_of_keras(kind):
    x = np.ones((2, 5, 3), np.float32)
    layer = kind(4, recurrent_dropout=0.5, seed=0)
    wanted = kind.__bases__[0](4, recurrent_dropout=0.5, seed=0)
    wanted.build(x.shape)
    layer.build(x.shape)
    wanted.set_weights(layer.get_weights())
    received = layer(x, training=True)
    np.testing.assert_array_equal(received, wanted(x, training=True))
    assert not np.allclose(received, layer(x, training=False))
