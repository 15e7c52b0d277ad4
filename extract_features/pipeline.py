"""The pipeline of stage 1: decode threads -> batches that span clips -> backbone -> writer.

The parts run at once behind bounded queues, so memory depends neither on the length of a clip
nor on the number of clips, and the backbone waits for nobody who can keep up.
"""

import functools
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from extract_features.summary import ExtractionResult
from extract_features.workers import BoundedQueue, SharedIterator, StoppedError, Worker
from lrcn.common.clip import Clip, SourceStat
from lrcn.common.clip_file import ClipWriter
from lrcn.common.decode import Frame, UnreadableClipError, iter_frames
from lrcn.common.feature_cache import FeatureCache
from lrcn.common.frame_selection import FrameSelection
from lrcn.common.views import VIEWS, Views

_QUEUED_BATCHES = 4
# At the end of each layer some cores wait for the last one; a second batch gives them work.
_BATCHES_AT_ONCE = 2


class Job(NamedTuple):
    """A clip to extract."""

    clip: Clip
    source: Path
    source_stat: SourceStat


class _Item(NamedTuple):
    """A decoded frame; or, without one, the end of its clip, with the reason if it failed.

    `keep` is whether what came before a failure is worth keeping.
    """

    job: Job
    frame: Frame | None
    failure: str = ""
    keep: bool = False


class _Batch(NamedTuple):
    # [B * V, S, S, 3] uint8, rows past the last frame are zero; None where items are ends of clips
    pixels: np.ndarray | None
    items: list[_Item]  # frames in row order, with the ends of clips between them


def run_pipeline(
    jobs: list[Job],
    *,
    cache: FeatureCache,
    forward: Callable,
    batch_size: int,
    num_decode_threads: int,
    compression: str,
    progress,
    keep_partial: bool = False,
) -> ExtractionResult:
    """Extracts the clips of `jobs` into the cache.

    Args:
        jobs: Clips in the order of work.
        cache: Where the clips go; its contract gives image size and views.
        forward: From `backbone.make_forward` for all views of `batch_size` frames.
        batch_size: Frames in a batch.
        num_decode_threads: Threads that decode, each a clip of its own.
        compression: One of `clip_file.COMPRESSIONS`.
        progress: Told of frames and clips, see `ExtractionProgress`.
        keep_partial: Keep the frames of a video up to where it breaks off.

    Returns:
        Counts, failures and waiting times. An unreadable clip is a failure, not an error.

    Raises:
        OSError: If the cache cannot be written. Whatever is raised, finished clips stay and
            clips in flight leave nothing behind.
    """
    result = ExtractionResult()
    start_sec = time.monotonic()
    stop = threading.Event()
    decoded = BoundedQueue(_QUEUED_BATCHES * batch_size, stop)
    computed = BoundedQueue(_QUEUED_BATCHES, stop)
    contract = cache.contract
    image_size = contract.image_size_px
    selection = FrameSelection.parse(
        contract.frame_selection, where=str(cache.cache_dir / "cache.json")
    )
    views = VIEWS[contract.views]
    decode = functools.partial(
        iter_frames,
        image_size=views.find_resized_px(image_size),
        selection=selection,
        on_decoded=decoded.check_running,
    )
    remaining = SharedIterator(jobs)
    threads = [
        Worker(stop, lambda: _decode_clips(remaining, decoded, decode, keep_partial=keep_partial))
        for _ in range(num_decode_threads)
    ]
    writer = Worker(stop, lambda: _write_batches(computed, cache, compression, result, progress))
    for thread in [*threads, writer]:
        thread.start()
    backbone = ThreadPoolExecutor(_BATCHES_AT_ONCE)
    try:
        items = _iter_items(decoded, num_clips=len(jobs))
        for batch in _iter_batches(items, batch_size, views=views, image_size=image_size):
            maps = backbone.submit(_compute_maps, forward, batch.pixels)
            computed.put((maps, batch.items))
        computed.put(None)
        writer.join()
    except StoppedError:
        pass  # a worker failed; its error is raised below
    finally:
        stop.set()
        backbone.shutdown(cancel_futures=True)
        for thread in [*threads, writer]:
            thread.join()
    for thread in [*threads, writer]:
        if thread.error is not None:
            raise thread.error
    result.elapsed_sec = time.monotonic() - start_sec
    return result


def _decode_clips(
    jobs: Iterator[Job], decoded: "BoundedQueue", decode: Callable, *, keep_partial: bool
) -> None:
    for job in jobs:
        clip = job.clip
        try:
            for frame in decode(job.source, start_sec=clip.start_sec, end_sec=clip.end_sec):
                decoded.put(_Item(job, frame))
        except UnreadableClipError as error:
            # A folder does not break off: behind a damaged image may lie whole ones.
            keep = keep_partial and not job.source.is_dir()
            decoded.put(_Item(job, None, failure=str(error), keep=keep))
        else:
            decoded.put(_Item(job, None))


def _iter_items(decoded: "BoundedQueue", *, num_clips: int) -> Iterator[_Item]:
    while num_clips:
        item = decoded.get()
        num_clips -= item.frame is None
        yield item


def _iter_batches(
    items: Iterator[_Item], batch_size: int, *, views: Views, image_size: int
) -> Iterator[_Batch]:
    # New memory for each batch: a device may still read the last one.
    pixels, pending, num_frames = None, [], 0
    num_views = views.num_views
    shape = (batch_size * num_views, image_size, image_size, 3)
    for item in items:
        if item.frame is not None:
            if pixels is None:
                pixels = np.zeros(shape, np.uint8)
            row = num_frames * num_views
            pixels[row : row + num_views] = views.cut(item.frame.pixels, image_size)
            num_frames += 1
            # The queue to the writer holds batches by the dozen; it needs no pixels.
            item = item._replace(frame=item.frame._replace(pixels=None))
        pending.append(item)
        if num_frames == batch_size:
            yield _Batch(pixels, pending)
            pixels, pending, num_frames = None, [], 0
    if pending:
        yield _Batch(pixels, pending)


def _compute_maps(forward: Callable, pixels: np.ndarray | None) -> np.ndarray:
    """Runs in the backbone's threads, so that making an array of it, which waits, does too."""
    return np.zeros(0, np.float16) if pixels is None else np.asarray(forward(pixels))


def _write_batches(
    computed: "BoundedQueue",
    cache: FeatureCache,
    compression: str,
    result: ExtractionResult,
    progress,
):
    writers: dict[str, ClipWriter] = {}
    failures: dict[str, str] = {}
    try:
        for feature_maps, items in _iter_computed(computed, result):
            feature_maps = feature_maps.reshape(-1, *cache.contract.frame_shape)
            num_frames = 0
            for clip_id, rows, clip_items in _group_by_clip(items):
                frames = [item.frame for item in clip_items if item.frame is not None]
                num_frames += len(frames)
                if frames and clip_id not in failures:
                    if clip_id not in writers:
                        writers[clip_id] = cache.open_writer(clip_id, compression=compression)
                    try:
                        writers[clip_id].append(
                            feature_maps[rows],
                            frame_index=[frame.index for frame in frames],
                            timestamp_sec=[frame.timestamp_sec for frame in frames],
                        )
                    except ValueError as error:
                        failures[clip_id] = str(error)
                end = clip_items[-1]
                if end.frame is None:
                    if clip_id in failures:
                        end = _Item(end.job, None, failure=failures.pop(clip_id))
                    _finish_clip(end, writers.pop(clip_id, None), cache, result)
                    progress.add_clip()
            result.frames += num_frames
            progress.add_frames(num_frames)
    finally:
        for writer in writers.values():
            writer.discard()


def _iter_computed(
    computed: "BoundedQueue", result: ExtractionResult
) -> Iterator[tuple[np.ndarray, list[_Item]]]:
    while True:
        start_sec = time.monotonic()
        submitted = computed.get()
        submitted_sec = time.monotonic()
        result.decode_wait_sec += submitted_sec - start_sec
        if submitted is None:
            return
        future, items = submitted
        feature_maps = future.result()
        computed_sec = time.monotonic()
        result.forward_wait_sec += computed_sec - submitted_sec
        yield feature_maps, items
        result.write_sec += time.monotonic() - computed_sec


def _group_by_clip(items: list[_Item]) -> Iterator[tuple[str, list[int], list[_Item]]]:
    """Yields each clip of a batch with the rows of its frames and its items, in order."""
    rows, clip_items, row = defaultdict(list), defaultdict(list), 0
    for item in items:
        clip_id = item.job.clip.clip_id
        clip_items[clip_id].append(item)
        if item.frame is not None:
            rows[clip_id].append(row)
            row += 1
    for clip_id, group in clip_items.items():
        yield clip_id, rows[clip_id], group


def _finish_clip(
    end: _Item, writer: ClipWriter | None, cache: FeatureCache, result: ExtractionResult
) -> None:
    clip, source_stat = end.job.clip, end.job.source_stat
    if end.failure and not (end.keep and writer is not None):
        result.failures.append((clip, end.failure))
        if writer is not None:
            writer.discard()
        # What an earlier run made of it no longer fits, and must not be trained on.
        cache.remove_clip(clip.clip_id)
        return
    broken_off = f"kept {writer.num_frames} frames: {end.failure}" if end.failure else ""
    result.size_bytes += writer.commit(source_stat, broken_off=broken_off)
    result.clips_done += 1
    if broken_off:
        result.kept.append((clip, broken_off))
