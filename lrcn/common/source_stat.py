"""The state of a clip's source, which tells whether it changed, without opening any file."""

import hashlib
import os
import stat
from pathlib import Path

from lrcn.common import images
from lrcn.common.alike_names import find_alike_path
from lrcn.common.clip import Clip, SourceStat, escape_control
from lrcn.common.unreadable import UnreadableClipError, raise_if_machine_lacks

_MAX_INT64 = 2**63 - 1


def read_source_stat(source: Path) -> SourceStat:
    """Reads what tells whether a source has changed, without opening any file.

    Raises:
        UnreadableClipError: If the source is missing, or a folder without images.
    """
    try:
        of_source = os.stat(source)
        if not stat.S_ISDIR(of_source.st_mode):
            return sum_stats([of_source])
        entries = images.find_frame_files(Path(source))
        stats = [entry.stat() for entry in entries]
    except OSError as error:
        raise make_missing_error(error.filename, error) from error
    return sum_stats(stats)._replace(listing=_digest_listing(entries, stats))


def sum_stats(stats: list[os.stat_result]) -> SourceStat:
    """Sums up what the system tells of a source's files."""
    latest_ns = max(x.st_mtime_ns for x in stats)
    # Windows gives files without a date that of 1601, for which 64 bits, as HDF5 has, are too few.
    mtime_ns = min(max(latest_ns, -_MAX_INT64), _MAX_INT64)
    return SourceStat(sum(x.st_size for x in stats), mtime_ns)


def read_clip_stat(source: Path, clip: Clip) -> SourceStat:
    """Reads the state of a clip's source, or of a span of it; errors as `read_source_stat`."""
    return read_source_stat(source)._replace(span=clip.span)


def _digest_listing(entries: list[os.DirEntry], stats: list[os.stat_result]) -> str:
    digest = hashlib.sha256()
    for entry, of_entry in zip(entries, stats, strict=True):
        name, size_bytes = os.fsencode(entry.name), of_entry.st_size
        digest.update(b"%d %s %d %d " % (len(name), name, size_bytes, of_entry.st_mtime_ns))
    return digest.hexdigest()


def make_missing_error(path: str | Path, error: Exception) -> UnreadableClipError:
    """Makes the error of a source that is not there, or cannot be looked at."""
    raise_if_machine_lacks(error)
    received = getattr(error, "strerror", None) or error
    remedy = "Check the path and its permissions."
    if isinstance(error, FileNotFoundError):
        if link := _find_link_to_nothing(Path(path)):
            received = f"a link to nothing, {link} -> {escape_control(os.readlink(link))}"
            remedy = "Mend the link, or bring back what it leads to."
        elif alike := find_alike_path(str(path)):
            received = (
                f"none of this name, but one that looks like it, {alike!a} and not {str(path)!a}"
            )
            remedy = "Write the name as it is on disk."
    return UnreadableClipError(
        f"{path}: expected a folder of images or a video file, received: {received}. {remedy}"
    )


def _find_link_to_nothing(path: Path) -> Path | None:
    """Finds the link, of the path or a folder above it, that `ls` shows and that leads nowhere."""
    places = (path, *path.parents)
    return next((x for x in places if os.path.islink(x) and not os.path.exists(x)), None)
