"""The head (frame encoder, RNN, classes) and LRCN as one model from frames to classes.

Frames below the RNN have nothing to do with each other, so all that acts on one frame is a model
of its own, applied to each frame that is not padding.
"""

import numpy as np

from train_head.head.frame_poolings import FRAME_POOLINGS
from train_head.head.fully_connected import FullyConnected
from train_head.head.layers import (
    EveryFrame,
    LastFrame,
    MeanOfFrames,
    PerFrame,
    ScaleClip,
    ScaledAsinh,
    keras,
)
from train_head.head.normalization import FeatureStatistics
from train_head.head.rnns import RNNS
from train_head.head.time_poolings import TIME_POOLINGS
from train_head.run.config import TrainConfig

# Of Glorot's initialiser. What a random start says of the classes stays in the answers, since few
# steps do not unlearn it: with a tenth, fewer clips are wrong (benchmarks/RECIPE.md).
_LOGITS_SCALE = 0.1


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
    logits = keras.layers.Dense(
        num_classes,
        kernel_initializer=keras.initializers.VarianceScaling(
            _LOGITS_SCALE**2, mode="fan_avg", distribution="uniform"
        ),
        name="logits",
    )(x)
    if config.labels == "frame":
        logits = EveryFrame(name="every_frame")(logits)
    elif config.output == "mean":
        logits = MeanOfFrames(name="mean_of_frames")(logits, frame_mask=frame_mask)
    return keras.Model(inputs, logits, name="head")


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
    if config.fc_units:
        x = FullyConnected(
            config.fc_units,
            input_dropout=config.input_dropout,
            activation="relu",
            dtype=dtype_policy,
            name="fc",
        )(x)
        x = keras.layers.Dropout(config.dropout, dtype=dtype_policy, name="fc_dropout")(x)
    else:  # without a product to save, each frame has a mask of its own
        x = keras.layers.Dropout(config.input_dropout, name="input_dropout")(x)
    return keras.Model(maps, x, name="frame_encoder")
