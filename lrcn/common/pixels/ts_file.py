"""Whether an MPEG transport stream (.ts, .m2ts) is whole, which FFmpeg does not tell.

FFmpeg leaves out a packet that is cut off, and some decoders, such as HEVC's, then conceal what the
last pictures lack. Where zeros stand in place of packets, it goes on with the next one. By ISO/IEC
13818-1, section 2.4.3, a packet has 188 bytes, the first of them 0x47. Blu-ray and AVCHD put 4
bytes before each; behind it may be 16 more.
"""

import os
from pathlib import Path
from typing import BinaryIO

from lrcn.common.pixels.video_stream import DamageError

_SYNC_BYTE = 0x47
_LAYOUTS = ((188, 0), (192, 4), (204, 0))  # bytes a packet, and where in it the sync byte is
_BYTES_LOOKED_AT = 5 * 204
_PACKETS_AT_ONCE = 4096


def check_packets_are_whole(path: Path) -> None:
    """Checks that there are packets up to the end; a file that starts amid one is not looked at.

    Raises:
        DamageError: If it ends amid one, or one does not begin as they do.
    """
    with open(path, "rb") as file:
        file_bytes = os.fstat(file.fileno()).st_size
        content = file.read(_BYTES_LOOKED_AT)
        for packet_bytes, sync_at in _LAYOUTS:
            if set(content[sync_at::packet_bytes]) == {_SYNC_BYTE}:
                _check_each(file, packet_bytes, sync_at)
                rest_bytes = file_bytes % packet_bytes
                if rest_bytes:
                    raise DamageError(f"its last packet has {rest_bytes} of {packet_bytes} bytes")


def _check_each(file: BinaryIO, packet_bytes: int, sync_at: int) -> None:
    file.seek(0)
    while content := file.read(_PACKETS_AT_ONCE * packet_bytes):
        sync_bytes = content[sync_at::packet_bytes]
        num_whole = len(sync_bytes) - len(sync_bytes.lstrip(bytes([_SYNC_BYTE])))
        if num_whole < len(sync_bytes):
            place = file.tell() - len(content) + num_whole * packet_bytes
            raise DamageError(f"its packet at byte {place} does not begin as one")
