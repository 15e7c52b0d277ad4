"""The flags that name a run and what it is made of, alike in train_head and fine_tune."""

from pathlib import Path

from absl import flags

from train_head import train_flags

CACHE_DIR = flags.DEFINE_string(
    "cache_dir", None, "Feature cache that extract_features made.", required=True
)
RUN_DIR = flags.DEFINE_string(
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
    "batch and must be a multiple. Changes the result by rounding, by dropout's draws, by "
    "clipping, which bounds each device's part of a gradient, and in an epoch's last batch, which "
    "is filled up by repeating its clips.",
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


def read_options() -> dict:
    """Returns what training takes beside settings, cache and run."""
    return {
        "checkpoint_sec": train_flags.CHECKPOINT_SEC.value,
        "manifest_path": None if _MANIFEST.value is None else Path(_MANIFEST.value),
        "frame_labels_path": train_flags.read_frame_labels_path(),
        "weights": train_flags.WEIGHTS.value,
        "devices": _DEVICES.value,
        "summary": _SUMMARY.value,
    }
