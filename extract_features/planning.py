"""What an extraction will take, from a short measurement, before it is paid."""

import contextlib
import dataclasses
import itertools
import math
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from extract_features.backbone_settings import (
    Backbone,
    BackboneSettings,
    build_backbone,
    complete_settings,
    may_hold,
)
from extract_features.disk_space import (
    CLIP_OVERHEAD_BYTES,
    FrameCount,
    count_frames_of,
    find_free_bytes,
    take_evenly,
)
from extract_features.given_data import DataSettings, read_given_data
from extract_features.same_data import (
    check_data_root,
    check_moved_data,
    check_same_data,
    is_in_place,
)
from extract_features.worklist import Job, find_jobs, find_work
from lrcn.common.clip import Clip
from lrcn.common.clip_file import ClipWriter
from lrcn.common.decode import Frame, UnreadableClipError, iter_frames
from lrcn.common.devices import has_gpu
from lrcn.common.machine import count_cores
from lrcn.common.open_cache import check_contract, find_cache
from lrcn.common.views import VIEWS

_CLIPS_MEASURED = 8
_BATCHES_MEASURED = 3


@dataclasses.dataclass(frozen=True)
class Plan:
    """What an extraction will take.

    Attributes:
        clips: Clips to extract.
        skipped: Clips that the cache already has.
        unreadable: (clip, reason) of each clip that plainly cannot be read.
        skip_unreadable: Whether an extraction goes on without these.
        folder: On whose disk they go.
        frames: Frames to extract.
        needed_bytes: What they take on the disk.
        free_bytes: What it has.
        expected_sec: How long it takes, without the start-up.
    """

    clips: int
    skipped: int
    unreadable: list[tuple[Clip, str]]
    skip_unreadable: bool
    folder: Path
    frames: int = 0
    needed_bytes: int = 0
    free_bytes: int = 0
    expected_sec: float = 0.0

    @property
    def has_failures(self) -> bool:
        """Whether an extraction would end as failed."""
        return bool(self.unreadable) and not self.skip_unreadable

    def __str__(self):
        minutes, seconds = divmod(round(self.expected_sec), 60)
        hours, minutes = divmod(minutes, 60)
        rate_fps = self.frames / self.expected_sec if self.expected_sec else 0.0
        return "\n".join(
            (
                f"clips   {self.clips} to extract, {self.skipped} already there, "
                f"{len(self.unreadable)} unreadable",
                f"frames  {self.frames}",
                f"disk    {self.needed_bytes / 1e6:.1f} MB needed, {self.free_bytes / 1e6:.1f} MB "
                f"free at {self.folder}",
                f"time    {hours}:{minutes:02}:{seconds:02} at {rate_fps:.1f} frames/s, "
                "start-up apart",
            )
        )


def make_plan(
    data_settings: DataSettings,
    backbone_settings: BackboneSettings,
    *,
    cache_dir: Path | None,
    batch_size: int | None,
    compression: str,
) -> Plan:
    """Counts what an extraction with these arguments would do, and measures it on a few frames.

    Nothing is left in the cache's folder, which need not exist, nor be named. Arguments and
    errors as `extract_features`.
    """
    existing = None if cache_dir is None else find_cache(cache_dir)
    data = read_given_data(data_settings, existing)
    check_data_root(data, existing)
    if existing is not None:
        check_same_data(existing, data.clips)
    settings = complete_settings(backbone_settings, existing)
    jobs, unreadable = find_jobs(data.clips, data.root)
    if existing is not None and not is_in_place(existing, data.root):
        check_moved_data(existing, data.clips, jobs, was=existing.data_root, now=data.root)
    work = find_work(jobs, unreadable, existing)
    rates = None
    # As an extraction, which needs no TensorFlow where there is nothing to do.
    if existing is None or work.pending or not may_hold(existing, backbone_settings):
        backbone = build_backbone(settings, batch_size)
        if existing is not None:
            check_contract(existing, backbone.contract)
        rates = measure_rates(work.pending, backbone, compression=compression)
    count = count_frames_of(work.pending, settings.selection)
    folder = Path.cwd() if cache_dir is None else cache_dir
    plan = Plan(
        count.clips,
        skipped=work.num_current,
        unreadable=work.unreadable + count.unreadable,
        skip_unreadable=data.settings.skip_unreadable,
        frames=count.frames,
        folder=folder,
        free_bytes=find_free_bytes(folder),
    )
    if rates is None:
        return plan
    return dataclasses.replace(
        plan,
        needed_bytes=round(count.frames * rates.stored_bytes + count.clips * CLIP_OVERHEAD_BYTES),
        expected_sec=rates.estimate_sec(count, on_gpu=has_gpu()),
    )


@dataclasses.dataclass(frozen=True)
class Rates:
    """What a frame costs with all of its views, as measured on some.

    Attributes:
        decode_sec: To decode and resize it, on all cores.
        forward_sec: In the backbone, in full batches.
        write_sec: To compress and write it, on all cores.
        stored_bytes: On the disk.
    """

    decode_sec: float
    forward_sec: float
    write_sec: float
    stored_bytes: float

    def estimate_sec(self, count: FrameCount, *, on_gpu: bool) -> float:
        """The time of all: a GPU computes beside the cores, which else do it all."""
        on_cores_sec = count.decoded * self.decode_sec + count.frames * self.write_sec
        forward_sec = count.frames * self.forward_sec
        return max(on_cores_sec, forward_sec) if on_gpu else on_cores_sec + forward_sec


def measure_rates(jobs: list[Job], backbone: Backbone, *, compression: str) -> Rates | None:
    """Extracts the first frames of some clips into a temporary folder, one step at a time.

    Args:
        jobs: The clips; some of them, spread evenly, are taken.
        backbone: What computes them.
        compression: One of `clip_file.COMPRESSIONS`.

    Returns:
        None if no frame could be read.
    """
    start_sec = time.monotonic()
    contract, batch_size = backbone.contract, backbone.batch_size
    views, image_size = VIEWS[contract.views], contract.image_size_px
    frames = _read_some_frames(
        jobs, views.find_resized_px(image_size), batch_size * _BATCHES_MEASURED
    )
    decode_sec = time.monotonic() - start_sec
    if not frames:
        return None
    pixels = np.zeros((batch_size * views.num_views, image_size, image_size, 3), np.uint8)
    np.asarray(backbone.forward(pixels))  # the first call compiles
    maps, start_sec = [], time.monotonic()
    for start in range(0, len(frames), batch_size):
        batch = frames[start : start + batch_size]
        rows = np.stack([x for frame in batch for x in views.cut(frame.pixels, image_size)])
        pixels[: len(rows)] = rows
        batch_maps = np.asarray(backbone.forward(pixels)).reshape(-1, *contract.frame_shape)
        maps.append(batch_maps[: len(batch)])
    forward_sec = (time.monotonic() - start_sec) / (len(maps) * batch_size)
    with tempfile.TemporaryDirectory(prefix="lrcn-plan-") as folder:
        start_sec = time.monotonic()
        writer = ClipWriter(
            Path(folder) / "clip.h5", clip_id="clip", contract=contract, compression=compression
        )
        try:
            for batch in maps:
                num_rows = len(batch)
                writer.append(
                    batch, frame_index=[0] * num_rows, timestamp_sec=[math.nan] * num_rows
                )
            size_bytes = writer.commit(jobs[0].source_stat)
        except BaseException:
            writer.discard()
            raise
        write_sec = time.monotonic() - start_sec
    return Rates(
        decode_sec=decode_sec / len(frames),
        forward_sec=forward_sec,
        write_sec=write_sec / len(frames),
        stored_bytes=max(0, size_bytes - CLIP_OVERHEAD_BYTES) / len(frames),
    )


def _read_some_frames(jobs: list[Job], image_size: int, num_frames: int) -> list[Frame]:
    num_cores = count_cores()
    sample = take_evenly(jobs, max(_CLIPS_MEASURED, num_cores))
    frames_per_clip = math.ceil(num_frames / max(1, len(sample)))

    def read_first(job: Job) -> list[Frame]:
        clip = job.clip
        clip_frames = iter_frames(
            job.source, image_size=image_size, start_sec=clip.start_sec, end_sec=clip.end_sec
        )
        with contextlib.closing(clip_frames):
            try:
                return list(itertools.islice(clip_frames, frames_per_clip))
            except UnreadableClipError:
                return []  # an extraction names it

    # As many threads as an extraction has: side by side, each is slower than one alone.
    with ThreadPoolExecutor(num_cores) as threads:
        return list(itertools.chain.from_iterable(threads.map(read_first, sample)))
