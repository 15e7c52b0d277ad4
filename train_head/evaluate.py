"""Scores a run on its held-out clips and prints the scores as a table."""

from absl import flags, logging

from lrcn.common.program import run_program

_RUN_DIR = flags.DEFINE_string("run_dir", None, "Folder of a trained run.", required=True)
_CACHE_DIR = flags.DEFINE_string(
    "cache_dir", None, "Feature cache that the run was trained on.", required=True
)
_SPLIT = flags.DEFINE_enum(
    "split", "test", ["train", "val", "test"], "Clips to score, as the run's manifest has them."
)

_VIEWS = flags.DEFINE_enum(
    "views",
    "all",
    ["all", "first"],
    "Where the cache has several views of each frame: the mean of the probabilities over all, or "
    "those of the first view alone.",
)


def main(arguments: list[str]) -> int:
    if arguments:
        raise ValueError(f"Expected flags only. Received: {arguments}.")
    from lrcn.common.feature_cache import read_cache
    from lrcn.common.run_dir import RunDir
    from train_head.evaluation import evaluate_run
    from train_head.metrics import format_metrics

    run = RunDir(_RUN_DIR.value)
    run.check_trained()
    scores = evaluate_run(
        run,
        read_cache(_CACHE_DIR.value),
        split=_SPLIT.value,
        num_views=1 if _VIEWS.value == "first" else None,
    )
    print(format_metrics(scores))
    logging.info(
        "Written: %s and %s", run.metrics_path(_SPLIT.value), run.predictions_path(_SPLIT.value)
    )
    return 0


if __name__ == "__main__":
    run_program(main)
