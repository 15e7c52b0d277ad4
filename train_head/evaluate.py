"""Scores a run on its held-out clips and prints the scores as a table.

Mean class accuracy: the mean of the classes' recalls, in which a small class counts as much as a
large one. Calibration error: the mean gap between how sure a run is and how often it is right. `--`
stands where no clip is of the class, or none was called so.
"""

from absl import flags, logging

from lrcn.common.clips.clip import SPLITS
from lrcn.common.programs.program import adopt_flags, run_program
from train_head.flags import cache_flag

adopt_flags(cache_flag)

_RUN_DIR = flags.DEFINE_string("run_dir", None, "Folder of a trained run.", required=True)
_SPLIT = flags.DEFINE_enum(
    "split", "test", SPLITS, "Clips to score, as the run's manifest has them."
)
_WINDOWS = flags.DEFINE_integer(
    "windows",
    1,
    "Spans of each clip, evenly spaced and equally long, whose probabilities are averaged: for "
    "long clips. 1 takes the whole clip once. Time grows with it. The score of several windows "
    "has a file of its own, such as metrics_windows4.json.",
    lower_bound=1,
    upper_bound=10**6,  # of more, the lists alone take gigabytes
)

_VIEWS = flags.DEFINE_enum(
    "views",
    "all",
    ["all", "first"],
    "Where the cache has several views of each frame: the mean of the probabilities over all, or "
    "those of the first view alone.",
)


def main() -> None:
    from lrcn.common.cache.run_dir import RunDir
    from train_head.scores.evaluation import evaluate_run
    from train_head.scores.score_table import format_metrics

    run = RunDir(_RUN_DIR.value)
    run.check_trained()
    cache = cache_flag.read_named_cache()
    how = {"num_windows": _WINDOWS.value, "first_view_only": _VIEWS.value == "first"}
    print(format_metrics(evaluate_run(run, cache, split=_SPLIT.value, **how)))
    logging.info(
        "Written: %s and %s",
        run.metrics_path(_SPLIT.value, **how),
        run.predictions_path(_SPLIT.value, **how),
    )


if __name__ == "__main__":
    run_program(main)
