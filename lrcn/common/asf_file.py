"""Whether an ASF file (.wmv, .asf) is whole, which FFmpeg does not tell.

It takes what comes, and forgets the length that the header states where the file is shorter.
Advanced Systems Format Specification, Revision 01.20.03, sections 3.1 and 5.1.
"""

import struct
from pathlib import Path

from lrcn.common.video_stream import DamageError

_HEADER_OBJECT = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_DATA_OBJECT = bytes.fromhex("3626b2758e66cf11a6d900aa0062ce6c")
_OBJECT_START = struct.Struct("<16sQ")  # of what kind an object is, and its size in bytes


def check_data_is_whole(path: Path) -> None:
    """Checks that the packets of pictures and sound are all there; an index behind them may lack.

    Raises:
        DamageError: If not. Of a recording of a stream nobody knew the size, and none is stated.
    """
    file_bytes = path.stat().st_size
    with open(path, "rb") as file:
        kind, header_bytes = _read_object_start(file)
        if kind != _HEADER_OBJECT or header_bytes > file_bytes:  # damaged, and read by FFmpeg
            return
        file.seek(header_bytes)
        kind, data_bytes = _read_object_start(file)
    missing_bytes = header_bytes + data_bytes - file_bytes
    if kind == _DATA_OBJECT and missing_bytes > 0:
        raise DamageError(f"{missing_bytes} bytes of those that it states are not there")


def _read_object_start(file) -> tuple[bytes, int]:
    content = file.read(_OBJECT_START.size)
    return _OBJECT_START.unpack(content) if len(content) == _OBJECT_START.size else (b"", 0)
