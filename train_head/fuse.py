"""Averages the predictions of several runs, such as one on RGB frames and one on optical flow."""

from pathlib import Path

from absl import flags, logging

from lrcn.common.clips.clip import SPLITS
from lrcn.common.programs.program import check_output, run_program

_RUN_DIRS = flags.DEFINE_list(
    "run_dirs", None, "Folders of runs that were scored on the same clips.", required=True
)
_WEIGHTS = flags.DEFINE_list(
    "weights",
    None,
    "A weight for each run, such as 2,1; their sum does not matter. Default: equal.",
)
_SPLIT = flags.DEFINE_enum("split", "test", SPLITS, "Whose predictions to average.")
_OUTPUT = flags.DEFINE_string(
    "output", None, "CSV file to write, in the format of predictions.csv.", required=True
)


def main() -> None:
    output = check_output(_OUTPUT.value)
    if not all(_RUN_DIRS.value):  # one without a name would be the folder that this runs in
        raise ValueError(
            f"--run_dirs: expected folders, separated by commas. Received: {_RUN_DIRS.value}. Name "
            "one at each side of a comma."
        )
    paths = [Path(name).resolve() for name in _RUN_DIRS.value]
    if len(set(paths)) < len(paths):
        raise ValueError(
            f"--run_dirs: expected each run once. Received: {_RUN_DIRS.value}. Name it once, and "
            "if it is to count twice, say so with --weights."
        )
    given = [1] * len(paths) if _WEIGHTS.value is None else _WEIGHTS.value
    try:
        weights = [float(weight) for weight in given]
    except ValueError:
        raise ValueError(
            f"--weights: expected numbers. Received: {_WEIGHTS.value}. Give one for each "
            "run, such as 2,1."
        ) from None

    from lrcn.common.cache.run_dir import RunDir
    from lrcn.common.clips.group_leaks import find_group_leaks
    from lrcn.common.clips.manifest import read_manifest
    from lrcn.common.files.atomic_file import replace_file
    from train_head.predictions.fusion import format_fusion, fuse_predictions, warn_of_changed_clips
    from train_head.scores.prediction_file import read_run_predictions, write_predictions
    from train_head.scores.score_table import format_leaks

    named = {
        name: read_run_predictions(RunDir(name), split=_SPLIT.value) for name in _RUN_DIRS.value
    }
    fused = fuse_predictions(named, weights)
    warn_of_changed_clips(named, split=_SPLIT.value)
    manifests = [RunDir(name).manifest_path for name in named]
    leaking_groups = max(len(find_group_leaks(read_manifest(x))) for x in manifests)
    with replace_file(output) as temporary:
        write_predictions(temporary, fused)
    print(format_fusion(named, weights, fused))
    if leaking_groups:
        print(format_leaks(leaking_groups))
    logging.info("Written: %s", output)


if __name__ == "__main__":
    run_program(main)
