"""The head (frame encoder, RNN, classes) and LRCN as one model from frames to classes.

Frames below the RNN have nothing to do with each other, so all that acts on one frame is a model
of its own, applied to each frame that is not padding.
"""

import functools

import numpy as np

from lrcn.common.devices import import_tensorflow
from train_head.config import TrainConfig
from train_head.normalization import FeatureStatistics

tf = import_tensorflow()

import keras  # noqa: E402  it imports TensorFlow, whose start-up noise is dealt with above


@keras.saving.register_keras_serializable("lrcn")
class PerFrame(keras.layers.Layer):
    """Applies a model to every frame of [B, T, ...]; padding costs nothing and gives zeros."""

    def __init__(self, model, **kwargs):
        super().__init__(**kwargs)
        self.model = model

    def call(self, frames, frame_mask=None, training=None):
        batch_shape = tf.shape(frames)[:2]
        if frame_mask is None:
            flat = tf.reshape(frames, tf.concat([[-1], tf.shape(frames)[2:]], axis=0))
            outputs = self.model(flat, training=training)
            shape = tf.concat([batch_shape, tf.shape(outputs)[1:]], axis=0)
            return tf.ensure_shape(tf.reshape(outputs, shape), self._output_shape(frames))
        outputs = self.model(tf.boolean_mask(frames, frame_mask), training=training)
        shape = tf.concat([batch_shape, tf.shape(outputs)[1:]], axis=0)
        outputs = tf.scatter_nd(tf.where(frame_mask), outputs, tf.cast(shape, tf.int64))
        return tf.ensure_shape(outputs, self._output_shape(frames))

    def _output_shape(self, frames):
        return (*frames.shape[:2], *self.model.output.shape[1:])

    def compute_output_spec(self, frames, frame_mask=None, training=None):
        return keras.KerasTensor(self._output_shape(frames), dtype=self.model.output.dtype)

    def get_config(self):
        return {
            **super().get_config(),
            "model": keras.saving.serialize_keras_object(self.model),
        }

    @classmethod
    def from_config(cls, config):
        config["model"] = keras.saving.deserialize_keras_object(config["model"])
        return cls(**config)


class _FramesToClip(keras.layers.Layer):
    """Base of layers whose result has no frames left that a mask could be for."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True  # else Keras warns that the RNN's mask ends here

    def compute_mask(self, inputs, previous_mask):
        return None


@keras.saving.register_keras_serializable("lrcn")
class MeanOfFrames(_FramesToClip):
    """The logarithm of the mean, over a clip's frames, of each frame's softmax.

    Donahue et al. 2015 (LRCN, section 4) average the predictions of all frames so.
    """

    def call(self, logits, frame_mask=None):
        log_probabilities = keras.ops.log_softmax(logits, axis=-1)
        if frame_mask is None:
            counted = keras.ops.ones_like(logits[..., :1])
        else:
            counted = keras.ops.cast(frame_mask, logits.dtype)[..., None]
        # In logarithms throughout, so that a class that all frames rule out keeps its gradient.
        padding = (counted - 1) * 1e9
        total = keras.ops.logsumexp(log_probabilities + padding, axis=1)
        return total - keras.ops.log(keras.ops.sum(counted, axis=1))

    def compute_output_spec(self, logits, frame_mask=None):
        return keras.KerasTensor((logits.shape[0], logits.shape[2]), dtype=logits.dtype)


def _pool_flatten(maps):
    return keras.layers.Flatten(name="frame_pooling")(maps)


def _pool_average(maps):
    if len(maps.shape) == 2:
        return maps  # one vector a frame has no positions to average over
    positions = tuple(range(1, len(maps.shape) - 1))
    return keras.ops.mean(maps, axis=positions)


def _pool_attention(maps):
    if len(maps.shape) == 2:
        return maps
    positions = tuple(range(1, len(maps.shape) - 1))
    scores = keras.layers.Dense(1, name="attention_scores")(maps)
    weights = keras.layers.Softmax(axis=positions, name="attention")(scores)
    return keras.ops.sum(maps * weights, axis=positions)


def _rnn_gru(units: int, return_sequences: bool):
    return keras.layers.GRU(units, return_sequences=return_sequences, name="rnn")


def _rnn_lstm(units: int, return_sequences: bool):
    return keras.layers.LSTM(units, return_sequences=return_sequences, name="rnn")


def _rnn_bigru(units: int, return_sequences: bool):
    gru = keras.layers.GRU(units, return_sequences=return_sequences)
    return keras.layers.Bidirectional(gru, name="rnn")


def _pool_time_mean(vectors, frame_mask):
    return keras.layers.GlobalAveragePooling1D(name="time_pooling")(vectors, mask=frame_mask)


def _pool_time_max(vectors, frame_mask):
    if frame_mask is not None:
        vectors = keras.ops.where(keras.ops.expand_dims(frame_mask, -1), vectors, -np.inf)
    return keras.ops.max(vectors, axis=1)


def _pool_time_attention(vectors, frame_mask):
    scores = keras.layers.Dense(1, name="time_scores")(vectors)
    mask = None if frame_mask is None else keras.ops.expand_dims(frame_mask, -1)
    weights = keras.layers.Softmax(axis=1, name="time_attention")(scores, mask=mask)
    return keras.ops.sum(vectors * weights, axis=1)


# A new pooling or RNN is one function and one line here. Keras initialises RNNs as the article
# found best: recurrent kernels orthogonal, input kernels glorot uniform.
FRAME_POOLINGS = {
    "flatten": _pool_flatten,
    "average": _pool_average,
    "attention": _pool_attention,
}
TIME_POOLINGS = {
    "mean_pool": _pool_time_mean,
    "max_pool": _pool_time_max,
    "attention_pool": _pool_time_attention,
}
RNNS = {"gru": _rnn_gru, "lstm": _rnn_lstm, "bigru": _rnn_bigru, "none": None}


def build_head(
    config: TrainConfig,
    *,
    feature_shape: tuple[int, ...],
    num_classes: int,
    statistics: FeatureStatistics,
):
    """Builds the trainable model from feature maps to one label for the clip.

    Args:
        config: Its layers, and whether sequences are fixed or ragged.
        feature_shape: Shape of one frame's features.
        num_classes: K.
        statistics: What the training split's features are normalised with.

    Returns:
        A Keras model from `feature_maps` [B, T, ...] float16, and for ragged sequences
        `frame_mask` [B, T] bool (true frames first, then padding), to logits [B, K] float32.
    """
    maps = keras.Input((None, *feature_shape), dtype="float16", name="feature_maps")
    inputs, frame_mask = maps, None
    if config.sequence == "ragged":
        frame_mask = keras.Input((None,), dtype="bool", name="frame_mask")
        inputs = {"feature_maps": maps, "frame_mask": frame_mask}
    encoder = _build_frame_encoder(config, feature_shape, statistics)
    x = PerFrame(encoder, name="per_frame")(maps, frame_mask=frame_mask)
    every_frame = config.output != "last"
    if RNNS[config.rnn] is not None:
        # Without sequences, a backward RNN gives what it knows after the first frame.
        x = RNNS[config.rnn](config.rnn_units, every_frame)(x, mask=frame_mask)
        x = keras.layers.Dropout(config.dropout, name="rnn_dropout")(x)
    elif not every_frame:
        x = LastFrame(name="last_frame")(x, frame_mask=frame_mask)
    if config.output in TIME_POOLINGS:
        x = TIME_POOLINGS[config.output](x, frame_mask)
    logits = keras.layers.Dense(num_classes, name="logits")(x)
    if config.output == "mean":
        logits = MeanOfFrames(name="mean_of_frames")(logits, frame_mask=frame_mask)
    return keras.Model(inputs, logits, name="head")


@keras.saving.register_keras_serializable("lrcn")
class LastFrame(_FramesToClip):
    """The vector of each clip's last frame that is not padding."""

    def call(self, vectors, frame_mask=None):
        if frame_mask is None:
            return vectors[:, -1]
        last = tf.reduce_sum(tf.cast(frame_mask, tf.int32), axis=1) - 1
        return tf.gather(vectors, last, axis=1, batch_dims=1)

    def compute_output_spec(self, vectors, frame_mask=None):
        return keras.KerasTensor((vectors.shape[0], vectors.shape[2]), dtype=vectors.dtype)


def build_lrcn(bottom, head, *, top=None):
    """Joins bottom, top and head into one model on pixels.

    It computes what stage 1 and stage 2 compute one after the other, with the cached values'
    rounding to float16.

    Args:
        bottom: From `backbone.build_bottom`.
        head: From `build_head`.
        top: From `backbone.build_top`, where layers above the cut are not part of the head.

    Returns:
        A Keras model from `frames` [B, T, H, W, 3] uint8, any T, to logits [B, K] float32.
    """
    frames = keras.Input((None, *bottom.input.shape[1:]), dtype="uint8", name="frames")
    maps = keras.ops.cast(PerFrame(bottom, name="bottom")(frames), "float16")
    if top is not None:
        maps = PerFrame(top, name="top")(maps)
    if isinstance(head.input, dict):
        all_frames = keras.ops.any(keras.ops.ones_like(frames, dtype="bool"), axis=(2, 3, 4))
        maps = {"feature_maps": maps, "frame_mask": all_frames}
    return keras.Model(frames, head(maps), name="lrcn")


def build_optimizer(config: TrainConfig, *, steps_per_epoch: int):
    """Builds the optimizer, with its schedule, and clipping by global norm or by value as asked."""
    learning_rate = config.learning_rate
    if config.schedule == "cosine":
        learning_rate = keras.optimizers.schedules.CosineDecay(
            config.learning_rate, decay_steps=config.epochs * steps_per_epoch
        )
    optimizers = {
        "adam": keras.optimizers.Adam,
        "adamw": keras.optimizers.AdamW,
        "sgd": functools.partial(keras.optimizers.SGD, momentum=0.9, nesterov=True),
    }
    return optimizers[config.optimizer](
        learning_rate,
        global_clipnorm=config.clipnorm or None,
        clipvalue=config.clipvalue or None,
    )


def _build_frame_encoder(config, feature_shape, statistics):
    maps = keras.Input(feature_shape, name="maps")
    feature_axes = tuple(range(1, len(feature_shape) + 1))
    x = keras.ops.arcsinh(maps / statistics.scale)
    normalization = keras.layers.Normalization(axis=feature_axes, name="normalization")
    normalization.build(x.shape)
    stored_shape = normalization.adapt_mean.shape
    normalization.adapt_mean.assign(np.reshape(statistics.mean, stored_shape))
    normalization.adapt_variance.assign(np.full(stored_shape, statistics.variance))
    normalization.finalize_state()
    x = FRAME_POOLINGS[config.frame_pooling](normalization(x))
    x = keras.layers.Dropout(config.input_dropout, name="input_dropout")(x)
    if config.fc_units:
        x = keras.layers.Dense(config.fc_units, activation="relu", name="fc")(x)
        x = keras.layers.Dropout(config.dropout, name="fc_dropout")(x)
    return keras.Model(maps, x, name="frame_encoder")
