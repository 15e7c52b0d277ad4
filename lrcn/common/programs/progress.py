"""How far something is that takes long: a live line in a terminal, else a line now and then."""

import sys
import time
from collections.abc import Iterable, Iterator

from absl import logging

from lrcn.common.programs.wording import name_count, name_duration

_PLAIN_INTERVAL_SEC = 30.0
_PART_AFTER_SEC = 1.0


class Progress:
    """How many of a known number are done, and the time left. Use as a context manager."""

    def __init__(self, total: int, noun: str, *, part: str = ""):
        """Starts with none done.

        Args:
            total: How many there are.
            noun: What one of them is.
            part: What they are of, such as an epoch, of which others follow: the live line comes
                when it has lasted a second, and goes with it.
        """
        self._total = total
        self._what = name_count(total, noun)
        self._part = f"{part}: " if part else ""
        self._start_sec = self._shown_sec = time.monotonic()
        self._bar = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def show(self, done: int, note: str = "") -> None:
        """Shows how many are done, and what else there is to say of it."""
        if sys.stderr.isatty():
            self._show_bar(done, note)
        elif time.monotonic() - self._shown_sec >= _PLAIN_INTERVAL_SEC:
            self._log(done, note)

    def track(self, items: Iterable) -> Iterator:
        """Gives each of the items, and shows after it how many are done."""
        for done, item in enumerate(items, start=1):
            yield item
            self.show(done)

    def close(self) -> None:
        """Takes the live line away, until more are shown; the end of a context manager does."""
        if self._bar is not None:
            self._bar.stop()

    def _show_bar(self, done: int, note: str) -> None:
        if self._bar is None:
            if self._part and time.monotonic() - self._start_sec < _PART_AFTER_SEC:
                return
            self._bar = _make_bar(transient=bool(self._part))
            self._bar.add_task(self._part, total=self._total, what=self._what, note="")
        self._bar.start()
        (task_id,) = self._bar.task_ids
        self._bar.update(task_id, completed=done, note=note)

    def _log(self, done: int, note: str) -> None:
        self._shown_sec = time.monotonic()
        left = "unknown time"
        if done:
            elapsed_sec = self._shown_sec - self._start_sec
            left = name_duration(elapsed_sec / done * (self._total - done))
        note = f", {note}" if note else ""
        logging.info("%s%s of %s%s, %s left", self._part, f"{done:,}", self._what, note, left)


def _make_bar(*, transient: bool):
    from rich import progress
    from rich.console import Console

    return progress.Progress(
        progress.TextColumn("{task.description}{task.completed:,.0f} of {task.fields[what]}"),
        progress.BarColumn(),
        progress.TextColumn("{task.fields[note]}"),
        progress.TimeElapsedColumn(),
        progress.TextColumn("left"),
        progress.TimeRemainingColumn(elapsed_when_finished=False),
        console=Console(stderr=True),
        transient=transient,
        refresh_per_second=2,  # of Python's lock, for which those who work wait
    )
