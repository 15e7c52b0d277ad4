"""The clip, one labelled sequence, and the rules that its fields obey."""

import dataclasses
import posixpath
import re
from collections.abc import Sequence
from typing import NamedTuple

from lrcn.common.clips.span import Span
from lrcn.common.files.alike_names import check_one_form, iter_alike
from lrcn.common.files.escaped_text import has_control

SPLITS = ("train", "val", "test")


@dataclasses.dataclass(frozen=True)
class Clip:
    """One labelled sequence: a folder of frames, a video file, or a time span of a video file.

    Attributes:
        clip_id: Unique name, safe as a relative path; the cache file is called after it.
        path: POSIX path of the folder or file, relative to the data root.
        label: Class name.
        split: One of `SPLITS`, or empty where it is still to be drawn.
        group: What must not straddle splits, such as a subject; empty where it is the source alone.
        start_sec: Where the clip starts in its video, in seconds from the video's first frame;
            None at the beginning.
        end_sec: Where it ends, in seconds; None at the end.
    """

    clip_id: str
    path: str
    label: str
    split: str = ""
    group: str = ""
    start_sec: float | None = None
    end_sec: float | None = None

    @property
    def source_group(self) -> str:
        """What must not straddle splits: the group, or the source where there is none.

        Time spans of one video show the same scene and must stay together.
        """
        return self.group or posixpath.normpath(self.path)

    @property
    def span(self) -> Span:
        """Which part of its source it is."""
        return Span(self.start_sec, self.end_sec)


class SourceStat(NamedTuple):
    """What changes when a clip's source changes.

    Attributes:
        size_bytes: Size of the file, or of a folder's image files together.
        mtime_ns: When the file, or the latest of the image files, was last written.
        span: Which part of the file the clip is, see `Span.text`.
        listing: Digest of a folder's file names, sizes and times in order, so that renamed or
            swapped frames count as a change; empty for a file.
    """

    size_bytes: int
    mtime_ns: int
    span: str = ""
    listing: str = ""


# File systems take 255 bytes; `.<name>.h5.tmp` is what a cache file is called at first.
_MAX_NAME_BYTES = 255 - len("..h5.tmp")
# Three years: a time beyond it is one in milliseconds or of a calendar, and overflows in FFmpeg.
_MAX_SPAN_SEC = 1e8


def check_clips(clips: Sequence[Clip], *, places: Sequence[str]) -> None:
    """Checks every clip by itself, that no two claim the same cache file, nor labels look alike.

    Args:
        clips: The clips.
        places: Where each came from, such as `file:line`; every error starts with it.

    Raises:
        ValueError: At the first rule that is broken.
    """
    for i, clip in enumerate(clips):
        _check_clip(clip, place=places[i])
    # Case and Unicode form are what file systems may ignore in a name.
    for i, first in iter_alike([clip.clip_id for clip in clips], ignore_case=True):
        clip = clips[i]
        if clips[first].clip_id == clip.clip_id:
            raise ValueError(
                f"{places[i]}: expected unique clip_ids, but {clip.clip_id!r} stands also at "
                f"{places[first]}. Rename or remove one of them."
            )
        raise ValueError(
            f"{places[i]}: clip_id {clip.clip_id!r} and {clips[first].clip_id!r} "
            f"({places[first]}) differ only by case or Unicode form, and would be one cache file "
            "on some file systems. Rename one of them."
        )
    check_one_form([clip.label for clip in clips], kind="label", places=places)
    check_one_form([clip.group for clip in clips], kind="group", places=places)
    clip_ids = {clip.clip_id for clip in clips}
    for i, clip in enumerate(clips):
        for found in re.finditer(r"\.h5/", clip.clip_id):
            owner = clip.clip_id[: found.start()]
            if owner in clip_ids:
                folder = f"{owner}.h5"
                raise ValueError(
                    f"{places[i]}: clip_id {clip.clip_id!r} needs a folder {folder!r}, which "
                    f"is the cache file of {owner!r}. Rename one of them."
                )


def check_label(label: str, *, place: str) -> None:
    """Checks that a label can be a line of `classes.txt`.

    Args:
        label: Class name.
        place: Where it came from, such as `file:line`; the error starts with it.

    Raises:
        ValueError: If it cannot.
    """
    if not label or label != label.strip() or has_control(label):
        raise ValueError(
            f"{place}: expected a class name, not empty and without white space around it or "
            f"control characters, received {label!r}. "
            + ("Rename it." if label else "Write one there, or take the line out.")
        )


def _check_clip(clip: Clip, *, place: str) -> None:
    clip_id, path = clip.clip_id, clip.path
    if (
        any(part in ("", ".", "..") for part in clip_id.split("/"))
        or "\\" in clip_id
        or has_control(clip_id)
    ):
        raise ValueError(
            f"{place}: expected clip_id to be a relative path such as walk/clip_1, without an "
            "empty, '.' or '..' part, backslash, control character or byte that is not UTF-8, "
            f"received {clip_id!r}. Rename it: the cache file is called after it."
        )
    longest = max(len(part.encode()) for part in clip_id.split("/"))
    if longest > _MAX_NAME_BYTES:
        raise ValueError(
            f"{place}: expected clip_id to have parts of at most {_MAX_NAME_BYTES} bytes, received "
            f"one of {longest}. Rename it: the cache file is called after it."
        )
    if (
        not path
        or path.startswith("/")
        or ".." in path.split("/")
        or "\\" in path
        or has_control(path)
    ):
        raise ValueError(
            f"{place}: expected path to be relative to the data root, with '/' between its parts "
            f"and without '..', backslash or control character, received {path!r}. "
            "Write it so, and at extraction name the folder that the paths start from: "
            "--data_root=... (with make: make features FLAGS=--data_root=...)."
        )
    check_label(clip.label, place=place)
    if clip.split not in ("", *SPLITS):
        raise ValueError(
            f"{place}: expected split to be train, val, test or empty, received {clip.split!r}. "
            "Correct it, or at extraction leave it empty to have it drawn."
        )
    if clip.group != clip.group.strip() or has_control(clip.group):
        raise ValueError(
            f"{place}: expected a group without white space around it or control characters, "
            f"received {clip.group!r}. Rename it, or have --group_regex leave these out."
        )
    _check_span(clip, place=place)


def _check_span(clip: Clip, *, place: str) -> None:
    for column in ("start_sec", "end_sec"):
        sec = getattr(clip, column)
        if sec is not None and not 0 <= sec <= _MAX_SPAN_SEC:
            raise ValueError(
                f"{place}: expected {column} from 0 to {_MAX_SPAN_SEC:g} seconds, received {sec}. "
                "Correct it, or leave it empty."
            )
    # A clip that ends at 0 is empty even where its start is left out.
    if clip.end_sec is not None and clip.end_sec <= (clip.start_sec or 0):
        raise ValueError(
            f"{place}: expected end_sec after start_sec, received {clip.span}. "
            "Correct them, or leave end_sec empty for the video's end."
        )
