"""The comparison of heads in words: the verdict, and a table for a terminal."""

from collections.abc import Mapping, Sequence

import numpy as np

from lrcn.common.programs.wording import name_count, pad_names, wrap_sentence
from train_head.scores.confidence_intervals import measure_difference
from train_head.scores.score_table import ONE_GROUP, format_leaks

BASELINE = "mean_pool"
# Five points: a difference that could still be larger is not called none.
_NOTABLE = 0.05


def find_verdict(is_right: Mapping[str, np.ndarray], groups: Sequence[str] | None = None) -> str:
    """Says in a sentence whether the GRU beats mean pooling, and whether by the order of frames.

    One is better than another if the 95 % interval of their difference lies above 0. If it does
    not, the simpler one is preferred; that there is no difference is said only if the interval
    ends below five points, else that there are too few clips to tell.

    Args:
        is_right: [S, N] bool of `mean_pool`, `gru` and `gru_shuffled`, as `measure_difference`
            takes them.
        groups: The clips' N groups, as it takes them.
    """
    gain = measure_difference(is_right["gru"], is_right[BASELINE], groups=groups)
    by_order = measure_difference(is_right["gru"], is_right["gru_shuffled"], groups=groups)
    shown, shown_order = format_difference(gain), format_difference(by_order)
    num_clips = is_right["gru"].shape[1]
    few_clips = "1 clip is too few" if num_clips == 1 else f"{num_clips} clips are too few"
    if gain["low"] > 0:
        verdict = f"The GRU is better than mean pooling by {shown} points"
        if by_order["low"] > 0:
            return f"{verdict}, and loses {shown_order} on shuffled frames: order matters here."
    else:
        worse = "worse" if gain["high"] < 0 else "no better"
        verdict = f"The GRU is {worse} than mean pooling ({shown} points): use the mean"
        if gain["high"] > _NOTABLE:
            verdict += f", though {few_clips} to rule out a gain"
        if by_order["low"] > 0:
            return f"{verdict}; it does read the order, and loses {shown_order} on shuffled frames."
    if by_order["high"] < 0:
        return (
            f"{verdict}; on shuffled frames it is better ({shown_order}): their order misleads it."
        )
    if by_order["high"] > _NOTABLE or by_order["low"] < -_NOTABLE:
        return f"{verdict}; {few_clips} to tell whether order plays a part ({shown_order})."
    return f"{verdict}; on shuffled frames it is as good ({shown_order}): order plays no part."


def format_table(comparison: dict) -> str:
    """Renders what `compare_models` returns."""
    models = comparison["models"]
    heading, *titles = pad_names(["model", *(model["title"] for model in models)])
    # Of each seed would be wider than a terminal; compare.json and compare.png have them.
    seeds = comparison["seeds"]
    named = ("seeds " if len(seeds) > 1 else "seed ") + ", ".join(map(str, seeds))
    clips = name_count(comparison["num_clips"], f"{comparison['split']} clip")
    lines = [
        wrap_sentence(f"top-1 of {clips}, in %: mean and deviation of {named}"),
        "",
        f"{heading}   mean    std   difference to mean pool [95 %]",
    ]
    for title, model in zip(titles, models, strict=True):
        std = "--" if model["std"] is None else f"{100 * model['std']:.1f}"
        difference = model["difference"]
        shown = "--" if difference is None else format_difference(difference, sign="+")
        lines.append(f"{title}  {100 * model['mean']:5.1f}  {std:>5}   {shown}")
    drawn = "clips" if comparison["num_groups"] is None else f"{comparison['num_groups']} groups"
    lines += ["", f"[95 %]: interval over the {drawn} and seeds"]
    if comparison["of_one_group"]:
        lines.append(ONE_GROUP)
    leaking_groups = comparison["leaking_groups"]
    if leaking_groups:
        lines += ["", format_leaks(leaking_groups)]
    return "\n".join([*lines, "", wrap_sentence(comparison["verdict"])])


def format_difference(difference: Mapping[str, float], *, sign: str = "-") -> str:
    """Renders a difference in points with its interval, `12.3 [8.1, 16.5]`; `+` signs all."""
    mean, low, high = (
        format(100 * difference[name], f"{sign}.1f") for name in ("mean", "low", "high")
    )
    return f"{mean} [{low}, {high}]"
