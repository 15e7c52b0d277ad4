"""Features of another tool that are refused, or told of, as a whole."""

import os

import h5py
import numpy as np
import pytest
from commands import SMALL_BACKBONE, run_program
from small_imports import CLIP_IDS, make_features, write_features

from extract_features.feature_import import import_features
from extract_features.given_data import DataSettings


def test_a_pipe_in_place_of_the_features_is_refused_without_waiting_for_it(run_import, tmp_path):
    os.mkfifo(tmp_path / "features.h5")
    log = run_import(tmp_path / "features.h5", status=1)
    assert f"error: {tmp_path}/features.h5: expected a file, received a pipe, device or" in log


def test_features_of_other_clips_are_refused(run_import, tmp_path):
    path = write_features(tmp_path / "features.h5", {"jump/v_9": np.zeros((3, 5))})
    log = run_import(path, status=1)
    assert f"error: {path}: holds features of none of the 6 clips in --data (" in log
    assert "In it: jump. Its names must be the manifest's clip_ids, each that of a dataset" in log
    assert not (tmp_path / "cache").exists()


def test_what_lies_in_place_of_a_clips_features_is_named(run_import, tmp_path):
    (tmp_path / "f").mkdir()
    assert "). In it: nothing. Its names must be" in run_import(tmp_path / "f", status=1)
    for clip_id in CLIP_IDS:
        np.savez(tmp_path / "f" / f"{clip_id.replace('/', '_')}.npz", features=np.ones((3, 5)))
    log = run_import(tmp_path / "f", status=1)
    assert "). In it: run_v_0.npz, run_v_1.npz, run_v_2.npz and 3 more. Its names" in log
    inner = {f"{x}/features": array for x, array in make_features().items()}
    log = run_import(write_features(tmp_path / "groups.h5", inner), status=1)
    assert f"expected a dataset named {CLIP_IDS[0]!r}, found a group.). In it: " in log
    with h5py.File(tmp_path / "latin.h5", "w") as file:
        file[b"caf\xe9"] = np.ones((3, 5))
    assert r"). In it: caf\udce9. Its names must be" in run_import(tmp_path / "latin.h5", status=1)


def test_a_features_file_whose_list_of_clips_is_damaged_is_named(run_import, tmp_path):
    path = write_features(tmp_path / "features.h5", make_features())
    path.write_bytes(path.read_bytes().replace(b"SNOD", b"gone"))
    log = run_import(path, status=1)
    assert f"error: {path}: expected a list of datasets, received a damaged one (" in log


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
    log = run_import(path, status=1)
    assert f"error: {path}: {text}" in log
    assert ("Save each clip's array by numpy.save('<clip_id>.npy', array)" in log) == bool(content)
    assert not (tmp_path / "cache").exists()


def test_features_that_another_program_writes_are_not_said_to_be_none(run_import, tmp_path):
    path = write_features(tmp_path / "features.h5", make_features())
    with h5py.File(path, "r+"):
        log = run_import(path, status=1)
    assert f"error: {path}: expected a file that nobody writes to. Received: one that anoth" in log
    run_import(path)


def test_features_that_the_system_does_not_open_are_not_said_to_be_none(run_import, tmp_path):
    path = tmp_path / "features.h5"
    path.symlink_to(path)
    log = run_import(path, status=1)
    assert f"Too many levels of symbolic links: '{path}'. Correct the link that leads to it" in log


def test_another_shape_into_the_same_cache_is_refused(run_import, tmp_path):
    path = tmp_path / "a.h5"
    run_import(write_features(path, make_features((5,))))
    path.unlink()
    log = run_import(write_features(path, make_features((6,))), status=1)
    assert "made with feature_shape=(5,), but this command needs feature_shape=(6,)." in log


def test_features_of_another_tool_are_refused_by_their_name(run_import, tmp_path):
    run_import(write_features(tmp_path / "a.h5", make_features((5,))))
    log = run_import(write_features(tmp_path / "b.h5", make_features((5,))), status=1)
    assert (
        "made with features=a.h5, but this command needs features=b.h5. Give the features "
        "that it was made of, under the name that they had, or name another --cache_dir"
    ) in log


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


@pytest.mark.parametrize("name", ["f.h5", "f"])
@pytest.mark.parametrize(
    ("array", "received"),
    [
        (np.ones((4, 5), bool), "shape [4, 5], dtype bool. Save them so, as float32."),
        (np.ones((4, 5), complex), "shape [4, 5], dtype complex128. Save them so, as float32."),
        (
            np.ones((4, 5), "V2"),
            "shape [4, 5], dtype |V2, as which numpy saves bfloat16. Save them so, as float32.",
        ),
        (
            np.ones(5),
            "shape [5], dtype float64. Save them so, as float32: one vector for a whole clip as "
            "array[None].",
        ),
    ],
)
def test_features_of_another_kind_leave_no_cache(run_import, tmp_path, name, array, received):
    features = dict.fromkeys(CLIP_IDS[1:], array)
    path = write_features(tmp_path / name, features)
    log = run_import(path, status=1)
    assert (
        f"error: {path}: expected features that can be taken. Received such of none of the 6 clips "
        f"in --data: {CLIP_IDS[1]}: expected numbers of shape [T, ...], at least one for each of "
        f"at least one frame. Received: {received}"
    ) in log
    assert "clip_ids" not in log
    assert not (tmp_path / "cache").exists()


def test_features_whose_columns_are_the_frames_leave_no_cache(run_import, tmp_path):
    transposed = {clip_id: array.T for clip_id, array in make_features().items()}
    log = run_import(write_features(tmp_path / "f.h5", transposed), status=1)
    text = "a row for each frame. Received: 5 rows in each of 6 clips, and 6 numbers of columns, as"
    assert text in log and not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    ("shape", "num_frames", "told"),
    [
        (
            (5, 8),
            1,
            "every clip has one frame, of shape [5, 8]: if that is the clip, in a batch of ",
        ),
        ((5, 7, 7, 9), 1, "every clip has one frame, of shape [5, 7, 7, 9]: if that is the clip, "),
        (
            (9, 7, 7),
            2,
            "frames of shape [9, 7, 7] look like [c, h, w], and are read as [h, w, c]. ",
        ),
        ((5, 8), 2, ""),
        ((3, 9, 9), 2, ""),
        ((7, 7, 9), 1, ""),
        ((9,), 1, ""),
    ],
)
def test_axes_in_the_order_of_another_tool_are_told_of(
    manifest, tmp_path, caplog, shape, num_frames, told
):
    features = {x: np.ones((num_frames, *shape), np.float32) for x in CLIP_IDS}
    path = write_features(tmp_path / "features.h5", features)
    import_features(DataSettings(data=manifest), features=path, cache_dir=tmp_path / "cache")
    said = [x for x in caplog.messages if x.startswith(f"{path}: {told}")] if told else []
    assert len(said) == bool(told) and len(caplog.messages) == len(said)
