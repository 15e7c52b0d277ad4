"""Who may write to a cache, and what a killed writer leaves."""

import errno
import fcntl
import os
import subprocess
import sys
import time

import pytest
from commands import ROOT, SMALL_BACKBONE, run_program, start_program
from refusals import refusal
from small_cache import list_files, write_clip

from lrcn.common.cache.cache_lock import Shard, lock_cache


def start_locking(folder, shard="0/1"):
    """Starts a process that locks a shard of a cache until its standard input ends."""
    program = (
        "import sys\n"
        "from lrcn.common.cache.cache_lock import Shard, lock_cache\n"
        "with lock_cache(sys.argv[1], Shard(*map(int, sys.argv[2].split('/')))):\n"
        "    print('locked', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", program, folder, shard],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert other.stdout.readline() == b"locked\n"
    return other


def test_the_lock_keeps_a_second_process_out_and_ends_with_it(tmp_path):
    with start_locking(tmp_path) as other:
        with (
            refusal(f"{tmp_path}: another program is writing to this cache", RuntimeError),
            lock_cache(tmp_path),
        ):
            pass
        other.kill()
        other.wait()
        with lock_cache(tmp_path):
            pass


def test_where_no_cache_comes_of_it_nothing_is_left_behind(tmp_path):
    own = tmp_path / "own"
    own.mkdir()
    for cache_dir in (own, own / "work" / "cache"):
        with refusal("refused", RuntimeError), lock_cache(cache_dir):
            assert (cache_dir / ".lock").exists()
            raise RuntimeError("refused")
        assert [*tmp_path.rglob("*")] == [own]


def test_the_lock_stays_where_another_shard_holds_it(tmp_path):
    cache_dir = tmp_path / "cache"
    with start_locking(cache_dir, "1/2") as other:
        with lock_cache(cache_dir, Shard(0, 2)):
            pass
        with refusal("another program", RuntimeError), lock_cache(cache_dir, Shard(1, 2)):
            pass
        other.stdin.close()
    assert not cache_dir.exists()


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (errno.ENOLCK, "No locks available: '{}/.lock'"),
        (errno.ENOSYS, "No locks available: '{}/.lock'"),
        (errno.ENOTSUP, "No locks available: '{}/.lock'"),
        (errno.EIO, "Input/output error: '{}/.lock'"),
        (errno.EAGAIN, "{}: another program is writing to this cache"),
        (errno.EACCES, "{}: another program is writing to this cache"),
    ],
)
def test_what_a_disk_says_of_a_lock_is_told(tmp_path, monkeypatch, number, text):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "lockf", refuse)
    error = RuntimeError if "another" in text else OSError
    with refusal(text.format(tmp_path), error), lock_cache(tmp_path):
        pass


def test_a_lock_that_another_removed_before_it_was_held_is_made_anew(tmp_path, monkeypatch):
    lock = fcntl.lockf

    def lock_late(file, *arguments):
        monkeypatch.undo()
        os.unlink(file.name)
        lock(file, *arguments)

    monkeypatch.setattr(fcntl, "lockf", lock_late)
    with lock_cache(tmp_path):
        assert (tmp_path / ".lock").exists()


def test_a_lock_that_is_a_link_to_nothing_is_refused(clips_dir, tmp_path):
    lock_path = tmp_path / ".lock"
    lock_path.symlink_to("missing/folder")
    flags = (f"--data={clips_dir}", f"--cache_dir={tmp_path}", *SMALL_BACKBONE)
    with start_program("extract_features", *flags) as program:
        program.wait_for_text(f"error: {lock_path}: expected a file or nothing there. Received: a ")
        assert program.wait() == 1


def test_a_lock_that_is_a_pipe_is_refused_by_name(clips_dir, tmp_path):
    os.mkfifo(tmp_path / ".lock")
    flags = (f"--data={clips_dir}", f"--cache_dir={tmp_path}", *SMALL_BACKBONE)
    done = run_program("extract_features", *flags, check=False)
    assert done.returncode == 1
    assert f"error: {tmp_path}/.lock: expected a file, received a pipe, device or" in done.stderr


def test_shards_write_the_files_of_the_whole_cache_one_after_the_other(tmp_path):
    program = (
        "import os, sys\n"
        "from lrcn.common.cache.cache_lock import Shard, lock_cache\n"
        "with lock_cache(sys.argv[1], Shard(1, 2)) as lock:\n"
        "    print('started', flush=True)\n"
        "    with lock.hold_shared_files():\n"
        "        print(os.path.exists(sys.argv[1] + '/written'))\n"
    )
    with (
        lock_cache(tmp_path, Shard(0, 2)) as lock,
        subprocess.Popen(
            [sys.executable, "-c", program, tmp_path], cwd=ROOT, stdout=subprocess.PIPE
        ) as other,
    ):
        with lock.hold_shared_files():
            assert other.stdout.readline() == b"started\n"
            time.sleep(0.2)  # for a process that does not wait to go on
            (tmp_path / "written").touch()
        assert other.stdout.read() == b"True\n"


def test_the_lock_clears_up_after_a_killed_writer(cache):
    write_clip(cache, "walk/clip_1")
    half = cache.open_writer("walk/clip_2")
    own = cache.cache_dir / "clips" / "walk" / "notes.tmp"
    own.write_text("mine")
    with lock_cache(cache.cache_dir):
        files = list_files(cache.cache_dir)
    assert files == [".lock", "cache.json", "clips/walk/clip_1.h5", "clips/walk/notes.tmp"]
    half.discard()


def test_the_lock_removes_nothing_where_there_is_no_cache(tmp_path):
    other = tmp_path / "clips" / ".film.h5.tmp"
    other.parent.mkdir()
    other.write_text("mine")
    with lock_cache(tmp_path):
        pass
    assert other.read_text() == "mine"
