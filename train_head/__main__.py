"""Trains the head on a feature cache, then scores it on the clips held out for testing."""

from absl import flags, logging

from lrcn.common.program import run_program
from train_head import train_flags

# --help lists the flags of the program's own file and of those it adopts.
flags.adopt_module_key_flags(train_flags)

_CACHE_DIR = flags.DEFINE_string(
    "cache_dir", None, "Feature cache that extract_features made.", required=True
)
_RUN_DIR = flags.DEFINE_string(
    "run_dir",
    None,
    "Folder of the run; made where there is none. A run that was cut off goes on.",
    required=True,
)
_CHECKPOINT_SEC = flags.DEFINE_float(
    "checkpoint_sec",
    60.0,
    "Seconds between checkpoints, each written at the end of an epoch: a kill loses at most so "
    "much and the epoch it came in. Does not change the result.",
    lower_bound=0.0,
)


def main(arguments: list[str]) -> int:
    if arguments:
        raise ValueError(f"Expected flags only. Received: {arguments}.")
    config = train_flags.read_train_config()

    from lrcn.common.feature_cache import read_cache
    from lrcn.common.manifest import read_manifest
    from lrcn.common.run_dir import RunDir, read_json
    from train_head.evaluation import evaluate_run
    from train_head.train import train_run

    cache, run = read_cache(_CACHE_DIR.value), RunDir(_RUN_DIR.value)
    train_run(config, cache=cache, run=run, checkpoint_sec=_CHECKPOINT_SEC.value)
    splits = {clip.split for clip in read_manifest(run.manifest_path)}
    split = next((x for x in ("test", "val") if x in splits), None)
    if split is None:
        logging.warning("No clip is held out, so there is no score; the run is in %s", run.path)
        return 0
    metrics_path = run.metrics_path(split)
    scores = (
        read_json(metrics_path) if metrics_path.exists() else evaluate_run(run, cache, split=split)
    )
    if split == "val":
        logging.warning("No test clips: the score is of the val clips that chose the epoch.")
    print(f"top-1 {scores['top1']:.1%} of {scores['num_clips']} {split} clips, run in {run.path}")
    return 0


if __name__ == "__main__":
    run_program(main)
