"""The flags that name data and cache, alike in every program of stage 1."""

from pathlib import Path

from absl import flags

_DATA = flags.DEFINE_string(
    "data",
    None,
    "The clips: a folder DATA/<class>/<clip> of frame folders or videos (also below train/, val/ "
    "and test/), or a .csv manifest.",
    required=True,
)
_CACHE_DIR = flags.DEFINE_string(
    "cache_dir",
    None,
    "Folder of the feature cache. Extraction and import make it where there is none.",
)
_DATA_ROOT = flags.DEFINE_string(
    "data_root",
    None,
    "Folder that a manifest's paths start from. Default: what was given for the cache, else the "
    "manifest's own.",
)
_GROUP_REGEX = flags.DEFINE_string(
    "group_regex",
    None,
    "Regular expression that finds in a clip_id the group (subject, source video) that must not "
    "straddle splits: its captures, or all it matches. The names of UCF101 and HMDB51 are "
    "known without it. Empty: none, in place of what the cache remembers.",
)
_SEED = flags.DEFINE_integer(
    "seed",
    None,
    "Decides which groups are drawn into which split. Like all that decides splits, it is what the "
    "cache remembers where it is left out. Default: 0.",
)
_VAL_FRACTION = flags.DEFINE_float(
    "val_fraction",
    None,
    "Part of each class's clips to draw for validation where not given. Default: 0.15, and 0 where "
    "train and test are given for all clips, which then are trained on as given.",
)
_TEST_FRACTION = flags.DEFINE_float(
    "test_fraction",
    None,
    "Part of each class's clips to draw for testing where not given. Default: 0.2.",
)
_SKIP_UNREADABLE = flags.DEFINE_bool(
    "skip_unreadable",
    None,
    "Go on without the clips that cannot be read (listed in failures.csv) and end with status 0. "
    "Default: what was given for the cache, else off.",
)
_ALLOW_GROUP_LEAK = flags.DEFINE_bool(
    "allow_group_leak",
    None,
    "Take given splits also where clips of one group stand in several of them, which makes scores "
    "better than they should be. Default: what was given for the cache, else refused.",
)


def read_data_settings():
    """Returns the flags' `DataSettings` and the cache folder, None if it is not named."""
    from extract_features.given_data import DataSettings

    settings = DataSettings(
        data=Path(_DATA.value),
        data_root=None if _DATA_ROOT.value is None else Path(_DATA_ROOT.value),
        group_regex=_GROUP_REGEX.value,
        seed=_SEED.value,
        val_fraction=_VAL_FRACTION.value,
        test_fraction=_TEST_FRACTION.value,
        skip_unreadable=_SKIP_UNREADABLE.value,
        allow_group_leak=_ALLOW_GROUP_LEAK.value,
    )
    return settings, None if _CACHE_DIR.value is None else Path(_CACHE_DIR.value)
