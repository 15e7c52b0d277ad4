"""One clip's file in the cache: how it is compressed, and how it is written whole or not at all."""

import contextlib
import hashlib
from pathlib import Path

import h5py
import numpy as np
from h5py._objects import phil  # h5py's lock, which all of it takes but write_direct_chunk

from lrcn.common.cache.contract import Contract
from lrcn.common.cache.frame_chunk import GZIP_LEVEL, PackedFrame, pack_maps
from lrcn.common.clips.clip import SourceStat
from lrcn.common.files.atomic_file import commit_file, make_temporary_path, name_file
from lrcn.common.files.unfailing_file import UnfailingFile

STORAGE_DTYPE = "float16"
_ZSTD_LEVEL = 1
# Of float16: the bits behind the sign, which from these on stand for infinity and NaN.
_MAGNITUDE_BITS, _INFINITY_BITS = 0x7FFF, 0x7C00


class MissingFilterError(RuntimeError):
    """Reading or writing zstd needs a package that is not installed; no file is damaged."""


def identify(contract: Contract, clip_id: str, source: SourceStat) -> str:
    """Returns a digest of what a clip's features are of: the same where all of this is."""
    return hashlib.sha256(repr((contract.digest, clip_id, *source)).encode()).hexdigest()


class ClipWriter:
    """Writes one clip frame by frame; nothing appears under its name before `commit`.

    Use as a context manager, or `discard` what is not committed.
    """

    def __init__(self, path: Path, *, clip_id: str, contract: Contract, compression: str):
        """Opens the temporary file; see `FeatureCache.open_writer`.

        Args:
            path: Where the clip appears.
            clip_id: Its name.
            contract: What its features are made of.
            compression: One of `frame_chunk.COMPRESSIONS`; it changes size and speed, not values.

        Raises:
            OSError: If the folder cannot be written.
            MissingFilterError: If zstd is asked for and hdf5plugin is not installed.
        """
        self._clip_id = clip_id
        self._contract = contract
        self._compression = compression
        self._path = path
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._temporary = make_temporary_path(self._path)
        self._index: list[int] = []
        self._timestamps: list[float] = []
        shape = contract.frame_shape
        # A chunk is what one read decompresses: a view of a frame, as training takes one of many.
        one_view = (1,) * (len(shape) - len(contract.feature_shape))
        compression_filter = _make_filter(compression)  # before a file is opened that stays
        self._raw_file = UnfailingFile(self._temporary)
        # From this version on HDF5's own tables have checksums too.
        self._file = h5py.File(self._raw_file, "w", libver=("v110", "v110"))
        self._maps = self._file.create_dataset(
            "feature_maps",
            shape=(0, *shape),
            maxshape=(None, *shape),
            chunks=(1, *one_view, *contract.feature_shape),
            dtype=STORAGE_DTYPE,
            **compression_filter,
            # Shuffling bytes makes sparse float16 larger, so it stays off.
            shuffle=False,
            fletcher32=True,
        )

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        self.discard()

    def append(
        self,
        feature_maps: np.ndarray,
        *,
        frame_index: list[int],
        timestamp_sec: list[float],
        packed: list[PackedFrame] | None = None,
    ) -> None:
        """Adds N frames. Where writing fails, nothing is left behind.

        Args:
            feature_maps: [N, ...] float16, `Contract.frame_shape` each.
            frame_index: N frame numbers in the source.
            timestamp_sec: N times from the source's start, NaN where there is no clock.
            packed: What `pack_maps` made of them, where that has been done.

        Raises:
            ValueError: If a value is not finite: it overflowed float16 or was wrong before.
            OSError: If it cannot be written, as on a full disk.
        """
        if not are_finite(feature_maps):
            raise ValueError(
                f"{self._clip_id}: a feature of the frames {frame_index[0]} to {frame_index[-1]} "
                "is not finite in float16 (largest number: 65504). Expected finite features: of "
                "weights without NaN, of a --cut or weights with smaller values."
            )
        start = len(self._index)
        try:
            self._maps.resize(start + len(feature_maps), axis=0)
            self._write_frames(start, feature_maps, packed)
            self._raw_file.check()
        except BaseException:
            self.discard()
            raise
        self._index.extend(frame_index)
        self._timestamps.extend(timestamp_sec)

    @property
    def num_frames(self) -> int:
        """Frames added so far."""
        return len(self._index)

    def commit(self, source: SourceStat, *, broken_off: str = "") -> int:
        """Makes the clip appear, whole. Where that fails, nothing is left behind.

        Args:
            source: The source's state when it was read.
            broken_off: Why the file holds only the first part of what the source was meant to have.

        Returns:
            Its size in bytes.
        """
        try:
            with name_file(self._path):
                self._write_rest(source, broken_off)
                self._file.close()
                self._raw_file.check()
                self._raw_file.close()
                commit_file(self._temporary, self._path)
        except BaseException:
            self.discard()
            raise
        return self._path.stat().st_size

    def discard(self) -> None:
        """Leaves nothing behind; a finished file of an earlier run stays."""
        for file in (self._file, self._raw_file):
            # A full disk of a server is told once more here, by an error that names no file.
            with contextlib.suppress(OSError, RuntimeError):
                file.close()
        self._temporary.unlink(missing_ok=True)

    def _write_frames(
        self, start: int, feature_maps: np.ndarray, packed: list[PackedFrame] | None
    ) -> None:
        if packed is None:
            packed = pack_maps(
                feature_maps, self._contract.feature_shape, compression=self._compression
            )
        if packed is None:
            self._maps[start:] = feature_maps
            return
        feature_axes = (0,) * len(self._contract.feature_shape)
        views = list(np.ndindex(feature_maps.shape[1 : -len(feature_axes)]))
        for row, chunks in enumerate(packed, start):
            for view, chunk in zip(views, chunks, strict=True):
                with phil:
                    self._maps.id.write_direct_chunk((row, *view, *feature_axes), chunk)

    def _write_rest(self, source: SourceStat, broken_off: str) -> None:
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
        # A resume reads this one alone, of thousands of clips.
        _write_text(attributes, "identity", identify(self._contract, self._clip_id, source))
        _write_text(attributes, "contract", self._contract.digest)
        _write_text(attributes, "clip_id", self._clip_id)
        attributes["source_size_bytes"] = source.size_bytes
        attributes["source_mtime_ns"] = source.mtime_ns
        _write_text(attributes, "source_span", source.span)
        _write_text(attributes, "source_listing", source.listing)
        if broken_off:
            _write_text(attributes, "broken_off", broken_off)


def are_finite(feature_maps: np.ndarray) -> bool:
    """Whether no value of an array of float16 is infinite or NaN."""
    # By their bits, eight times as fast as NumPy's isfinite of float16.
    bits = feature_maps.view(np.uint16) & _MAGNITUDE_BITS
    return bool(bits.max(initial=0) < _INFINITY_BITS)


def _write_text(attributes: h5py.AttributeManager, name: str, text: str) -> None:
    # Of fixed length: text of any length lies in a heap without a checksum, and HDF5 may not come
    # back from one that is damaged.
    content = text.encode()
    dtype = h5py.string_dtype("utf-8", max(1, len(content)))
    attributes.create(name, np.array(content, dtype=dtype))


def _make_filter(compression: str) -> dict:
    if compression == "gzip":
        return {"compression": "gzip", "compression_opts": GZIP_LEVEL}
    return dict(import_hdf5plugin("--compression=zstd").Zstd(clevel=_ZSTD_LEVEL))


def import_hdf5plugin(what: str):
    """Imports what reads and writes zstd for `what`, or raises MissingFilterError."""
    try:
        import hdf5plugin
    except ImportError:
        raise MissingFilterError(
            f"{what}: zstd needs the package hdf5plugin, which is not installed. Install it with "
            "`pip install hdf5plugin`, or extract into a new cache with --compression=gzip."
        ) from None
    return hdf5plugin
