"""A part of a source in seconds, and which moments lie in it."""

from typing import NamedTuple

import numpy as np

# Matroska stores milliseconds, and people and programs write a frame's time with three or six
# decimals: what is closer is the same moment.
_PER_SEC = 1000
# A float times 1000 may be a little below a half: frame 15 of 29.97 a second is at 500.5 ms.
_HALF_MS = 0.5 + 1e-6


def round_sec(time_sec):
    """Rounds a time, or an array of times, in seconds to what spans are compared at.

    Halves go up, as in Matroska and in spreadsheets, and not to the even: of 16 frames a second, a
    frame at 62.5 ms would be before its own time of 63 ms. The largest numbers become infinite.
    """
    with np.errstate(over="ignore"):
        return np.floor(np.multiply(time_sec, _PER_SEC) + _HALF_MS) / _PER_SEC


class Span(NamedTuple):
    """The part of a source with start_sec <= time < end_sec.

    Attributes:
        start_sec: In seconds; None at the beginning.
        end_sec: In seconds; None at the end.
    """

    start_sec: float | None = None
    end_sec: float | None = None

    @property
    def borders_sec(self) -> tuple[float, float]:
        """Start and end, rounded as times are to be that are compared; infinite where None."""
        start_sec = -np.inf if self.start_sec is None else self.start_sec
        end_sec = np.inf if self.end_sec is None else self.end_sec
        return round_sec(start_sec), round_sec(end_sec)

    @property
    def text(self) -> str:
        """Start and end as a file keeps them, `1.5:3.0` or `:3.0`; empty for the whole source."""
        if self == WHOLE:
            return ""
        return ":".join("" if sec is None else repr(float(sec)) for sec in self)

    def __str__(self) -> str:
        return f"start_sec={self.start_sec} and end_sec={self.end_sec}"


WHOLE = Span()
