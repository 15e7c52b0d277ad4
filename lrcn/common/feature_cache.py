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

from lrcn.common.atomic_file import make_temporary_path, replace_file
from lrcn.common.clip import SourceStat
from lrcn.common.clip_file import ClipWriter, enable_decompression
from lrcn.common.contract import Contract

FORMAT_VERSION = 1


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
    """An existing cache folder. Use `read_cache` or `create_cache`."""

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

    def open_writer(self, clip_id: str, *, compression: str = "gzip") -> ClipWriter:
        """Starts the clip's file; it appears when the writer commits. Errors as `ClipWriter`."""
        return ClipWriter(
            self.clip_path(clip_id),
            clip_id=clip_id,
            contract=self.contract,
            compression=compression,
        )

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
            enable_decompression(file)
            if file.attrs.get("contract") != self.contract.digest:
                raise ValueError(
                    f"{path}: carries another contract than {self.cache_dir / 'cache.json'}. "
                    "Delete the file and run extract_features again."
                )
            yield file


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
