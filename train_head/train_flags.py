"""The flags that decide a trained head, alike in every program that trains one."""

import dataclasses

from absl import flags

from train_head.config import (
    FRAME_ORDERS,
    OPTIMIZERS,
    OUTPUTS,
    SCHEDULES,
    SEQUENCES,
    TrainConfig,
)

_DEFAULTS = TrainConfig()

CHECKPOINT_SEC = flags.DEFINE_float(
    "checkpoint_sec",
    60.0,
    "Seconds between checkpoints, each written at the end of an epoch: a kill loses at most so "
    "much and the epoch it came in. Does not change the result.",
    lower_bound=0.0,
)

# Each has the name and the default of a field of TrainConfig.
flags.DEFINE_enum(
    "sequence",
    _DEFAULTS.sequence,
    SEQUENCES,
    "fixed: --seq_len frames of each clip, as evenly spaced as it allows. ragged: whole clips, "
    "padded behind a mask; the article's own mode with --batch_size=1.",
)
flags.DEFINE_integer(
    "seq_len", _DEFAULTS.seq_len, "Frames of a fixed sequence; time grows with it.", lower_bound=1
)
flags.DEFINE_enum(
    "sampling",
    _DEFAULTS.sampling,
    ["segments", "tail"],
    "Which frames a fixed sequence takes. segments: the middle of each of --seq_len equal parts. "
    "tail: the article's, from the last frame back in steps of round(frames / seq_len).",
)
flags.DEFINE_bool(
    "jitter",
    _DEFAULTS.jitter,
    "In training, take a random frame of each segment instead of its middle (augments).",
)
flags.DEFINE_enum(
    "frame_order",
    _DEFAULTS.frame_order,
    FRAME_ORDERS,
    "In which order the head reads a clip's frames. shuffled: another order for each clip in each "
    "epoch of training, later one that follows from --seed and the clip's length; what a head "
    "still knows then, it does not know from the order.",
)
flags.DEFINE_enum(
    "frame_pooling",
    _DEFAULTS.frame_pooling,
    ["flatten", "average", "attention"],
    "How a feature map becomes a vector. flatten keeps positions; average forgets them and makes "
    "the FC layer smaller; attention averages with a soft map over the positions that it learns.",
)
flags.DEFINE_integer(
    "fc_units",
    _DEFAULTS.fc_units,
    "Units of the layer that reads a frame; 0 leaves it out, so that without an RNN the classes "
    "are linear in the features.",
    lower_bound=0,
)
flags.DEFINE_enum(
    "rnn",
    _DEFAULTS.rnn,
    ["gru", "lstm", "bigru", "none"],
    "What reads the frames in order; none leaves each frame on its own (use another --output than "
    "last).",
)
flags.DEFINE_integer("rnn_units", _DEFAULTS.rnn_units, "Units of the RNN.", lower_bound=1)
flags.DEFINE_enum(
    "output",
    _DEFAULTS.output,
    OUTPUTS,
    "How the frames make one answer. last: classify what the RNN knows after the last frame. mean: "
    "average the softmax of every frame, as the LRCN paper does. mean_pool, max_pool, "
    "attention_pool: classify the mean, the maximum or a learned weighted mean over time of the "
    "frames' vectors.",
)
flags.DEFINE_float(
    "input_dropout",
    _DEFAULTS.input_dropout,
    "Part of a frame's features to drop in training; more guards small sets.",
    lower_bound=0.0,
    upper_bound=0.99,
)
flags.DEFINE_float(
    "dropout",
    _DEFAULTS.dropout,
    "Part of the FC layer's and the RNN's outputs to drop in training; more guards small sets.",
    lower_bound=0.0,
    upper_bound=0.99,
)
flags.DEFINE_integer("batch_size", _DEFAULTS.batch_size, "Clips of a step.", lower_bound=1)
flags.DEFINE_integer(
    "epochs", _DEFAULTS.epochs, "Passes over the train clips, at most.", lower_bound=1
)
flags.DEFINE_integer(
    "patience",
    _DEFAULTS.patience,
    "Epochs without a better top-1 on val (or, at equal top-1, a lower loss) after which training "
    "stops.",
    lower_bound=1,
)
flags.DEFINE_enum("optimizer", _DEFAULTS.optimizer, OPTIMIZERS, "How weights follow gradients.")
flags.DEFINE_float(
    "learning_rate", _DEFAULTS.learning_rate, "Step size of the optimizer.", lower_bound=0.0
)
flags.DEFINE_enum(
    "schedule",
    _DEFAULTS.schedule,
    SCHEDULES,
    "cosine: the learning rate falls to zero over --epochs, so the last epochs are steady. "
    "constant: it stays.",
)
flags.DEFINE_float(
    "clipnorm",
    _DEFAULTS.clipnorm,
    "Scale all gradients of a step down to this norm, together; 0 is off.",
    lower_bound=0.0,
)
flags.DEFINE_float(
    "clipvalue",
    _DEFAULTS.clipvalue,
    "Clip each gradient to plus or minus this, instead of by norm; 0 is off.",
    lower_bound=0.0,
)
flags.DEFINE_integer(
    "seed",
    _DEFAULTS.seed,
    "Decides initial weights, order of clips, jitter and dropout.",
    lower_bound=0,
)


def read_train_config() -> TrainConfig:
    """Returns the flags' settings; `--clipvalue` alone takes the place of the default norm."""
    settings = {x.name: flags.FLAGS[x.name].value for x in dataclasses.fields(TrainConfig)}
    if settings["clipvalue"] and flags.FLAGS["clipnorm"].using_default_value:
        settings["clipnorm"] = 0.0
    return TrainConfig(**settings)
