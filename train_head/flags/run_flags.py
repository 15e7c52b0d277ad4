"""The flags that name a run and what it is made of, alike in train_head and fine_tune."""

from absl import flags

from lrcn.common.programs.program import adopt_flags
from train_head.flags import manifest_flag, train_flags

adopt_flags(manifest_flag, train_flags)

RUN_DIR = flags.DEFINE_string(
    "run_dir",
    None,
    "Folder of the run; made where there is none. A run that was cut off goes on.",
    required=True,
)
_DEVICES = flags.DEFINE_string(
    "devices",
    "1",
    "How many GPUs of this machine share each batch, or all. --batch_size stays that of the whole "
    "batch, and must be a multiple of it. Changes the result by rounding and by dropout's draws, "
    "and counts an uneven last batch as more in the training loss of history.csv.",
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
    """Returns what training takes beside settings, data and run."""
    return {
        "checkpoint_sec": train_flags.CHECKPOINT_SEC.value,
        "devices": _DEVICES.value,
        "summary": _SUMMARY.value,
    }
