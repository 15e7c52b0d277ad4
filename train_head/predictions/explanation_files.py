"""Writes explanations of new clips: a table and a picture of each."""

import errno
import re
import unicodedata
from pathlib import Path

import numpy as np
from absl import logging
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from rich.cells import cell_len

from lrcn.common.clips.clip import SourceStat
from lrcn.common.clips.clip_folder import EXPLANATION_COLUMNS
from lrcn.common.files.atomic_file import check_can_write, replace_csv, replace_file
from lrcn.common.files.escaped_text import escape_control
from lrcn.common.files.unreadable import UnreadableClipError
from lrcn.common.pixels.decode import read_frames
from lrcn.common.pixels.sampling import sample_segment_centres
from lrcn.common.pixels.source_stat import read_source_stat
from lrcn.common.pixels.views import Views
from train_head.predictions.explanation import Explanation
from train_head.predictions.plot_fonts import escape_formula, find_font_families
from train_head.scores.class_columns import name_columns

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
# Of 255 bytes, the rest is for `_2.csv` and for the name of a temporary file.
_MAX_NAME_BYTES = 200


class ExplanationFolder:
    """The files `<clip>.csv` and `<clip>.png` of each clip, none of which exist yet."""

    def __init__(self, folder: Path, sources: list[Path], *, views: Views | None):
        """Names the files after the clips; of clips of one name, the later ones get a number.

        Args:
            folder: Where they go, made where there is none.
            sources: The clips, one may come twice.
            views: Of their frames, of which the first is drawn; None where features are all that
                is known of them.

        Raises:
            OSError: If the folder cannot be made or written to.
            ValueError: If one of the files exists, or the folder is a clip.
        """
        if folder.resolve() in {source.resolve() for source in sources}:
            raise ValueError(
                f"{folder}: a clip, of which pictures there would be frames. Name another "
                "--explain folder."
            )
        self._views = views
        self._sources = sources
        names = _make_file_names(sources)
        self._paths = [(folder / f"{name}.csv", folder / f"{name}.png") for name in names]
        for path in (path for pair in self._paths for path in pair):
            if path.exists():
                raise ValueError(
                    f"{path}: exists already, or is --output too. Name another --explain folder, "
                    "or remove it."
                )
        folder.mkdir(parents=True, exist_ok=True)
        check_can_write(folder)
        # Of features, no picture is drawn.
        self._stats = None if views is None else [_find_stat(source) for source in sources]

    def write(self, number: int, explanation: Explanation, *, class_names: list[str]) -> bool:
        """Writes both files of a clip, or neither.

        Args:
            number: The clip's place among the sources.
            explanation: Of all frames that the head saw.
            class_names: The K names.

        Returns:
            Whether it could; if the frames cannot be read any more, or are others, the reason is
            logged.

        Raises:
            OSError: If they cannot be written.
            ValueError: If one has come to exist.
        """
        source, (csv_path, png_path) = self._sources[number], self._paths[number]
        for path in (csv_path, png_path):
            if path.exists():  # not when the program started, which for many clips is hours ago
                raise ValueError(
                    f"{path}: another program has made it meanwhile. The clips before are "
                    "explained. Name another --explain folder."
                )
        try:
            _write_table(csv_path, explanation, class_names)
            with replace_file(png_path) as temporary:
                figure = _draw(
                    explanation, source=source, views=self._views, class_names=class_names
                )
                if self._stats is not None and _find_stat(source) != self._stats[number]:
                    raise UnreadableClipError(
                        f"{source}: has changed meanwhile, so its frames may not be those that the "
                        "answer is of. Name it again once it is whole."
                    )
                figure.savefig(temporary, format="png", dpi=110)
        except BaseException as error:
            csv_path.unlink(missing_ok=True)
            if isinstance(error, UnreadableClipError):
                logging.error("Not explained: %s", error)
                return False
            if getattr(error, "errno", None) not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise OSError(
                f"{error.filename}: {error.strerror}. The clips before are explained. Make room "
                "there, and remove what was written or name another --explain folder (and "
                "--output): files that exist are refused."
            ) from error
        told = f"{source}: explained in {csv_path} and {png_path.name}"
        num_known, num_frames = _find_known(explanation).sum(), len(explanation.frame_index)
        if num_known < num_frames:
            told += (
                f"; probabilities are after {num_known} of the {num_frames:,} frames, evenly "
                "spaced, as this head would read the clip anew for each"
            )
        logging.info("%s", escape_control(told))
        return True


def _find_stat(source: Path) -> SourceStat | None:
    try:
        return read_source_stat(source)
    except UnreadableClipError:  # which its prediction or its pictures tell of
        return None


def _write_table(path: Path, explanation: Explanation, class_names: list[str]) -> None:
    with replace_csv(path) as writer:
        writer.writerow([*EXPLANATION_COLUMNS, *name_columns(class_names)])
        for t, frame_index in enumerate(explanation.frame_index):
            seconds = explanation.timestamp_sec[t]
            writer.writerow(
                [
                    frame_index,
                    "" if np.isnan(seconds) else f"{seconds:.3f}",
                    f"{explanation.influence[t]:.6f}",
                    *("" if np.isnan(p) else f"{p:.6f}" for p in explanation.probabilities[t]),
                ]
            )


def _find_known(explanation: Explanation) -> np.ndarray:
    """Returns after which frames the probabilities are known, [T] bool."""
    return np.isfinite(explanation.probabilities).all(axis=1)


def _make_file_names(sources: list[Path]) -> list[str]:
    """Names files after clips, each otherwise; case is what file systems may ignore."""
    names, seen = [], set()
    for source in sources:
        name = first = _make_file_name(source)
        number = 1
        while name.casefold() in seen:
            number += 1
            name = f"{first}_{number}"
        seen.add(name.casefold())
        names.append(name)
    return names


def _make_file_name(source: Path) -> str:
    # `..` and `.` are clips too, and have no name of their own.
    text = unicodedata.normalize("NFC", source.name.strip(".") or source.resolve().name)
    text = re.sub(r"[^\w.\-]+", "_", text).lstrip(".") or "clip"
    return text.encode()[:_MAX_NAME_BYTES].decode(errors="ignore")


def _draw(
    explanation: Explanation, *, source: Path, views: Views | None, class_names: list[str]
) -> Figure:
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

    known = _find_known(explanation)
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
