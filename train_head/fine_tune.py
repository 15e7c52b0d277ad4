"""Trains the head with VGG16 frozen, then VGG16's last layers and the head together."""

from lrcn.common.programs.program import adopt_flags, run_program
from train_head.flags import run_flags, train_flags
from train_head.flags.manifest_flag import read_manifest_path
from train_head.flags.setting_flags import define_setting
from train_head.run.config import SCHEDULES, FineTuneConfig

adopt_flags(run_flags)

# Those without tune_ are of the first phase, and what makes the batches is the same for both.
define_setting(
    "tune_layers",
    "How many of VGG16's last layers to train with the head, counted without its classifier: 5 are "
    "block4_pool, the three convolutions of block 5 and block5_pool; 2 are the last convolution "
    "and block5_pool. A step needs about 3 MB of memory for each of its --batch_size x --seq_len "
    "frames of 224 px, so 0.7 GB by default.",
    lowest=2,
    highest=5,
)
define_setting(
    "tune_epochs", "Passes over the train clips, at most, after those of the head alone.", lowest=1
)
define_setting(
    "tune_learning_rate",
    "Step size for VGG16's layers and head together; low, as both have been trained.",
)
define_setting("tune_schedule", "As --schedule, over --tune_epochs.", values=SCHEDULES)
define_setting("tune_clipnorm", "As --clipnorm, over all gradients.")
define_setting("tune_clipvalue", "As --clipvalue.")


def _read_config():
    return train_flags.read_train_config(FineTuneConfig, takes_frame_labels=True)


def main() -> None:
    config = _read_config()

    from lrcn.common.cache.run_dir import RunDir
    from train_head.scores.held_out import score_held_out, score_run
    from train_head.scores.score_table import find_main_score, format_headline
    from train_head.training.fine_tuning import fine_tune_run

    data = train_flags.read_training_data(read_manifest_path())
    run = RunDir(run_flags.RUN_DIR.value)
    fine_tune_run(config, data, run=run, **run_flags.read_options())
    scores = score_held_out(run, data.cache)
    if scores is not None:
        before = ""
        head_run = RunDir(run.head_path)
        if head_run.model_path.exists():  # some remove it, for room
            of_head = score_run(head_run, data.cache)
            before = f" ({of_head[find_main_score(scores)[0]]:.1%} before tuning)"
        print(f"{format_headline(scores)}{before}, run in {run.path}")


if __name__ == "__main__":
    run_program(main, check_flags=_read_config)
