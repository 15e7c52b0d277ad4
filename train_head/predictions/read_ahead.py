"""Sources read by threads that are ahead of whoever takes one source after the other."""

import collections
import contextlib
import functools
import itertools
import threading
import weakref
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from lrcn.common.programs.workers import BoundedQueue, StoppedError, raise_if_stopped

_END = object()


def read_ahead(
    sources: list[Path], read: Callable, *, num_sources: int, num_items: int
) -> Iterator[Iterator]:
    """Yields, in the order of the sources, an iterator over the items of each.

    Closing it ends the threads; so does Ctrl-C.

    Args:
        sources: What is read.
        read: From a source and `on_decoded`, which it calls often and whose errors end it, to an
            iterator over the source's items.
        num_sources: How many are read at once, each by a thread: the one whose items are taken,
            and those after it.
        num_items: So many items of each wait to be taken, so memory depends neither on the number
            of sources nor on their length.

    Yields:
        An iterator that raises what reading its source raised, after the items before it. When the
        next is asked for, whatever is left of it is not read.
    """
    readings = (_Reading(source, read, num_items=num_items) for source in sources)
    ahead = collections.deque()
    # Also called when the process ends, if the iterator was never closed.
    stop = weakref.finalize(readings, _stop_all, ahead)
    try:
        ahead.extend(itertools.islice(readings, num_sources))
        while ahead:
            yield iter(ahead[0])
            ahead.popleft().stop()
            ahead.extend(itertools.islice(readings, 1))
    finally:
        stop()


def _stop_all(readings: Collection["_Reading"]) -> None:
    for reading in readings:
        reading.ask_to_stop()
    for reading in readings:
        reading.stop()


class _Reading:
    """A source that a thread reads while its items are taken."""

    def __init__(self, source: Path, read: Callable, *, num_items: int):
        self._stop = threading.Event()
        self._items = BoundedQueue(num_items, self._stop)
        self._error: BaseException | None = None
        on_decoded = functools.partial(raise_if_stopped, self._stop)
        # A daemon, since at the end of the process others are waited for before they are stopped.
        # No pool: it takes no more work once the main thread has ended, though others go on.
        self._thread = threading.Thread(
            target=self._put, args=[read(source, on_decoded)], daemon=True
        )
        self._thread.start()

    def __iter__(self) -> Iterator:
        while (item := self._items.get()) is not _END:
            yield item
        if self._error is not None:
            raise self._error

    def ask_to_stop(self) -> None:
        self._stop.set()

    def stop(self) -> None:
        self.ask_to_stop()
        self._thread.join()

    def _put(self, iterator: Iterator) -> None:
        # Where the reading is to end, nobody takes items any more.
        with contextlib.suppress(StoppedError, KeyboardInterrupt):
            try:
                for item in iterator:
                    self._items.put(item)
            except BaseException as error:  # raised again where the items are taken
                self._error = error
            self._items.put(_END)
