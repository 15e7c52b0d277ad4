"""A cache from features that another tool computed, through the real command."""

import csv
import dataclasses
import os
import re

import h5py
import numpy as np
import pytest
from commands import SMALL_BACKBONE, run_program

from lrcn.common.clip import Clip
from lrcn.common.feature_cache import read_cache
from lrcn.common.manifest import read_class_names, read_manifest, write_manifest

CLIP_IDS = [f"{label}/v_{i}" for label in ("walk", "run") for i in range(3)]
SPLITS = ["train", "val", "test"]


def make_features(shape=(5,), dtype=np.float32):
    """A clip of 3, 4, ... frames for each clip_id."""
    rng = np.random.default_rng(0)
    return {
        clip_id: (100 * rng.standard_normal((3 + i, *shape))).astype(dtype)
        for i, clip_id in enumerate(CLIP_IDS)
    }


def write_features(path, features):
    """Writes an HDF5 file, or, without a suffix, a folder of `.npy`."""
    if path.suffix:
        with h5py.File(path, "w") as file:
            for clip_id, array in features.items():
                file[clip_id] = array
    else:
        for clip_id, array in features.items():
            (path / clip_id).parent.mkdir(parents=True, exist_ok=True)
            np.save(path / f"{clip_id}.npy", array)
    return path


@pytest.fixture
def manifest(tmp_path):
    # The videos need not be there.
    clips = [
        Clip(x, f"{x}.avi", x.split("/")[0], s) for x, s in zip(CLIP_IDS, 2 * SPLITS, strict=True)
    ]
    write_manifest(tmp_path / "clips.csv", clips)
    return tmp_path / "clips.csv"


@pytest.fixture
def run_import(manifest, tmp_path):
    def run(features, *flags, status=0):
        done = run_program(
            "extract_features.import_features",
            f"--features={features}",
            f"--data={manifest}",
            f"--cache_dir={tmp_path}/cache",
            *flags,
            check=False,
        )
        assert (done.returncode, done.stdout) == (status, ""), done.stderr
        assert "Traceback" not in done.stderr
        return done.stderr

    return run


def read_failures(tmp_path):
    with open(tmp_path / "cache" / "failures.csv", newline="") as file:
        return {row["clip_id"]: row["reason"] for row in csv.DictReader(file)}


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


def test_a_long_clip_is_copied_in_order(run_import, tmp_path):
    features = make_features((2,))
    features[CLIP_IDS[0]] = np.arange(2000, dtype=np.float32).reshape(1000, 2)
    run_import(write_features(tmp_path / "features.h5", features))
    maps = read_cache(tmp_path / "cache").read_clip(CLIP_IDS[0]).feature_maps
    np.testing.assert_array_equal(maps.ravel(), np.arange(2000))


def test_running_again_redoes_only_what_changed(run_import, tmp_path):
    features = make_features()
    folder = write_features(tmp_path / "features", features)
    run_import(folder)
    cache = read_cache(tmp_path / "cache")
    before = {clip_id: cache.clip_path(clip_id).stat().st_ino for clip_id in CLIP_IDS}
    assert "0 clips done, 6 skipped (already there), 0 failed" in run_import(folder)
    changed = CLIP_IDS[2]
    np.save(folder / f"{changed}.npy", features[changed] + 1)
    assert "1 clips done, 5 skipped (already there), 0 failed" in run_import(folder)
    after = {clip_id: cache.clip_path(clip_id).stat().st_ino for clip_id in CLIP_IDS}
    assert {clip_id for clip_id in CLIP_IDS if before[clip_id] != after[clip_id]} == {changed}
    np.testing.assert_array_equal(
        cache.read_clip(changed).feature_maps, (features[changed] + 1).astype(np.float16)
    )


def test_a_changed_hdf5_file_is_imported_anew(run_import, tmp_path):
    path = write_features(tmp_path / "features.h5", make_features())
    run_import(path)
    os.utime(path, ns=(0, 0))
    assert "6 clips done, 0 skipped" in run_import(path)


class Unpickled:
    def __reduce__(self):
        return os.system, ("false",)


# What a clip's features are, and the reason that stands in failures.csv.
BAD_ARRAYS = {
    "other_width": (np.zeros((4, 6)), r"expected numbers of shape \[T, 5\], .* \[4, 6\]"),
    "other_rank": (np.zeros((4, 5, 1)), r"expected numbers of shape \[T, 5\].* \[4, 5, 1\]"),
    "vector": (np.zeros(4), r"expected numbers of shape \[T, 5\].* shape \[4\]"),
    "scalar": (np.zeros(()), r"expected numbers of shape \[T, 5\].* shape \[\]"),
    "no_frames": (np.zeros((0, 5)), r"no frames|empty file"),
    "bool": (np.zeros((4, 5), bool), r"expected numbers of .*dtype bool"),
    "text": (np.zeros((4, 5), "S3"), r"expected numbers of .*dtype \|S3"),
    "overflow": (np.full((300, 5), 1e6), r"frames 0 to 255 is not finite in float16"),
    "nan": (np.full((300, 5), np.nan), r"frames 0 to 255 is not finite in float16"),
}


@pytest.fixture
def bad_manifest(tmp_path):
    def write(names):
        clips = [Clip(x, x, "walk", "train") for x in ("good", *names)]
        write_manifest(tmp_path / "clips.csv", clips)

    return write


def check_failures(log, tmp_path, reasons):
    assert f"1 clips done, 0 skipped (already there), {len(reasons)} failed" in log
    failures = read_failures(tmp_path)
    assert failures.keys() == reasons.keys()
    for name, reason in reasons.items():
        assert re.search(reason, failures[name]), (name, failures[name])
        assert name in failures[name]
    assert list((tmp_path / "cache" / "clips").rglob("*")) == [tmp_path / "cache/clips/good.h5"]
    assert len(read_manifest(tmp_path / "cache" / "manifest.csv")) == 1 + len(reasons)


def test_bad_datasets_are_listed_and_the_rest_goes_on(run_import, bad_manifest, tmp_path):
    reasons = {name: reason for name, (_, reason) in BAD_ARRAYS.items()}
    reasons["missing"] = r"features\.h5: expected a dataset named 'missing', found none"
    reasons["damaged"] = r"^damaged: damaged \("
    bad_manifest(reasons)
    path = write_features(
        tmp_path / "features.h5",
        {"good": np.zeros((4, 5)), **{name: array for name, (array, _) in BAD_ARRAYS.items()}},
    )
    with h5py.File(path, "r+") as file:
        damaged = file.create_dataset("damaged", data=np.ones((4, 5)), chunks=True, fletcher32=True)
        file.flush()
        offset = damaged.id.get_chunk_info(0).byte_offset
    with open(path, "r+b") as file:
        file.seek(offset)
        file.write(b"bits")
    check_failures(run_import(path, status=1), tmp_path, reasons)


def test_bad_npy_files_are_listed_and_the_rest_goes_on(run_import, bad_manifest, tmp_path):
    contents = {"empty": b"", "other": b"not an array", "zip": b"PK\x03\x04"}
    reasons = {name: reason for name, (_, reason) in BAD_ARRAYS.items()}
    for name in (*contents, "objects", "truncated"):
        reasons[name] = rf"{name}\.npy: expected an array of numbers, as numpy\.save writes it \("
    reasons["missing"] = r"No such file.*missing\.npy"
    bad_manifest(reasons)
    folder = write_features(
        tmp_path / "features",
        {"good": np.zeros((4, 5)), **{name: array for name, (array, _) in BAD_ARRAYS.items()}},
    )
    for name, content in contents.items():
        (folder / f"{name}.npy").write_bytes(content)
    np.save(folder / "objects.npy", np.array([[Unpickled()] * 5] * 4), allow_pickle=True)
    (folder / "truncated.npy").write_bytes((folder / "good.npy").read_bytes()[:-8])
    check_failures(run_import(folder, status=1), tmp_path, reasons)


def test_skip_unreadable_goes_on_without_the_clip(run_import, tmp_path):
    features = make_features()
    del features["walk/v_1"]
    path = write_features(tmp_path / "features.h5", features)
    run_import(path, "--skip_unreadable")
    clips = read_manifest(tmp_path / "cache" / "manifest.csv")
    assert [clip.clip_id for clip in clips] == [x for x in CLIP_IDS if x != "walk/v_1"]
    assert list(read_failures(tmp_path)) == ["walk/v_1"]


def test_features_of_other_clips_are_refused(run_import, tmp_path):
    path = write_features(tmp_path / "features.h5", {"jump/v_9": np.zeros((3, 5))})
    log = run_import(path, status=1)
    assert f"error: {path}: holds features of none of the 6 clips in --data (" in log
    assert "Its names must be the manifest's clip_ids." in log


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, "no such file or folder. Expected an HDF5 file with a dataset for each clip_id"),
        (b"PK", "expected an HDF5 file with a dataset for each clip_id, or a folder of <clip_id>"),
    ],
)
def test_a_features_file_that_is_none(run_import, tmp_path, content, text):
    path = tmp_path / "features.h5"
    if content is not None:
        path.write_bytes(content)
    assert f"error: {path}: {text}" in run_import(path, status=1)


def test_another_shape_into_the_same_cache_is_refused(run_import, tmp_path):
    path = tmp_path / "a.h5"
    run_import(write_features(path, make_features((5,))))
    path.unlink()
    log = run_import(write_features(path, make_features((6,))), status=1)
    assert "made with feature_shape=(5,), but this run needs feature_shape=(6,)." in log


def test_features_of_another_tool_are_refused_by_their_name(run_import, tmp_path):
    run_import(write_features(tmp_path / "a.h5", make_features((5,))))
    log = run_import(write_features(tmp_path / "b.h5", make_features((5,))), status=1)
    assert "made with cut=a.h5, but this run needs cut=b.h5." in log


def test_imported_and_extracted_features_do_not_mix(run_import, manifest, tmp_path):
    run_import(write_features(tmp_path / "features.h5", make_features()))
    done = run_program(
        "extract_features",
        f"--data={manifest}",
        f"--cache_dir={tmp_path}/cache",
        *SMALL_BACKBONE,
        check=False,
    )
    assert done.returncode == 1
    assert f"error: {tmp_path}/cache: holds features that another tool computed (" in done.stderr


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
        assert "1 groups straddle splits: scores will be too good" in log
        assert read_manifest(tmp_path / "cache" / "manifest.csv") == clips
    run_import(features, "--noallow_group_leak", status=1)
