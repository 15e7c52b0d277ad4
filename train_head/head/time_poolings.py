"""How the vectors of all frames become one for the clip, by the names of `--output`.

A new pooling is one function and one line in `TIME_POOLINGS`. Keras is imported inside the
functions, since the flags read the names and `--help` does not wait for TensorFlow.
"""


def _pool_mean(vectors, frame_mask):
    import keras

    return keras.layers.GlobalAveragePooling1D(name="time_pooling")(vectors, mask=frame_mask)


def _pool_max(vectors, frame_mask):
    import keras

    if frame_mask is not None:
        vectors = keras.ops.where(keras.ops.expand_dims(frame_mask, -1), vectors, float("-inf"))
    return keras.ops.max(vectors, axis=1)


def _pool_attention(vectors, frame_mask):
    import keras

    scores = keras.layers.Dense(1, name="time_scores")(vectors)
    mask = None if frame_mask is None else keras.ops.expand_dims(frame_mask, -1)
    weights = keras.layers.Softmax(axis=1, name="time_attention")(scores, mask=mask)
    return keras.ops.sum(vectors * weights, axis=1)


# From vectors [B, T, D] and a mask [B, T] or None, as Keras tensors, to vectors [B, D].
TIME_POOLINGS = {
    "mean_pool": _pool_mean,
    "max_pool": _pool_max,
    "attention_pool": _pool_attention,
}
