"""What an extraction did, and how it is told to the user."""

import dataclasses
from pathlib import Path

from absl import logging

from lrcn.common.cache.failure_list import Failure
from lrcn.common.clips.clip import Clip
from lrcn.common.programs.wording import name_count

_NAMED_FAILURES = 5
# Where so little of a long extraction is VGG16's, it is said what to do.
_LOW_BUSY_PART, _LONG_SEC = 0.5, 60.0


@dataclasses.dataclass
class ExtractionResult:
    """What was computed, and where the time went.

    Attributes:
        clips_done: Clips committed to the cache.
        frames: Frames that passed the backbone.
        size_bytes: Bytes of the committed clip files.
        failures: The clips that could not be read.
        kept: Clips in the cache that are the first part of a broken video.
        short: (clip, time of its last frame in seconds) of each clip whose video ends before half
            of its span.
        elapsed_sec: Seconds from the first frame decoded to the last clip written.
        forward_sec: Seconds in which the backbone computed.
        decode_wait_sec: Seconds that the writer waited for frames to be decoded.
        forward_wait_sec: Seconds that it waited for the backbone, and for features to be packed.
        write_sec: Seconds that it wrote.
    """

    clips_done: int = 0
    frames: int = 0
    size_bytes: int = 0
    failures: list[Failure] = dataclasses.field(default_factory=list)
    kept: list[Failure] = dataclasses.field(default_factory=list)
    short: list[tuple[Clip, float]] = dataclasses.field(default_factory=list)
    elapsed_sec: float = 0.0
    forward_sec: float = 0.0
    decode_wait_sec: float = 0.0
    forward_wait_sec: float = 0.0
    write_sec: float = 0.0


@dataclasses.dataclass
class Summary:
    """What an extraction did: `result` of the clips that were pending, and clips skipped."""

    result: ExtractionResult
    skipped: int
    elapsed_sec: float
    skip_unreadable: bool

    def __str__(self):
        result = self.result
        counts = (
            f"{name_count(result.clips_done, 'clip')} done, "
            f"{self.skipped:,} skipped (already there), {len(result.failures):,} failed"
        )
        if not result.frames:
            return counts
        rate_fps = result.frames / result.elapsed_sec
        return (
            f"{counts}; {name_count(result.frames, 'frame')} in {result.elapsed_sec:.1f} s "
            f"({rate_fps:,.1f} frames/s), {result.size_bytes / 1e6:,.1f} MB written; "
            f"{self.elapsed_sec:.0f} s with the start"
        )


def report_summary(summary: Summary, cache_dir: Path, *, with_make: str = "") -> int:
    """Logs what was done and what failed. Returns the program's exit status.

    Args:
        summary: What was done.
        cache_dir: The cache.
        with_make: How `make` is told to go on without what failed, where it runs the program.
    """
    result = summary.result
    logging.info("%s", summary)
    if result.forward_sec:  # imported features have passed no backbone here
        _report_times(result)
    for clip, reason in result.kept[:_NAMED_FAILURES]:
        logging.warning("in part: %s: %s", clip.clip_id, reason)
    if result.kept:
        logging.warning(
            "Clips that are there only in part: %d, all listed in %s",
            len(result.kept),
            cache_dir / "failures.csv",
        )
    if result.short:
        clip, last_sec = result.short[0]
        logging.warning(
            "Clips less than half as long as their spans: %d, such as %s: its end_sec is %g, the "
            "last frame at %.3g s. Check whether these are seconds of the video",
            len(result.short),
            clip.clip_id,
            clip.end_sec,
            last_sec,
        )
    if not result.failures:
        return 0
    for clip, reason in result.failures[:_NAMED_FAILURES]:
        logging.error("failed: %s: %s", clip.clip_id, reason)
    logging.error(
        "Failed clips: %d, all listed in %s", len(result.failures), cache_dir / "failures.csv"
    )
    if summary.skip_unreadable:
        return 0
    is_all = not (result.clips_done or summary.skipped)
    logging.error(
        "Mend %s",
        "them, or name where they are now (--data, of a manifest --data_root), and run again"
        if is_all
        else f"or remove them and run again, or go on without: --skip_unreadable{with_make}",
    )
    return 1


def _report_times(result: ExtractionResult) -> None:
    busy_part = result.forward_sec / result.elapsed_sec
    logging.info(
        "Of %.1f s, VGG16 computed in %.1f s (%.0f %%); the writer waited %.1f s for frames and "
        "%.1f s for VGG16 and packing, and wrote for %.1f s",
        result.elapsed_sec,
        result.forward_sec,
        100 * busy_part,
        result.decode_wait_sec,
        result.forward_wait_sec,
        result.write_sec,
    )
    if busy_part < _LOW_BUSY_PART and result.elapsed_sec > _LONG_SEC:
        logging.info(
            "VGG16 waits most of the time for frames to be decoded, or packed and written. Several "
            "processes may share the work (--num_shards and --shard_index)"
        )
