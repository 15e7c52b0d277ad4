"""Makes a feature cache from features that another tool computed."""

from pathlib import Path

from absl import flags

from extract_features import data_flags
from lrcn.common.programs.program import adopt_flags, run_program

adopt_flags(data_flags)
flags.mark_flag_as_required("cache_dir")

_FEATURES = flags.DEFINE_string(
    "features",
    None,
    "An HDF5 file with a dataset [T, ...] named <clip_id> for each clip, or a folder with a file "
    "<clip_id>.npy for each; any feature shape, the same in all clips.",
    required=True,
)


def main() -> int:
    data_settings, cache_dir = data_flags.read_data_settings()
    from extract_features.feature_import import import_features
    from extract_features.summary import report_summary

    summary = import_features(
        data_settings,
        features=Path(_FEATURES.value),
        cache_dir=cache_dir,
    )
    return report_summary(summary, cache_dir)


if __name__ == "__main__":
    run_program(main)
