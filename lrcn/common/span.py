"""Which moments of a source lie in a span of seconds."""

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


def find_borders(start_sec: float | None, end_sec: float | None) -> tuple[float, float]:
    """Returns the rounded borders of the half-open span [start, end), infinite where None."""
    start = -np.inf if start_sec is None else start_sec
    end = np.inf if end_sec is None else end_sec
    return round_sec(start), round_sec(end)
