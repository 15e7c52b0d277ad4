"""Sources read by threads that are ahead of whoever takes one source after the other."""

import collections
import contextlib
import functools
import itertools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from lrcn.common.workers import BoundedQueue, raise_if_stopped

_END = object()


@contextlib.contextmanager
def read_ahead(
    sources: list[Path], read: Callable, *, num_sources: int, num_items: int
) -> Iterator[Iterator[Iterator]]:
    """Gives, in the order of the sources, an iterator over the items of each.

    Args:
        sources: What is read.
        read: From a source and `on_decoded`, which it calls often and whose errors end it, to an
            iterator over the source's items.
        num_sources: How many are read at once, each by a thread: the one whose items are taken,
            and those after it.
        num_items: So many items of each wait to be taken, so memory depends neither on the number
            of sources nor on their length.

    Yields:
        An iterator over the iterators, each of which raises what reading its source raised, after
        the items before it. When the block ends, however it does, so do the threads.
    """
    stop = threading.Event()
    with ThreadPoolExecutor(num_sources) as threads:

        def start(source: Path) -> Iterator:
            items = BoundedQueue(num_items, stop)
            on_decoded = functools.partial(raise_if_stopped, stop)
            return _take(items, threads.submit(_put, items, read(source, on_decoded)))

        try:
            yield _start_ahead(map(start, sources), num_sources)
        finally:
            stop.set()


def _start_ahead(started: Iterator[Iterator], num_sources: int) -> Iterator[Iterator]:
    ahead = collections.deque(itertools.islice(started, num_sources))
    while ahead:
        yield ahead.popleft()
        ahead.extend(itertools.islice(started, 1))


def _put(items: BoundedQueue, iterator: Iterator) -> None:
    try:
        for item in iterator:
            items.put(item)
    finally:
        items.put(_END)


def _take(items: BoundedQueue, reading: Future) -> Iterator:
    while (item := items.get()) is not _END:
        yield item
    reading.result()  # raises what it has failed with
