"""Which frames of a clip are extracted: arithmetic on their order and times, apart from decoding.

First `frame_stride` or `fps` thins the clip out, then `max_frames` takes as many as it allows of
what is left, as evenly spaced as the clip allows.
"""

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterable, Iterator

from lrcn.common.pixels.sampling import sample_segment_centres

# Some containers round times to a millisecond, so a frame may lie that much before its tick.
_TIME_TOLERANCE_SEC = 1e-3
# Far above any camera's, and low enough that ticks are still told apart after hours.
_MAX_FPS = 1_000_000


@dataclasses.dataclass(frozen=True, kw_only=True)
class FrameSelection:
    """Which frames of a clip are extracted; all, unless something is set.

    Attributes:
        frame_stride: One of every so many frames is kept, beginning with the first.
        fps: Frames kept for a second, by their times: for each tick k / fps seconds (k = 0, 1, ...)
            after the clip's first frame, the first frame at or after it. A frame that several ticks
            lead to, as in a video of a lower rate, is kept once. Not together with `frame_stride`.
        max_frames: Of what the others leave, at most this many frames: the centres of as many
            equal segments. 0 is no limit.
    """

    frame_stride: int | None = None
    fps: float | None = None
    max_frames: int | None = None

    def __post_init__(self):
        for name, lowest in (("frame_stride", 1), ("max_frames", 0)):
            number = getattr(self, name)
            if number is not None and number < lowest:
                raise ValueError(
                    f"Expected {name} of at least {lowest}. Received: {name}={number}. Raise it."
                )
        if self.fps is not None and not 0 < self.fps <= _MAX_FPS:
            raise ValueError(
                f"Expected fps above 0 and at most {_MAX_FPS:,}. Received: fps={self.fps}. Correct "
                "it."
            )
        if self.fps is not None and self.frame_stride is not None:
            raise ValueError(
                "Expected frame_stride or fps, as each alone decides the rate. Received: "
                f"frame_stride={self.frame_stride} and fps={self.fps:g}. Leave one out."
            )

    def __str__(self):
        """The text that stands in a contract, such as `stride=2,max_frames=100`, or `all`."""
        parts = []
        if self.frame_stride not in (None, 1):
            parts.append(f"stride={self.frame_stride}")
        if self.fps is not None:
            parts.append(f"fps={float(self.fps)!r}".removesuffix(".0"))
        if self.max_frames not in (None, 0):
            parts.append(f"max_frames={self.max_frames}")
        return ",".join(parts) or "all"

    @classmethod
    def parse(cls, text: str, *, where: str) -> "FrameSelection":
        """Reads back what `str` gives; `where` names the file that it stands in, for the error.

        Raises:
            ValueError: If the text is of another form.
        """
        try:
            parts = {} if text == "all" else dict(part.split("=") for part in text.split(","))
            numbers = {name: _PARSERS[name](number) for name, number in parts.items()}
            if "stride" in numbers:
                numbers["frame_stride"] = numbers.pop("stride")
            return cls(**numbers)
        except (KeyError, ValueError) as error:
            raise ValueError(
                f"{where}: expected a frame_selection such as all, stride=2 or "
                f"fps=5,max_frames=100. Received: {text!r}. It was written by another version of "
                "this project, or by hand: rebuild it."
            ) from error

    def complete(self, known: "FrameSelection") -> "FrameSelection":
        """Takes what is not set here from `known`; stride and fps stand for each other.

        What takes all frames is None in the result, so equal selections are equal objects.
        """
        rate = known if self.frame_stride is None and self.fps is None else self
        max_frames = known.max_frames if self.max_frames is None else self.max_frames
        frame_stride = None if rate.frame_stride == 1 else rate.frame_stride
        return FrameSelection(
            frame_stride=frame_stride, fps=rate.fps, max_frames=max_frames or None
        )

    def list_flags(self) -> dict[str, int | float]:
        """Returns the flags that say all of it, so that no cache decides what they leave out."""
        rate = {"frame_stride": self.frame_stride or 1} if self.fps is None else {"fps": self.fps}
        return {**rate, "max_frames": self.max_frames or 0}

    def count(self, times_sec: Iterable[float]) -> int:
        """Counts the frames kept of a clip.

        Args:
            times_sec: The time of each frame in order, in seconds; without `fps` they play no part.
        """
        num_frames = self._count_at_rate(times_sec)
        return min(num_frames, self.max_frames or num_frames)

    def iter_kept(
        self, times_sec: Iterable[float], iter_times_sec: Callable[[], Iterable[float]]
    ) -> Iterator[tuple[int, float]]:
        """Yields number and time of the frames that are kept, each before the next time is taken.

        Args:
            times_sec: The time of each frame in order, in seconds.
            iter_times_sec: Gives them once more. It is called only where their number matters, for
                `max_frames`.
        """
        at_rate = self._iter_at_rate(times_sec)
        if not self.max_frames:
            return at_rate
        num_frames = self._count_at_rate(iter_times_sec())
        if num_frames <= self.max_frames:
            return at_rate
        chosen = set(sample_segment_centres(num_frames, self.max_frames).tolist())
        return (frame for i, frame in enumerate(at_rate) if i in chosen)

    def _count_at_rate(self, times_sec: Iterable[float]) -> int:
        return sum(1 for _ in self._iter_at_rate(times_sec))

    def _iter_at_rate(self, times_sec: Iterable[float]) -> Iterator[tuple[int, float]]:
        if self.fps is None:
            yield from itertools.islice(enumerate(times_sec), 0, None, self.frame_stride)
            return
        # Of a millisecond and more, rounding would decide which of two ticks a frame is at.
        tolerance_sec = min(_TIME_TOLERANCE_SEC, 0.5 / self.fps)
        first_sec, next_tick = None, 0
        for index, time_sec in enumerate(times_sec):
            if first_sec is None:
                first_sec = time_sec
            ticks_so_far = math.floor((time_sec - first_sec + tolerance_sec) * self.fps)
            if ticks_so_far >= next_tick:
                next_tick = ticks_so_far + 1
                yield index, time_sec


ALL_FRAMES = FrameSelection()

_PARSERS = {"stride": int, "fps": float, "max_frames": int}
