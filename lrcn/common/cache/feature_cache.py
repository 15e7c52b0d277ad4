"""The feature cache: a folder of HDF5 files, one for each clip, under one contract.

    cache.json           the contract and where the clips came from
    manifest.csv         the clips that the cache is meant to hold, with their splits
    classes.txt          a class name a line; the line number is the class id
    failures.csv         the clips that could not be read, or only in part, and why
    clips/<clip_id>.h5   feature_maps [T, ...] float16 (with several views of a frame
                         [T, V, ...]), frame_index [T] int32, timestamp_sec [T] float64

A clip file is written under a temporary name, synced, then renamed: one that exists is whole.
"""

import contextlib
import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import h5py
import numpy as np

from lrcn.common.cache.clip_features import (
    ClipClock,
    ClipFeatures,
    ForeignClipError,
    enable_decompression,
    is_damage,
    open_attributes,
    open_clip,
    open_located,
    read_by_hdf5,
    read_recorded_source,
    read_text,
)
from lrcn.common.cache.clip_file import ClipWriter, identify
from lrcn.common.cache.contract import Contract
from lrcn.common.cache.frame_table import FrameTable, locate_frames
from lrcn.common.clips.clip import SourceStat
from lrcn.common.clips.span import Span
from lrcn.common.programs.progress import Progress


class FeatureCache:
    """An existing cache folder; `open_cache` opens and makes them."""

    def __init__(
        self,
        cache_dir: Path,
        *,
        contract: Contract,
        data_root: str,
        data_settings: dict | None = None,
    ):
        self.cache_dir = cache_dir
        self.contract = contract
        self.data_root = data_root
        self.data_settings = data_settings or {}
        self.contract_path = cache_dir / "cache.json"
        self.manifest_path = cache_dir / "manifest.csv"
        self.classes_path = cache_dir / "classes.txt"
        self.failures_path = cache_dir / "failures.csv"
        # Of the clips that were read or counted, 12 bytes a view of a frame.
        self._tables: dict[str, FrameTable] = {}
        self._sources: dict[str, SourceStat] = {}
        self._clocks: dict[str, ClipClock] = {}  # as many bytes

    def clip_path(self, clip_id: str) -> Path:
        """Where the clip's features lie, whether or not they exist yet."""
        return self.cache_dir / "clips" / f"{clip_id}.h5"

    def check_listed(self) -> None:
        """Checks that there is a list of clips, and one of classes.

        Raises:
            FileNotFoundError: If not.
        """
        for path in (self.manifest_path, self.classes_path):
            if not path.exists():
                raise FileNotFoundError(
                    f"{path}: missing, as where what fills the cache was stopped before its first "
                    "clip. Run the same extract_features (or import_features) command again."
                )

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
        return self.read_broken_off(clip_id, source) is not None

    def holds(self, clip_id: str, span: Span) -> bool:
        """Whether the clip is current as far as is known where its source is away.

        That is: whole, of this contract and of this part of the source.
        """
        try:
            recorded = self._read_source(clip_id)
        except (FileNotFoundError, ValueError):
            return False
        return self.is_of_span(clip_id, span) and self.is_current(clip_id, recorded)

    def read_broken_off(self, clip_id: str, source: SourceStat) -> str | None:
        """Why a current clip holds only the first part of its source; empty where it holds all.

        Returns:
            None if the clip is not current: absent, damaged, or of other features or source.

        Raises:
            OSError: If its file cannot be read now, as for lack of permission.
            UnreadableClipError: If a pipe, device or socket has its name.
        """
        try:
            with open_attributes(self.clip_path(clip_id)) as file_id:
                identity = read_text(file_id, "identity", "")
                is_same = identity == identify(self.contract, clip_id, source)
                if not identity:  # of an older version
                    is_same = (
                        read_text(file_id, "contract") == self.contract.digest
                        and read_text(file_id, "clip_id") == clip_id
                        and read_recorded_source(file_id) == source
                    )
                if is_same:
                    return read_text(file_id, "broken_off", "")
        except Exception as error:
            if not is_damage(error):
                raise  # extracting it again would lose it, and take hours for them all
        return None

    def count_frames(self, clip_id: str) -> int:
        """T of a cached clip. Raises as `read_clip`."""
        if clip_id in self._clocks:
            return len(self._clocks[clip_id].frame_index)
        table = self._tables.get(clip_id)
        if table is not None:  # as where many heads are trained on one cache
            with open_located(self.clip_path(clip_id), table) as descriptor:
                if descriptor is not None:
                    return len(table.offset_bytes)
        with self._open_maps(clip_id) as file:
            # Who counts frames reads some next, and then without HDF5.
            table = self._locate_frames(clip_id, file)
            return len(file["feature_maps"] if table is None else table.offset_bytes)

    def digest_sources(self, clip_ids: Iterable[str]) -> str:
        """Returns a digest of what clips were made of: the state that their sources had.

        Another clip of the same name has another; what is extracted again from the same source has
        the same. Raises as `read_clip`.
        """
        digest, clip_ids = hashlib.sha256(), list(clip_ids)
        with Progress(len(clip_ids), "clip", part="comparing sources") as progress:
            for clip_id in progress.track(clip_ids):
                digest.update(repr((clip_id, *self._read_source(clip_id))).encode())
        return digest.hexdigest()

    def is_of_span(self, clip_id: str, span: Span) -> bool:
        """Whether a clip's features are of this part of its source.

        Imported features are taken to be what the manifest says. Raises as `read_clip`.
        """
        if self.contract.is_imported:
            return True
        return self._read_source(clip_id).span == span.text

    def read_clock(self, clip_id: str) -> ClipClock:
        """Reads the numbers and times of a clip's frames, without their features.

        They are kept, since reading takes milliseconds, and labels of frames need them for each of
        many splits. Raises as `read_clip`.
        """
        if clip_id not in self._clocks:
            with self._open_clip(clip_id) as file:
                self._clocks[clip_id] = ClipClock(*(file[name][:] for name in ClipClock._fields))
        return self._clocks[clip_id]

    def read_clip(
        self, clip_id: str, *, frames: np.ndarray | None = None, view: int = 0
    ) -> ClipFeatures:
        """Reads one view of a clip, or of the given frames of it.

        Args:
            clip_id: A clip of the cache.
            frames: [N] int64 positions in [0, T), in any order, repeats allowed; None reads all.
            view: In [0, V); 0 where there is one.

        Raises:
            FileNotFoundError: If the clip is not in the cache.
            ValueError: If its file is damaged or carries another contract, or was made of another
                source when it was first read here.
            OSError: If its file cannot be read now, whole as it may be.
            MissingFilterError: If reading it needs a package that is not installed.
        """
        with self._open_maps(clip_id) as file:
            clock = [file[name][:] for name in ClipClock._fields]
            if frames is not None:
                clock = [values[frames] for values in clock]
            return ClipFeatures(self._read_maps(clip_id, file, frames, view), *clock)

    def read_maps(
        self,
        clip_id: str,
        *,
        frames: np.ndarray | None = None,
        view: int = 0,
        out: np.ndarray | None = None,
    ) -> np.ndarray:
        """Reads the feature maps alone, [N, ...] float16, the second time without HDF5.

        They are read into `out` where it is given and has as many frames. Else as `read_clip`.
        """
        table = self._tables.get(clip_id)
        if table is not None:
            with open_located(self.clip_path(clip_id), table) as descriptor:
                if descriptor is not None:
                    return table.read(descriptor, frames, view=view, out=out)
        with self._open_maps(clip_id) as file:
            return self._read_maps(clip_id, file, frames, view, out)

    def _read_source(self, clip_id: str) -> SourceStat:
        if clip_id not in self._sources:
            with self._open_clip(clip_id):
                pass
        return self._sources[clip_id]

    def _read_maps(self, clip_id, file, frames, view, out=None):
        table = self._locate_frames(clip_id, file)
        if table is None:
            of_view = None if self.contract.num_views == 1 else view
            maps = read_by_hdf5(file["feature_maps"], frames, view=of_view)
            if out is None or len(out) != len(maps):
                return maps
            out[...] = maps
            return out
        return table.read(file.id.get_vfd_handle(), frames, view=view, out=out)

    def _locate_frames(self, clip_id: str, file: h5py.File) -> FrameTable | None:
        table = locate_frames(file, self.contract.feature_shape)
        if table is not None:
            self._tables[clip_id] = table
        return table

    @contextlib.contextmanager
    def _open_clip(self, clip_id: str) -> Iterator[h5py.File]:
        path = self.clip_path(clip_id)
        with open_clip(path, self.contract, contract_path=self.contract_path) as file:
            source = read_recorded_source(file.id)
            # Splits, labels and what is told of a score are of the first; see `digest_sources`.
            if source != self._sources.setdefault(clip_id, source):
                raise ForeignClipError(
                    f"{path}: made of another source than when this program started. Let the "
                    "extraction end, then start this again."
                )
            yield file

    @contextlib.contextmanager
    def _open_maps(self, clip_id: str) -> Iterator[h5py.File]:
        with self._open_clip(clip_id) as file:
            enable_decompression(file)
            yield file
