"""The process that `decode_process` starts: decodes clips and hands their frames over."""

import contextlib
import functools
import logging as python_logging
import os
import sys
from collections.abc import Iterator
from multiprocessing.connection import Connection

import numpy as np

from extract_features.decode_process import (
    ENOUGH,
    FRAMES_AT_ONCE,
    NUM_BLOCKS,
    DecodeWarning,
    map_blocks,
)
from lrcn.common.files.unreadable import UnreadableClipError
from lrcn.common.pixels.decode import iter_frames
from lrcn.common.pixels.frame import Frame

# Where all cores are busy, the process that they all decode for goes first.
_NICENESS = 5


class _WarningSender(python_logging.Handler):
    """Hands warnings on to the process that this one decodes for."""

    def __init__(self, connection: Connection):
        super().__init__()
        self._connection = connection

    def emit(self, record: python_logging.LogRecord) -> None:
        self._connection.send(DecodeWarning(record.getMessage(), record.msg))


def _serve(connection: Connection, memory: int) -> None:
    """Decodes clips until the other process closes the connection, or is no more."""
    parent = os.getppid()

    def end_without_parent() -> None:
        if os.getppid() != parent:
            raise EOFError

    python_logging.basicConfig(handlers=[_WarningSender(connection)], force=True)
    image_size, selection = connection.recv()
    decode = functools.partial(
        iter_frames, image_size=image_size, selection=selection, on_decoded=end_without_parent
    )
    blocks = map_blocks(memory, image_size)
    while True:
        clip = connection.recv()
        if clip != ENOUGH:  # of a clip that had ended by itself
            source, span = clip
            connection.send(_send_frames(decode(source, span=span), connection, blocks))


def _send_frames(
    frames: Iterator[Frame], connection: Connection, blocks: np.ndarray
) -> Exception | None:
    """Sends a clip's frames block by block, and returns the error behind them, if there is one."""
    number, free, index, timestamp_sec, error = 0, NUM_BLOCKS, [], [], None
    try:
        for frame in frames:
            if not free:
                if connection.recv() == ENOUGH:
                    return None
                free += 1
            blocks[number % NUM_BLOCKS, len(index)] = frame.pixels
            index.append(frame.index)
            timestamp_sec.append(frame.timestamp_sec)
            if len(index) == FRAMES_AT_ONCE:
                connection.send((index, timestamp_sec))
                number, free, index, timestamp_sec = number + 1, free - 1, [], []
    except UnreadableClipError as unreadable:
        # The others that it comes from may not travel.
        error = UnreadableClipError(str(unreadable), may_be_whole=unreadable.may_be_whole)
    except (EOFError, ConnectionError):
        raise
    except Exception as unforeseen:
        error = unforeseen
    if index:
        connection.send((index, timestamp_sec))
        free -= 1
    while free < NUM_BLOCKS:
        if connection.recv() == ENOUGH:
            return None
        free += 1
    return error


def main(socket_descriptor: str, memory_descriptor: str) -> None:
    os.nice(_NICENESS)
    with contextlib.suppress(EOFError, ConnectionError):  # nobody wants any more
        _serve(Connection(int(socket_descriptor)), int(memory_descriptor))


if __name__ == "__main__":
    main(*sys.argv[1:])
