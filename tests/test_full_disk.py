"""A disk that fills up, or cannot be written to, does no harm to a cache."""

import os
import re
import shutil
from pathlib import Path

import pytest
from commands import SMALL_BACKBONE, run_program, run_with_small_files
from small_data import read_cache_bytes
from small_extraction import extract

from extract_features.disk_space import describe_lack_of_space, find_free_bytes


def resume(data, cache_dir):
    """Extracts in this process; returns how many clips it did, and how many it found."""
    summary = extract(data, cache_dir)
    return summary.result.clips_done, summary.skipped


def list_clip_files(cache_dir):
    return {str(x.relative_to(cache_dir)) for x in (cache_dir / "clips").rglob("*") if x.is_file()}


def test_the_space_on_a_disk(tmp_path):
    free = find_free_bytes(tmp_path / "new" / "cache")
    assert describe_lack_of_space(free // 2, tmp_path) is None
    message = describe_lack_of_space(2 * free, tmp_path)
    found = re.fullmatch(
        rf"{tmp_path}: about ([\d.,]+) MB are needed, but ([\d.,]+) MB are free\. Make room, .*",
        message,
    )
    # Other programs write to it meanwhile.
    assert [float(x.replace(",", "")) for x in found.groups()] == pytest.approx(
        [2e-6 * free, 1e-6 * free], rel=0.02
    )


def test_the_disk_is_that_which_a_link_leads_to(make_small_disk, tmp_path):
    disk = make_small_disk(64)
    (tmp_path / "link").symlink_to(disk / "new")  # which is yet to be made
    assert find_free_bytes(tmp_path / "link" / "cache") == 64 * 1024


@pytest.mark.skipif(not os.path.isdir("/proc"), reason="a file system that tells no size")
def test_a_disk_that_does_not_tell_its_size_is_not_taken_for_full():
    assert describe_lack_of_space(10**12, Path("/proc")) is None


def test_a_disk_that_is_far_too_small_is_said_before_the_start(clips_dir, make_small_disk):
    disk = make_small_disk(40)
    flags = (f"--data={clips_dir}", f"--cache_dir={disk}/cache", *SMALL_BACKBONE)
    done = run_program("extract_features", *flags, "--image_size=160", check=False)
    assert done.returncode == 1
    assert f"error: {disk}/cache: about 0.9 MB are needed, but 0.0 MB are free. Make" in done.stderr
    assert not (disk / "cache" / "clips").exists()


def test_a_disk_that_fills_up_loses_nothing(clips_dir, cache_dir, make_small_disk, tmp_path):
    disk = make_small_disk(52)
    flags = (f"--data={clips_dir}", f"--cache_dir={disk}/cache", *SMALL_BACKBONE)
    done = run_program("extract_features", *flags, check=False)
    assert done.returncode == 1
    assert f"{disk}/cache: about 0.1 MB are needed" in done.stderr
    assert re.search(r"error: \[Errno 28\] No space left .*'\. Make room there, and", done.stderr)
    finished = list_clip_files(disk / "cache")
    assert finished and all(x.endswith(".h5") for x in finished)
    moved = shutil.copytree(disk / "cache", tmp_path / "moved")
    assert resume(clips_dir, moved) == (16 - len(finished), len(finished))
    assert read_cache_bytes(moved).keys() == read_cache_bytes(cache_dir).keys()


def test_a_file_that_cannot_grow_loses_nothing(clips_dir, cache_dir, tmp_path):
    sizes = {x: x.stat().st_size for x in cache_dir.glob("clips/*/*.h5")}
    limit = sorted(sizes.values())[len(sizes) // 2] // 1024 * 1024
    flags = (f"--data={clips_dir}", f"--cache_dir={tmp_path}/cache", *SMALL_BACKBONE)
    done = run_with_small_files("extract_features", *flags, max_file_bytes=limit)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "error: [Errno 27] File too large: " in done.stderr
    assert "came up here" not in done.stderr  # as of a clip that is at fault
    finished = list_clip_files(tmp_path / "cache")
    assert all(x.endswith(".h5") for x in finished)
    assert resume(clips_dir, tmp_path / "cache") == (16 - len(finished), len(finished))
    assert read_cache_bytes(tmp_path / "cache").keys() == read_cache_bytes(cache_dir).keys()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write to a read-only folder")
def test_a_read_only_folder(clips_dir, tmp_path):
    folder = tmp_path / "read_only"
    folder.mkdir(mode=0o555)
    flags = (f"--data={clips_dir}", f"--cache_dir={folder}/cache", *SMALL_BACKBONE)
    done = run_program("extract_features", *flags, check=False)
    assert done.returncode == 1 and list(folder.iterdir()) == []
    assert f"error: [Errno 13] Permission denied: '{folder}/cache'. Check the" in done.stderr


def test_a_file_where_the_clips_would_go(clips_dir, cache_dir, tmp_path):
    cache = shutil.copytree(cache_dir, tmp_path / "cache")
    shutil.rmtree(cache / "clips")
    (cache / "clips").write_text("mine")
    done = run_program(
        "extract_features", f"--data={clips_dir}", f"--cache_dir={cache}", check=False
    )
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert re.search(rf"error: .*'{cache}/clips", done.stderr)
    assert (cache / "clips").read_text() == "mine"
