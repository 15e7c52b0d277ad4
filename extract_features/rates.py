"""What a frame of an extraction costs, measured on some."""

import contextlib
import dataclasses
import itertools
import math
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from extract_features.backbone_settings import Backbone
from extract_features.decode_process import count_decoders, open_decoder
from extract_features.disk_space import CLIP_OVERHEAD_BYTES, FrameCount, take_evenly
from extract_features.worklist import Job
from lrcn.common.cache.clip_file import ClipWriter
from lrcn.common.cache.contract import Contract
from lrcn.common.files.unreadable import UnreadableClipError
from lrcn.common.pixels.frame_selection import ALL_FRAMES
from lrcn.common.pixels.views import VIEWS
from lrcn.common.programs.devices import has_gpu

_CLIPS_MEASURED = 8
_BATCHES_MEASURED = 3


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
        """Estimates the time of all frames.

        A GPU computes while the cores decode and write. Without one, the cores do it all.
        """
        on_cores_sec = count.decoded * self.decode_sec + count.frames * self.write_sec
        forward_sec = count.frames * self.forward_sec
        return max(on_cores_sec, forward_sec) if on_gpu else on_cores_sec + forward_sec


def measure_rates(jobs: list[Job], backbone: Backbone, *, compression: str) -> Rates | None:
    """Extracts the first frames of some clips into a temporary folder, one step at a time.

    Args:
        jobs: The clips; some of them, spread evenly, are taken.
        backbone: What computes them.
        compression: One of `frame_chunk.COMPRESSIONS`.

    Returns:
        None if no frame could be read.
    """
    contract = backbone.contract
    frames, decode_sec = _time_decoding(
        jobs,
        VIEWS[contract.views].find_resized_px(contract.image_size_px),
        backbone.frames_per_batch * _BATCHES_MEASURED,
    )
    if not frames:
        return None
    maps, forward_sec = _time_forward(frames, backbone)
    size_bytes, write_sec = _time_writing(maps, jobs[0], contract, compression)
    return Rates(
        decode_sec=decode_sec / len(frames),
        forward_sec=forward_sec / (len(maps) * backbone.frames_per_batch),
        write_sec=write_sec / len(frames),
        stored_bytes=max(0, size_bytes - CLIP_OVERHEAD_BYTES) / len(frames),
    )


def _time_decoding(
    jobs: list[Job], image_size: int, num_frames: int
) -> tuple[list[np.ndarray], float]:
    """Decodes the first frames of some clips as an extraction does: side by side.

    Returns:
        The frames, [R, R, 3] uint8 each, and the seconds that they took.
    """
    in_processes = has_gpu()
    num_decoders = count_decoders(in_processes=in_processes)
    sample = take_evenly(jobs, max(_CLIPS_MEASURED, num_decoders))
    parts = [sample[i::num_decoders] for i in range(min(num_decoders, len(sample)))]
    if not parts:
        return [], 0.0
    frames_per_clip = math.ceil(num_frames / len(sample))

    def read(decode: Callable, part: list[Job], count: int) -> list[np.ndarray]:
        frames = []
        for job in part:
            blocks = decode(job.source, span=job.clip.span)
            with contextlib.closing(blocks), contextlib.suppress(UnreadableClipError):
                pictures = itertools.chain.from_iterable(block.pixels for block in blocks)
                frames += itertools.islice(pictures, count)
        return frames

    with contextlib.ExitStack() as stack, ThreadPoolExecutor(len(parts)) as threads:
        decoders = [
            stack.enter_context(
                open_decoder(
                    threading.Event(),
                    image_size=image_size,
                    selection=ALL_FRAMES,
                    in_process=in_processes,
                )
            )
            for _ in parts
        ]
        # The first frame of all loads the decoders, and may start processes.
        for count in (1, frames_per_clip):
            start_sec = time.monotonic()
            read_parts = threads.map(read, decoders, parts, itertools.repeat(count))
            frames = list(itertools.chain.from_iterable(read_parts))
        return frames, time.monotonic() - start_sec


def _time_forward(frames: list[np.ndarray], backbone: Backbone) -> tuple[list[np.ndarray], float]:
    """Returns the feature maps of full batches and a last one, and the seconds that they took."""
    contract, frames_per_batch = backbone.contract, backbone.frames_per_batch
    views, image_size = VIEWS[contract.views], contract.image_size_px
    pixels = np.zeros((frames_per_batch * views.num_views, image_size, image_size, 3), np.uint8)
    np.asarray(backbone.forward(pixels))  # the first call compiles
    maps, start_sec = [], time.monotonic()
    for start in range(0, len(frames), frames_per_batch):
        batch = frames[start : start + frames_per_batch]
        rows = np.stack([x for picture in batch for x in views.cut(picture, image_size)])
        pixels[: len(rows)] = rows
        batch_maps = np.asarray(backbone.forward(pixels)).reshape(-1, *contract.frame_shape)
        maps.append(batch_maps[: len(batch)])
    return maps, time.monotonic() - start_sec


def _time_writing(
    maps: list[np.ndarray], job: Job, contract: Contract, compression: str
) -> tuple[int, float]:
    """Writes the feature maps as one clip; returns its bytes, and the seconds that it took."""
    with tempfile.TemporaryDirectory(prefix="lrcn-plan-") as folder:
        path, start_sec = Path(folder) / "clip.h5", time.monotonic()
        with ClipWriter(
            path, clip_id="a measured clip", contract=contract, compression=compression
        ) as writer:
            for batch in maps:
                nans = [math.nan] * len(batch)
                writer.append(batch, frame_index=[0] * len(batch), timestamp_sec=nans)
            size_bytes = writer.commit(job.source_stat)
        return size_bytes, time.monotonic() - start_sec
