"""What a folder is, in both stages: one clip, of the images in it, or a place of other clips."""

import contextlib
import os
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

from absl import logging

from lrcn.common.files.escaped_text import escape_control
from lrcn.common.files.hidden_names import is_hidden
from lrcn.common.files.natural_sort import natural_key
from lrcn.common.programs.progress import Progress

IMAGE_SUFFIXES = {
    ".bmp",
    ".gif",
    ".jfif",
    ".jpe",
    ".jpeg",
    ".jpg",
    ".png",
    ".tif",
    ".tiff",
    ".webp",
}
# Of images that are not read: of phones and cameras, and of data sets.
_OTHER_IMAGE_SUFFIXES = {
    ".arw",
    ".avif",
    ".cr2",
    ".cr3",
    ".dng",
    ".exr",
    ".heic",
    ".heif",
    ".hif",
    ".j2k",
    ".jp2",
    ".jxl",
    ".mpo",
    ".nef",
    ".orf",
    ".pbm",
    ".pgm",
    ".pnm",
    ".ppm",
    ".psd",
    ".qoi",
    ".raf",
    ".rw2",
    ".tga",
}
VIDEO_SUFFIXES = {
    ".3g2",
    ".3gp",
    ".asf",
    ".avi",
    ".f4v",
    ".flv",
    ".m2ts",
    ".m4v",
    ".mkv",
    ".mov",
    ".mp4",
    ".mpeg",
    ".mpg",
    ".mts",
    ".mxf",
    ".ogv",
    ".ts",
    ".vob",
    ".webm",
    ".wmv",
}
# The first columns of the table that `--explain` writes; a column for each class follows.
EXPLANATION_COLUMNS = ("frame_index", "timestamp_sec", "influence")


class FolderContents(NamedTuple):
    """What lies in a folder, by its names.

    Attributes:
        images: In no order, as there are many.
        videos: Names, in natural order.
        folders: Names, in natural order.
        others: Names of files that are neither, by their suffixes, in natural order.
    """

    images: list[os.DirEntry]
    videos: list[str]
    folders: list[str]
    others: list[str]

    @property
    def is_clip(self) -> bool:
        """Whether the images are the frames of a clip. As many videos or more have thumbnails."""
        return len(self.images) > len(self.videos)


def list_clip_folder(folder: Path) -> FolderContents:
    """Lists a folder without hidden entries, such as the `._1.jpg` that macOS puts beside `1.jpg`,
    and without pictures that `--explain` drew.

    Raises:
        OSError: If it cannot be listed.
    """
    images, videos, folders, others = [], [], [], []
    with os.scandir(folder) as entries:
        for entry in entries:
            if is_hidden(entry.name):
                continue
            suffix = os.path.splitext(entry.name)[1].lower()
            if is_folder(entry):
                folders.append(entry.name)
            elif suffix in IMAGE_SUFFIXES:
                images.append(entry)
            elif suffix in VIDEO_SUFFIXES:
                videos.append(entry.name)
            else:
                others.append(entry.name)
    tables = {name for name in others if name.endswith(".csv")}
    if tables:
        images = [entry for entry in images if not _is_explanation(folder / entry.name, tables)]
    names = (sorted(names, key=natural_key) for names in (videos, folders, others))
    return FolderContents(images, *names)


def _is_explanation(picture: Path, tables: set[str]) -> bool:
    """Whether `--explain` wrote an image, and the table beside it."""
    table = picture.with_suffix(".csv")
    if table.name not in tables:
        return False
    try:
        with open(table, encoding="utf-8") as file:
            return file.readline().startswith(f"{','.join(EXPLANATION_COLUMNS)},")
    except (OSError, ValueError):
        return False


def is_cache_or_run(folder: Path) -> bool:
    """Whether a folder looks like one; what may not be looked into does not."""
    return any(os.path.exists(folder / name) for name in ("cache.json", "contract.json"))


def is_folder(entry: os.DirEntry) -> bool:
    """Whether an entry is a folder, or a link to one."""
    try:
        return entry.is_dir()
    except OSError:  # a link to itself, which the decoder will report
        return False


def warn_of_passed_over(sources: Collection[Path]) -> None:
    """Warns, once for all clips, of what lies beside the frames of one and may be clips or frames.

    Args:
        sources: Of all clips; files are left out, and so is a folder that the decoder will refuse.
    """
    with_clips, with_images = [], []
    for source, contents in _iter_clip_folders(sources):
        if contents.videos or contents.folders:
            with_clips.append((source, len(contents.images), contents.folders + contents.videos))
        other_images = [
            x for x in contents.others if os.path.splitext(x)[1].lower() in _OTHER_IMAGE_SUFFIXES
        ]
        if other_images:
            with_images.append((source, len(contents.images), other_images))
    _warn_of(
        with_clips,
        "folders and videos beside them, which are passed over",
        "Name those that are clips, or move them out of there",
    )
    _warn_of(
        with_images,
        "images of formats that are not read, which are passed over",
        "Convert those that are frames to JPEG or PNG, or move them out of there",
    )


def _iter_clip_folders(sources: Collection[Path]) -> Iterator[tuple[Path, FolderContents]]:
    with Progress(len(sources), "source", part="listing folders") as progress:
        for source in progress.track(sources):
            with contextlib.suppress(OSError):  # a file, or what the decoder will name
                contents = list_clip_folder(source)
                if contents.is_clip:
                    yield source, contents


def _warn_of(found: list[tuple[Path, int, list[str]]], what: str, remedy: str) -> None:
    if not found:
        return
    source, num_images, beside = found[0]
    num_more = len(found) - 1
    logging.warning(
        "%s: taken for one clip. Images in it: %d; %s: %d, such as %s%s. %s",
        escape_control(str(source)),
        num_images,
        what,
        len(beside),
        escape_control(beside[0]),
        f". Other such clips: {num_more}" if num_more else "",
        remedy,
    )
