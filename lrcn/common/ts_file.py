"""Whether an MPEG transport stream (.ts, .m2ts) is whole, which FFmpeg does not tell.

It leaves out a packet that is cut off, and where a decoder does not miss the rest of a picture, as
that of HEVC, the last ones are painted over. By ISO/IEC 13818-1, section 2.4.3, a packet has 188
bytes, the first of them 0x47. Blu-ray and AVCHD put 4 bytes before each; behind it may be 16 more.
"""

import os
from pathlib import Path

from lrcn.common.video_stream import DamageError

_SYNC_BYTE = 0x47
_LAYOUTS = ((188, 0), (192, 4), (204, 0))  # bytes a packet, and where in it the sync byte is
_BYTES_LOOKED_AT = 5 * 204


def check_last_packet_is_whole(path: Path) -> None:
    """Checks that the file ends with a packet; one that starts amid a packet is not looked at.

    Raises:
        DamageError: If it ends amid one.
    """
    with open(path, "rb") as file:
        file_bytes = os.fstat(file.fileno()).st_size
        content = file.read(_BYTES_LOOKED_AT)
    for packet_bytes, sync_at in _LAYOUTS:
        rest_bytes = file_bytes % packet_bytes
        if rest_bytes and set(content[sync_at::packet_bytes]) == {_SYNC_BYTE}:
            raise DamageError(f"its last packet has {rest_bytes} of {packet_bytes} bytes")
