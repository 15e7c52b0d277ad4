"""Batches that span clips: decoded frames, with the ends of their clips between them."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from extract_features.worklist import Job
from lrcn.common.pixels.frame import FrameBlock
from lrcn.common.pixels.views import Views


class Item(NamedTuple):
    """Decoded frames; or, without any, the end of their clip, with the reason if it failed.

    `keep` is whether what came before a failure is worth keeping.
    """

    job: Job
    frames: FrameBlock | None
    failure: str = ""
    keep: bool = False

    @property
    def num_frames(self) -> int:
        """N, 0 at the end of a clip."""
        return 0 if self.frames is None else len(self.frames.index)


class Batch(NamedTuple):
    """Up to B frames, of one clip or several, in V views each.

    Attributes:
        pixels: [B * V, S, S, 3] uint8, rows past the last frame are zero; None where all items are
            ends of clips.
        items: Frames in row order, without their pixels, with the ends of clips between them.
    """

    pixels: np.ndarray | None
    items: list[Item]


def iter_batches(
    items: Iterator[Item], frames_per_batch: int, *, views: Views, image_size: int
) -> Iterator[Batch]:
    """Yields the items in batches of one shape, and takes their pixels out of the frames.

    Args:
        items: Of frames [N, R, R, 3] uint8, R as `Views.find_resized_px` has it, and of ends.
        frames_per_batch: B; a clip's frames may go into several batches, the last is filled up.
        views: Which views are cut out of each frame.
        image_size: S, the side of a view in pixels.
    """
    pixels, pending, num_rows = None, [], 0  # of the batch that is being filled
    for item in items:
        if item.frames is None:
            pending.append(item)
        start = 0
        while start < item.num_frames:
            if pixels is None:
                # New memory for each batch: a device may still read the last one.
                shape = (frames_per_batch * views.num_views, image_size, image_size, 3)
                pixels = np.zeros(shape, np.uint8)
                rows = pixels.reshape(frames_per_batch, -1, *shape[1:])
            index, timestamp_sec, frames = (
                x[start : start + frames_per_batch - num_rows] for x in item.frames
            )
            num_taken = len(index)
            for number, view in enumerate(views.cut(frames, image_size)):
                rows[num_rows : num_rows + num_taken, number] = view
            # The queue to the writer holds batches by the dozen; it needs no pixels.
            pending.append(Item(item.job, FrameBlock(index, timestamp_sec, None)))
            start, num_rows = start + num_taken, num_rows + num_taken
            if num_rows == frames_per_batch:
                yield Batch(pixels, pending)
                pixels, pending, num_rows = None, [], 0
    if pending:
        yield Batch(pixels, pending)
