"""Writes explanations of new clips: a table and a picture of each."""

import errno
import re
import unicodedata
from pathlib import Path

import numpy as np
from absl import logging

from lrcn.common.clips.clip import SourceStat
from lrcn.common.clips.clip_folder import EXPLANATION_COLUMNS
from lrcn.common.files.atomic_file import check_can_write, replace_csv, replace_file
from lrcn.common.files.escaped_text import escape_control
from lrcn.common.files.unreadable import UnreadableClipError
from lrcn.common.pixels.source_stat import read_source_stat
from lrcn.common.pixels.views import Views
from train_head.predictions.explanation import Explanation
from train_head.predictions.explanation_plot import draw_explanation
from train_head.scores.class_columns import name_columns

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
                figure = draw_explanation(
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
        num_known, num_frames = explanation.is_known.sum(), len(explanation.frame_index)
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
