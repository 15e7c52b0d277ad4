"""The feature cache: a folder of HDF5 files, one for each clip, under one contract.

    cache.json           the contract and where the clips came from
    manifest.csv         the clips that the cache is meant to hold, with their splits
    classes.txt          a class name a line; the line number is the class id
    failures.csv         the clips that could not be read, and why
    clips/<clip_id>.h5   feature_maps [T, ...] float16, frame_index [T] int32,
                         timestamp_sec [T] float64

A clip file is written under a temporary name, synced, then renamed: one that exists is whole.
"""

import contextlib
import dataclasses
import fcntl
import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

from lrcn.common.atomic_file import commit_file, make_temporary_path, replace_file
from lrcn.common.clip import SourceStat
from lrcn.common.contract import Contract

FORMAT_VERSION = 1
STORAGE_DTYPE = "float16"
# On a real block5_pool map of 50,176 bytes: level 1 gives 10,152, level 4 9,013 and level 6
# 8,737 bytes in 0.35, 0.47 and 1.01 ms.
_GZIP_LEVEL = 4


class ClipFeatures(NamedTuple):
    """The features of one clip.

    Attributes:
        feature_maps: [T, ...] float16.
        frame_index: [T] int32, number of the frame in its source, from 0.
        timestamp_sec: [T] float64 from the start of the source, NaN where it has no clock.
    """

    feature_maps: np.ndarray
    frame_index: np.ndarray
    timestamp_sec: np.ndarray


class FeatureCache:
    """An existing cache folder. Use `open_cache` or `create_cache`."""

    def __init__(self, cache_dir: Path, *, contract: Contract, data_root: str):
        self.cache_dir = cache_dir
        self.contract = contract
        self.data_root = data_root
        self.manifest_path = cache_dir / "manifest.csv"
        self.classes_path = cache_dir / "classes.txt"
        self.failures_path = cache_dir / "failures.csv"

    def clip_path(self, clip_id: str) -> Path:
        """Where the clip's features lie, whether or not they exist yet."""
        return self.cache_dir / "clips" / f"{clip_id}.h5"

    def is_current(self, clip_id: str, source: SourceStat) -> bool:
        """Whether the clip is whole, of this contract, and of this unchanged source."""
        try:
            with h5py.File(self.clip_path(clip_id), "r") as file:
                return (
                    file.attrs["contract"] == self.contract.digest
                    and file.attrs["clip_id"] == clip_id
                    and int(file.attrs["source_size_bytes"]) == source.size_bytes
                    and int(file.attrs["source_mtime_ns"]) == source.mtime_ns
                )
        except (OSError, KeyError):
            # Absent, or damaged after it was written: it is extracted again.
            return False

    def count_frames(self, clip_id: str) -> int:
        """T of a cached clip. Raises as `read_clip`."""
        with self._open_clip(clip_id) as file:
            return file["feature_maps"].shape[0]

    def read_clip(self, clip_id: str, *, frames: np.ndarray | None = None) -> ClipFeatures:
        """Reads a clip, or the given frames of it.

        Args:
            clip_id: A clip of the cache.
            frames: [N] int64 positions in [0, T), in any order, repeats allowed; None reads all.

        Raises:
            FileNotFoundError: If the clip is not in the cache.
            ValueError: If its file is damaged or carries another contract.
        """
        with self._open_clip(clip_id) as file:
            try:
                datasets = [file[name] for name in ClipFeatures._fields]
                if frames is None:
                    return ClipFeatures(*(dataset[:] for dataset in datasets))
                # HDF5 selects increasing positions only; repeats and order are numpy's.
                positions, inverse = np.unique(frames, return_inverse=True)
                return ClipFeatures(*(dataset[positions][inverse] for dataset in datasets))
            except (OSError, KeyError) as error:
                raise ValueError(
                    f"{self.clip_path(clip_id)}: damaged ({error}). Delete the file and run "
                    "extract_features again; it rebuilds what is missing."
                ) from error

    @contextlib.contextmanager
    def _open_clip(self, clip_id: str) -> Iterator[h5py.File]:
        path = self.clip_path(clip_id)
        try:
            file = h5py.File(path, "r")
        except FileNotFoundError:
            raise FileNotFoundError(
                f"{path}: not in the cache. Run extract_features again; it does only what is "
                "missing."
            ) from None
        except OSError as error:
            raise ValueError(
                f"{path}: not a readable HDF5 file ({error}). Delete it and run "
                "extract_features again; it rebuilds what is missing."
            ) from error
        with file:
            if file.attrs.get("contract") != self.contract.digest:
                raise ValueError(
                    f"{path}: carries another contract than {self.cache_dir / 'cache.json'}. "
                    "Delete the file and run extract_features again."
                )
            yield file


class ClipWriter:
    """Writes one clip frame by frame; nothing appears under its name before `commit`."""

    def __init__(self, cache: FeatureCache, clip_id: str):
        self._cache = cache
        self._clip_id = clip_id
        self._path = cache.clip_path(clip_id)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._temporary = make_temporary_path(self._path)
        self._index: list[int] = []
        self._timestamps: list[float] = []
        shape = cache.contract.feature_shape
        self._file = h5py.File(self._temporary, "w")
        self._maps = self._file.create_dataset(
            "feature_maps",
            shape=(0, *shape),
            maxshape=(None, *shape),
            chunks=(1, *shape),
            dtype=STORAGE_DTYPE,
            compression="gzip",
            compression_opts=_GZIP_LEVEL,
            # Shuffling bytes makes sparse float16 larger, so it stays off.
            shuffle=False,
            fletcher32=True,
        )

    def append(
        self, feature_maps: np.ndarray, *, frame_index: list[int], timestamp_sec: list[float]
    ) -> None:
        """Adds N frames.

        Args:
            feature_maps: [N, ...] float16.
            frame_index: N frame numbers in the source.
            timestamp_sec: N times from the source's start, NaN where there is no clock.

        Raises:
            ValueError: If a value is not finite: it overflowed float16 or was wrong before.
        """
        if not np.isfinite(feature_maps).all():
            raise ValueError(
                f"{self._clip_id}: a feature of the frames {frame_index[0]} to {frame_index[-1]} "
                "is not finite in float16 (largest number: 65504). Expected finite features; "
                "check the weights, or use a --cut or weights with smaller values."
            )
        start = len(self._index)
        self._maps.resize(start + len(feature_maps), axis=0)
        self._maps[start:] = feature_maps
        self._index.extend(frame_index)
        self._timestamps.extend(timestamp_sec)

    def commit(self, source: SourceStat) -> int:
        """Makes the clip appear, whole. Returns its size in bytes."""
        self._file.create_dataset(
            "frame_index", data=np.asarray(self._index, np.int32), fletcher32=True, chunks=True
        )
        self._file.create_dataset(
            "timestamp_sec",
            data=np.asarray(self._timestamps, np.float64),
            fletcher32=True,
            chunks=True,
        )
        attributes = self._file.attrs
        attributes["contract"] = self._cache.contract.digest
        attributes["clip_id"] = self._clip_id
        attributes["source_size_bytes"] = source.size_bytes
        attributes["source_mtime_ns"] = source.mtime_ns
        self._file.close()
        commit_file(self._temporary, self._path)
        return self._path.stat().st_size

    def discard(self) -> None:
        """Leaves nothing behind; a finished file of an earlier run stays."""
        with contextlib.suppress(OSError, RuntimeError):  # a full disk fails again on close
            self._file.close()
        self._temporary.unlink(missing_ok=True)


def read_cache(cache_dir: str | Path) -> FeatureCache:
    """Opens an existing cache.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If its `cache.json` is not one that this version wrote.
    """
    cache_dir = Path(cache_dir)
    path = cache_dir / "cache.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{path}: there is no cache here. Make it with "
            f"`python -m extract_features --data=... --cache_dir={cache_dir}`, or name the "
            "folder that holds it as --cache_dir."
        ) from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not valid JSON ({error}). Rebuild the cache.") from error
    version = content.get("format_version") if isinstance(content, dict) else None
    if version != FORMAT_VERSION:
        raise ValueError(
            f"{path}: expected format_version {FORMAT_VERSION}. Received: {version}. "
            "Rebuild the cache with this version, or use the version that made it."
        )
    contract = Contract.from_json(content.get("contract"), where=str(path))
    return FeatureCache(cache_dir, contract=contract, data_root=content.get("data_root", ""))


def create_cache(cache_dir: str | Path, *, contract: Contract, data_root: Path) -> FeatureCache:
    """Opens the cache for writing under `contract`, creating it where there is none.

    Raises:
        ValueError: If the folder holds a cache with another contract (the differing fields are
            named), or files but no cache.
    """
    cache_dir = Path(cache_dir)
    path = cache_dir / "cache.json"
    if path.exists():
        existing = read_cache(cache_dir).contract
        if existing != contract:
            raise ValueError(
                f"{path}: {existing.describe_differences(contract)}. Leave out the flags that "
                "differ to use the cache as it is, or name another --cache_dir."
            )
    elif cache_dir.is_dir() and any(p.name != _LOCK_NAME for p in cache_dir.iterdir()):
        raise ValueError(
            f"{cache_dir}: holds files, but no cache. Expected a cache or an empty or new "
            "folder, so that nothing of yours is overwritten. Name another --cache_dir."
        )
    cache_dir.mkdir(parents=True, exist_ok=True)
    root = str(Path(data_root).resolve())
    content = {
        "format_version": FORMAT_VERSION,
        "contract": dataclasses.asdict(contract),
        "data_root": root,
    }
    with replace_file(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return FeatureCache(cache_dir, contract=contract, data_root=root)


_LOCK_NAME = ".lock"


@contextlib.contextmanager
def lock_cache(cache_dir: str | Path) -> Iterator[None]:
    """Keeps a second writer out; the lock goes with the process, however it ends.

    Half-written clips of a writer that was killed are removed.

    Raises:
        RuntimeError: If another process is writing to this cache.
    """
    cache_dir = Path(cache_dir)
    cache_dir.mkdir(parents=True, exist_ok=True)
    with open(cache_dir / _LOCK_NAME, "a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RuntimeError(
                f"{cache_dir}: another extraction is writing to this cache. Wait until it ends, "
                "or name another --cache_dir."
            ) from None
        if (cache_dir / "cache.json").exists():  # else the folder may be somebody's own
            for temporary in (cache_dir / "clips").rglob(make_temporary_path(Path("*.h5")).name):
                temporary.unlink()
        yield
