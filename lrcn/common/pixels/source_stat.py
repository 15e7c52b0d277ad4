"""The state of a clip's source, which tells whether it changed, without opening any file."""

import hashlib
import os
import stat
from pathlib import Path

from lrcn.common.clips.clip import Clip, SourceStat
from lrcn.common.files.unreadable import UnreadableClipError, check_is_file, make_missing_error
from lrcn.common.pixels import images

_MAX_INT64 = 2**63 - 1


def read_source_stat(source: Path) -> SourceStat:
    """Reads what tells whether a source has changed, without opening any file.

    Raises:
        UnreadableClipError: If the source is missing, empty, a pipe, or a folder without images.
    """
    try:
        of_source = os.stat(source)
        if stat.S_ISDIR(of_source.st_mode):
            entries = images.find_frame_files(Path(source))
            stats = [entry.stat() for entry in entries]
            listing = _digest_listing(entries, stats)
        else:
            check_is_file(source, of_source.st_mode)
            stats, listing = [of_source], ""
    except OSError as error:
        raise make_missing_error(error.filename, error) from error
    found = sum_stats(stats)._replace(listing=listing)
    if not found.size_bytes:  # before VGG16 is built for such alone
        raise UnreadableClipError(
            f"{source}: expected a video or images, received 0 bytes. Get it again, or remove the "
            "clip."
        )
    return found


def sum_stats(stats: list[os.stat_result]) -> SourceStat:
    """Sums up what the system tells of a source's files."""
    latest_ns = max(x.st_mtime_ns for x in stats)
    # Windows dates files without a date to 1601, which is out of HDF5's range of 64 bits.
    mtime_ns = min(max(latest_ns, -_MAX_INT64), _MAX_INT64)
    return SourceStat(sum(x.st_size for x in stats), mtime_ns)


def read_clip_stat(source: Path, clip: Clip) -> SourceStat:
    """Reads the state of a clip's source, or of a span of it; errors as `read_source_stat`."""
    return read_source_stat(source)._replace(span=clip.span.text)


def _digest_listing(entries: list[os.DirEntry], stats: list[os.stat_result]) -> str:
    digest = hashlib.sha256()
    for entry, of_entry in zip(entries, stats, strict=True):
        name, size_bytes = os.fsencode(entry.name), of_entry.st_size
        digest.update(b"%d %s %d %d " % (len(name), name, size_bytes, of_entry.st_mtime_ns))
    return digest.hexdigest()
