"""Runs frozen VGG16 over every frame of every clip and writes the feature cache."""

import os

from absl import flags

from extract_features import data_flags
from lrcn.common.program import run_program

# --help lists the flags of the program's own file and of those it adopts.
flags.adopt_module_key_flags(data_flags)

_WEIGHTS = flags.DEFINE_string(
    "weights",
    None,
    "VGG16's weights: imagenet (downloaded once by Keras), random (seeded; has learnt nothing) or "
    "a Keras .h5 or .weights.h5 file. Default: what the cache has, else imagenet.",
)
_CUT = flags.DEFINE_enum(
    "cut",
    None,
    ["block4_pool", "block5_pool", "fc1", "fc2"],
    "VGG16 layer whose output is cached; what lies above it can be trained in stage 2. fc1 and "
    "fc2 need 224 px and weights with the classifier. Default: what the cache has, else "
    "block5_pool.",
)
_IMAGE_SIZE = flags.DEFINE_integer(
    "image_size",
    None,
    "Side in pixels of the square that each frame is stretched to; time and cache size grow with "
    "its square. Default: what the cache has, else 224.",
    lower_bound=32,
)
_COMPUTE_DTYPE = flags.DEFINE_enum(
    "compute_dtype",
    None,
    ["auto", "float32", "bfloat16", "float16"],
    "What the backbone multiplies in. auto takes bfloat16 where this machine does so natively "
    "(several times faster; moves a feature by under 1 %), else float32. Default: what the cache "
    "has, else auto.",
)
_BATCH_SIZE = flags.DEFINE_integer(
    "batch_size",
    16,
    "Frames that VGG16 sees at once; costs memory, does not change the features.",
    lower_bound=1,
)
_COMPRESSION = flags.DEFINE_enum(
    "compression",
    "gzip",
    ["gzip", "zstd"],
    "How new clip files are compressed, without loss. zstd is a little smaller and several times "
    "faster to write, but whoever reads the files needs the package hdf5plugin. One cache may mix "
    "both.",
)
_NUM_DECODE_THREADS = flags.DEFINE_integer(
    "num_decode_threads",
    None,
    "Threads that decode frames, each a clip of its own. Default: one for each core.",
    lower_bound=1,
)


def main(arguments: list[str]) -> int:
    if arguments:
        raise ValueError(f"Expected flags only. Received: {arguments}. Did you forget --data=?")
    data_settings, cache_dir, skip_unreadable = data_flags.read_data_settings()
    from extract_features.extract import BackboneSettings, extract_features
    from extract_features.summary import report_summary

    summary = extract_features(
        data_settings,
        BackboneSettings(
            weights=_WEIGHTS.value,
            cut=_CUT.value,
            image_size=_IMAGE_SIZE.value,
            compute_dtype=_COMPUTE_DTYPE.value,
        ),
        cache_dir=cache_dir,
        batch_size=_BATCH_SIZE.value,
        num_decode_threads=_NUM_DECODE_THREADS.value or len(os.sched_getaffinity(0)),
        compression=_COMPRESSION.value,
        skip_unreadable=skip_unreadable,
    )
    return report_summary(summary, cache_dir, skip_unreadable=skip_unreadable)


if __name__ == "__main__":
    run_program(main)
