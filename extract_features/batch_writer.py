"""The last part of stage 1's pipeline: from computed batches to whole clips in the cache."""

import time
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from extract_features.batches import Item
from extract_features.summary import ExtractionResult
from lrcn.common.cache.clip_file import ClipWriter
from lrcn.common.cache.failure_list import Failure
from lrcn.common.cache.feature_cache import FeatureCache
from lrcn.common.cache.frame_chunk import PackedFrame
from lrcn.common.programs.wording import name_count
from lrcn.common.programs.workers import BoundedQueue


class ComputedMaps(NamedTuple):
    """What the backbone makes of a batch of B frames.

    Attributes:
        feature_maps: [B, ...] float16, `Contract.frame_shape` each.
        packed: The same frames packed, or None where HDF5 compresses.
    """

    feature_maps: np.ndarray
    packed: list[PackedFrame] | None


def write_batches(
    computed: BoundedQueue,
    cache: FeatureCache,
    *,
    compression: str,
    result: ExtractionResult,
    progress,
) -> None:
    """Writes batches as they are computed, until None comes; what is left unfinished is discarded.

    Args:
        computed: Of (future of `ComputedMaps`, items), see `iter_batches`.
        cache: Where the clips go.
        compression: One of `frame_chunk.COMPRESSIONS`.
        result: Counts, failures and waiting times are added to it.
        progress: Told of frames and clips.

    Raises:
        OSError: If the cache cannot be written.
    """
    writers: dict[str, ClipWriter] = {}
    failures: dict[str, str] = {}
    try:
        for maps, items in _iter_computed(computed, result):
            for clip_id, (rows, clip_items) in _group_by_clip(items).items():
                if rows and clip_id not in failures:
                    if clip_id not in writers:
                        writers[clip_id] = cache.open_writer(clip_id, compression=compression)
                    try:
                        _append_frames(writers[clip_id], maps, rows, clip_items)
                    except ValueError as error:
                        failures[clip_id] = str(error)
                end = clip_items[-1]
                if end.frames is None:
                    if clip_id in failures:
                        end = Item(end.job, None, failure=failures.pop(clip_id))
                    _finish_clip(end, writers.pop(clip_id, None), result)
                    progress.add_clip()
            num_frames = sum(item.num_frames for item in items)
            result.frames += num_frames
            progress.add_frames(num_frames)
    finally:
        for writer in writers.values():
            writer.discard()


def _iter_computed(
    computed: BoundedQueue, result: ExtractionResult
) -> Iterator[tuple[ComputedMaps, list[Item]]]:
    while True:
        start_sec = time.monotonic()
        submitted = computed.get()
        submitted_sec = time.monotonic()
        result.decode_wait_sec += submitted_sec - start_sec
        if submitted is None:
            return
        future, items = submitted
        maps = future.result()
        computed_sec = time.monotonic()
        result.forward_wait_sec += computed_sec - submitted_sec
        yield maps, items
        result.write_sec += time.monotonic() - computed_sec


def _group_by_clip(items: list[Item]) -> dict[str, tuple[list[int], list[Item]]]:
    """Returns, for each clip of a batch, the rows of its frames and its items, in order."""
    groups, row = {}, 0
    for item in items:
        rows, clip_items = groups.setdefault(item.job.clip.clip_id, ([], []))
        rows += range(row, row + item.num_frames)
        clip_items.append(item)
        row += item.num_frames
    return groups


def _append_frames(
    writer: ClipWriter, maps: ComputedMaps, rows: list[int], items: list[Item]
) -> None:
    frames = [item.frames for item in items if item.frames is not None]
    writer.append(
        maps.feature_maps[rows],
        frame_index=[x for block in frames for x in block.index],
        timestamp_sec=[x for block in frames for x in block.timestamp_sec],
        packed=maps.packed and [maps.packed[row] for row in rows],
    )


def _finish_clip(end: Item, writer: ClipWriter | None, result: ExtractionResult) -> None:
    clip, source_stat = end.job.clip, end.job.source_stat
    if end.failure and not (end.keep and writer is not None):
        result.failures.append(Failure(clip, end.failure))
        if writer is not None:
            writer.discard()
        return
    kept = name_count(writer.num_frames, "frame")
    broken_off = f"kept {kept}: {end.failure}" if end.failure else ""
    result.size_bytes += writer.commit(source_stat, broken_off=broken_off)
    result.clips_done += 1
    if broken_off:
        result.kept.append(Failure(clip, broken_off))
