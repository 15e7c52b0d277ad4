"""Tests that the file beneath HDF5 holds what is written to it, and keeps its errors to itself."""

import errno
import io
import os

import numpy as np
import pytest
from refusals import no_more_open_files, refusal

from lrcn.common.files import unfailing_file
from lrcn.common.files.unfailing_file import UnfailingFile


@pytest.mark.parametrize("gathered_bytes", [1, 100, 1 << 20])
def test_what_is_gathered_is_written_where_it_belongs(tmp_path, monkeypatch, gathered_bytes):
    monkeypatch.setattr(unfailing_file, "_GATHERED_BYTES", gathered_bytes)
    random, expected = np.random.RandomState(0), io.BytesIO()
    file, last = UnfailingFile(tmp_path / "file"), 0
    for _ in range(500):
        size = len(expected.getbuffer())
        places = [(expected.tell(), 0), (random.randint(size + 50), 0), (last, 0), (0, 2)]
        place = places[random.choice(4, p=[0.6, 0.25, 0.1, 0.05])]
        last = expected.seek(*place)
        assert file.seek(*place) == last
        action = random.choice(["write", "read", "truncate"], p=[0.8, 0.15, 0.05])
        if action == "write":
            content = random.bytes(random.randint(60))
            assert file.write(content) == expected.write(content)
        elif action == "read":
            found, wanted = bytearray(30), bytearray(30)
            assert file.readinto(found) == expected.readinto(wanted)
            assert found == wanted
        else:
            size = random.randint(size + 50)
            file.truncate(size)
            content = expected.getvalue()[:size].ljust(size, b"\0")
            place = expected.tell()
            expected = io.BytesIO(content)
            expected.seek(place)
    file.check()
    file.close()
    assert (tmp_path / "file").read_bytes() == expected.getvalue()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_an_error_is_kept_until_it_is_asked_for():
    file = UnfailingFile("/dev/full")
    file.write(b"0" * 100)
    file.seek(50)
    file.write(b"1")
    for _ in range(2):
        with pytest.raises(OSError, match="No space left on device: '/dev/full'"):
            file.check()
    file.close()


def test_a_file_that_cannot_be_opened_is_named_as_others_are(tmp_path):
    path = tmp_path / "file"
    text = f"[Errno {errno.EMFILE}] Too many open files: {str(path)!r}"
    with refusal(text, OSError), no_more_open_files():
        UnfailingFile(path)
