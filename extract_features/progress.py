"""Shows how far an extraction is, or an import."""

import time

from lrcn.common.programs.progress import Progress


class ExtractionProgress:
    """Clips done, frames a second and the time left. Use as a context manager."""

    def __init__(self, num_clips: int):
        self._clips = 0
        self._frames = 0
        self._start_sec = time.monotonic()
        self._shown = Progress(num_clips, "clip")

    def __enter__(self):
        self._show()
        return self

    def __exit__(self, *_):
        self._shown.close()

    def add_frames(self, count: int) -> None:
        """Counts frames that have passed the backbone, or were copied."""
        self._frames += count
        self._show()

    def add_clip(self) -> None:
        """Counts a clip that is finished, or has failed."""
        self._clips += 1
        self._show()

    def _show(self) -> None:
        elapsed_sec = max(time.monotonic() - self._start_sec, 1e-9)
        self._shown.show(self._clips, f"{self._frames / elapsed_sec:,.1f} frames/s")
