"""Trains the head on a feature cache, then scores it on the clips held out for testing."""

from lrcn.common.programs.program import adopt_flags, run_program
from train_head.flags import run_flags, train_flags
from train_head.flags.manifest_flag import read_manifest_path

adopt_flags(run_flags)


def _read_config():
    return train_flags.read_train_config(takes_frame_labels=True)


def main() -> None:
    config = _read_config()

    from lrcn.common.cache.run_dir import RunDir
    from train_head.scores.held_out import score_held_out
    from train_head.scores.score_table import format_headline
    from train_head.training.train import train_run

    data = train_flags.read_training_data(read_manifest_path())
    run = RunDir(run_flags.RUN_DIR.value)
    train_run(config, data, run=run, **run_flags.read_options())
    scores = score_held_out(run, data.cache)
    if scores is not None:
        print(f"{format_headline(scores)}, run in {run.path}")


if __name__ == "__main__":
    run_program(main, check_flags=_read_config)
