"""The flags of what the head is and reads."""

from lrcn.common.pixels.sampling import SAMPLERS
from train_head.flags.setting_flags import define_setting
from train_head.head.frame_poolings import FRAME_POOLINGS
from train_head.head.rnns import RNNS
from train_head.head.time_poolings import TIME_POOLINGS
from train_head.run.config import FRAME_ORDERS, LABELS, SEQUENCES

define_setting(
    "labels",
    "clip: the head names the class of a clip, which the manifest has. frame: it names that of "
    "every frame; --frame_labels has them, and the manifest's labels count no more.",
    values=LABELS,
)
define_setting(
    "sequence",
    "fixed: --seq_len frames of each clip, as evenly spaced as it allows. ragged: whole clips, "
    "padded behind a mask; the article's own mode with --batch_size=1.",
    values=SEQUENCES,
)
define_setting("seq_len", "Frames of a fixed sequence; time grows with it.", lowest=1)
define_setting(
    "sampling",
    "Which frames a fixed sequence takes. segments: the middle of each of --seq_len equal parts. "
    "tail: the article's, from the last frame back in steps of round(frames / seq_len).",
    values=SAMPLERS,
)
define_setting(
    "frame_order",
    "In which order the head reads a clip's frames. shuffled: another order for each clip in each "
    "epoch of training, later one that follows from --seed and the clip's length; what a head "
    "still knows then, it does not know from the order.",
    values=FRAME_ORDERS,
)
define_setting(
    "frame_pooling",
    "How a feature map becomes a vector. flatten keeps positions; average forgets them and makes "
    "the FC layer smaller; attention averages with a soft map over the positions that it learns.",
    values=FRAME_POOLINGS,
)
define_setting(
    "fc_units",
    "Units of the layer that reads a frame; 0 leaves it out, so that without an RNN the classes "
    "are linear in the features.",
)
define_setting(
    "rnn",
    "What reads the frames in order; none leaves each frame on its own (use --output=mean_pool).",
    values=RNNS,
)
define_setting(
    "rnn_layers",
    "RNNs on top of each other, each reading the sequence that the one below gives.",
    lowest=1,
    highest=100,  # TensorFlow takes minutes to begin with so many
)
define_setting("rnn_units", "Units of each RNN.", lowest=1)
define_setting(
    "output",
    "How the frames make one answer. last: classify what the RNN knows after the last frame. mean: "
    "average the softmax of every frame, as the LRCN paper does. mean_pool, max_pool, "
    "attention_pool: classify the mean, the maximum or a learned weighted mean over time of the "
    "frames' vectors. Not with --labels=frame.",
    values=("last", "mean", *TIME_POOLINGS),
)
