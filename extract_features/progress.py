"""Shows how far an extraction is: a live line in a terminal, else a plain line now and then."""

import sys
import time

from absl import logging

from lrcn.common.wording import name_duration

_PLAIN_INTERVAL_SEC = 30.0


class ExtractionProgress:
    """Clips done, frames a second and the time left. Use as a context manager."""

    def __init__(self, num_clips: int):
        self._num_clips = num_clips
        self._clips = 0
        self._frames = 0
        self._start_sec = self._shown_sec = time.monotonic()
        self._bar = _make_bar() if sys.stderr.isatty() else None

    def __enter__(self):
        if self._bar is not None:
            self._bar.start()
            self._task = self._bar.add_task("extract", total=self._num_clips, rate="")
        return self

    def __exit__(self, *_):
        if self._bar is not None:
            self._bar.stop()

    def add_frames(self, count: int) -> None:
        """Counts frames that have passed the backbone."""
        self._frames += count
        self._show()

    def add_clip(self) -> None:
        """Counts a clip that is finished, or has failed."""
        self._clips += 1
        self._show()

    def _show(self) -> None:
        now_sec = time.monotonic()
        elapsed_sec = max(now_sec - self._start_sec, 1e-9)
        rate_fps = self._frames / elapsed_sec
        if self._bar is not None:
            self._bar.update(self._task, completed=self._clips, rate=f"{rate_fps:.1f} frames/s")
        elif now_sec - self._shown_sec >= _PLAIN_INTERVAL_SEC:
            self._shown_sec = now_sec
            left = "unknown time"
            if self._clips:
                left_sec = elapsed_sec / self._clips * (self._num_clips - self._clips)
                left = name_duration(left_sec)
            logging.info(
                "%d of %d clips, %.1f frames/s, %s left",
                self._clips,
                self._num_clips,
                rate_fps,
                left,
            )


def _make_bar():
    from rich import progress
    from rich.console import Console

    return progress.Progress(
        progress.TextColumn("{task.completed:.0f} of {task.total:.0f} clips"),
        progress.BarColumn(),
        progress.TextColumn("{task.fields[rate]}"),
        progress.TimeElapsedColumn(),
        progress.TextColumn("left"),
        progress.TimeRemainingColumn(elapsed_when_finished=False),
        console=Console(stderr=True),
    )
