"""What an extraction will take, from a short measurement, before it is paid."""

import dataclasses
import math
from pathlib import Path

from extract_features.backbone_settings import BackboneSettings
from extract_features.corrected_paths import find_corrected
from extract_features.disk_space import (
    CLIP_OVERHEAD_BYTES,
    CLIPS_COUNTED,
    count_frames_of,
    find_free_bytes,
)
from extract_features.extract import Extraction
from extract_features.given_data import DataSettings, read_given_data
from extract_features.pipeline import PipelineSettings
from extract_features.rates import measure_rates
from extract_features.same_data import check_data_root, check_same_data
from extract_features.worklist import DataSources, check_any_readable, find_work
from lrcn.common.cache.failure_list import Failure
from lrcn.common.cache.open_cache import find_cache
from lrcn.common.programs.devices import has_gpu
from lrcn.common.programs.wording import name_duration

# What takes longer is told with what fewer frames would take: twice as many as a head reads.
_LONG_SEC = 3600
_FEW_FRAMES = 32


@dataclasses.dataclass(frozen=True)
class Plan:
    """What an extraction will take.

    Attributes:
        clips: Clips to extract.
        skipped: Clips that the cache already has.
        unreadable: Clips that plainly cannot be read.
        skip_unreadable: Whether an extraction goes on without these.
        folder: On whose disk they go.
        frames: Frames to extract.
        needed_bytes: What they take on the disk.
        free_bytes: What it has.
        expected_sec: How long it takes, without the start-up; None where no frame could be read of
            the clips that were tried.
        short_sec: How long with `--max_frames=32`; None where it is short anyway, or hardly less.
    """

    clips: int
    skipped: int
    unreadable: list[Failure]
    skip_unreadable: bool
    folder: Path
    frames: int = 0
    needed_bytes: int = 0
    free_bytes: float = 0
    expected_sec: float | None = 0.0
    short_sec: float | None = None

    @property
    def has_failures(self) -> bool:
        """Whether an extraction would end as failed; without any clip it does in any case."""
        return bool(self.unreadable) and not (self.skip_unreadable and self.can_skip)

    @property
    def can_skip(self) -> bool:
        """Whether an extraction could go on without the unreadable clips, as there are others."""
        return self.clips + self.skipped > 0

    def __str__(self):
        if self.expected_sec is None:
            needed_mb, duration = "?", "? as no frame could be read of the clips that were tried"
        else:
            needed_mb = f"{self.needed_bytes / 1e6:,.1f}"
            duration = name_duration(self.expected_sec)
            if self.expected_sec:  # else nothing was there to be measured
                rate_fps = self.frames / self.expected_sec
                duration += f" at {rate_fps:,.1f} frames/s, start-up apart"
        # A disk that does not tell its size has infinitely many.
        free_mb = f"{self.free_bytes / 1e6:,.1f}" if math.isfinite(self.free_bytes) else "?"
        lines = [
            f"clips   {self.clips:,} to extract, {self.skipped:,} already there, "
            f"{len(self.unreadable):,} unreadable",
            f"frames  {self.frames:,}",
            f"disk    {needed_mb} MB needed, {free_mb} MB free at {self.folder}",
            f"time    {duration}",
        ]
        if self.short_sec is not None:
            lines.append(
                f"        {name_duration(self.short_sec)} with --max_frames={_FEW_FRAMES}: as many "
                "of each clip, evenly spaced"
            )
        return "\n".join(lines)


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
    listed = check_same_data(existing, data.clips)
    folder = Path.cwd() if cache_dir is None else cache_dir
    sources = DataSources(data.root)
    pipeline_settings = PipelineSettings(batch_size=batch_size, compression=compression)
    extraction = Extraction(sources, backbone_settings, pipeline_settings, cache_dir=folder)
    corrected = find_corrected(listed, data.clips, sources)
    work = find_work(data.clips, sources, existing, corrected=corrected)
    if existing is None:
        check_any_readable(work, data.clips, listed_in=data.settings.data)
    contract = extraction.prepare_backbone(work.pending, data.clips, existing)
    count = count_frames_of(work.pending, contract.selection)
    rates, needed_bytes, short_sec = None, 0, None
    expected_sec = None if count.frames else 0.0
    if extraction.backbone is not None:
        rates = measure_rates(work.pending, extraction.backbone, compression=compression)
    if rates is not None:
        needed_bytes = round(count.frames * rates.stored_bytes + count.clips * CLIP_OVERHEAD_BYTES)
        expected_sec = rates.estimate_sec(count, on_gpu=has_gpu())
    if existing is None and rates is not None and expected_sec >= _LONG_SEC:
        short = dataclasses.replace(contract.selection, max_frames=_FEW_FRAMES)
        few = count_frames_of(work.pending, short, num_counted=CLIPS_COUNTED)
        few_sec = rates.estimate_sec(few, on_gpu=has_gpu())
        short_sec = few_sec if few_sec < expected_sec / 2 else None
    return Plan(
        count.clips,
        skipped=work.num_current,
        unreadable=work.unreadable + count.unreadable,
        skip_unreadable=data.settings.skip_unreadable,
        folder=folder,
        frames=count.frames,
        needed_bytes=needed_bytes,
        free_bytes=find_free_bytes(folder),
        expected_sec=expected_sec,
        short_sec=short_sec,
    )
