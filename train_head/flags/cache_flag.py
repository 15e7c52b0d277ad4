"""The flag of the cache, for every program that reads one."""

from absl import flags

_CACHE_DIR = flags.DEFINE_string(
    "cache_dir",
    None,
    "Feature cache that an extraction or import made; of a run, the one that it was trained on.",
    required=True,
)


def read_named_cache():
    """Returns the `FeatureCache` that the flag names."""
    from lrcn.common.cache.open_cache import read_cache

    return read_cache(_CACHE_DIR.value)
