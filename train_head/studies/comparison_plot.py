"""The comparison as a picture: scores of every seed, and how far each model is from mean pool."""

from pathlib import Path

from matplotlib.figure import Figure

from lrcn.common.files.atomic_file import replace_file
from lrcn.common.programs.wording import name_count

_SEED_COLOUR, _MEAN_COLOUR, _LINE_COLOUR = "#9bb8d3", "#1f5a92", "#888888"


def draw_comparison(path: Path, comparison: dict) -> None:
    """Draws `compare_models`' result as a PNG: models downwards, in the order of the table."""
    models = comparison["models"]
    num_seeds, places = len(comparison["seeds"]), range(len(models))
    figure = Figure(figsize=(10, 1.4 + 0.38 * len(models)), dpi=150, layout="constrained")
    scores, differences = figure.subplots(1, 2, sharey=True)
    for place, model in zip(places, models, strict=True):
        seeds = [100 * score for score in model["top1"]]
        scores.plot(seeds, [place] * num_seeds, "o", color=_SEED_COLOUR, markersize=5)
        scores.plot(100 * model["mean"], place, "|", color=_MEAN_COLOUR, markersize=16, mew=2.5)
        if model["difference"] is not None:
            low, mean, high = (100 * model["difference"][x] for x in ("low", "mean", "high"))
            differences.plot([low, high], [place, place], color=_MEAN_COLOUR, linewidth=2)
            differences.plot(mean, place, "o", color=_MEAN_COLOUR, markersize=6)
    seeds = name_count(num_seeds, "seed")
    scores.set_title(f"a dot a seed, the bar their mean ({seeds})", fontsize=9)
    clips = name_count(comparison["num_clips"], f"{comparison['split']} clip")
    scores.set_xlabel(f"top-1 of {clips}, %")
    scores.set_yticks(places, [model["title"] for model in models])
    scores.invert_yaxis()  # shared with the other plot
    differences.axvline(0, color=_LINE_COLOUR, linewidth=1)
    drawn = "clips" if comparison["num_groups"] is None else "groups of clips"
    differences.set_title(f"with 95 % interval over {drawn} and seeds", fontsize=9)
    differences.set_xlabel("difference to mean pool, points")
    for axes in (scores, differences):
        axes.grid(axis="x", alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    with replace_file(path) as temporary:
        figure.savefig(temporary, format="png")
