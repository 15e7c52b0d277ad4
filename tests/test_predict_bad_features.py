"""What predict says of features that it cannot take, and of videos in their place."""

import os

import h5py
import numpy as np
import pytest
from commands import read_rows
from small_imports import predict, write_features

from lrcn.common.cache.run_dir import RunDir

CLIP = 100 * np.random.RandomState(0).normal(size=(300, 6))


def read_failures(done):
    """What is logged of each clip that has no answer; the last line counts them."""
    *failures, _ = [line.split(" ", 1)[1] for line in done.stderr.splitlines()]
    return failures


def change(array, value):
    changed = array.copy()
    changed[-1, 0] = value
    return changed


NO_NUMBERS = "expected numbers of shape [T, ...], at least one for each of at least one frame. "
NOT_FINITE = "a feature of the frames 256 to 299 is not finite in float16 (largest number: 65504). "
OTHER_SHAPE = "expected shape [T, 6], as the clips that the run was trained on have. Received: "
# What lies in place of a clip's features, and what is said of it behind its name.
BAD_ARRAYS = {
    "wide": (np.ones((4, 7)), f"{OTHER_SHAPE}[4, 7]. Compute it as those were."),
    "deep": (np.ones((4, 6, 1)), f"{OTHER_SHAPE}[4, 6, 1]. "),
    "vector": (np.ones(6), f"{NO_NUMBERS}Received: shape [6], dtype float64. Save them so, as "),
    "empty": (np.ones((0, 6)), f"{NO_NUMBERS}Received: shape [0, 6], dtype float64. "),
    "bool": (np.ones((4, 6), bool), f"{NO_NUMBERS}Received: shape [4, 6], dtype bool. "),
    "nan": (change(CLIP, np.nan), NOT_FINITE),
    "large": (change(CLIP, 65520), NOT_FINITE),
    "small": (CLIP * 1e-12, "expected values that float16 can hold. Received: 1800 that are not 0"),
}


@pytest.mark.parametrize("ending", [".h5", ""])
def test_what_cannot_be_read_is_told_and_the_rest_goes_on(feature_run, tmp_path, ending):
    arrays = {name: array for name, (array, _) in BAD_ARRAYS.items()}
    arrays["good 1"], arrays["good 2"] = CLIP.astype(">f8"), np.asfortranarray(CLIP)
    path = write_features(tmp_path / f"new{ending}", arrays)
    wanted = {name: text for name, (_, text) in BAD_ARRAYS.items()}
    if ending:
        with h5py.File(path, "r+") as file:
            space = h5py.h5s.create_simple((3, 6))
            h5py.h5d.create(file.id, b"time", h5py.h5t.UNIX_D32LE, space)
            file["nothing"] = h5py.SoftLink("/gone")
        wanted["time"] = f"{NO_NUMBERS}Received: shape [3, 6], dtype object. "
        shown = {f"{path}/{name}": text for name, text in wanted.items()}
        shown[f"{path}"] = "expected a dataset named 'nothing', found none."
    else:
        np.save(path / "objects.npy", np.array([[None] * 6]), allow_pickle=True)
        (path / "link.npy").symlink_to("gone.npy")
        os.mkfifo(path / "pipe.npy")
        wanted["objects"] = "expected an array of numbers, as numpy.save writes it (Array can't be"
        wanted["link"] = "expected features, as FILE.npy or as FILE.h5/DATASET, received: a link to"
        wanted["pipe"] = "expected a file, received a pipe, device or socket."
        shown = {f"{path}/{name}.npy": text for name, text in wanted.items()}
    output = tmp_path / "classes.csv"
    done = predict(feature_run, f"--output={output}", path, status=1)
    failures = read_failures(done)[:-1]  # of the output
    assert len(failures) == len(shown)
    for name, text in shown.items():
        assert any(x.startswith(f"{name}: {text}") for x in failures), (name, done.stderr)
    assert f"cannot be read: {len(shown)} of {len(shown) + 2}: " in done.stderr
    first, second = done.stdout.splitlines()
    assert f"{path}/good 1" in first and first.split()[-4:] == second.split()[-4:]
    rows = read_rows(output)
    assert len(rows) == len(shown) + 2
    assert [bool(row["predicted"]) for row in rows] == ["good" in row["clip"] for row in rows]


def test_a_file_that_cannot_be_read_does_not_stop_the_others(imported, feature_run, tmp_path):
    np.savez(tmp_path / "new.npz", CLIP)
    (tmp_path / "cut.h5").write_bytes((imported / "new.h5").read_bytes()[:-1])
    good = imported / "new.h5" / "rise" / "test_0"
    done = predict(feature_run, tmp_path / "new.npz", tmp_path / "cut.h5", good, status=1)
    for line, name in zip(read_failures(done), ("new.npz", "cut.h5"), strict=True):
        assert line.startswith(f"{tmp_path}/{name}: expected an HDF5 file with a dataset for each ")
        assert "Save each clip's array by numpy.save('<clip_id>.npy', array) into" in line
    assert done.stdout.split()[0] == str(good)


def test_what_is_no_features_is_refused(feature_run, clips_dir, tmp_path):
    with h5py.File(tmp_path / "none.h5", "w"):
        pass
    clip = clips_dir / "left" / "clip_0"
    for path, received in (
        (clips_dir / "left" / "clip_7.mp4", "a video or an image"),
        (clip / "0.png", "a video or an image"),
        (clip, "none in it"),
        (tmp_path / "none.h5", "none in it"),
    ):
        assert predict(feature_run, path, status=1).stderr == (
            f"error: {path}: expected .npy files or datasets of an HDF5 file, since the run was "
            f"trained on features that another tool computed. Received: {received}. Compute the "
            "clips' features by that tool, and name these.\n"
        )
    gone = f"{tmp_path}/gone.h5/a"
    assert f"error: {gone}: no such file or folder. " in predict(feature_run, gone, status=1).stderr


def test_features_are_refused_where_videos_are_wanted(imported, run_dir):
    for path in (imported / "new.h5", imported / "new" / "rise" / "test_0.npy"):
        assert predict(RunDir(run_dir), path, status=1).stderr == (
            f"error: {path}: expected a video or a folder of frames, whose features the run "
            "computes itself. Received: features. Name what they are of, or a --run_dir that was "
            "trained on imported features.\n"
        )
    log = predict(RunDir(run_dir), imported / "new" / "rise", status=1).stderr
    assert "rise: expected a folder of frames or of videos. Received: neither images (" in log
    assert "of features that another tool computed, a --run_dir that was trained on such.\n" in log
