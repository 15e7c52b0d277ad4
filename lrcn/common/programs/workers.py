"""Threads behind bounded queues that all end when one of them fails."""

import contextlib
import queue
import threading
from collections.abc import Callable, Iterator, Sequence

from lrcn.common.programs.interrupt import raise_if_interrupted

POLL_SEC = 0.2


class StoppedError(Exception):
    """Another part of the pipeline has ended it."""


def raise_if_stopped(stop: threading.Event) -> None:
    """Raises StoppedError if the pipeline has stopped, KeyboardInterrupt after a Ctrl-C."""
    raise_if_interrupted()
    if stop.is_set():
        raise StoppedError


class BoundedQueue:
    """A bounded queue whose waits end when the pipeline stops."""

    def __init__(self, size: int, stop: threading.Event):
        self._queue = queue.Queue(size)
        self._stop = stop

    def put(self, item) -> None:
        self._wait(lambda: self._queue.put(item, timeout=POLL_SEC), queue.Full)

    def get(self):
        return self._wait(lambda: self._queue.get(timeout=POLL_SEC), queue.Empty)

    def _wait(self, act: Callable, not_yet: type[Exception]):
        while True:
            raise_if_stopped(self._stop)
            try:
                return act()
            except not_yet:
                continue


class SharedIterator:
    """Hands each element to one of several threads."""

    def __init__(self, elements: list):
        self._iterator = iter(elements)
        self._lock = threading.Lock()

    def __iter__(self):
        return self

    def __next__(self):
        with self._lock:
            return next(self._iterator)


class Worker(threading.Thread):
    """A thread that keeps its error and stops the pipeline with it."""

    def __init__(self, stop: threading.Event, work: Callable[[], None]):
        super().__init__(daemon=True)
        self.error: BaseException | None = None
        self._stop_pipeline = stop
        self._work = work

    def run(self):
        try:
            self._work()
        except StoppedError:
            pass
        except BaseException as error:  # raised again by the main thread
            self.error = error
            self._stop_pipeline.set()


@contextlib.contextmanager
def run_workers(workers: Sequence[Worker], stop: threading.Event) -> Iterator[None]:
    """Runs the workers beside the block; when it ends, however it does, they are stopped.

    Raises:
        BaseException: What the first of them, in their order, has failed with.
    """
    try:
        for worker in workers:
            worker.start()  # where threads are limited, it may be one too many
        yield
    except StoppedError:
        pass  # a worker failed; its error is raised below
    finally:
        stop.set()
        for worker in workers:
            if worker.is_alive():
                worker.join()
    for worker in workers:
        if worker.error is not None:
            raise worker.error
