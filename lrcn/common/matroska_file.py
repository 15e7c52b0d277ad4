"""Whether a Matroska file (.mkv, .webm) is whole, which FFmpeg does not tell.

It leaves out what is cut off, and where no duration is stated, as by browsers that record, nobody
misses it. A file is elements of a kind, a size and a content (RFC 8794, sections 4 to 6), which may
be elements again (RFC 9559, section 5).
"""

import os
from pathlib import Path

from lrcn.common.video_stream import DamageError

# Those whose sizes may be unknown while they are written. Their elements follow.
_SEGMENT, _CLUSTER = 0x18538067, 0x1F43B675


def check_last_element_is_whole(path: Path) -> None:
    """Checks that the file ends with an element, or with bytes of 0 behind one.

    Raises:
        DamageError: If it ends amid one.
    """
    with open(path, "rb") as file:
        file_bytes = os.fstat(file.fileno()).st_size
        while file.tell() < file_bytes:
            kind, _ = _read_number(file)
            size, marker = _read_number(file)
            is_unknown = size == 2 * marker - 1  # all its bits are set
            if kind in (_SEGMENT, _CLUSTER) and is_unknown:
                continue
            if not marker or is_unknown:  # no element: damaged otherwise, and read by FFmpeg
                return
            size_bytes = size - marker
            missing_bytes = file.tell() + size_bytes - file_bytes
            if missing_bytes > 0:
                raise DamageError(f"{missing_bytes} bytes of those that it states are not there")
            if kind != _SEGMENT:
                file.seek(size_bytes, os.SEEK_CUR)


def _read_number(file) -> tuple[int, int]:
    """Reads a number of 1 to 8 bytes: the first bit that is set says of how many.

    Returns:
        The number with that bit still set, as kinds are written, and the bit; both 0 where there is
        no number.
    """
    first = file.read(1)
    if first == b"\0":
        return 0, 0
    num_bytes = 9 - first[0].bit_length() if first else 1
    content = first + file.read(num_bytes - 1)
    if len(content) < num_bytes:
        raise DamageError("it ends amid an element of which the size is cut off")
    return int.from_bytes(content), 1 << 7 * num_bytes
