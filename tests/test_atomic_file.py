"""A file that exists under its name is whole, whatever happens while it is written."""

import subprocess
import sys

import pytest
from commands import ROOT

from lrcn.common.atomic_file import replace_file


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


def test_a_block_that_writes_nothing_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError), replace_file(tmp_path / "a.txt"):
        pass
    assert list_names(tmp_path) == []


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
        "from lrcn.common.atomic_file import replace_file\n"
        "with replace_file(sys.argv[1]) as temporary:\n"
        "    temporary.write_text('half')\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    assert subprocess.run([sys.executable, "-c", program, path], cwd=ROOT).returncode == -9
    assert path.read_text() == "old"
    with replace_file(path) as temporary:
        temporary.write_text("new")
    assert path.read_text() == "new" and list_names(tmp_path) == ["old.txt"]
