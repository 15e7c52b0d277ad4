"""The flags of what the head is and reads, each with the name and default of `TrainConfig`'s."""

from absl import flags

from lrcn.common.sampling import SAMPLERS
from train_head.config import FRAME_ORDERS, LABELS, OUTPUTS, SEQUENCES, TrainConfig
from train_head.frame_poolings import FRAME_POOLINGS
from train_head.rnns import RNNS

_DEFAULTS = TrainConfig()

flags.DEFINE_enum(
    "labels",
    _DEFAULTS.labels,
    LABELS,
    "clip: the head names the class of a clip, which the manifest has. frame: it names that of "
    "every frame; --frame_labels has them, and the manifest's labels count no more.",
)
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
    list(SAMPLERS),
    "Which frames a fixed sequence takes. segments: the middle of each of --seq_len equal parts. "
    "tail: the article's, from the last frame back in steps of round(frames / seq_len).",
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
    list(FRAME_POOLINGS),
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
    list(RNNS),
    "What reads the frames in order; none leaves each frame on its own (use --output=mean).",
)
flags.DEFINE_integer(
    "rnn_layers",
    _DEFAULTS.rnn_layers,
    "RNNs on top of each other, each reading the sequence that the one below gives.",
    lower_bound=1,
)
flags.DEFINE_integer("rnn_units", _DEFAULTS.rnn_units, "Units of each RNN.", lower_bound=1)
flags.DEFINE_enum(
    "output",
    _DEFAULTS.output,
    OUTPUTS,
    "How the frames make one answer. last: classify what the RNN knows after the last frame. mean: "
    "average the softmax of every frame, as the LRCN paper does. mean_pool, max_pool, "
    "attention_pool: classify the mean, the maximum or a learned weighted mean over time of the "
    "frames' vectors. Not with --labels=frame.",
)
