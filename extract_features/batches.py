"""Batches that span clips: decoded frames, with the ends of their clips between them."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from extract_features.worklist import Job
from lrcn.common.decode import Frame
from lrcn.common.views import Views


class Item(NamedTuple):
    """A decoded frame; or, without one, the end of its clip, with the reason if it failed.

    `keep` is whether what came before a failure is worth keeping.
    """

    job: Job
    frame: Frame | None
    failure: str = ""
    keep: bool = False


class Batch(NamedTuple):
    """Up to B frames, of one clip or several, in V views each.

    Attributes:
        pixels: [B * V, S, S, 3] uint8, rows past the last frame are zero; None where all items are
            ends of clips.
        items: Frames in row order, with the ends of clips between them.
    """

    pixels: np.ndarray | None
    items: list[Item]


def iter_batches(
    items: Iterator[Item], batch_size: int, *, views: Views, image_size: int
) -> Iterator[Batch]:
    """Yields the items in batches of one shape, and takes their pixels out of the frames."""
    # New memory for each batch: a device may still read the last one.
    pixels, pending, num_frames = None, [], 0
    num_views = views.num_views
    shape = (batch_size * num_views, image_size, image_size, 3)
    for item in items:
        if item.frame is not None:
            if pixels is None:
                pixels = np.zeros(shape, np.uint8)
            cut = views.cut(item.frame.pixels, image_size)
            for row, view in enumerate(cut, num_frames * num_views):
                pixels[row] = view
            num_frames += 1
            # The queue to the writer holds batches by the dozen; it needs no pixels.
            item = item._replace(frame=item.frame._replace(pixels=None))
        pending.append(item)
        if num_frames == batch_size:
            yield Batch(pixels, pending)
            pixels, pending, num_frames = None, [], 0
    if pending:
        yield Batch(pixels, pending)
