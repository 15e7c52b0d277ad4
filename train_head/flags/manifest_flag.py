"""The flag of other splits of a cache's clips, for every program that works on splits."""

from pathlib import Path

from absl import flags

_MANIFEST = flags.DEFINE_string(
    "manifest",
    None,
    "A .csv manifest of clips of the cache with a split for each, instead of the cache's own: "
    "other splits of the same features, such as an official one.",
)


def read_manifest_path() -> Path | None:
    """Returns the manifest that is named, None for the cache's own."""
    return None if _MANIFEST.value is None else Path(_MANIFEST.value)
