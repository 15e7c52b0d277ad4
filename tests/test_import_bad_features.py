"""Features of another tool of which some clips cannot be taken: listed, and the rest goes on."""

import errno
import os
import re

import h5py
import numpy as np
import pytest
from commands import read_failures
from refusals import fail_to_read, refusal
from small_imports import CLIP_IDS, make_features, write_features

from lrcn.common.cache import feature_array
from lrcn.common.cache.feature_array import check_array, iter_maps, open_features
from lrcn.common.clips.clip import Clip
from lrcn.common.clips.manifest import read_manifest, write_manifest


class Unpickled:
    def __reduce__(self):
        return os.system, ("false",)


# What a clip's features are, and the reason that stands in failures.csv.
BAD_ARRAYS = {
    "other_width": (np.zeros((4, 6)), r"expected shape \[T, 5\], .* \[4, 6\]"),
    "other_rank": (np.zeros((4, 5, 1)), r"expected shape \[T, 5\].* \[4, 5, 1\]"),
    "vector": (np.zeros(4), r"expected numbers of shape \[T, \.\.\.\].* shape \[4\]"),
    "scalar": (np.zeros(()), r"expected numbers of shape \[T, \.\.\.\].* shape \[\]"),
    "no_frames": (np.zeros((0, 5)), r"shape \[0, 5\]|empty file"),
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
    assert f"1 clip done, 0 skipped (already there), {len(reasons)} failed" in log
    failures = read_failures(tmp_path / "cache")
    assert failures.keys() == reasons.keys()
    for name, reason in reasons.items():
        assert re.search(reason, failures[name]), (name, failures[name])
        assert name in failures[name]
    assert list((tmp_path / "cache" / "clips").rglob("*")) == [tmp_path / "cache/clips/good.h5"]
    assert len(read_manifest(tmp_path / "cache" / "manifest.csv")) == 1 + len(reasons)


def test_bad_datasets_are_listed_and_the_rest_goes_on(run_import, bad_manifest, tmp_path):
    reasons = {name: reason for name, (_, reason) in BAD_ARRAYS.items()}
    reasons["missing"] = r"features\.h5: expected a dataset named 'missing', found none"
    reasons["damaged"] = r"^damaged: cannot be read \(.*\)\. Compute it again\.$"
    reasons["lost"] = r"^lost: cannot be read \(Can't get number of chunks .* Compute it again\.$"
    reasons["around"] = r"dataset named 'around', received: .*too many links"
    reasons["foreign"] = r"features\.h5: dataset 'foreign': .* received filter 300 \(of no name\)"
    reasons["unwritten"] = r"unwritten: .*a dataset of shape \[1000000000, 5\] that nothing was"
    reasons["begun"] = r"begun: .*a dataset of shape \[100000, 5\] .* or less than a hundredth"
    bad_manifest(reasons)
    path = write_features(
        tmp_path / "features.h5",
        {"good": np.zeros((4, 5)), **{name: array for name, (array, _) in BAD_ARRAYS.items()}},
    )
    with h5py.File(path, "r+") as file:
        file.create_dataset("unwritten", (10**9, 5), "f4", chunks=(256, 5))
        file.create_dataset("begun", (10**5, 5), "f4", chunks=(256, 5))[:256] = 1
        file["around"] = h5py.SoftLink("/around")
        damaged = file.create_dataset("damaged", data=np.ones((4, 5)), chunks=True, fletcher32=True)
        file.flush()
        offset = damaged.id.get_chunk_info(0).byte_offset
        _write_with_filter(file, b"foreign", 300)  # one of those that are kept for tests
        file.create_dataset("lost", data=np.ones((4, 5)), chunks=True)
    content = path.read_bytes()
    with open(path, "r+b") as file:
        for start in (offset, content.rindex(b"TREE\x01")):  # what tells where the last one lies
            file.seek(start)
            file.write(b"bits")
    check_failures(run_import(path, status=1), tmp_path, reasons)


def _write_with_filter(file, name, number):
    """Writes [4, 5] float32 as a plugin of HDF5 leaves it that is not here."""
    settings = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    settings.set_chunk((4, 5))
    settings.set_filter(number, h5py.h5z.FLAG_OPTIONAL, ())
    shape = h5py.h5s.create_simple((4, 5))
    dataset = h5py.h5d.create(file.id, name, h5py.h5t.IEEE_F32LE, shape, settings)
    dataset.write_direct_chunk((0, 0), bytes(80))


def test_bad_npy_files_are_listed_and_the_rest_goes_on(run_import, bad_manifest, tmp_path):
    contents = {"empty": b"", "other": b"not an array", "zip": b"PK\x03\x04"}
    reasons = {name: reason for name, (_, reason) in BAD_ARRAYS.items()}
    for name in (*contents, "objects", "truncated", "no_header"):
        reasons[name] = rf"{name}\.npy: expected an array of numbers, as numpy\.save writes it \("
    reasons["missing"] = r"missing\.npy: expected features to import, received: No such .*\. Check"
    reasons["appended"] = r"appended\.npy: expected one array, received 288 bytes behind it"
    reasons["pipe"] = r"pipe\.npy: expected a file, received a pipe, device or socket\."
    reasons["folder"] = r"folder\.npy: expected an \.npy file, received: Is a directory\. Check"
    reasons["loop"] = r"loop\.npy: expected features to import, received: Too many levels"
    bad_manifest(reasons)
    folder = write_features(
        tmp_path / "features",
        {"good": np.zeros((4, 5)), **{name: array for name, (array, _) in BAD_ARRAYS.items()}},
    )
    for name, content in contents.items():
        (folder / f"{name}.npy").write_bytes(content)
    np.save(folder / "objects.npy", np.array([[Unpickled()] * 5] * 4), allow_pickle=True)
    (folder / "truncated.npy").write_bytes((folder / "good.npy").read_bytes()[:-8])
    # Of full size, and zeros in place of what never came.
    start = (folder / "good.npy").read_bytes()[:64]
    (folder / "no_header.npy").write_bytes(start.ljust(288, b"\0"))
    with open(folder / "appended.npy", "wb") as file:
        for _ in range(2):
            np.save(file, np.zeros((4, 5)))
    os.mkfifo(folder / "pipe.npy")
    (folder / "folder.npy").mkdir()
    (folder / "loop.npy").symlink_to("loop.npy")
    check_failures(run_import(folder, status=1), tmp_path, reasons)


@pytest.mark.parametrize("name", ["f.h5", "f"])
def test_values_that_float16_makes_zero_are_refused_and_small_ones_told(run_import, tmp_path, name):
    features = make_features()  # around 100
    zeros, tiny, *small = CLIP_IDS
    features[zeros] *= 0
    features[tiny] *= 1e-12
    for clip_id in small:
        features[clip_id] *= 1e-7
    log = run_import(write_features(tmp_path / name, features), status=1)
    assert "5 clips done, 0 skipped (already there), 1 failed" in log
    # `make` runs no import.
    assert log.endswith("or go on without: --skip_unreadable\n")
    assert read_failures(tmp_path / "cache") == {
        tiny: f"{tiny}: expected values that float16 can hold. Received: {features[tiny].size} "
        "that are not 0, of which all become 0 in it. Scale the features of all clips by one "
        "number, such as 1 / the largest of them."
    }
    (line,) = [line for line in log.splitlines() if "lie below" in line]
    assert re.search(r"\d\d% of the values that are not 0 lie below 6\.1e-05, where float16", line)


def test_a_few_small_values_are_not_told(run_import, tmp_path):
    features = make_features()
    features[CLIP_IDS[0]] *= 1e-7
    log = run_import(write_features(tmp_path / "f.h5", features))
    assert "lie below" not in log and "every value is 0" not in log


def test_frames_of_zeros_are_told(run_import, tmp_path):
    features = make_features()
    padded, *others, unwritten = CLIP_IDS
    features[padded][-2:] = 0
    path = write_features(tmp_path / "f.h5", {x: features[x] for x in (padded, *others)})
    with h5py.File(path, "r+") as file:
        layout = h5py.VirtualLayout((300, 5), "f4")
        layout[:] = h5py.VirtualSource("gone.h5", "features", (300, 5))
        file.create_virtual_dataset(unwritten, layout)
    log = run_import(path)
    assert "6 clips done" in log
    assert f"Frames of which every value is 0: 302, in clips: 2, such as {padded}. They" in log


def test_skip_unreadable_goes_on_without_the_clip(run_import, tmp_path):
    features = make_features()
    del features["walk/v_1"]
    path = write_features(tmp_path / "features.h5", features)
    run_import(path, "--skip_unreadable")
    clips = read_manifest(tmp_path / "cache" / "manifest.csv")
    assert [clip.clip_id for clip in clips] == [x for x in CLIP_IDS if x != "walk/v_1"]
    assert list(read_failures(tmp_path / "cache")) == ["walk/v_1"]


def test_skip_unreadable_keeps_the_features_of_files_that_are_away(run_import, tmp_path):
    folder = write_features(tmp_path / "features", make_features())
    run_import(folder, "--skip_unreadable")
    away, *_, shorter = CLIP_IDS
    (folder / f"{away}.npy").unlink()
    np.save(folder / f"{shorter}.npy", np.zeros((0, 5)))
    assert "0 clips done, 4 skipped (already there), 2 failed" in run_import(folder)
    clips = read_manifest(tmp_path / "cache" / "manifest.csv")
    assert [clip.clip_id for clip in clips] == CLIP_IDS[:-1]


def test_of_a_disk_that_fails_features_are_not_said_to_be_damaged(tmp_path, monkeypatch):
    folder = write_features(tmp_path / "features", {"a": np.ones((4, 5))})

    def fail(*_arguments):
        raise OSError(errno.EIO, "Input/output error")

    with open_features(folder) as read_array:
        array = read_array("a")
        monkeypatch.setattr(feature_array, "open", fail, raising=False)
        with refusal("a: cannot be read (Input/output error). Its disk, or the way to it, fa"):
            next(iter_maps(array, "a"))


@pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="no disk to break")
def test_datasets_on_a_disk_that_fails_are_not_said_to_be_missing_or_damaged(tmp_path):
    path = tmp_path / "features.h5"
    with h5py.File(path, "w") as file:
        for name in ("a", "b"):
            file.create_dataset(f"{name}/walk", data=np.ones((4, 5)), chunks=(2, 5))
    with open_features(path) as read_array:
        found = read_array("a/walk")
        fail_to_read(found.file.id.get_vfd_handle())
        reason = "cannot be read (Input/output error). Its disk, or the way to it, fails"
        with refusal(f"a: {reason}"):
            check_array(found, "a")
        with refusal(f"{path}: dataset 'b/walk': {reason}"):
            read_array("b/walk")


def test_one_odd_clip_does_not_decide_the_shape(run_import, tmp_path):
    features = make_features()
    odd = CLIP_IDS[0]
    log = run_import(
        write_features(tmp_path / "f.h5", {**features, odd: np.zeros((4, 6))}), status=1
    )
    assert "5 clips done, 0 skipped (already there), 1 failed" in log
    assert read_failures(tmp_path / "cache").keys() == {odd}
    (tmp_path / "f.h5").unlink()
    log = run_import(write_features(tmp_path / "f.h5", features))
    assert "6 clips done" in log


def test_what_no_longer_fits_is_not_trained_on(run_import, tmp_path):
    features = make_features()
    path = write_features(tmp_path / "features.h5", features)
    run_import(features=path)
    *rest, gone, wider = CLIP_IDS
    path.unlink()
    write_features(path, {x: features[x] for x in rest} | {wider: np.zeros((4, 6))})
    run_import(features=path, status=1)
    assert read_failures(tmp_path / "cache").keys() == {gone, wider}
    clips_dir = tmp_path / "cache" / "clips"
    assert {str(x.relative_to(clips_dir)) for x in clips_dir.rglob("*.h5")} == {
        f"{clip_id}.h5" for clip_id in rest
    }
