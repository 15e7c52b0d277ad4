"""The file beneath HDF5: what goes wrong with it is told when asked, not while HDF5 writes."""

import io


class UnfailingFile(io.FileIO):
    """A file whose writing never fails to HDF5, which a failure, as of a full disk, lets crash.

    HDF5 cannot close a file after it, and then brings down the process at its exit. So the first
    error is kept for `check`, and nothing more is written.
    """

    _error: OSError | None = None

    def check(self) -> None:
        """Raises the error, if there was one."""
        if self._error is not None:
            raise OSError(self._error.errno, self._error.strerror, str(self.name))

    def write(self, data) -> int:
        rest = memoryview(data)
        try:
            while rest and self._error is None:
                rest = rest[super().write(rest) :]
        except OSError as error:
            self._error = error
        return len(data)

    def truncate(self, size: int | None = None) -> int:
        try:
            return size or 0 if self._error else super().truncate(size)
        except OSError as error:
            self._error = error
            return 0
