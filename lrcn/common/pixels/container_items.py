"""Whether a video file ends amid an item, which FFmpeg does not tell.

Most containers are rows of items that state their sizes: chunks, tags, packets, boxes, elements.
FFmpeg takes what is there, and where a file was cut off, what is missing may be many frames.
"""

import os
import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from lrcn.common.pixels.video_stream import DamageError

# More than any item needs to tell its size; Ogg's pages tell it with up to 27 + 255 bytes.
_HEAD_BYTES = 282
# Of a Video CD, the largest.
_SECTOR_BYTES = 2352
# Boxes of an MP4 that pictures lie in, or behind. Others may lack, and what seems to be one may be
# text behind the end: `free` is one, and a word.
_MP4_BOXES = {
    *(b"ftyp", b"moov", b"mdat", b"uuid"),
    *(b"styp", b"sidx", b"ssix", b"prft", b"emsg", b"moof", b"mfra"),  # of fragments
}


class _Item(NamedTuple):
    """What the first bytes of an item say.

    Attributes:
        step_bytes: From the start of this item to the next one to look at, which may lie inside it.
        needed_bytes: From the start of this item to the end of what the file must have.
        packet_bytes: The size of the packets inside, where all have one that they do not state.
        goes_on: Whether another item must follow, though nothing states its bytes yet; None leaves
            that as the items before had it.
    """

    step_bytes: int
    needed_bytes: int
    packet_bytes: int = 0
    goes_on: bool | None = None


def check_items_are_whole(path: Path, format_name: str) -> None:
    """Checks that the items of a file go as far as they state, up to where one states nothing.

    Args:
        path: The file.
        format_name: Of the container, as FFmpeg calls it. Others are not looked at.

    Raises:
        DamageError: If bytes that pictures may lie in are missing, or are zeros since they never
            came. A file that ends between two items, of which neither states the other, passes:
            nobody can tell.
    """
    read_item = _READERS.get(format_name)
    if read_item is None:
        return
    with open(path, "rb") as file:
        place, stated_bytes, file_bytes = 0, 0, os.fstat(file.fileno()).st_size
        packet_bytes, goes_on = 0, False
        while place < file_bytes:
            file.seek(place)
            head = file.read(_HEAD_BYTES)
            # No item begins with eight zeros. But behind all that is stated zeros may fill up a
            # sector, so there it takes more of them.
            is_stated = place < stated_bytes
            is_expected = is_stated or (goes_on and place < file_bytes - _SECTOR_BYTES)
            num_zeros = 8 if is_stated else _HEAD_BYTES
            if is_expected and head[:num_zeros] == bytes(num_zeros):
                raise DamageError(f"from byte {place} on, zeros stand in place of what it states")
            # With zeros for what is cut off of it: an item still needs the bytes of its head.
            item = read_item(head.ljust(_HEAD_BYTES, b"\0"))
            if item is None and packet_bytes and is_stated:
                item = _whole(packet_bytes)
            if item is None or not item.step_bytes:
                return
            missing_bytes = place + item.needed_bytes - file_bytes
            if missing_bytes > 0:
                raise DamageError(f"{missing_bytes} bytes of those that it states are not there")
            stated_bytes = max(stated_bytes, place + item.needed_bytes)
            place += item.step_bytes
            packet_bytes = packet_bytes or item.packet_bytes
            goes_on = goes_on if item.goes_on is None else item.goes_on


def _whole(num_bytes: int, *, goes_on: bool | None = None) -> _Item:
    return _Item(num_bytes, num_bytes, goes_on=goes_on)


def _read_asf(head: bytes) -> _Item | None:
    # ASF Specification, revision 01.20.03, sections 3.1 and 5.1. What is behind the data may lack;
    # of a recording of a stream nobody knew the size of the data, and none is stated.
    kind, size_bytes = head[:16].hex(), int.from_bytes(head[16:24], "little")
    if kind == "3026b2758e66cf11a6d900aa0062ce6c":
        return _Item(size_bytes, 0)
    if kind == "3626b2758e66cf11a6d900aa0062ce6c" and size_bytes:
        num_packets = int.from_bytes(head[40:48], "little")
        packet_bytes, rest_bytes = divmod(size_bytes - 50, max(1, num_packets))
        return _whole(size_bytes) if rest_bytes else _Item(50, size_bytes, packet_bytes)
    return None


def _read_avi(head: bytes) -> _Item | None:
    # RIFF (IBM and Microsoft, 1991), and OpenDML's further segments. While it is written, a list
    # may state no size, or the largest.
    kind, size_bytes, form = struct.unpack_from("<4sI4s", head)
    step_bytes = 8 + size_bytes + size_bytes % 2
    if kind == b"RIFF":
        return _Item(12, 0)
    if kind == b"LIST" and form in (b"movi", b"rec "):
        return _Item(12, 8 + size_bytes if 0 < size_bytes < 0xFFFFFFFF else 12)
    if re.fullmatch(rb"[0-9]{2}[a-z_]{2}", kind):
        return _Item(step_bytes, 8 + size_bytes)
    # An index may lack; one ends each segment.
    is_other = kind in (b"LIST", b"JUNK", b"idx1") or re.fullmatch(rb"ix[0-9]{2}", kind)
    return _Item(step_bytes, 0) if is_other else None


def _read_flv(head: bytes) -> _Item | None:
    # Adobe Flash Video File Format Specification, version 10.1, annex E. Before each tag stands the
    # size of the one before it, and so behind the last.
    if head[:3] == b"FLV":
        return _whole(int.from_bytes(head[5:9]))
    # Its other bits are those of an encrypted tag, or of text behind the end.
    if head[4] in (8, 9, 18):
        return _whole(4 + 11 + int.from_bytes(head[5:8]), goes_on=True)
    return None


def _read_matroska(head: bytes) -> _Item | None:
    # RFC 8794, sections 4 to 6, and RFC 9559, section 5: a kind, a size and a content. The first
    # bit that is set says how many bytes a number has; a size of all bits is unknown as yet.
    kind_bytes = 9 - head[0].bit_length()
    num_bytes = 9 - head[kind_bytes].bit_length()
    if kind_bytes > 8 or num_bytes > 8:
        return None
    kind = int.from_bytes(head[:kind_bytes])
    start_bytes = kind_bytes + num_bytes
    all_bits = (1 << 7 * num_bytes) - 1
    size_bytes = int.from_bytes(head[kind_bytes:start_bytes]) & all_bits
    is_segment, is_cluster = kind == 0x18538067, kind == 0x1F43B675
    if size_bytes == all_bits:
        return _whole(start_bytes, goes_on=True) if is_segment or is_cluster else None
    end_bytes = start_bytes + size_bytes
    # Pictures lie in blocks (or groups of one), and all else that is large has a kind of four
    # bytes, whose first is no letter: text behind the end is none of them.
    is_needed = kind_bytes == 4 or kind in (0xA0, 0xA3)
    step_bytes = start_bytes if is_segment or is_cluster else end_bytes
    return _Item(step_bytes, end_bytes if is_needed else 0)


def _read_mp4(head: bytes) -> _Item | None:
    # ISO/IEC 14496-12, section 4.2: boxes, of which a fragment (moof) is followed by its data. A
    # size of 0 reaches to the end of the file.
    size_bytes, kind = struct.unpack_from(">I4s", head)
    if size_bytes == 1:
        size_bytes = int.from_bytes(head[8:16])
    if size_bytes < 8 or not re.fullmatch(rb"[a-z0-9 ]{4}", kind):
        return None
    if kind not in _MP4_BOXES:
        return _Item(size_bytes, 0)
    if kind == b"moof":
        return _Item(size_bytes, size_bytes + 8, goes_on=True)
    # Behind the last fragment is their index, if anything.
    return _whole(size_bytes, goes_on=False if kind == b"mfra" else None)


def _read_mpeg(head: bytes) -> _Item | None:
    # ISO/IEC 11172-1, section 2.4.3, and 13818-1, sections 2.4.3.6 and 2.5.3: packs, packets, end.
    kind, size_bytes = head[3], int.from_bytes(head[4:6])
    if head[:3] != b"\0\0\1" or kind < 0xB9:
        return None
    if kind == 0xB9:
        return _whole(4, goes_on=False)
    if kind == 0xBA:
        return _whole(12 if head[4] >> 4 == 2 else 14 + (head[13] & 7), goes_on=True)
    return _whole(6 + size_bytes) if size_bytes else None


def _read_mxf(head: bytes) -> _Item | None:
    # SMPTE ST 377-1, sections 6.3 and 7.1: a key, a size and a value. The first partition says
    # where the last begins, unless it was never closed.
    if head[:4] != b"\x06\x0e\x2b\x34":
        return None
    num_bytes = head[16] & 0x7F if head[16] & 0x80 else 0
    start_bytes = 17 + num_bytes
    size_bytes = int.from_bytes(head[17:start_bytes]) if num_bytes else head[16]
    is_first = head[4:14] == bytes.fromhex("02 05 01 01 0d 01 02 01 01 02")
    footer = int.from_bytes(head[start_bytes + 24 : start_bytes + 32]) if is_first else 0
    end_bytes = start_bytes + size_bytes
    # What the last begins with is its key.
    return _Item(end_bytes, max(end_bytes, footer + 16 if footer else 0))


def _read_ogg(head: bytes) -> _Item | None:
    # RFC 3533, section 6: pages, of segments of up to 255 bytes.
    if head[:4] != b"OggS":
        return None
    is_last = head[5] & 4 != 0  # of its stream, of which there may be others
    return _whole(27 + head[26] + sum(head[27 : 27 + head[26]]), goes_on=not is_last)


_READERS: dict[str, Callable[[bytes], _Item | None]] = {
    "asf": _read_asf,
    "avi": _read_avi,
    "flv": _read_flv,
    "matroska,webm": _read_matroska,
    "mov,mp4,m4a,3gp,3g2,mj2": _read_mp4,
    "mpeg": _read_mpeg,
    "mxf": _read_mxf,
    "ogg": _read_ogg,
}
