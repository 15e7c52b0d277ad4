"""The flags of how a head is trained, for every program that trains."""

import dataclasses
from pathlib import Path

from absl import flags, logging

from lrcn.common.programs.program import adopt_flags
from train_head.flags import cache_flag, head_flags
from train_head.flags.setting_flags import define_setting
from train_head.head.optimizer import OPTIMIZERS
from train_head.run.config import CLASS_WEIGHTS, SCHEDULES, TrainConfig

adopt_flags(cache_flag, head_flags)

# With a flag of this value, the others do nothing.
_IDLE = (
    ("sequence", "ragged", ("seq_len", "sampling")),
    ("rnn", "none", ("rnn_layers", "rnn_units", "recurrent_dropout")),
    ("fc_units", 0, ("mixed_precision",)),
)

CHECKPOINT_SEC = flags.DEFINE_float(
    "checkpoint_sec",
    60.0,
    "Seconds between checkpoints, each written at the end of an epoch: a kill loses at most so "
    "much and the epoch it came in. Does not change the result.",
    lower_bound=0.0,
)
_FRAME_LABELS = flags.DEFINE_string(
    "frame_labels",
    None,
    "With --labels=frame, the frames' labels: a .csv file with the columns clip_id, start_sec, "
    "end_sec (from the source's first frame; the end is not part of the interval) and label, or "
    "start_frame and end_frame in place of seconds; or a folder with <clip_id>.txt for each clip, "
    "a class name a line for each frame. Frames without a label do not count. The run keeps a "
    "copy, so a run that exists can go without.",
)
_WEIGHTS = flags.DEFINE_string(
    "weights",
    None,
    "VGG16's weights, where they have moved since extraction: imagenet, random or a file. Other "
    "weights than the cache's are refused. Read only for a cache cut below block5_pool.",
)
define_setting(
    "jitter", "In training, take a random frame of each segment instead of its middle (augments)."
)
define_setting(
    "min_span",
    "In training, read a random unbroken span of each clip, at least this part of its frames, and "
    "sample from it (augments); 1 is the whole clip.",
    highest=1.0,
)
define_setting(
    "drop_frames",
    "In training, leave each frame out with this probability and sample from the others "
    "(augments); 0 is off.",
    highest=0.99,
)
define_setting(
    "input_dropout",
    "Part of the features to drop in training; more guards small sets. The FC layer learns from "
    "the others alone, the same in all frames of a step, so more is faster, too.",
    highest=0.99,
)
define_setting(
    "dropout",
    "Part of the FC layer's and each RNN's outputs to drop in training; more guards small sets.",
    highest=0.99,
)
define_setting(
    "recurrent_dropout",
    "Part of an RNN's state to drop from frame to frame in training. More than 0 switches the "
    "fused cuDNN kernel off, without which an RNN is several times slower on a GPU.",
    highest=0.99,
)
define_setting(
    "class_weights",
    "balanced: a train clip of a rare class counts more in the loss, so that all classes count "
    "alike. none: all clips count alike. With --labels=frame: frames, not clips.",
    values=CLASS_WEIGHTS,
)
define_setting(
    "balanced_sampling",
    "Draw all classes equally often in an epoch, instead of each clip once: clips of a rare class "
    "come several times, of a frequent one not all. Instead of --class_weights=balanced.",
)
define_setting("batch_size", "Clips of a step.", lowest=1)
define_setting("epochs", "Passes over the train clips, at most.", lowest=1)
define_setting(
    "patience",
    "Epochs after which training stops if none of them reaches the best top-1 on val.",
    lowest=1,
)
define_setting("optimizer", "How weights follow gradients.", values=OPTIMIZERS)
define_setting(
    "learning_rate",
    "Step size of the optimizer. Default: 3e-4, and more, up to 1e-3, where an epoch has fewer "
    "than 32 steps, so that few clips are learnt too.",
)
define_setting(
    "schedule",
    "cosine: the learning rate falls to zero over --epochs, so the last epochs are steady. "
    "constant: it stays.",
    values=SCHEDULES,
)
define_setting(
    "warmup_epochs",
    "Epochs, or a part of one, in which the learning rate first rises from zero; guards against "
    "a start that breaks the weights.",
)
define_setting("clipnorm", "Scale all gradients of a step down to this norm, together; 0 is off.")
define_setting(
    "clipvalue", "Clip each gradient to plus or minus this, instead of by norm; 0 is off."
)
define_setting(
    "mixed_precision",
    "Compute the FC layer, nearly all of the work, in half precision where the device is faster "
    "with it: bfloat16, or float16 on older GPUs. The saved model is float32.",
)
define_setting(
    "seed", "Decides initial weights, order of clips, augmentation and dropout.", highest=2**32 - 1
)


def read_train_config(
    kind: type[TrainConfig] = TrainConfig, *, takes_frame_labels: bool = False
) -> TrainConfig:
    """Returns the flags' settings; `--clipvalue` alone takes the place of the default norm.

    Args:
        kind: The settings wanted.
        takes_frame_labels: Whether the program can work with `--labels=frame`.

    Raises:
        ValueError: If they do not go together, or the program cannot work with them.
    """
    labels, frame_labels = flags.FLAGS["labels"].value, _FRAME_LABELS.value
    if not takes_frame_labels and (labels == "frame" or frame_labels is not None):
        received = "--labels=frame" if labels == "frame" else f"--frame_labels={frame_labels}"
        raise ValueError(
            "Expected labels of whole clips, which this program is about. Received: "
            f"{received}. Leave it out."
        )
    if labels == "clip" and frame_labels is not None:
        raise ValueError(
            f"Expected --labels=frame with --frame_labels. Received: --labels=clip, --frame_labels="
            f"{frame_labels}. Add the one, or leave out the other."
        )
    settings = {x.name: flags.FLAGS[x.name].value for x in dataclasses.fields(kind)}
    for value in [name for name in settings if name.endswith("clipvalue")]:
        norm = value.replace("value", "norm")
        if settings[value] and flags.FLAGS[norm].using_default_value:
            settings[norm] = 0.0
    _warn_of_idle(settings)
    return kind(**settings)


def _warn_of_idle(settings: dict) -> None:
    told = []
    for name, value, idle in _IDLE:
        # What a run's flags.txt says of them all is no wish.
        asked = [x for x in idle if settings[x] != flags.FLAGS[x].default]
        if settings[name] == value and asked:
            named = ", ".join(f"--{x}={settings[x]}" for x in asked)
            told.append(f"{named} with --{name}={value}")
    if told:
        logging.log_first_n(  # flags are read twice
            logging.WARNING,
            "Without effect: %s. Leave out what is not meant",
            1,
            "; ".join(told),
        )


def read_training_data(manifest_path: Path | None = None):
    """Returns the flags' `TrainingData`, with the splits of a manifest in place of the cache's."""
    from train_head.run.training_data import TrainingData

    return TrainingData(
        cache_flag.read_named_cache(),
        manifest_path=manifest_path,
        frame_labels_path=None if _FRAME_LABELS.value is None else Path(_FRAME_LABELS.value),
        weights=_WEIGHTS.value,
    )
