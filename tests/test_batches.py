"""Tests of how frames that come in blocks fill batches."""

import numpy as np
import pytest

from extract_features.batches import Item, iter_batches
from extract_features.worklist import Job
from lrcn.common.clips.clip import Clip
from lrcn.common.pixels.frame import FrameBlock
from lrcn.common.pixels.views import VIEWS

IMAGE_SIZE = 28
BATCH_SIZE = 8
NUM_FRAMES = [9, 0, 1, 20]  # of each clip


def make_items(pixels, block_size):
    items = []
    for clip, num_frames in enumerate(NUM_FRAMES):
        job, first = Job(Clip(str(clip), str(clip), "walk"), None, None), sum(NUM_FRAMES[:clip])
        for start in range(0, num_frames, block_size):
            index = list(range(start, min(start + block_size, num_frames)))
            rows = [first + t for t in index]
            items.append(Item(job, FrameBlock(index, [t / 10 for t in index], pixels[rows])))
        items.append(Item(job, None, failure=f"of clip {clip}"))
    return items


@pytest.mark.parametrize("views", ["one", "ten_crop"])
@pytest.mark.parametrize("block_size", [1, 3, 8, 20])
def test_batches_are_full_and_in_order_however_frames_come(views, block_size):
    side = VIEWS[views].find_resized_px(IMAGE_SIZE)
    pixels = np.random.RandomState(0).randint(1, 256, (sum(NUM_FRAMES), side, side, 3), np.uint8)
    items = make_items(pixels, block_size)
    batches = list(iter_batches(iter(items), BATCH_SIZE, views=VIEWS[views], image_size=IMAGE_SIZE))

    expected = [VIEWS[views].cut(picture, IMAGE_SIZE) for picture in pixels]
    found = np.concatenate([x.pixels for x in batches if x.pixels is not None])
    assert all(len(x.pixels) == BATCH_SIZE * VIEWS[views].num_views for x in batches)
    num_rows = len(pixels) * VIEWS[views].num_views
    np.testing.assert_array_equal(found[:num_rows], np.concatenate(expected))
    assert not found[num_rows:].any()

    told = [
        (item.job.clip.clip_id, *([*frame] if frame else [item.failure]))
        for batch in batches
        for item in batch.items
        for frame in (zip(*item.frames[:2], strict=True) if item.frames else [None])
    ]
    assert told == [
        (str(clip), *row)
        for clip, num_frames in enumerate(NUM_FRAMES)
        for row in [*((t, t / 10) for t in range(num_frames)), (f"of clip {clip}",)]
    ]
    assert all(sum(x.num_frames for x in batch.items) == BATCH_SIZE for batch in batches[:-1])


def test_ends_of_clips_alone_have_no_pixels():
    items = make_items(np.zeros((sum(NUM_FRAMES), 28, 28, 3), np.uint8), 1)
    ends = [item for item in items if item.frames is None]
    batches = list(iter_batches(iter(ends), BATCH_SIZE, views=VIEWS["one"], image_size=IMAGE_SIZE))
    assert [(x.pixels, x.items) for x in batches] == [(None, ends)]
