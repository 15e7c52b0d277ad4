"""A file that exists under its name is whole, whatever happens while it is written."""

import contextlib
import errno
import fcntl
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from commands import ROOT
from refusals import refusal

from lrcn.common.files.atomic_file import (
    check_can_write,
    get_final_name,
    name_file,
    replace_file,
    write_text,
)
from lrcn.common.programs.program import check_output


def list_names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_new_file_appears_at_the_end(tmp_path):
    path = tmp_path / "new.txt"
    with replace_file(path) as temporary:
        temporary.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new" and list_names(tmp_path) == ["new.txt"]


def test_an_old_file_is_replaced_at_the_end(tmp_path):
    path = tmp_path / "old.txt"
    path.write_text("old")
    with replace_file(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new" and list_names(tmp_path) == ["old.txt"]


@pytest.mark.parametrize("error", [ValueError, OSError, KeyboardInterrupt])
def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path, error):
    path = tmp_path / "old.txt"
    path.write_text("old")
    with pytest.raises(error), replace_file(path) as temporary:
        temporary.write_text("half")
        raise error
    assert path.read_text() == "old" and list_names(tmp_path) == ["old.txt"]


@pytest.mark.parametrize(
    ("number", "is_refused"), [(errno.EINVAL, False), (errno.EBADF, False), (errno.EIO, True)]
)
def test_a_disk_that_can_write_files_but_no_folders_will_do(
    tmp_path, monkeypatch, number, is_refused
):
    def sync_no_folder(descriptor, fsync=os.fsync):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(number, os.strerror(number))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", sync_no_folder)
    told = refusal(f"'{tmp_path}/a.txt'", OSError) if is_refused else contextlib.nullcontext()
    with told:
        write_text(tmp_path / "a.txt", "new")
    assert (tmp_path / "a.txt").read_text() == "new"


@pytest.mark.parametrize("keep_ending", [False, True])
def test_a_block_that_writes_nothing_is_an_error(tmp_path, keep_ending):
    with (
        pytest.raises((ValueError, FileNotFoundError), match=r"a\.txt"),
        replace_file(tmp_path / "a.txt", keep_ending=keep_ending),
    ):
        pass
    assert list_names(tmp_path) == []


def test_of_two_that_write_at_once_the_last_to_finish_wins(tmp_path):
    path = tmp_path / "a.txt"
    with replace_file(path) as slow:
        slow.write_text("slow")
        with replace_file(path) as quick:
            quick.write_text("quick")
            assert slow.read_text() == "slow"
        assert path.read_text() == "quick"
    assert path.read_text() == "slow" and list_names(tmp_path) == ["a.txt"]


@pytest.mark.skipif(not os.path.exists("/proc/locks"), reason="no list of locks")
def test_no_lock_covers_what_is_written(tmp_path):
    """As such a lock would keep the writer out on SMB."""
    with replace_file(tmp_path / "a.txt") as temporary:
        temporary.write_text("new")
        inode = temporary.stat().st_ino
        lines = Path("/proc/locks").read_text(encoding="ascii").splitlines()
        starts = [int(line.split()[-2]) for line in lines if f":{inode} " in line]
        assert len(starts) == 1 and starts[0] > 1 << 60


def test_one_that_clears_up_may_be_quicker_than_the_lock(tmp_path, monkeypatch):
    name = "fcntl" if sys.platform == "linux" else "flock"
    lock = getattr(fcntl, name)

    def clear_up_first(*arguments):
        monkeypatch.setattr(fcntl, name, lock)
        for leftover in tmp_path.iterdir():
            leftover.unlink()
        lock(*arguments)

    monkeypatch.setattr(fcntl, name, clear_up_first)
    with replace_file(tmp_path / "a.txt") as temporary:
        assert temporary.exists()
        temporary.write_text("new")
    assert list_names(tmp_path) == ["a.txt"]


def test_an_error_is_named_after_the_file_unless_it_names_one():
    with pytest.raises(OSError, match=r"No space left on device: 'a\.txt'"), name_file("a.txt"):
        raise OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(OSError, match=r"No such file or directory: 'b\.txt'"), name_file("a.txt"):
        raise OSError(errno.ENOENT, "No such file or directory", "b.txt")
    # As h5py and Pillow raise it, of which the text is all there is.
    with pytest.raises(OSError, match=r"^cannot write mode F$"), name_file("a.txt"):
        raise OSError("cannot write mode F")


def test_a_missing_folder_is_an_error(tmp_path):
    with (
        pytest.raises(FileNotFoundError, match="gone"),
        replace_file(tmp_path / "gone" / "a.txt") as temporary,
    ):
        temporary.write_text("new")


def test_a_kill_leaves_the_old_file_and_the_next_write_clears_up(tmp_path):
    path = tmp_path / "old.txt"
    path.write_text("old")
    program = (
        "import os, sys\n"
        "from lrcn.common.files.atomic_file import get_final_name, replace_file\n"
        "with replace_file(sys.argv[1]) as temporary:\n"
        "    temporary.write_text('half')\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    assert subprocess.run([sys.executable, "-c", program, path], cwd=ROOT).returncode == -9
    assert path.read_text() == "old"
    half, old = sorted(tmp_path.iterdir())
    assert (half.read_text(), get_final_name(half.name), old) == ("half", "old.txt", path)
    with replace_file(tmp_path / "other.old.txt") as temporary:
        temporary.write_text("other")
    assert half.exists()  # it is of another file
    with replace_file(path) as temporary:
        temporary.write_text("new")
    assert path.read_text() == "new" and list_names(tmp_path) == ["old.txt", "other.old.txt"]


def test_the_file_that_a_temporary_one_was_to_become():
    final_names = {
        ".metrics.json.0123abcd.tmp": "metrics.json",
        ".metrics.json.tmp": "metrics.json",  # of an earlier version
        ".clip_1.h5.tmp": "clip_1.h5",
        "metrics.json": "metrics.json",
        ".metrics.json": ".metrics.json",
        "metrics.json.tmp": "metrics.json.tmp",
    }
    assert {name: get_final_name(name) for name in final_names} == final_names


def test_a_folder_that_cannot_be_written_to_is_said_before(make_small_disk):
    disk = make_small_disk(8)
    check_can_write(disk)
    output = disk / "new.csv"
    assert check_output(str(output)) == output
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    for check, path in ((check_can_write, disk), (check_output, str(output))):
        with pytest.raises(PermissionError, match=f"this folder cannot be written to: '{disk}'"):
            check(path)
