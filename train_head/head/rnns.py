"""What reads the frames in order, by the names of `--rnn`.

A new RNN is one function and one line in `RNNS`. Keras is imported inside the functions, since
the flags read the names and `--help` does not wait for TensorFlow.

Keras initialises all of them as the article found best: recurrent kernels orthogonal, input
kernels glorot uniform.
"""


def _build_gru(units: int, **settings):
    from train_head.head.rnn_layers import GRU

    return GRU(units, **settings)


def _build_lstm(units: int, **settings):
    from train_head.head.rnn_layers import LSTM

    return LSTM(units, **settings)


def _build_bigru(units: int, *, name: str, **settings):
    import keras

    from train_head.head.rnn_layers import GRU

    return keras.layers.Bidirectional(GRU(units, **settings), name=name)


# From a number of units and Keras' settings `name`, `return_sequences` and `recurrent_dropout` to
# a layer that takes [B, T, D] and a mask [B, T]. None leaves each frame on its own.
RNNS = {"gru": _build_gru, "lstm": _build_lstm, "bigru": _build_bigru, "none": None}
