"""Flags that are a run's settings: each has the name, the type and the default of a field."""

from collections.abc import Iterable

from absl import flags

from train_head.run.config import FineTuneConfig

# So each flag is of the module that calls `define_setting`, with which --help lists it.
flags.disclaim_key_flags()

_DEFAULTS = FineTuneConfig()


def define_setting(
    name: str,
    help_text: str,
    *,
    values: Iterable[str] | None = None,
    lowest: float = 0,
    highest: float | None = None,
) -> None:
    """Defines the flag of a field of `TrainConfig`, or of those that `FineTuneConfig` adds.

    Args:
        name: The field's.
        help_text: What it means.
        values: Of a text, which it may be.
        lowest: Of a number, the lowest that it may be.
        highest: The highest; None for no limit.
    """
    default = getattr(_DEFAULTS, name)
    kind = float if default is None else type(default)  # a rate that goes by the clips
    if kind is str:
        flags.DEFINE_enum(name, default, list(values), help_text)
    elif kind is bool:
        flags.DEFINE_bool(name, default, help_text)
    else:
        define = flags.DEFINE_integer if kind is int else flags.DEFINE_float
        # A limit is shown as it is: 0.0 of a float.
        define(name, default, help_text, lower_bound=kind(lowest), upper_bound=highest)
