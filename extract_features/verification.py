"""Finds the files of a cache that are not what its manifest and contract say."""

import dataclasses
import math
import os
from collections.abc import Iterator
from pathlib import Path

import h5py

from extract_features.clip_list import read_failures
from extract_features.feature_source import FeatureSources
from extract_features.worklist import ClipSources, DataSources
from lrcn.common.cache.clip_features import (
    enable_decompression,
    is_damage,
    name_system_error,
    read_recorded_source,
    read_text,
)
from lrcn.common.cache.clip_file import STORAGE_DTYPE, MissingFilterError
from lrcn.common.cache.feature_cache import FeatureCache
from lrcn.common.clips.clip import Clip, SourceStat
from lrcn.common.clips.manifest import find_class_ids, read_class_names, read_manifest
from lrcn.common.files.escaped_text import escape_control, escape_direction
from lrcn.common.files.hidden_names import is_hidden
from lrcn.common.files.natural_sort import natural_key
from lrcn.common.files.unreadable import UnreadableClipError, check_is_file
from lrcn.common.programs.progress import Progress

# The kinds that leave a clip without features; the others are told, and no error.
ERRORS = ("damaged", "unreadable", "missing", "stale", "foreign")
KINDS = (*ERRORS, "source missing", "extra")

_VALUES_AT_ONCE = 1 << 23


@dataclasses.dataclass(frozen=True)
class Finding:
    """What is wrong with a clip's file.

    Attributes:
        kind: One of `KINDS`.
        clip_id: The clip, or what the file is called if no clip is.
        reason: In words.
        can_rebuild: Whether the clip's source is there.
    """

    kind: str
    clip_id: str
    reason: str
    can_rebuild: bool = True

    @property
    def is_repairable(self) -> bool:
        """Whether the file may go, as the next extraction makes it anew."""
        return self.kind in ("damaged", "stale", "foreign") and self.can_rebuild

    def __str__(self):
        """One line of kind, clip_id and reason with tabs between."""
        parts = (self.kind, self.clip_id, self.reason)
        return escape_direction("\t".join(" ".join(x.split()) for x in parts))


def iter_findings(cache: FeatureCache) -> Iterator[Finding]:
    """Reads every byte of every clip's file, so that all checksums are checked.

    Yields:
        One finding at most for each clip of the manifest, then the files that are of no clip.

    Raises:
        OSError, ValueError: If the cache's manifest or classes cannot be read or do not fit.
        RuntimeError: If reading takes a package that is not installed.
    """
    cache.check_listed()
    clips = read_manifest(cache.manifest_path)
    find_class_ids(clips, read_class_names(cache.classes_path), where=cache.classes_path)
    if cache.contract.is_imported:
        sources = FeatureSources(Path(cache.contract.weights))
    else:
        sources = DataSources(Path(cache.data_root))
    with Progress(len(clips), "clip", part="verification") as progress:
        for clip in progress.track(clips):
            finding = _check_clip(cache, clip, sources)
            if finding is not None:
                progress.close()  # else what is printed would be in its line, and on stderr
                yield finding
    expected = {cache.clip_path(clip.clip_id) for clip in clips}
    failed = {cache.clip_path(clip_id) for clip_id in read_failures(cache)}
    clips_dir = cache.cache_dir / "clips"
    for path in sorted(clips_dir.rglob("*.h5"), key=lambda path: natural_key(str(path))):
        name_in_clips = path.relative_to(clips_dir)
        if path in expected or any(map(is_hidden, name_in_clips.parts)):
            continue
        # A clip_id may have a part that ends so: its folder, with clips in it.
        if not path.is_dir():
            name = escape_control(name_in_clips.with_suffix("").as_posix())
            remedy = "Delete it, unless a run that has this clip is still to be scored."
            if path in failed:
                remedy = (
                    f"{cache.failures_path} says why it is left out. Keep it until its source can "
                    "be read: if that is the same then, nothing is extracted anew."
                )
            reason = f"{escape_control(str(path))}: no clip of the manifest. {remedy}"
            yield Finding("extra", name, reason)


def remove_file(cache: FeatureCache, finding: Finding) -> bool:
    """Removes the finding's file, so that the next extraction makes it anew.

    Returns:
        Whether there was anything to remove. A file that could not be made anew, as its source is
        gone, stays, as does one that cannot be read now and may be whole.
    """
    if not finding.is_repairable:
        return False
    path = cache.clip_path(finding.clip_id)
    if path.is_dir():  # not ours to remove
        return False
    path.unlink(missing_ok=True)
    return True


def _check_clip(cache: FeatureCache, clip: Clip, sources: ClipSources) -> Finding | None:
    source_stat = None  # of one that is gone, or no clip any more
    try:
        source_stat = sources.read_stat(clip)
    except UnreadableClipError as error:
        lack = str(error)
    except OSError as error:  # of too many open files, which say nothing of the source
        return Finding("unreadable", clip.clip_id, str(error))
    problem = _check_file(cache, clip, sources.find(clip), source_stat)
    if problem is not None:
        kind, reason = problem
        return Finding(kind, clip.clip_id, reason, can_rebuild=source_stat is not None)
    if source_stat is None:
        reason = f"{lack.removesuffix('.')}. Its features are there."
        return Finding("source missing", clip.clip_id, reason)
    return None


def _check_file(
    cache: FeatureCache, clip: Clip, source: Path, source_stat: SourceStat | None
) -> tuple[str, str] | None:
    """Returns kind and reason, or None if all is well."""
    path = cache.clip_path(clip.clip_id)
    try:
        os.lstat(path)
    except OSError as error:
        if is_damage(error):
            return "missing", f"{path}: no such file"
        return "unreadable", str(error)  # as of a folder that may not be entered
    try:
        check_is_file(path, os.stat(path).st_mode)
        with name_system_error(path), h5py.File(path, "r") as file:
            for name, expected in (
                ("contract", cache.contract.digest),
                ("clip_id", clip.clip_id),
            ):
                found = read_text(file.id, name)
                if found != expected:
                    return "foreign", f"{path}: {name} is {found}, not {expected}"
            if source_stat is not None:
                found = read_recorded_source(file.id)
                if found != source_stat:
                    return "stale", f"{source}: changed since its extraction"
            enable_decompression(file)
            _read_datasets(file, cache.contract.frame_shape)
    except (MemoryError, MissingFilterError):
        raise
    except UnreadableClipError as error:  # it names the file
        return "unreadable", str(error)
    except Exception as error:
        kind = "damaged" if is_damage(error) else "unreadable"
        return kind, f"{path}: {str(error) or type(error).__name__}"
    return None


def _read_datasets(file: h5py.File, frame_shape: tuple[int, ...]) -> None:
    maps = file["feature_maps"]
    expected = {
        "feature_maps": ((len(maps), *frame_shape), STORAGE_DTYPE),
        "frame_index": ((len(maps),), "int32"),
        "timestamp_sec": ((len(maps),), "float64"),
    }
    if len(maps) == 0:
        raise ValueError("holds no frames")
    for name, (shape, dtype) in expected.items():
        dataset = file[name]
        if (dataset.shape, dataset.dtype) != (shape, dtype) or not dataset.fletcher32:
            raise ValueError(
                f"{name}: expected {dtype} {list(shape)} with checksums, received "
                f"{dataset.dtype} {list(dataset.shape)}"
            )
        _check_chunks(dataset)
        rows_at_once = max(1, _VALUES_AT_ONCE // math.prod(shape[1:]))
        for start in range(0, len(dataset), rows_at_once):
            dataset[start : start + rows_at_once]


def _check_chunks(dataset: h5py.Dataset) -> None:
    # HDF5 reads a chunk that its index has lost as zeros, and one marked so without its checksum.
    for chunk in dataset.iter_chunks():
        place = tuple(axis.start for axis in chunk)
        info = dataset.id.get_chunk_info_by_coord(place)
        if not info.size or info.filter_mask:
            raise ValueError(
                f"{dataset.name}: row {place[0]} is not there, or without its checksum"
            )
