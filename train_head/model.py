"""The head (frame encoder, RNN, classes) and LRCN as one model from frames to classes.

Frames below the RNN have nothing to do with each other, so all that acts on one frame is a model
of its own, applied to each frame that is not padding.
"""

import numpy as np

from lrcn.common.devices import import_tensorflow
from train_head.config import TrainConfig
from train_head.frame_poolings import FRAME_POOLINGS
from train_head.normalization import FeatureStatistics
from train_head.rnns import RNNS
from train_head.time_poolings import TIME_POOLINGS

tf = import_tensorflow()

import keras  # noqa: E402  it imports TensorFlow, whose start-up noise is dealt with above


@keras.saving.register_keras_serializable("lrcn")
class PerFrame(keras.layers.Layer):
    """Applies a model to every frame of [B, T, ...]; padding costs nothing and gives zeros."""

    def __init__(self, model, **kwargs):
        super().__init__(**kwargs)
        self.model = model

    def call(self, frames, frame_mask=None, training=None):
        outputs = self.model(self.select_frames(frames, frame_mask), training=training)
        shape = tf.concat([tf.shape(frames)[:2], tf.shape(outputs)[1:]], axis=0)
        if frame_mask is None:
            outputs = tf.reshape(outputs, shape)
        else:
            outputs = tf.scatter_nd(tf.where(frame_mask), outputs, tf.cast(shape, tf.int64))
        return tf.ensure_shape(outputs, self._output_shape(frames))

    def select_frames(self, frames, frame_mask=None):
        """Returns the frames of all clips that are not padding, [N, ...]."""
        if frame_mask is None:
            return tf.reshape(frames, tf.concat([[-1], tf.shape(frames)[2:]], axis=0))
        return tf.boolean_mask(frames, frame_mask)

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


class _WithoutMask(keras.layers.Layer):
    """Base of layers whose result carries no mask on."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True  # else Keras warns that the RNN's mask ends here

    def compute_mask(self, inputs, previous_mask):
        return None


@keras.saving.register_keras_serializable("lrcn")
class MeanOfFrames(_WithoutMask):
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


@keras.saving.register_keras_serializable("lrcn")
class EveryFrame(_WithoutMask):
    """The same logits without the RNN's mask, of which Keras would make weights of its own.

    Which frames count, and how much, the weights of the targets say.
    """

    def call(self, logits):
        return tf.identity(logits)

    def compute_output_spec(self, logits):
        return keras.KerasTensor(logits.shape, dtype=logits.dtype)


@keras.saving.register_keras_serializable("lrcn")
class ScaleClip(keras.layers.Layer):
    """Divides a clip's features by the mean length of its frames' feature vectors.

    How strong a clip's features are all together, as its contrast makes them, says little of its
    class. How the strength changes from frame to frame says a lot, such as of what grows, so
    one number scales the whole clip. Padding does not count, and zeros stay zeros.
    """

    def call(self, maps, frame_mask=None):
        axes = tuple(range(2, len(maps.shape)))
        lengths = keras.ops.sqrt(keras.ops.sum(keras.ops.square(maps), axis=axes, keepdims=True))
        if frame_mask is None:
            length = keras.ops.mean(lengths, axis=1, keepdims=True)
        else:
            counted = keras.ops.reshape(frame_mask, keras.ops.shape(lengths))
            counted = keras.ops.cast(counted, lengths.dtype)
            total = keras.ops.sum(lengths * counted, axis=1, keepdims=True)
            length = total / keras.ops.sum(counted, axis=1, keepdims=True)
        return keras.ops.divide_no_nan(maps, length)

    def compute_output_spec(self, maps, frame_mask=None):
        return keras.KerasTensor(maps.shape, dtype=self.compute_dtype)


@keras.saving.register_keras_serializable("lrcn")
class ScaledAsinh(keras.layers.Layer):
    """asinh(x / scale), element by element.

    Written out, since TensorFlow's asinh takes five times as long on a CPU: a sixth of a training
    step. In this form small numbers keep their precision.
    """

    def __init__(self, scale: float, **kwargs):
        super().__init__(**kwargs)
        self.scale = scale

    def call(self, maps):
        x = maps / self.scale
        size, square = keras.ops.abs(x), keras.ops.square(x)
        return keras.ops.sign(x) * keras.ops.log1p(size + square / (1 + keras.ops.sqrt(square + 1)))

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "scale": self.scale}


def build_head(
    config: TrainConfig,
    *,
    feature_shape: tuple[int, ...],
    num_classes: int,
    statistics: FeatureStatistics,
    dtype_policy: str = "float32",
    top=None,
):
    """Builds the trainable model from feature maps to a label for the clip, or for every frame.

    Args:
        config: Its layers, and whether sequences are fixed or ragged.
        feature_shape: Shape of one frame's features, those that the statistics are of.
        num_classes: K.
        statistics: What the training split's features are normalised with.
        dtype_policy: Keras' policy of the FC layer, which is nearly all of the arithmetic. The
            rest is float32: normalisation, as features reach hundreds, the RNN, whose state
            would add up rounding from frame to frame, and logits.
        top: From `backbone.build_top`, to become the model's first layers, whose weights come
            before all others; `feature_shape` is that of its output.

    Returns:
        A Keras model from `feature_maps` [B, T, ...] float16, and for ragged sequences
        `frame_mask` [B, T] bool (true frames first, then padding), to logits [B, K] float32, or
        with a label for every frame [B, T, K], of which those of padding mean nothing.
    """
    cached_shape = feature_shape if top is None else top.input.shape[1:]
    maps = keras.Input((None, *cached_shape), dtype="float16", name="feature_maps")
    inputs, frame_mask = maps, None
    if config.sequence == "ragged":
        frame_mask = keras.Input((None,), dtype="bool", name="frame_mask")
        inputs = {"feature_maps": maps, "frame_mask": frame_mask}
    encoder = _build_frame_encoder(config, feature_shape, statistics, dtype_policy)
    x = maps
    if top is not None:
        x = PerFrame(top, name="top")(x, frame_mask=frame_mask)
    x = ScaleClip(name="scale_clip")(x, frame_mask=frame_mask)
    x = PerFrame(encoder, name="per_frame")(x, frame_mask=frame_mask)
    every_frame = config.labels == "frame" or config.output != "last"
    if RNNS[config.rnn] is not None:
        for number in range(1, config.rnn_layers + 1):
            rnn = RNNS[config.rnn](
                config.rnn_units,
                # Without sequences, a backward RNN gives what it knows after the first frame.
                return_sequences=every_frame or number < config.rnn_layers,
                recurrent_dropout=config.recurrent_dropout,
                name=f"rnn_{number}",
            )
            x = rnn(x, mask=frame_mask)
            x = keras.layers.Dropout(config.dropout, name=f"rnn_dropout_{number}")(x)
    elif not every_frame:
        x = LastFrame(name="last_frame")(x, frame_mask=frame_mask)
    if config.output in TIME_POOLINGS:
        x = TIME_POOLINGS[config.output](x, frame_mask)
    logits = keras.layers.Dense(num_classes, name="logits")(x)
    if config.labels == "frame":
        logits = EveryFrame(name="every_frame")(logits)
    elif config.output == "mean":
        logits = MeanOfFrames(name="mean_of_frames")(logits, frame_mask=frame_mask)
    return keras.Model(inputs, logits, name="head")


@keras.saving.register_keras_serializable("lrcn")
class LastFrame(_WithoutMask):
    """The vector of each clip's last frame that is not padding."""

    def call(self, vectors, frame_mask=None):
        if frame_mask is None:
            return vectors[:, -1]
        last = tf.reduce_sum(tf.cast(frame_mask, tf.int32), axis=1) - 1
        return tf.gather(vectors, last, axis=1, batch_dims=1)

    def compute_output_spec(self, vectors, frame_mask=None):
        return keras.KerasTensor((vectors.shape[0], vectors.shape[2]), dtype=vectors.dtype)


def build_lrcn(bottom, head):
    """Joins bottom and head into one model on pixels.

    It computes what stage 1 and stage 2 compute one after the other, with the cached values'
    rounding to float16.

    Args:
        bottom: From `backbone.build_bottom`.
        head: From `build_head`, with the top where the bottom's cut has one.

    Returns:
        A Keras model from `frames` [B, T, H, W, 3] uint8, any T, to logits [B, K] float32.
    """
    frames = keras.Input((None, *bottom.input.shape[1:]), dtype="uint8", name="frames")
    maps = keras.ops.cast(PerFrame(bottom, name="bottom")(frames), "float16")
    if isinstance(head.input, dict):
        all_frames = keras.ops.any(keras.ops.ones_like(frames, dtype="bool"), axis=(2, 3, 4))
        maps = {"feature_maps": maps, "frame_mask": all_frames}
    return keras.Model(frames, head(maps), name="lrcn")


def _build_frame_encoder(config, feature_shape, statistics, dtype_policy):
    maps = keras.Input(feature_shape, name="maps")
    feature_axes = tuple(range(1, len(feature_shape) + 1))
    x = ScaledAsinh(statistics.scale, name="scaled_asinh")(maps)
    normalization = keras.layers.Normalization(axis=feature_axes, name="normalization")
    normalization.build(x.shape)
    stored_shape = normalization.adapt_mean.shape
    normalization.adapt_mean.assign(np.reshape(statistics.mean, stored_shape))
    normalization.adapt_variance.assign(np.full(stored_shape, statistics.variance))
    normalization.finalize_state()
    x = FRAME_POOLINGS[config.frame_pooling](normalization(x))
    x = keras.layers.Dropout(config.input_dropout, dtype=dtype_policy, name="input_dropout")(x)
    if config.fc_units:
        x = keras.layers.Dense(config.fc_units, activation="relu", dtype=dtype_policy, name="fc")(x)
        x = keras.layers.Dropout(config.dropout, dtype=dtype_policy, name="fc_dropout")(x)
    return keras.Model(maps, x, name="frame_encoder")
