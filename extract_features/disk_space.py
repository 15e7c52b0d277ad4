"""How many frames clips have, what they take on the disk, and whether it has room for them."""

import dataclasses
import math
import shutil
from pathlib import Path

import numpy as np
from absl import logging

from extract_features.worklist import Job
from lrcn.common.cache.contract import Contract
from lrcn.common.cache.failure_list import Failure
from lrcn.common.files.unreadable import UnreadableClipError
from lrcn.common.pixels.decode import estimate_num_frames
from lrcn.common.pixels.frame_selection import FrameSelection
from lrcn.common.programs.progress import Progress

# Of float16 as it is: real block5_pool maps take 18 % compressed, and less sparse layers more.
_EXPECTED_STORED_PART = 0.25
CLIP_OVERHEAD_BYTES = 2500
# Enough clips for their mean length; opening a video takes some 10 ms.
CLIPS_COUNTED = 200
# A disk with less than this part of the expected bytes is not even tried.
_HOPELESS_PART = 0.1


@dataclasses.dataclass(frozen=True)
class FrameCount:
    """How many frames clips have, as estimated.

    Attributes:
        clips: Clips that could be counted.
        frames: Frames that are extracted.
        decoded: Frames that are decoded for them.
        unreadable: The clips that could not be counted.
    """

    clips: int
    frames: int
    decoded: int
    unreadable: list[Failure]


def count_frames_of(
    jobs: list[Job], selection: FrameSelection, *, num_counted: int | None = None
) -> FrameCount:
    """Estimates the frames of clips from headers and folder listings; nothing is decoded.

    Args:
        jobs: The clips.
        selection: Which of their frames are extracted.
        num_counted: Look at so many of them, spread evenly, and extrapolate; None for all.
    """
    sample = jobs if num_counted is None else take_evenly(jobs, num_counted)
    clips, frames, decoded, unreadable = 0, 0, 0, []
    with Progress(len(sample), "clip", part="counting frames") as progress:
        for job in progress.track(sample):
            clip = job.clip
            try:
                num_source, rate_fps = estimate_num_frames(job.source, span=clip.span)
            except UnreadableClipError as error:
                unreadable.append(Failure(clip, str(error)))
                continue
            if selection.fps is not None and math.isnan(rate_fps):
                reason = f"{job.source}: a folder of images has no times for --fps"
                unreadable.append(Failure(clip, reason))
                continue
            num_selected = selection.count(i / rate_fps for i in range(num_source))
            clips += 1
            frames += num_selected
            if job.source.is_dir():  # images that are not selected are not opened
                decoded += num_selected
            else:
                decoded += num_source if selection.max_frames is None else 2 * num_source
    scale = len(jobs) / max(1, len(sample))
    return FrameCount(*(round(scale * x) for x in (clips, frames, decoded)), unreadable)


def estimate_stored_bytes(count: FrameCount, contract: Contract) -> int:
    """Estimates what clips take on the disk without trying any."""
    raw_bytes = contract.values_per_frame * np.dtype(contract.storage_dtype).itemsize
    return round(
        count.frames * raw_bytes * _EXPECTED_STORED_PART + count.clips * CLIP_OVERHEAD_BYTES
    )


def check_disk_space(jobs: list[Job], contract: Contract, cache_dir: Path) -> None:
    """Warns if the clips may not fit on the disk.

    Raises:
        OSError: If they are sure not to.
    """
    count = count_frames_of(jobs, contract.selection, num_counted=CLIPS_COUNTED)
    needed_bytes = estimate_stored_bytes(count, contract)
    message = describe_lack_of_space(needed_bytes, cache_dir)
    if message is None:
        return
    if find_free_bytes(cache_dir) < _HOPELESS_PART * needed_bytes:
        raise OSError(message)
    logging.warning("%s", message)


def describe_lack_of_space(needed_bytes: int, folder: Path) -> str | None:
    """Returns what is to be said about a disk that is too small, None if it is not."""
    free_bytes = find_free_bytes(folder)
    if free_bytes >= needed_bytes:
        return None
    return (
        f"{folder}: about {needed_bytes / 1e6:,.1f} MB are needed, but {free_bytes / 1e6:,.1f} MB "
        "are free. Make room, name a --cache_dir on another disk, or extract less (--cut, "
        "--image_size, --frame_stride, --max_frames, --views)."
    )


def find_free_bytes(folder: Path) -> float:
    """Finds the free bytes of the disk that a folder lies on, or will lie on.

    Infinitely many where it does not tell its size, as some file systems of servers do not.
    """
    folder = Path(folder).resolve()
    usage = shutil.disk_usage(next(x for x in (folder, *folder.parents) if x.exists()))
    return usage.free if usage.total else math.inf


def take_evenly(jobs: list[Job], count: int) -> list[Job]:
    """Takes `count` jobs, or all if there are fewer, at equal distances."""
    return [jobs[i * len(jobs) // count] for i in range(count)] if len(jobs) > count else jobs
