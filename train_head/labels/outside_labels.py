"""Labels of moments that a clip does not have: they label nothing, which is seldom meant."""

from pathlib import Path

import numpy as np
from absl import logging

from lrcn.common.cache.clip_features import ClipClock
from lrcn.common.clips.span import round_sec
from train_head.labels.interval_file import Interval


def warn_of_outside(
    intervals: dict[str, list[Interval]], moments: dict[str, np.ndarray], *, in_sec: bool
) -> None:
    """Warns of intervals before or behind all frames of their clip: milliseconds, another frame
    rate, or seconds that count from the start of a span.

    Args:
        intervals: By clip.
        moments: [T], when each clip's frames are, in seconds or by number.
        in_sec: Whether it is seconds.
    """
    num_intervals, outside = 0, []
    for clip_id, of_frames in moments.items():
        # As many frames may lie before the first selected one, or behind the last, as between two.
        gap = np.diff(of_frames).max(initial=0)
        ends = of_frames[0] - gap, of_frames[0], of_frames[-1], of_frames[-1] + gap
        before, first, last, behind = map(float, round_sec(ends))
        of_clip = intervals.get(clip_id, [])
        num_intervals += len(of_clip)
        for interval in of_clip:
            is_late = interval.start > last and interval.start >= behind
            if is_late or interval.end <= before:
                outside.append((interval, first, last))
    if outside:
        interval, first, last = outside[0]
        logging.warning(
            "%d of %d intervals lie before or behind all frames of their clip, such as %s: %g to "
            "%g, where the frames are from %g to %g. They label nothing. Check whether they are "
            "%s",
            len(outside),
            num_intervals,
            interval.place,
            interval.start,
            interval.end,
            first,
            last,
            "seconds from the first frame of the source, also of a clip that is a span of it"
            if in_sec
            else "numbers of frames in the clip, from 0",
        )


def warn_of_long(lines: dict[str, list[str]], clocks: dict[str, ClipClock], folder: Path) -> None:
    """Warns of label files of more frames than their clip has, as of another frame rate."""
    longer = []
    for clip_id, of_clip in lines.items():
        index = clocks[clip_id].frame_index
        last = max((number for number, label in enumerate(of_clip) if label), default=0)
        # As many frames may lie behind the last selected one as between two.
        if len(index) > 1 and last >= index[-1] + np.diff(index).max():
            longer.append((folder / f"{clip_id}.txt", last + 1, index[-1] + 1))
    if longer:
        logging.warning(
            "%d of %d label files have labels of more frames than their clip, such as %s: one in "
            "line %d, where the last frame that the cache has is in line %d. They label nothing. "
            "Check whether there is a line for each frame of the source",
            len(longer),
            len(lines),
            *longer[0],
        )
