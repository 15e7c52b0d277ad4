"""Who may write to a cache: one process for each clip, so all of it, or one of its shards.

A clip has a place in [0, 2^48), by the hash of its name, and shard i of n is the i-th of n equal
parts of that range. A process locks its part of the range as bytes of the file `.lock`. So two
extractions exclude each other exactly if they could write the same clip, whatever n is.
"""

import contextlib
import dataclasses
import errno
import fcntl
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from lrcn.common.files.atomic_file import make_temporary_path, name_file
from lrcn.common.files.made_folders import find_missing, remove_empty
from lrcn.common.files.unreadable import check_is_file

_LOCK_NAME = ".lock"
_NUM_PLACES = 1 << 48
# What file systems without locks say beside ENOLCK, such as Lustre as it is mounted by default.
_NO_LOCKS = {errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}


@dataclasses.dataclass(frozen=True)
class Shard:
    """A part of a cache's clips: number `index`, from 0, of `num_shards`; all of them by default.

    Raises:
        ValueError: If there is no such part.
    """

    index: int = 0
    num_shards: int = 1

    def __post_init__(self):
        if not 0 <= self.index < self.num_shards:
            raise ValueError(
                "Expected a shard_index from 0 to num_shards - 1. Received: "
                f"shard_index={self.index}, num_shards={self.num_shards}. Correct one of them."
            )

    def __str__(self):
        return f"shard {self.index} of {self.num_shards}"

    @property
    def places(self) -> range:
        """Its part of the range."""
        # Rounded up, so that the parts touch and never overlap.
        return range(
            -(-self.index * _NUM_PLACES // self.num_shards),
            -(-(self.index + 1) * _NUM_PLACES // self.num_shards),
        )

    def holds(self, clip_id: str) -> bool:
        """Whether the clip is of this shard; it is of exactly one of each `num_shards`."""
        digest = hashlib.sha256(clip_id.encode()).digest()
        return int.from_bytes(digest[:6], "big") in self.places


ALL_CLIPS = Shard()


class CacheLock:
    """The lock that `lock_cache` holds."""

    def __init__(self, file):
        self._file = file

    @contextlib.contextmanager
    def hold_shared_files(self) -> Iterator[None]:
        """Waits until no other shard writes a file that is of the whole cache, and keeps it so.

        Raises:
            RuntimeError: If the cache is not the one any more that was locked.
        """
        fcntl.lockf(self._file, fcntl.LOCK_EX, 1, _NUM_PLACES)
        try:
            if not _is_in_place(self._file):
                raise RuntimeError(
                    f"{Path(self._file.name).parent}: expected the cache that this program began "
                    "to fill. Received: another folder or none, as where it was removed meanwhile. "
                    "Run the same command again."
                )
            yield
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN, 1, _NUM_PLACES)


@contextlib.contextmanager
def lock_cache(cache_dir: str | Path, shard: Shard = ALL_CLIPS) -> Iterator[CacheLock]:
    """Keeps a second writer of the same clips out; the lock goes with the process, however it ends.

    The shard's half-written clips of a writer that was killed are removed. Where there is no cache
    in the end, as after a refusal, what was made for it goes again.

    Args:
        cache_dir: The folder, made where there is none.
        shard: What is written.

    Raises:
        OSError: If it is no folder, or cannot be written, or its lock is a link to nothing.
        ValueError: If its lock is a pipe, device or socket.
        RuntimeError: If another process is writing to this cache, or to this shard of it.
    """
    cache_dir = Path(cache_dir)
    if cache_dir.exists() and not cache_dir.is_dir():
        raise NotADirectoryError(
            f"{cache_dir}: expected a folder, received a file. Name another --cache_dir."
        )
    made = find_missing(cache_dir)
    with _open_locked(cache_dir, shard) as file:
        if _holds_cache(cache_dir):  # else the folder may be somebody's own
            _remove_half_written_clips(cache_dir / "clips", shard)
        try:
            yield CacheLock(file)
        finally:
            if not _holds_cache(cache_dir):
                _remove_lock(file, made)


def _holds_cache(cache_dir: Path) -> bool:
    return (cache_dir / "cache.json").exists()


def _open_locked(cache_dir: Path, shard: Shard) -> TextIO:
    lock_path = cache_dir / _LOCK_NAME
    if lock_path.is_symlink() and not lock_path.exists():  # it would be missing for ever
        raise FileNotFoundError(
            f"{lock_path}: expected a file or nothing there. Received: a link that leads nowhere. "
            "Remove it."
        )
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):  # what is yet to be made
        check_is_file(lock_path, os.stat(lock_path).st_mode)
    while True:
        cache_dir.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError), contextlib.ExitStack() as stack:
            file = stack.enter_context(open(lock_path, "a+"))
            _lock(file, cache_dir, shard)
            # A writer that was refused may have removed it since it was opened.
            if _is_in_place(file):
                stack.pop_all()
                return file


def _is_in_place(file: TextIO) -> bool:
    """Whether an open file still has its name, which another file may have by now, or none."""
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(file.fileno()), os.stat(file.name))
    return False


def _lock(file: TextIO, cache_dir: Path, shard: Shard) -> None:
    places = shard.places
    try:
        with name_file(file.name):
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, len(places), places.start)
    # POSIX lets a file system choose between the two.
    except (BlockingIOError, PermissionError):
        raise RuntimeError(
            f"{cache_dir}: another program is writing to this cache"
            + (f", to clips of {shard}" if shard.num_shards > 1 else "")
            + ". Wait until it ends, or name another --cache_dir."
        ) from None
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK), error.filename) from error


def _remove_lock(file: TextIO, made: list[Path]) -> None:
    with contextlib.suppress(OSError):  # other shards go on with it
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.unlink(file.name)
        remove_empty(made)


def _remove_half_written_clips(clips_dir: Path, shard: Shard) -> None:
    for temporary in clips_dir.rglob(make_temporary_path(Path("*.h5")).name):
        name = temporary.name.removeprefix(".").removesuffix(".h5.tmp")
        if shard.holds(str((temporary.parent / name).relative_to(clips_dir))):
            temporary.unlink(missing_ok=True)
