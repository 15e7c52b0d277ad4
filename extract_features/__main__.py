"""Runs frozen VGG16 over the frames of every clip and writes the feature cache."""

from absl import flags

from extract_features import backbone_flags, data_flags
from lrcn.common.programs.program import adopt_flags, run_program

adopt_flags(data_flags, backbone_flags)
flags.mark_flag_as_required("cache_dir")

_KEEP_PARTIAL = flags.DEFINE_bool(
    "keep_partial",
    False,
    "Keep the frames of a damaged or cut off video up to where it breaks off, and list it in "
    "failures.csv, instead of counting it as failed. Kept so, it is not read again.",
)
_NUM_DECODE_THREADS = flags.DEFINE_integer(
    "num_decode_threads",
    None,
    "Threads that decode frames, each those of one clip; beside a GPU each has a process for it. "
    "Default: one for each core; beside a GPU three for every four cores.",
    lower_bound=1,
)
_NUM_SHARDS = flags.DEFINE_integer(
    "num_shards",
    1,
    "Parts that the clips are divided into, by a hash of their names, so that several processes or "
    "batch jobs may fill one cache, each with a --shard_index of its own.",
    lower_bound=1,
)
_SHARD_INDEX = flags.DEFINE_integer(
    "shard_index", 0, "Which part is done, from 0 to --num_shards less 1.", lower_bound=0
)


def main() -> int:
    data_settings, cache_dir = data_flags.read_data_settings()
    backbone_settings, batch_options = backbone_flags.read_backbone_settings()
    from extract_features.extract import extract_features
    from extract_features.pipeline import PipelineSettings
    from extract_features.summary import report_summary
    from lrcn.common.cache.cache_lock import Shard

    summary = extract_features(
        data_settings,
        backbone_settings,
        PipelineSettings(
            num_decode_threads=_NUM_DECODE_THREADS.value,
            keep_partial=_KEEP_PARTIAL.value,
            **batch_options,
        ),
        cache_dir=cache_dir,
        shard=Shard(_SHARD_INDEX.value, _NUM_SHARDS.value),
    )
    with_make = " (with make: make features FLAGS=--skip_unreadable)"
    return report_summary(summary, cache_dir, with_make=with_make)


if __name__ == "__main__":
    run_program(main)
