"""Reads the clips of one split, whole or some of their frames."""

import contextlib
import functools
import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from lrcn.common.cache.feature_cache import FeatureCache
from lrcn.common.programs.machine import count_cores
from lrcn.common.programs.tensorflow_start import import_tensorflow
from train_head.batches.frame_choice import ChosenFrames
from train_head.head.vgg16 import FrozenTop

tf = import_tensorflow()

# Two batches are loaded at once: more of them would take more memory, and these threads do not.
# Few, since each waits for Python's lock after every frame, as does the one that trains.
_THREADS_A_BATCH = min(4, max(1, count_cores() // 2))


class ClipReader:
    """Reads the clips of one split, keeping as many of them in memory as fit.

    Attributes:
        clip_ids: The N clips.
        num_frames: [N] int64, T of each clip.
        num_views: V, how many views of each frame there are.
        feature_shape: Shape of the features of one view of one frame.
        error: What `read` has raised last, see `raise_read_errors`.
    """

    def __init__(
        self,
        cache: FeatureCache,
        clip_ids: list[str],
        *,
        memory_bytes: int,
        top: FrozenTop | None = None,
    ):
        """Counts the clips' frames.

        Args:
            cache: Holds the clips.
            clip_ids: The clips, in order.
            memory_bytes: What clips may take in memory: the shortest are kept whole, with all their
                views, once they were read. The others are read anew each time.
            top: Gives the features of the layers above the cut, in place of the cached ones.
        """
        self._cache = cache
        self._top = top
        self.clip_ids = clip_ids
        self.num_frames = np.array([cache.count_frames(x) for x in clip_ids], np.int64)
        self.num_views = cache.contract.num_views
        self.feature_shape = cache.contract.feature_shape if top is None else top.feature_shape
        self.error: Exception | None = None
        # The shortest, as a sequence of fixed length costs as much to read from any clip.
        shortest_first = np.argsort(self.num_frames, kind="stable")
        sizes_bytes = self.num_frames * self.num_views * math.prod(self.feature_shape) * 2
        self._is_kept = np.empty(len(clip_ids), bool)
        self._is_kept[shortest_first] = np.cumsum(sizes_bytes[shortest_first]) <= memory_bytes
        self._kept: dict[tuple[int, int], np.ndarray] = {}

    def __len__(self) -> int:
        return len(self.clip_ids)

    def read(
        self,
        clip_number: int,
        frames: np.ndarray | None = None,
        *,
        view: int = 0,
        out: np.ndarray | None = None,
    ) -> np.ndarray:
        """Returns a view of a clip, or of the given frames of it, [T, ...] float16.

        In `out` where it is given, else in memory that is not to be written to.
        """
        try:
            return self._read(clip_number, frames, view, out)
        except (ValueError, OSError) as error:
            self.error = error
            raise

    def read_many(self, chosen: Sequence[ChosenFrames], outs: Sequence[np.ndarray]) -> None:
        """Reads the b rows of a batch into b arrays."""
        # The top has threads of its own, and needs memory for all that it computes at once.
        num_threads = _THREADS_A_BATCH if self._top is None else 1

        def read_some(first: int) -> None:
            for row in range(first, len(chosen), num_threads):
                clip_number, frames, view = chosen[row]
                self.read(clip_number, frames, view=view, out=outs[row])

        others = [_open_pool().submit(read_some, first) for first in range(1, num_threads)]
        # This thread reads a part too: to hand over all took a fifth of the time of kept clips.
        read_some(0)
        for other in others:
            other.result()

    def release(self) -> None:
        """Gives the memory of the clips back; they are read again where they are wanted."""
        self._kept = {}

    def _read(self, clip_number, frames, view, out):
        if not self._is_kept[clip_number]:
            return self._compute(clip_number, frames, view, out)
        if (clip_number, view) not in self._kept:
            self._kept[clip_number, view] = self._compute(clip_number, None, view, None)
        maps = self._kept[clip_number, view]
        if out is None:
            return maps if frames is None else maps[frames]
        if frames is None:
            return _copy_into(out, maps)
        if len(frames) and not 0 <= frames.min() <= frames.max() < len(maps):
            raise IndexError(f"Expected frames in [0, {len(maps)}). Received: {frames}.")
        # In the mode that checks positions, NumPy would gather the frames elsewhere first. One call
        # for all: each gives up Python's lock and waits for it again.
        return np.take(maps, frames, axis=0, out=out, mode="clip")

    def _compute(self, clip_number, frames, view, out):
        clip_id = self.clip_ids[clip_number]
        place = out if self._top is None else None
        maps = self._cache.read_maps(clip_id, frames=frames, view=view, out=place)
        expected = self.num_frames[clip_number]
        if frames is None and len(maps) != expected:
            raise ValueError(
                f"{self._cache.clip_path(clip_id)}: {len(maps)} frames, {expected} when this "
                "program started. Let the extraction end, then start this again."
            )
        if self._top is not None:
            try:
                maps = self._top(maps)
            except ValueError as error:
                raise ValueError(f"{self._cache.clip_path(clip_id)}: {error}") from None
        if out is None or maps is out:
            return maps
        return _copy_into(out, maps)


def _copy_into(out: np.ndarray, maps: np.ndarray) -> np.ndarray:
    if out.shape != maps.shape:  # NumPy would repeat a single frame
        raise ValueError(f"Expected features {list(out.shape)}. Received: {list(maps.shape)}.")
    out[...] = maps
    return out


@functools.cache
def _open_pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(2 * _THREADS_A_BATCH, thread_name_prefix="read_clip")


@contextlib.contextmanager
def raise_read_errors(*readers: ClipReader) -> Iterator[None]:
    """Raises the reader's own error, where TensorFlow raises one that it made of it."""
    try:
        yield
    except tf.errors.OpError:
        for reader in readers:
            if reader.error is not None:
                raise reader.error from None
        raise
