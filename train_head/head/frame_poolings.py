"""How a feature map becomes a vector, by the names of `--frame_pooling`.

A new pooling is one function and one line in `FRAME_POOLINGS`. Keras is imported inside the
functions, since the flags read the names and `--help` does not wait for TensorFlow.
"""


def _pool_flatten(maps):
    import keras

    return keras.layers.Flatten(name="frame_pooling")(maps)


def _pool_average(maps):
    import keras

    if len(maps.shape) == 2:
        return maps  # one vector a frame has no positions to average over
    return keras.ops.mean(maps, axis=_find_positions(maps))


def _pool_attention(maps):
    import keras

    if len(maps.shape) == 2:
        return maps
    positions = _find_positions(maps)
    scores = keras.layers.Dense(1, name="attention_scores")(maps)
    weights = keras.layers.Softmax(axis=positions, name="attention")(scores)
    return keras.ops.sum(maps * weights, axis=positions)


def _find_positions(maps) -> tuple[int, ...]:
    return tuple(range(1, len(maps.shape) - 1))


# From the feature maps [N, ..., C] of N frames, as a Keras tensor, to vectors [N, D].
FRAME_POOLINGS = {
    "flatten": _pool_flatten,
    "average": _pool_average,
    "attention": _pool_attention,
}
