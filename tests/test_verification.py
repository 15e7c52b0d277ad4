"""No damage to a clip's file goes unseen, and what is whole is not taken for damaged."""

import errno
import os
import shutil
import sys

import h5py
import numpy as np
import pytest
from refusals import fail_to_read, no_more_open_files, refusal
from small_cache import damage_frame, write_clip

from extract_features import verification
from extract_features.clip_list import write_clip_list
from extract_features.verification import iter_findings, remove_file
from lrcn.common.cache.clip_features import read_text
from lrcn.common.cache.clip_file import MissingFilterError
from lrcn.common.cache.open_cache import read_cache
from lrcn.common.clips.clip import Clip
from lrcn.common.clips.manifest import read_manifest


def test_no_flipped_byte_goes_unseen_that_changes_a_feature(cache_dir, tmp_path):
    """Also in HDF5's own tables, which carry no checksum."""
    cache = read_cache(shutil.copytree(cache_dir, tmp_path / "cache"))
    clip = read_manifest(cache.manifest_path)[0]
    manifest = cache.manifest_path.read_text().splitlines(keepends=True)
    cache.manifest_path.write_text("".join(manifest[:2]))
    path = cache.clip_path(clip.clip_id)
    whole, features = path.read_bytes(), cache.read_clip(clip.clip_id)
    random = np.random.RandomState(0)
    for offset in random.choice(len(whole), 300, replace=False):
        content = bytearray(whole)
        content[offset] ^= 1 << random.randint(8)
        path.unlink()
        path.write_bytes(content)
        if not [x for x in iter_findings(cache) if x.kind != "extra"]:
            for array, expected in zip(cache.read_clip(clip.clip_id), features, strict=True):
                np.testing.assert_array_equal(array, expected, err_msg=f"byte {offset}")


def unfilter_a_frame(file):
    maps = file["feature_maps"]
    # As it was, but under no filter: whatever happens to it now, HDF5 would not notice.
    maps.id.write_direct_chunk((1, 0, 0, 0), maps[1].tobytes(), filter_mask=0b11)


def lose_the_last_frame(file):
    for num_frames in (4, 5):  # what is cut off comes back as zeros
        file["feature_maps"].resize(num_frames, axis=0)


def take_all_frames_out(file):
    for name in ("feature_maps", "frame_index", "timestamp_sec"):
        file[name].resize(0, axis=0)


def write_times_without_checksums(file):
    times = file["timestamp_sec"][:]
    del file["timestamp_sec"]
    file.create_dataset("timestamp_sec", data=times, chunks=True)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (unfilter_a_frame, "/feature_maps: row 1 is not there, or without its checksum"),
        (lose_the_last_frame, "/feature_maps: row 4 is not there, or without its checksum"),
        (take_all_frames_out, "holds no frames"),
        (write_times_without_checksums, "timestamp_sec: expected float64 [5] with checksums"),
    ],
)
def test_what_hdf5_reads_without_a_word_is_damaged(cache_copy, damage, reason):
    cache = read_cache(cache_copy)
    with h5py.File(cache.clip_path("left/clip_0"), "r+") as file:
        damage(file)
    (finding,) = iter_findings(cache)
    assert (finding.kind, finding.clip_id) == ("damaged", "left/clip_0")
    assert reason in finding.reason


def test_a_long_clip_is_read_to_its_end(cache_copy, monkeypatch):
    monkeypatch.setattr(verification, "_VALUES_AT_ONCE", 1)  # of a clip of thousands of frames
    cache = read_cache(cache_copy)
    damage_frame(cache.clip_path("left/clip_0"), 4)
    (finding,) = iter_findings(cache)
    assert (finding.kind, finding.clip_id) == ("damaged", "left/clip_0")


def test_a_whole_file_that_cannot_be_read_now_stays(cache_copy):
    cache = read_cache(cache_copy)
    first = read_manifest(cache.manifest_path)[0]
    cache.clip_path(first.clip_id).unlink()
    findings = iter_findings(cache)
    assert next(findings).kind == "missing"
    with no_more_open_files():
        finding = next(findings)
    assert finding.kind == "unreadable" and "Too many open files" in finding.reason
    assert not remove_file(cache, finding)
    assert cache.clip_path(finding.clip_id).exists()


@pytest.mark.skipif(not os.path.exists("/proc/self/mem"), reason="no disk to break")
def test_a_whole_file_on_a_disk_that_fails_for_a_moment_stays(cache_copy, monkeypatch):
    def break_disk_first(file_id, name):
        fail_to_read(file_id.get_vfd_handle())
        return read_text(file_id, name)

    cache = read_cache(cache_copy)
    monkeypatch.setattr(verification, "read_text", break_disk_first)
    finding = next(iter_findings(cache))
    assert finding.kind == "unreadable" and "Input/output error" in finding.reason
    assert not remove_file(cache, finding)


def test_a_file_in_a_folder_that_may_not_be_entered_is_not_said_to_be_missing(
    cache_copy, monkeypatch
):
    def refuse(path):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    cache = read_cache(cache_copy)
    monkeypatch.setattr(os, "lstat", refuse)
    finding = next(iter_findings(cache))
    assert finding.kind == "unreadable"
    assert finding.reason.endswith(f"denied: '{cache.clip_path(finding.clip_id)}'")


def test_a_folder_in_the_place_of_a_file_is_told_and_stays(cache_copy):
    cache = read_cache(cache_copy)
    path = cache.clip_path("left/clip_0")
    path.unlink()
    path.mkdir()
    (path / "mine.txt").write_text("of a user")
    (finding,) = iter_findings(cache)
    assert (finding.kind, finding.clip_id) == ("damaged", "left/clip_0")
    assert not remove_file(cache, finding)
    assert (path / "mine.txt").exists()


def test_what_only_a_missing_package_reads_is_not_said_to_be_whole(cache, monkeypatch):
    write_clip(cache, compression="zstd")
    write_clip_list(cache, [Clip("walk/clip_1", "walk/clip_1.mp4", "walk", "train")])
    monkeypatch.setitem(sys.modules, "hdf5plugin", None)  # as if it were not installed
    with refusal(
        f"{cache.clip_path('walk/clip_1')}: zstd needs the package hdf5plugin", MissingFilterError
    ):
        next(iter_findings(cache))


def test_a_folder_of_clips_whose_name_ends_as_that_of_a_file_is_not_extra(cache_copy):
    folder = cache_copy / "clips" / "left.h5"
    folder.mkdir()
    for number in (2, 10):  # in the order in which people count
        shutil.copy(cache_copy / "clips" / "left" / "clip_0.h5", folder / f"clip_{number}.h5")
    found = [(x.kind, x.clip_id) for x in iter_findings(read_cache(cache_copy))]
    assert found == [("extra", "left.h5/clip_2"), ("extra", "left.h5/clip_10")]


def test_a_file_of_any_name_is_told_in_one_line(cache_copy):
    clips = cache_copy / "clips"
    names = {b"a\nb": r"a\nb", b"\x1b[2J": r"\x1b[2J", b"\xff": r"\udcff", "é".encode(): "é"}
    for name in names:
        shutil.copy(clips / "left" / "clip_0.h5", clips / os.fsdecode(name + b".h5"))
    lines = {str(finding) for finding in iter_findings(read_cache(cache_copy))}
    told = "no clip of the manifest. Delete it, unless a run that has this clip is still to be"
    assert lines == {f"extra\t{x}\t{clips}/{x}.h5: {told} scored." for x in names.values()}
