"""How a program tells of what the system refuses, or fails at: where, and what to do."""

import os
import subprocess

import numpy as np
import pytest
from commands import ROOT, SMALL_BACKBONE, make_command, run_program, run_python
from small_data import write_cache

from lrcn.common.clips.clip import Clip


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("file/cache", "Not a directory: '{}/file/cache'. Expected a folder where there is a file"),
        ("/proc/cache", "No such file or directory: '/proc/cache'. Check that it exists, or name"),
    ],
)
def test_an_error_of_the_system_says_what_to_do(tmp_path, name, text):
    (tmp_path / "file").touch()
    (tmp_path / "data" / "walk" / "clip").mkdir(parents=True)
    flags = (f"--data={tmp_path}/data", f"--cache_dir={tmp_path / name}", "--test_fraction=0")
    done = run_program("extract_features", *flags, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert text.format(tmp_path) in done.stderr and "Traceback" not in done.stderr


def test_a_link_to_itself_is_told_with_what_to_do(tmp_path):
    (tmp_path / "cache").symlink_to("cache")
    flags = (f"--cache_dir={tmp_path}/cache", f"--run_dir={tmp_path}/run")
    done = run_program("train_head", *flags, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"links: '{tmp_path}/cache/cache.json'. Correct the link that leads" in done.stderr


@pytest.mark.skipif(not os.path.exists("/proc/self/mem"), reason="no disk to break")
@pytest.mark.parametrize("name", ["cache.json", "manifest.csv"])
def test_a_disk_that_fails_amid_a_file_is_told_with_the_file(cache_copy, name):
    (cache_copy / name).unlink()
    (cache_copy / name).symlink_to("/proc/self/mem")  # which opens, and whose start is nobody's
    done = run_program("extract_features.verify", f"--cache_dir={cache_copy}", check=False)
    told = f"error: [Errno 5] Input/output error: '{cache_copy / name}'. Check the disk, or the way"
    assert done.returncode == 1 and told in done.stderr


def test_a_disk_that_is_no_longer_there_is_told_as_that(dead_disk):
    done = run_program("extract_features.verify", f"--cache_dir={dead_disk}/cache", check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.endswith(
        f"not connected: '{dead_disk}/cache/cache.json'. Check the disk, or the way to it.\n"
    )


def test_a_name_that_a_disk_does_not_take_is_told_as_that(clips_dir, tmp_path):
    program = (  # as on the disk of a camera
        "import errno, os, runpy\n"
        "def refuse(path, *_):\n"
        "    raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), str(path))\n"
        "os.mkdir = refuse\n"
        "runpy.run_module('extract_features', run_name='__main__', alter_sys=True)\n"
    )
    done = run_python(program, f"--data={clips_dir}", f"--cache_dir={tmp_path}/a:b", check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.endswith(
        f"error: [Errno 22] Invalid argument: '{tmp_path}/a:b'. Its disk may take no such name, as "
        'those of Windows take none with one of : * ? " < > |. Name another, or a folder on '
        "another disk.\n"
    )


def test_no_room_for_temporary_files_is_told_as_that(clips_dir):
    """Where TensorFlow starts it looks for a folder of them; Python says that there is none."""
    command = make_command("extract_features.plan", f"--data={clips_dir}", *SMALL_BACKBONE)
    done = subprocess.run(
        ["bash", "-c", 'ulimit -f 0; exec "$@"', "bash", *command],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "error: [Errno 2] No usable temporary directory found in ['" in done.stderr
    assert done.stderr.endswith(
        "]. Make room in one, or name another that files can be made in: TMPDIR=...\n"
    )


def test_a_file_where_a_folder_would_go(tmp_path):
    (tmp_path / "mine").write_text("mine")
    flag = f"--output_dir={tmp_path}/mine"
    done = run_program("extract_features.render_sample", flag, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"File exists: '{tmp_path}/mine'. Expected a folder or nothing there" in done.stderr
    assert (tmp_path / "mine").read_text() == "mine"


def test_a_stdout_that_takes_no_name_is_told(tmp_path):
    cache = write_cache(tmp_path / "cache", {Clip("é", "é", "walk", "train"): np.zeros((1, 2))})
    cache.clip_path("é").unlink()
    module, flag = "extract_features.verify", f"--cache_dir={cache.cache_dir}"
    done = run_program(module, flag, env={"PYTHONIOENCODING": "ascii"}, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "can't encode character" in done.stderr
    assert "Expected a stdout of UTF-8, as names are: set PYTHONIOENCODING=utf-8." in done.stderr


def test_a_path_that_is_not_utf_8_is_printed_as_it_is(tmp_path):
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    cache = write_cache(folder, {Clip("clip", "clip", "walk", "train"): np.zeros((1, 2))})
    cache.clip_path("clip").unlink()
    command = make_command("extract_features.verify", f"--cache_dir={folder}")
    # As where the locale is en_US.UTF-8.
    env = {**os.environ, "PYTHONIOENCODING": "utf-8:strict"}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True)
    path = os.fsencode(cache.clip_path("clip"))
    assert done.stdout == b"missing\tclip\t" + path + b": no such file\n"
    assert b"1 missing" in done.stderr and done.returncode == 1


def test_flags_that_do_nothing_beside_another_are_told():
    flags = ["--cache_dir=a", "--run_dir=b", "--sequence=ragged", "--rnn=none", "--only_check_args"]
    # All of them stand in the flags.txt of a run.
    defaults = ["--seq_len=16", "--sampling=segments", "--rnn_units=256"]
    assert run_program("train_head", *flags, *defaults).stderr == ""
    done = run_program("train_head", *flags, "--seq_len=32", "--rnn_units=9", "--rnn_layers=2")
    assert done.stderr.endswith(
        " Without effect: --seq_len=32 with --sequence=ragged; --rnn_layers=2, --rnn_units=9 with "
        "--rnn=none. Leave out what is not meant\n"
    )


def test_the_traceback_is_shown_where_it_is_wanted(tmp_path):
    flags = (f"--data={tmp_path}/gone", f"--cache_dir={tmp_path}/cache")
    done = run_program("extract_features", *flags, check=False)
    assert "Traceback" not in done.stderr
    done = run_program("extract_features", *flags, "--verbosity=1", check=False)
    assert done.returncode == 1
    assert "Traceback" in done.stderr and "FileNotFoundError" in done.stderr
