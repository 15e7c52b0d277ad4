"""Decodes clips in a process of its own, for a thread of the one that VGG16 and the cache are in.

Python works for one thread of a process at a time. Beside VGG16 on a CPU nobody notices; a fast
GPU waits for frames most of the time (`benchmarks/README.md`).
"""

import contextlib
import functools
import mmap
import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

import numpy as np
from absl import logging

from lrcn.common.clips.span import WHOLE, Span
from lrcn.common.pixels.decode import iter_frames
from lrcn.common.pixels.frame import Frame, FrameBlock
from lrcn.common.pixels.frame_selection import FrameSelection
from lrcn.common.programs.machine import count_cores
from lrcn.common.programs.workers import POLL_SEC, StoppedError, raise_if_stopped

_ROOT = Path(__file__).parents[1]
_SERVER = "extract_features.decode_server"
# A message tells of so many frames, or of a clip's last ones.
FRAMES_AT_ONCE = 16
# The process decodes into one block of them while those of the other are taken.
NUM_BLOCKS = 2
# What it is told of a block, and of a clip of which no more is wanted.
TAKEN, ENOUGH = "taken", "enough"


class DecodeWarning(NamedTuple):
    """What is to be told, and of which kind it is: its text without what it is of."""

    message: str
    kind: str


class DecodeProcess:
    """The process, as its thread sees it, which closes it."""

    def __init__(self, stop: threading.Event, *, image_size: int, selection: FrameSelection):
        """Starts it. When `stop` is set, whoever waits for frames is told by StoppedError."""
        self._stop = stop
        ours, theirs = socket.socketpair()
        with theirs, _open_memory() as memory:
            memory.truncate(_count_bytes(image_size))
            self._blocks = map_blocks(memory.fileno(), image_size)
            descriptors = (theirs.fileno(), memory.fileno())
            paths = [str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
            self._process = subprocess.Popen(
                [sys.executable, "-m", _SERVER, *map(str, descriptors)],
                pass_fds=descriptors,
                stdin=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
                start_new_session=True,  # Ctrl-C is for us, who close it
            )
        self._connection = Connection(ours.detach())
        self._connection.send((image_size, selection))

    def iter_blocks(self, source: Path, *, span: Span = WHOLE) -> Iterator[FrameBlock]:
        """Yields a clip's frames, those of `decode.iter_frames`, with its errors.

        Raises:
            RuntimeError: If the process ends, as where a decoder crashes.
            StoppedError: If all is to end.
        """
        try:
            self._connection.send((source, span))
            number = 0
            while (message := self._receive()) is not None:
                if isinstance(message, Exception):
                    raise message
                if isinstance(message, DecodeWarning):
                    _warn_once(message)
                    continue
                index, timestamp_sec = message
                pixels = self._blocks[number % NUM_BLOCKS, : len(index)].copy()
                self._connection.send(TAKEN)
                number += 1
                yield FrameBlock(index, timestamp_sec, pixels)
        except GeneratorExit:
            self._drop_rest()
            raise
        except (EOFError, ConnectionError):
            raise RuntimeError(
                f"{source}: the process that decodes it ended with status {self._process.wait()}. "
                "If memory was short, lower --num_decode_threads; else a decoder crashed: take "
                "this clip out, or write it anew. Then run again; finished clips are kept."
            ) from None

    def close(self) -> None:
        """Ends the process, whatever it is at."""
        self._connection.close()
        self._process.kill()
        self._process.wait()

    def _drop_rest(self) -> None:
        """Takes what is left of a clip, so that the next one's frames do not come behind it."""
        # Where all ends, there is no next one.
        with contextlib.suppress(OSError, EOFError, StoppedError, KeyboardInterrupt):
            self._connection.send(ENOUGH)
            while not isinstance(self._receive(), Exception | None):
                pass

    def _receive(self):
        while not self._connection.poll(POLL_SEC):
            raise_if_stopped(self._stop)
        return self._connection.recv()


def count_decoders(*, in_processes: bool) -> int:
    """Returns how many decoders suit this machine."""
    # On an H100 with 16 cores, 12 processes were 1.1 to 1.3 times as fast as 16.
    return max(1, count_cores() * 3 // 4) if in_processes else count_cores()


@contextlib.contextmanager
def open_decoder(
    stop: threading.Event, *, image_size: int, selection: FrameSelection, in_process: bool
) -> Iterator[Callable[..., Iterator[FrameBlock]]]:
    """Yields what gives a clip's frames as `iter_frames` does, but in blocks, until `stop` is set.

    Args:
        stop: As `DecodeProcess`.
        image_size: As `iter_frames`, and so is `selection`.
        in_process: Whether another process decodes them.
    """
    if in_process:
        process = DecodeProcess(stop, image_size=image_size, selection=selection)
        with contextlib.closing(process):
            yield process.iter_blocks
    else:
        on_decoded = functools.partial(raise_if_stopped, stop)
        decode = functools.partial(
            iter_frames, image_size=image_size, selection=selection, on_decoded=on_decoded
        )
        yield lambda source, span: _iter_single(decode(source, span=span))


def _iter_single(frames: Iterator[Frame]) -> Iterator[FrameBlock]:
    for frame in frames:
        yield FrameBlock([frame.index], [frame.timestamp_sec], frame.pixels[np.newaxis])


def _open_memory():
    # Of Linux: not written to a disk, and not counted as a container's /dev/shm.
    if hasattr(os, "memfd_create"):
        return open(os.memfd_create("frames"), "r+b")
    return tempfile.TemporaryFile()


def _count_bytes(image_size: int) -> int:
    return NUM_BLOCKS * FRAMES_AT_ONCE * image_size * image_size * 3


def map_blocks(descriptor: int, image_size: int) -> np.ndarray:
    """Maps the memory that both processes see, as [2, N, S, S, 3] uint8."""
    memory = mmap.mmap(descriptor, _count_bytes(image_size))
    shape = (NUM_BLOCKS, FRAMES_AT_ONCE, image_size, image_size, 3)
    return np.frombuffer(memory, np.uint8).reshape(shape)


_kinds_told: set[str] = set()


def _warn_once(warning: DecodeWarning) -> None:
    # Each of many processes says it once.
    if warning.kind not in _kinds_told:
        _kinds_told.add(warning.kind)
        logging.warning("%s", warning.message)
