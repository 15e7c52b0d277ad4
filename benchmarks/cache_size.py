"""Bytes a frame in the cache, and frames a second written and read on one core.

    python -m benchmarks.cache_size --maps=block5_pool.npy

`--maps` is a real feature map, or several [N, ...]; without it, synthetic ones stand in, which
take 2 % fewer bytes than a real one of block5_pool. The clip is read whole, as this project does
and as HDF5 alone does, and then 16 of its frames, as training does; medians of nine.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
from absl import flags

from benchmarks.synthetic_cache import make_contract, make_maps
from lrcn.common.programs.program import run_program

_MAPS = flags.DEFINE_string("maps", None, "A .npy file of one feature map, or of several [N, ...].")
_FRAMES = flags.DEFINE_integer("frames", 512, "Frames to write and read.", lower_bound=16)
_ROWS_AT_ONCE = 16
_TIMES = 9


def main() -> None:
    from lrcn.common.cache.feature_cache import FeatureCache
    from lrcn.common.cache.frame_chunk import COMPRESSIONS
    from lrcn.common.clips.clip import SourceStat

    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    maps = _read_maps()
    contract = make_contract(maps.shape[1:])
    raw_bytes = maps[0].nbytes
    columns = ("written/s", "read/s", "by HDF5/s", "some/s")
    print(f"{'':10} {'bytes a frame':>14} {'of raw':>8} " + " ".join(f"{x:>10}" for x in columns))
    print(f"{'raw':10} {raw_bytes:14.0f} {1:8.1%}")
    some = np.linspace(0, _FRAMES.value - 1, _ROWS_AT_ONCE).astype(np.int64)
    with tempfile.TemporaryDirectory() as folder:
        for compression in COMPRESSIONS:
            cache = FeatureCache(Path(folder), contract=contract, data_root="")
            start_sec = time.perf_counter()
            writer = cache.open_writer(compression, compression=compression)
            for start in range(0, _FRAMES.value, _ROWS_AT_ONCE):
                rows = np.arange(start, min(start + _ROWS_AT_ONCE, _FRAMES.value))
                writer.append(
                    maps[rows % len(maps)],
                    frame_index=rows.tolist(),
                    timestamp_sec=rows.astype(float).tolist(),
                )
            size_bytes = writer.commit(SourceStat(0, 0)) / _FRAMES.value
            rates = (
                _FRAMES.value / (time.perf_counter() - start_sec),
                _FRAMES.value / _measure_sec(cache.read_maps, compression),
                _FRAMES.value / _measure_sec(_by_hdf5, cache.clip_path(compression)),
                len(some) / _measure_sec(cache.read_maps, compression, frames=some),
            )
            print(
                f"{compression:10} {size_bytes:14.0f} {size_bytes / raw_bytes:8.1%} "
                + " ".join(f"{rate:10.0f}" for rate in rates)
            )


def _measure_sec(read: Callable[..., object], *arguments, **settings) -> float:
    """Returns the median of several times, the first not counted."""
    times_sec = []
    for _ in range(_TIMES + 1):
        start_sec = time.perf_counter()
        read(*arguments, **settings)
        times_sec.append(time.perf_counter() - start_sec)
    return statistics.median(times_sec[1:])


def _by_hdf5(path: Path) -> np.ndarray:
    with h5py.File(path) as file:
        return file["feature_maps"][:]


def _read_maps() -> np.ndarray:
    if _MAPS.value is not None:
        maps = np.load(_MAPS.value, allow_pickle=False).astype(np.float16)
        return maps[None] if maps.ndim == 3 else maps
    return make_maps(64, (7, 7, 512))


if __name__ == "__main__":
    run_program(main)
