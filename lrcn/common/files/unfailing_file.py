"""The file beneath HDF5: what goes wrong with it is told when asked, not while HDF5 writes."""

import io
import os

_GATHERED_BYTES = 1 << 20


class UnfailingFile(io.FileIO):
    """A file to be written, whose writing never fails to HDF5.

    HDF5 cannot close a file after a failure, as of a full disk, and then brings down the process at
    its exit. So the first error is kept for `check`, and nothing more is written.

    Writes that follow on each other are gathered into one. Each gives up Python's lock, and to get
    it back from threads that decode and pack takes longer than to write a frame.
    """

    def __init__(self, path: str | os.PathLike):
        super().__init__(os.fspath(path), "w+")  # as its errors name it
        self._error: OSError | None = None
        self._gathered = bytearray()
        self._end = 0  # of what is gathered, in the file

    def check(self) -> None:
        """Raises the error, if there was one."""
        self.flush()
        if self._error is not None:
            raise OSError(self._error.errno, self._error.strerror, str(self.name))

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        if whence == os.SEEK_SET and offset == self._end:
            return offset
        self.flush()
        self._end = super().seek(offset, whence)
        return self._end

    def readinto(self, buffer) -> int:
        self.flush()
        size = super().readinto(buffer)
        self._end += size
        return size

    def write(self, data) -> int:
        self._gathered += data
        self._end += len(data)
        if len(self._gathered) >= _GATHERED_BYTES:
            self.flush()
        return len(data)

    def flush(self) -> None:
        rest = memoryview(bytes(self._gathered))
        self._gathered.clear()
        try:
            while rest and self._error is None:
                rest = rest[super().write(rest) :]
        except OSError as error:
            self._error = error

    def truncate(self, size: int | None = None) -> int:
        self.flush()
        try:
            return size or 0 if self._error else super().truncate(size)
        except OSError as error:
            self._error = error
            return 0
