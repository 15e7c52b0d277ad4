"""The pipeline of stage 1: decode threads -> batches that span clips -> backbone -> writer.

The parts run at once behind bounded queues, so memory depends neither on the length of a clip
nor on the number of clips, and the backbone waits for nobody who can keep up.
"""

import dataclasses
import functools
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from absl import logging

from extract_features.backbone_settings import Backbone
from extract_features.batch_writer import ComputedMaps, write_batches
from extract_features.batches import Item, iter_batches
from extract_features.busy_clock import BusyClock
from extract_features.clip_queue import ClipQueue
from extract_features.decode_process import count_decoders, open_decoder
from extract_features.summary import ExtractionResult
from extract_features.worklist import Job
from lrcn.common.cache.feature_cache import FeatureCache
from lrcn.common.cache.frame_chunk import pack_maps
from lrcn.common.clips.clip import Clip
from lrcn.common.files.unreadable import UnreadableClipError
from lrcn.common.pixels.source_stat import read_clip_stat
from lrcn.common.pixels.views import VIEWS
from lrcn.common.programs.devices import has_gpu
from lrcn.common.programs.workers import (
    BoundedQueue,
    SharedIterator,
    StoppedError,
    Worker,
    run_workers,
)

_QUEUED_BATCHES = 4
# At the end of each layer some cores wait for the last one; a second batch gives them work.
_BATCHES_AT_ONCE = 2


@dataclasses.dataclass(frozen=True, kw_only=True)
class PipelineSettings:
    """How the work is done, which no feature's value depends on.

    Attributes:
        num_decode_threads: Threads that decode, each a clip of its own. None is one for each core,
            or with processes three for four cores, as the others pack and write.
        batch_size: Views of frames that the backbone sees at once, of one or several clips. The
            largest whole number of frames is taken, at least one; None is what suits the machine.
        compression: One of `frame_chunk.COMPRESSIONS`, for the clips that are written now.
        keep_partial: Keep the frames of a video up to where it breaks off. Such a clip is current
            for later runs too.
        decode_in_processes: Whether each of the threads has a process decode for it; None is on a
            GPU, which threads alone keep waiting.
    """

    num_decode_threads: int | None = None
    batch_size: int | None = None
    compression: str = "gzip"
    keep_partial: bool = False
    decode_in_processes: bool | None = None


def run_pipeline(
    jobs: list[Job],
    *,
    cache: FeatureCache,
    backbone: Backbone,
    settings: PipelineSettings,
    progress,
) -> ExtractionResult:
    """Extracts the clips of `jobs` into the cache.

    Args:
        jobs: Clips in the order of work.
        cache: Where the clips go; its contract gives image size and views.
        backbone: What computes them.
        settings: How; the batch is the backbone's.
        progress: Told of frames and clips, see `ExtractionProgress`.

    Returns:
        Counts, failures and waiting times. An unreadable clip is a failure, not an error.

    Raises:
        OSError: If the cache cannot be written. Whatever is raised, finished clips stay and
            clips in flight leave nothing behind.
    """
    contract, result = cache.contract, ExtractionResult()
    views, image_size = VIEWS[contract.views], contract.image_size_px
    in_processes = settings.decode_in_processes
    if in_processes is None:
        in_processes = has_gpu()
    start_sec = time.monotonic()
    stop = threading.Event()
    # Half of it for the first clip, half for later ones.
    decoded = ClipQueue(_QUEUED_BATCHES * backbone.frames_per_batch // 2, stop)
    computed = BoundedQueue(_QUEUED_BATCHES, stop)
    decode = functools.partial(
        _decode_clips,
        SharedIterator(list(enumerate(jobs))),
        decoded,
        open_decoder=functools.partial(
            open_decoder,
            stop,
            image_size=views.find_resized_px(image_size),
            selection=contract.selection,
            in_process=in_processes,
        ),
        result=result,
        keep_partial=settings.keep_partial,
    )
    write = functools.partial(
        write_batches,
        computed,
        cache,
        compression=settings.compression,
        result=result,
        progress=progress,
    )
    num_decoders = settings.num_decode_threads or count_decoders(in_processes=in_processes)
    decoders = [Worker(stop, decode) for _ in range(min(num_decoders, len(jobs)))]
    writer = Worker(stop, write)
    items = _iter_items(decoded, num_clips=len(jobs))
    batches = iter_batches(items, backbone.frames_per_batch, views=views, image_size=image_size)
    clock = BusyClock()
    with run_workers([*decoders, writer], stop):
        threads = ThreadPoolExecutor(_BATCHES_AT_ONCE)
        try:
            for pixels, items_of_batch in batches:
                maps = threads.submit(_compute_maps, backbone, clock, settings.compression, pixels)
                computed.put((maps, items_of_batch))
            computed.put(None)
            writer.join()
        finally:
            threads.shutdown(cancel_futures=True)
    result.elapsed_sec = time.monotonic() - start_sec
    result.forward_sec = clock.busy_sec
    return result


def _decode_clips(
    jobs: Iterator[tuple[int, Job]],
    decoded: ClipQueue,
    *,
    open_decoder: Callable,
    result: ExtractionResult,
    keep_partial: bool,
) -> None:
    with open_decoder() as decode:
        for number, job in jobs:
            clip, num_frames, last_sec = job.clip, 0, 0.0
            try:
                for frames in decode(job.source, span=clip.span):
                    num_frames += len(frames.index)
                    last_sec = frames.timestamp_sec[-1]
                    decoded.put(number, Item(job, frames))
            except UnreadableClipError as error:
                # A folder does not break off: behind a damaged image may lie whole ones. Nor does a
                # video that went away or whose disk fails: it may come back as it was.
                keep = keep_partial and not error.may_be_whole and job.source.is_file()
                decoded.put(number, Item(job, None, failure=str(error), keep=keep))
            except StoppedError:
                raise
            except Exception:
                # Nobody foresaw it, so its message need not name the clip.
                logging.error("%s: the error that ends the extraction came up here", job.source)
                raise
            else:
                if _ends_early(clip, num_frames, last_sec):
                    result.short.append((clip, last_sec))
                decoded.put(number, Item(job, None, failure=_describe_change(job)))


def _describe_change(job: Job) -> str:
    """Says that the source is not what it was when the jobs were found; empty where it is."""
    try:
        now = read_clip_stat(job.source, job.clip)
    except UnreadableClipError as error:
        return str(error)
    if now == job.source_stat:
        return ""
    return (
        f"{job.source}: changed since the extraction began, so its features may be of both states. "
        "Run the same command again when nothing writes to it any more."
    )


def _ends_early(clip: Clip, num_frames: int, last_sec: float) -> bool:
    # However few frames are selected: of three or more, the last lies in a span's second half.
    if clip.end_sec is None or num_frames < 3:
        return False
    return last_sec < ((clip.start_sec or 0) + clip.end_sec) / 2


def _iter_items(decoded: ClipQueue, *, num_clips: int) -> Iterator[Item]:
    while num_clips:
        item = decoded.get()
        num_clips -= item.frames is None
        yield item


def _compute_maps(
    backbone: Backbone, clock: BusyClock, compression: str, pixels: np.ndarray | None
) -> ComputedMaps:
    """Runs in the backbone's threads, so that making an array of it, which waits, does too."""
    frame_shape, feature_shape = backbone.contract.frame_shape, backbone.contract.feature_shape
    if pixels is None:
        return ComputedMaps(np.zeros((0, *frame_shape), np.float16), None)
    with clock:
        maps = np.asarray(backbone.forward(pixels))
    maps = maps.reshape(-1, *frame_shape)
    return ComputedMaps(maps, pack_maps(maps, feature_shape, compression=compression))
