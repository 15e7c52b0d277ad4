"""The picture of an explanation: frames, their influence, and the probabilities after each."""

from pathlib import Path

import numpy as np
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from rich.cells import cell_len

from lrcn.common.files.escaped_text import escape_control
from lrcn.common.pixels.decode import read_frames
from lrcn.common.pixels.sampling import sample_segment_centres
from lrcn.common.pixels.views import Views
from train_head.predictions.explanation import Explanation
from train_head.predictions.plot_fonts import escape_formula, find_font_families

# Pictures of a strip, and classes whose probability is drawn: more cannot be told apart.
_MAX_FRAMES = 16
_MAX_CLASSES = 5
_FRAME_SIZE_PX = 112
# Of the width of all bars: one or two pixels. Of less than one, a bar may not be drawn at all.
_MIN_BAR_WIDTH = 1 / 600
# Dots of more would be one thick line.
_MAX_DOTS = 200
# A title of more columns would end outside of the picture.
_MAX_TITLE_COLUMNS = 110
# Beside the plot, the legend of longer names would take its width; below, each takes a line.
_MAX_BESIDE_COLUMNS = 24
_LEGEND_LINE_INCHES = 0.2
# Wong 2011, "Points of view: Color blindness", Nature Methods 8.
_CLASS_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9")
_FOR, _AGAINST = "#0072B2", "#D55E00"


def draw_explanation(
    explanation: Explanation, *, source: Path, views: Views | None, class_names: list[str]
) -> Figure:
    """Draws an explanation.

    Args:
        explanation: Of one clip.
        source: The clip.
        views: Of its frames, of which the first is drawn; None where there are no pictures.
        class_names: The K names.

    Raises:
        UnreadableClipError: If its frames cannot be read.
    """
    num_frames = len(explanation.frame_index)
    positions = (np.arange(num_frames) + 0.5) / num_frames
    shown = sample_segment_centres(num_frames, min(num_frames, _MAX_FRAMES))
    figure = Figure(figsize=(12, 5), layout="constrained")
    if views is None:
        bars, lines = figure.subplots(2, height_ratios=(1, 1.4))
        top = bars
    else:
        # The first so high that frames are square.
        top, bars, lines = figure.subplots(3, height_ratios=(0.4, 1, 1.4))
        _draw_strip(top, explanation, source=source, views=views, shown=shown)
    title = _cut_front(escape_control(f"{source}: {class_names[explanation.class_id]}"))
    families = find_font_families("".join([title, *class_names]))
    top.set_title(escape_formula(title), loc="left", fontfamily=families)

    colours = [_FOR if x >= 0 else _AGAINST for x in explanation.influence]
    half = max(0.8 / num_frames, _MIN_BAR_WIDTH) / 2
    xs = np.add.outer(positions, [-half, -half, half, half])
    ys = np.multiply.outer(explanation.influence, [0, 1, 1, 0])
    # As one artist: as a patch each, the bars of 4,000 frames take seconds.
    bars.add_collection(PolyCollection(np.stack([xs, ys], axis=-1), facecolors=colours))
    bars.autoscale_view()  # which earlier versions of matplotlib leave to us
    bars.axhline(0, color="0.3", linewidth=0.8)
    bars.set_ylabel("influence (nats)")

    known = explanation.is_known
    probabilities = explanation.probabilities[known]
    best = np.argsort(-probabilities.max(axis=0), kind="stable")[:_MAX_CLASSES]
    style = ".-" if num_frames <= _MAX_DOTS else "-"
    for colour, k in zip(_CLASS_COLOURS, best, strict=False):
        # The blank keeps a name that begins with _ in the legend.
        label = " " + escape_formula(class_names[k])
        lines.plot(positions[known], probabilities[:, k], style, color=colour, label=label)
    lines.set(ylim=(-0.03, 1.03), ylabel="probability after it", xlabel="frame")
    style = {"frameon": False, "prop": {"family": families}}
    if max(cell_len(class_names[k]) for k in best) <= _MAX_BESIDE_COLUMNS:
        lines.legend(loc="center left", bbox_to_anchor=(1, 0.5), **style)
    else:
        figure.legend(loc="outside lower left", **style)
        figure.set_figheight(figure.get_figheight() + _LEGEND_LINE_INCHES * (1 + len(best)))
    for axes in (bars, lines):
        axes.set_xlim(0, 1)
        axes.set_xticks(positions[shown], explanation.frame_index[shown])
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def _cut_front(title: str) -> str:
    """Leaves out where a long path begins: the clip's own name and its class stand at the end."""
    if cell_len(title) <= _MAX_TITLE_COLUMNS:
        return title
    while cell_len(title) >= _MAX_TITLE_COLUMNS:
        title = title[1:]
    return "\N{HORIZONTAL ELLIPSIS}" + title


def _draw_strip(
    axes, explanation: Explanation, *, source: Path, views: Views, shown: np.ndarray
) -> None:
    """Draws the frames side by side, brighter where the head looks, over their bars."""
    numbers = explanation.frame_index[shown].tolist()
    pictures = read_frames(source, numbers, image_size=_FRAME_SIZE_PX, views=views)
    for i, (t, number) in enumerate(zip(shown, numbers, strict=True)):
        middle = (i + 0.5) / len(shown)
        extent = (middle - 0.47 / _MAX_FRAMES, middle + 0.47 / _MAX_FRAMES, 0, 1)
        axes.imshow(pictures[number], extent=extent)
        if explanation.attention is not None:
            axes.imshow(
                explanation.attention[t],
                extent=extent,
                vmin=0,
                vmax=explanation.attention.max(),
                cmap="inferno",
                alpha=0.5,
                interpolation="bilinear",
            )
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="auto")
    axes.axis("off")
