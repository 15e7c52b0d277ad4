"""Trains the head with VGG16 frozen, then VGG16's last layers and the head together."""

from absl import flags

from lrcn.common.program import run_program
from train_head import run_flags, train_flags
from train_head.config import SCHEDULES, FineTuneConfig

# --help lists the flags of the program's own file and of those it adopts.
flags.adopt_module_key_flags(run_flags)
flags.adopt_module_key_flags(train_flags)

_DEFAULTS = FineTuneConfig()

# Each has the name and the default of a field of FineTuneConfig. Those without tune_ are of the
# first phase, and what makes the batches is the same for both.
flags.DEFINE_integer(
    "tune_layers",
    _DEFAULTS.tune_layers,
    "How many of VGG16's last layers to train with the head, counted without its classifier: 5 are "
    "block4_pool, the three convolutions of block 5 and block5_pool; 2 are the last convolution "
    "and block5_pool. A step needs about 3 MB of memory for each of its --batch_size x --seq_len "
    "frames of 224 px, so 0.7 GB by default.",
    lower_bound=2,
    upper_bound=5,
)
flags.DEFINE_integer(
    "tune_epochs",
    _DEFAULTS.tune_epochs,
    "Passes over the train clips, at most, after those of the head alone.",
    lower_bound=1,
)
flags.DEFINE_float(
    "tune_learning_rate",
    _DEFAULTS.tune_learning_rate,
    "Step size for VGG16's layers and head together; low, as both have been trained.",
    lower_bound=0.0,
)
flags.DEFINE_enum(
    "tune_schedule",
    _DEFAULTS.tune_schedule,
    SCHEDULES,
    "As --schedule, over --tune_epochs.",
)
flags.DEFINE_float(
    "tune_clipnorm", _DEFAULTS.tune_clipnorm, "As --clipnorm, over all gradients.", lower_bound=0.0
)
flags.DEFINE_float("tune_clipvalue", _DEFAULTS.tune_clipvalue, "As --clipvalue.", lower_bound=0.0)


def _read_config():
    return train_flags.read_train_config(FineTuneConfig, takes_frame_labels=True)


def main() -> int:
    config = _read_config()

    from lrcn.common.run_dir import RunDir
    from train_head.fine_tuning import fine_tune_run
    from train_head.held_out import score_held_out, score_run
    from train_head.score_table import format_headline

    data, run = run_flags.read_training_data(), RunDir(run_flags.RUN_DIR.value)
    fine_tune_run(config, data, run=run, **run_flags.read_options())
    scores = score_held_out(run, data.cache)
    if scores is not None:
        before = ""
        head_run = RunDir(run.head_path)
        if head_run.model_path.exists():  # some remove it, for room
            score = "frame_accuracy" if config.labels == "frame" else "top1"
            before = f" ({score_run(head_run, data.cache)[score]:.1%} before tuning)"
        print(f"{format_headline(scores)}{before}, run in {run.path}")
    return 0


if __name__ == "__main__":
    run_program(main, check_flags=_read_config)
