"""Trains the head on a feature cache, then scores it on the clips held out for testing."""

from pathlib import Path

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
_MANIFEST = flags.DEFINE_string(
    "manifest",
    None,
    "A .csv manifest of clips of the cache with a split for each, instead of the cache's own: "
    "other splits of the same features.",
)
_DEVICES = flags.DEFINE_string(
    "devices",
    "1",
    "GPUs of this machine that share each batch, or all. --batch_size stays that of the whole "
    "batch and must be a multiple. Changes the result by rounding and dropout's draws alone.",
)
_SUMMARY = flags.DEFINE_bool(
    "summary",
    False,
    "Log every layer's output shape for the first batch, and its number of weights, then train.",
)
flags.register_validator(
    "devices",
    lambda value: value == "all" or (value.isdecimal() and int(value) > 0),
    message="expected a number of devices, at least 1, or all",
)


def main(arguments: list[str]) -> int:
    if arguments:
        raise ValueError(f"Expected flags only. Received: {arguments}.")
    config = train_flags.read_train_config()

    from lrcn.common.feature_cache import read_cache
    from lrcn.common.run_dir import RunDir
    from train_head.evaluation import score_run
    from train_head.score_table import format_headline
    from train_head.train import train_run

    cache, run = read_cache(_CACHE_DIR.value), RunDir(_RUN_DIR.value)
    train_run(
        config,
        cache=cache,
        run=run,
        checkpoint_sec=train_flags.CHECKPOINT_SEC.value,
        manifest_path=None if _MANIFEST.value is None else Path(_MANIFEST.value),
        devices=_DEVICES.value,
        summary=_SUMMARY.value,
    )
    scores = score_run(run, cache)
    if scores is None:
        logging.warning("No clip is held out, so there is no score; the run is in %s", run.path)
        return 0
    if scores["split"] == "val":
        logging.warning("No test clips: the score is of the val clips that chose the epoch.")
    print(f"{format_headline(scores)}, run in {run.path}")
    return 0


if __name__ == "__main__":
    run_program(main)
