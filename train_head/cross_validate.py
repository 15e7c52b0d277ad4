"""Trains and scores one recipe on several splits of one cache, and prints the mean."""

import contextlib

from absl import flags

from lrcn.common.programs.program import adopt_flags, run_program
from lrcn.common.programs.wording import pad_names
from train_head.flags import train_flags

adopt_flags(train_flags)

_MANIFESTS = flags.DEFINE_list(
    "manifests",
    None,
    "Manifests of the cache's clips, with a split for each clip, such as those that "
    "extract_features.official_splits writes; separated by commas. A folder stands for the .csv "
    "files in it.",
)
_FOLDS = flags.DEFINE_integer(
    "folds",
    None,
    "Instead of --manifests: parts of all clips, drawn by group and --seed, each tested by a head "
    "trained on the others. With as many as there are groups, each is left out in turn.",
    lower_bound=2,
)
_OUTPUT_DIR = flags.DEFINE_string(
    "output_dir",
    None,
    "Folder of the runs, each in a folder called after its manifest, of cross_validation.json and "
    "of the manifests of --folds. Runs that have ended are not trained again.",
    required=True,
)


def _read_config():
    if (_MANIFESTS.value is None) == (_FOLDS.value is None):
        raise ValueError(
            "Expected either --manifests, to name the splits, or --folds, to draw them. Received: "
            + ("neither. Name one." if _FOLDS.value is None else "both. Leave one out.")
        )
    return train_flags.read_train_config(takes_frame_labels=True)


def main() -> None:
    config = _read_config()

    from lrcn.common.cache.run_dir import check_output_dir
    from train_head.scores.score_table import find_main_score, format_confusions, format_headline
    from train_head.studies.cross_validation import cross_validate, find_manifests
    from train_head.studies.folds import write_folds

    output_dir = check_output_dir(_OUTPUT_DIR.value)
    data = train_flags.read_training_data()
    if _FOLDS.value is None:
        splits = contextlib.nullcontext(find_manifests(_MANIFESTS.value))
    else:
        splits = write_folds(config, data.cache, output_dir=output_dir, num_folds=_FOLDS.value)
    with splits as manifest_paths:
        content = cross_validate(
            config,
            data,
            manifest_paths=manifest_paths,
            output_dir=output_dir,
            checkpoint_sec=train_flags.CHECKPOINT_SEC.value,
        )
    names = pad_names([run["name"] for run in content["runs"]])
    for name, run in zip(names, content["runs"], strict=True):
        print(f"{name}  {format_headline(run)}")
    if _FOLDS.value is not None:
        print("", "all folds, each clip tested once:", "", sep="\n")
        print(*format_confusions(*content["runs"]), "", sep="\n")
    mean, std = content["mean"], content["std"]
    name, title = find_main_score(mean)
    spread = "" if std[name] is None else f", standard deviation {100 * std[name]:.1f}"
    print(
        f"mean of {len(content['runs'])}: {title} {mean[name]:.1%}{spread}; mean class accuracy "
        f"{mean['mean_class_accuracy']:.1%}; runs in {_OUTPUT_DIR.value}"
    )


if __name__ == "__main__":
    run_program(main, check_flags=_read_config)
