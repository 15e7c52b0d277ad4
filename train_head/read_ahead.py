"""Sources read by threads that are ahead of whoever takes one source after the other."""

import collections
import functools
import itertools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lrcn.common.workers import BoundedQueue, raise_if_stopped

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
    with ThreadPoolExecutor(num_sources) as threads:
        readings = (_Reading(source, read, threads, num_items=num_items) for source in sources)
        ahead = collections.deque(itertools.islice(readings, num_sources))
        try:
            while ahead:
                yield iter(ahead[0])
                ahead.popleft().stop()
                ahead.extend(itertools.islice(readings, 1))
        finally:
            for reading in ahead:
                reading.stop()


class _Reading:
    """A source that a thread reads while its items are taken."""

    def __init__(
        self, source: Path, read: Callable, threads: ThreadPoolExecutor, *, num_items: int
    ):
        self._stop = threading.Event()
        self._items = BoundedQueue(num_items, self._stop)
        on_decoded = functools.partial(raise_if_stopped, self._stop)
        self._end = threads.submit(self._put, read(source, on_decoded))

    def __iter__(self) -> Iterator:
        while (item := self._items.get()) is not _END:
            yield item
        self._end.result()  # raises what it has failed with

    def stop(self) -> None:
        self._stop.set()

    def _put(self, iterator: Iterator) -> None:
        try:
            for item in iterator:
                self._items.put(item)
        finally:
            self._items.put(_END)
