"""For how long something was busy that several threads use side by side."""

import threading
import time


class BusyClock:
    """Adds up the time in which at least one thread is inside a `with` block of it.

    Attributes:
        busy_sec: The seconds, of blocks that all threads have left.
    """

    def __init__(self):
        self.busy_sec = 0.0
        self._lock = threading.Lock()
        self._num_inside = 0
        self._start_sec = 0.0

    def __enter__(self):
        with self._lock:
            if not self._num_inside:
                self._start_sec = time.monotonic()
            self._num_inside += 1

    def __exit__(self, *_error):
        with self._lock:
            self._num_inside -= 1
            if not self._num_inside:
                self.busy_sec += time.monotonic() - self._start_sec
