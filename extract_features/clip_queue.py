"""Hands decoded frames on, those of earlier clips first."""

import collections
import threading

from extract_features.batches import Item
from lrcn.common.programs.workers import POLL_SEC, raise_if_stopped


class ClipQueue:
    """A bounded queue from threads that decode a clip each; waits end when the pipeline stops.

    The earliest clip goes first, and has room of its own that later ones cannot fill. So clips are
    finished one after the other, however many are decoded side by side: a stop loses little, and
    the time that is left is soon known. Later clips fill in where the first is too slow.
    """

    def __init__(self, size: int, stop: threading.Event):
        """Makes room for `size` frames of the first clip, and for as many of later ones together.

        Frames of clips that have ended, and that nobody took yet, fill the room of the first.
        """
        self._size = size
        self._stop = stop
        self._items: dict[int, collections.deque[Item]] = {}  # of clips that have some
        self._sizes = collections.Counter()  # of the same
        self._first = 0  # All clips before it have ended.
        self._ended: set[int] = set()  # of those behind it
        lock = threading.Lock()
        self._has_items = threading.Condition(lock)
        # Apart, so that an item that is taken wakes one thread, and one that it makes room for.
        self._has_room, self._has_room_for_first = (threading.Condition(lock) for _ in range(2))

    def put(self, number: int, item: Item) -> None:
        """Adds what comes next of the clip of this number, from 0 in the order of work."""
        raise_if_stopped(self._stop)
        with self._has_items:
            while not self._may_put(number):
                is_first = number == self._first
                (self._has_room_for_first if is_first else self._has_room).wait(POLL_SEC)
                raise_if_stopped(self._stop)
            self._items.setdefault(number, collections.deque()).append(item)
            self._sizes[number] += _find_size(item)
            if item.frames is None:
                self._end(number)
            self._has_items.notify()

    def get(self) -> Item:
        """Takes the next item of the earliest clip that has one."""
        raise_if_stopped(self._stop)
        with self._has_items:
            while not self._items:
                self._has_items.wait(POLL_SEC)
                raise_if_stopped(self._stop)
            number = min(self._items)
            item = self._items[number].popleft()
            size = _find_size(item)
            self._sizes[number] -= size
            if not self._items[number]:
                del self._items[number], self._sizes[number]
            is_for_first = number <= self._first and self._may_put(self._first)
            (self._has_room_for_first if is_for_first else self._has_room).notify(size)
            return item

    def _may_put(self, number: int) -> bool:
        # Clips that have ended count too. Else each of many short clips would find the room of the
        # first empty, and the queue would have no bound.
        early_size = sum(size for i, size in self._sizes.items() if i <= self._first)
        if number == self._first:
            return early_size < self._size
        return self._sizes.total() - min(early_size, self._size) < self._size

    def _end(self, number: int) -> None:
        self._ended.add(number)
        while self._first in self._ended:
            self._ended.remove(self._first)
            self._first += 1
            self._has_room.notify_all()  # Among those that wait is the one that is first now.


def _find_size(item: Item) -> int:
    return max(1, item.num_frames)  # the end of a clip has its place too
