"""A cache from features that another tool computed, through the real command."""

import dataclasses
import os
import shutil
import subprocess

import h5py
import numpy as np
import pytest
from commands import read_state, run_program
from refusals import refusal
from small_extraction import snapshot_clips
from small_imports import CLIP_IDS, SPLITS, make_features, write_features

from lrcn.common.cache.open_cache import read_cache
from lrcn.common.clips.manifest import read_class_names, read_manifest, write_manifest


@pytest.mark.parametrize("name", ["features.h5", "features"])
@pytest.mark.parametrize(
    ("shape", "dtype"),
    [((5,), np.float32), ((7, 7, 8), np.float16), ((2, 3), np.float64), ((4,), np.int32)],
)
def test_features_of_any_shape(run_import, tmp_path, name, shape, dtype):
    features = make_features(shape, dtype)
    log = run_import(write_features(tmp_path / name, features))
    assert "6 clips done, 0 skipped (already there), 0 failed; 33 frames" in log
    cache = read_cache(tmp_path / "cache")
    assert (cache.contract.backbone, cache.contract.feature_shape) == ("imported", shape)
    clips = read_manifest(cache.manifest_path)
    assert [clip.clip_id for clip in clips] == CLIP_IDS
    assert [clip.split for clip in clips] == 2 * SPLITS
    assert read_class_names(cache.classes_path) == ["run", "walk"]
    for clip_id, expected in features.items():
        read = cache.read_clip(clip_id)
        np.testing.assert_array_equal(read.feature_maps, expected.astype(np.float16))
        assert read.frame_index.tolist() == list(range(len(expected)))
        assert np.isnan(read.timestamp_sec).all()


def test_folders_behind_a_link_and_two_dots_are_found_again(run_import, tmp_path):
    write_features(tmp_path / "real" / "features", make_features())
    for folder in ("real/within", "real/videos", "other"):
        (tmp_path / folder).mkdir()
    (tmp_path / "other" / "link").symlink_to(tmp_path / "real" / "within")
    behind = f"{tmp_path}/other/link/.."
    run_import(f"{behind}/features", f"--data_root={behind}/videos")
    done = run_program("extract_features.verify", f"--cache_dir={tmp_path}/cache")
    assert "0 source missing" in done.stderr
    run_import(f"{behind}/features")


def test_features_of_a_relative_path_are_found_from_elsewhere(manifest, tmp_path):
    write_features(tmp_path / "features", make_features())
    flags = ("--features=features", f"--data={manifest}", "--cache_dir=cache")
    run_program("extract_features.import_features", *flags, cwd=tmp_path)
    done = run_program("extract_features.verify", f"--cache_dir={tmp_path}/cache")
    assert "0 source missing" in done.stderr


def test_features_behind_a_link_are_those_that_it_leads_to(run_import, tmp_path):
    for name in ("first", "second"):
        write_features(tmp_path / name, make_features())
    link = tmp_path / "latest"
    link.symlink_to("first")
    run_import(link)
    assert "0 clips done, 6 skipped" in run_import(tmp_path / "first")
    link.unlink()
    link.symlink_to("second")  # of another tool, with the same shape
    assert "made with features=first, but" in run_import(link, status=1)


def test_a_long_clip_is_copied_in_order(run_import, tmp_path):
    features = make_features((2,))
    features[CLIP_IDS[0]] = np.arange(2000, dtype=np.float32).reshape(1000, 2)
    run_import(write_features(tmp_path / "features.h5", features))
    maps = read_cache(tmp_path / "cache").read_clip(CLIP_IDS[0]).feature_maps
    np.testing.assert_array_equal(maps.ravel(), np.arange(2000))


def test_what_makes_a_clip_again_is_the_import(run_import, tmp_path):
    run_import(write_features(tmp_path / "features", make_features()))
    cache = read_cache(tmp_path / "cache")
    path = cache.clip_path(CLIP_IDS[0])
    whole = path.read_bytes()
    with h5py.File(path, "r+") as file:
        file.attrs["contract"] = np.bytes_("0" * 64)
    with refusal("Delete the file and run extract_features (or import_features) again"):
        cache.read_clip(CLIP_IDS[0])
    for damaged in (whole[:1000], whole.replace(b"feature_maps", b"feature_naps")):
        path.write_bytes(damaged)
        with refusal("Delete the file and run extract_features (or import_features) again"):
            cache.read_clip(CLIP_IDS[0])
    path.unlink()
    with refusal("run extract_features (or import_features) again", FileNotFoundError):
        cache.read_clip(CLIP_IDS[0])


def test_running_again_redoes_only_what_changed(run_import, tmp_path):
    features = make_features()
    folder = write_features(tmp_path / "features", features)
    run_import(folder)
    cache = read_cache(tmp_path / "cache")
    before = snapshot_clips(cache.cache_dir)
    assert "0 clips done, 6 skipped (already there), 0 failed" in run_import(folder)
    changed = CLIP_IDS[2]
    np.save(folder / f"{changed}.npy", features[changed] + 1)
    assert "1 clip done, 5 skipped (already there), 0 failed" in run_import(folder)
    after = snapshot_clips(cache.cache_dir)
    assert {name for name in before if before[name] != after[name]} == {f"{changed}.h5"}
    np.testing.assert_array_equal(
        cache.read_clip(changed).feature_maps, (features[changed] + 1).astype(np.float16)
    )


@pytest.mark.parametrize("name", ["features.h5", "features"])
def test_a_finished_cache_may_be_read_only(run_import, make_small_disk, tmp_path, name):
    path = write_features(tmp_path / name, {**make_features(), CLIP_IDS[0]: np.zeros((0, 5))})
    disk = make_small_disk(8192)
    (tmp_path / "cache").symlink_to(disk)
    run_import(path, "--skip_unreadable")
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    assert "0 clips done, 5 skipped (already there), 1 failed" in run_import(path)
    # Else it has to be written: which features it has.
    assert "Read-only file system" in run_import(path, "--noskip_unreadable", status=1)
    (tmp_path / "elsewhere").mkdir()
    moved = path.rename(tmp_path / "elsewhere" / name)
    assert "0 clips done, 5 skipped (already there), 1 failed" in run_import(moved)


def test_a_changed_hdf5_file_is_imported_anew(run_import, tmp_path):
    path = write_features(tmp_path / "features.h5", make_features())
    run_import(path)
    os.utime(path, ns=(0, 0))
    assert "6 clips done, 0 skipped" in run_import(path)
    os.utime(path, ns=(1, 1))
    (tmp_path / "link").symlink_to(tmp_path)
    assert "6 clips done, 0 skipped" in run_import(tmp_path / "link" / path.name)


def test_features_of_another_tool_with_the_same_name_are_refused(run_import, tmp_path):
    features = make_features()
    for place in ("mine", "theirs"):
        (tmp_path / place).mkdir()
        write_features(tmp_path / place / "features.h5", features)
    theirs = tmp_path / "theirs" / "features.h5"
    os.utime(theirs, ns=(0, 0))
    run_import(tmp_path / "mine" / "features.h5")
    before = read_state(tmp_path / "cache")
    assert (
        f"error: {tmp_path}/cache: holds features of {tmp_path}/mine/features.h5. Expected the "
        f"same clips in {theirs}. Received: 6 of 6 that are missing or have other content or times"
    ) in run_import(theirs, status=1)
    assert read_state(tmp_path / "cache") == before
    # What was only moved is taken.
    shutil.move(tmp_path / "mine" / "features.h5", theirs)
    assert "0 clips done, 6 skipped" in run_import(theirs)


def test_leaks_are_refused_and_their_permission_is_remembered(run_import, manifest, tmp_path):
    features = write_features(tmp_path / "features.h5", make_features())
    clips = read_manifest(manifest)
    clips = [dataclasses.replace(x, group=x.clip_id.rpartition("/")[2]) for x in clips]
    clips[3] = dataclasses.replace(clips[3], group="v_1")
    write_manifest(manifest, clips)
    log = run_import(features, status=1)
    assert (
        f"error: {manifest}: expected every group in one split, received 1 in several:\n"
        "  'v_1' (train: line 5 'run/v_0'; val: line 3 'walk/v_1', line 6 'run/v_1')\n"
    ) in log
    assert not (tmp_path / "cache").exists()
    for flags in (["--allow_group_leak"], []):
        log = run_import(features, *flags)
        assert "Groups that straddle splits: 1. Scores will be too good" in log
        assert read_manifest(tmp_path / "cache" / "manifest.csv") == clips
    run_import(features, "--noallow_group_leak", status=1)
